//! One task over a closed set of events: it feeds the controller and carries out what the controller decides.
//!
//! Nothing else changes levels or limits; whatever wakes the system is an arm of [`Wake`]. It does no I/O: a disk
//! that hangs must not freeze the level.

use std::collections::VecDeque;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use mainstay_breaker::{Moment, Transition};
use mainstay_degradation::{Controller, EndpointId, Input, ProbeResult};
use tokio::sync::{mpsc, oneshot, watch};

use crate::endpoint::Endpoint;
use crate::error::Error;
use crate::facts::Facts;
use crate::handle::Inner;
use crate::history::Remembered;
use crate::probe::Prober;
use crate::recorder::Recorder;
use crate::recordings;
use crate::reload::{Change, EngineSettings};

/// Everything that wakes the monitor, the tick aside.
#[derive(Debug)]
pub(crate) enum Wake {
    /// A breaker changed its state.
    Transition {
        endpoint: EndpointId,
        transition: Transition,
    },
    /// Somebody wants an endpoint probed at once.
    ProbeNow { endpoint: EndpointId },
    /// A probe has ended.
    ProbeDone {
        endpoint: EndpointId,
        started: Moment,
        result: ProbeResult,
    },
    /// What operators want is kept, and comes into force; `done` is told when it is.
    Operator {
        inputs: Vec<Input>,
        done: oneshot::Sender<()>,
    },
    /// New settings are to come into force, or to be refused.
    Reload {
        settings: Box<EngineSettings>,
        done: oneshot::Sender<Result<Vec<Change>, Error>>,
    },
    /// All recordings are to be removed; `done` is told when they are.
    PurgeRecordings {
        done: oneshot::Sender<io::Result<()>>,
    },
}

/// How often the controller evaluates.
const TICK: Duration = Duration::from_secs(1);
/// A tick that comes later than this is dated by when it came.
const LATE: Duration = Duration::from_millis(250);
/// How often is written down that an outage lasts. The controller takes four times as long a gap for an end of it.
const REMEMBERED_EVERY: Duration = Duration::from_secs(15);

pub(crate) struct Monitor {
    pub(crate) inner: Arc<Inner>,
    pub(crate) controller: Controller,
    pub(crate) probers: Vec<Option<Prober>>,
    /// Factor of each endpoint's limit as last decided, before the ramp.
    pub(crate) factors: Vec<f64>,
    pub(crate) pending: VecDeque<Input>,
    /// The moment of the last input.
    pub(crate) last: Moment,
    pub(crate) facts: Facts,
    /// Where outages are written down.
    pub(crate) outages: watch::Sender<Remembered>,
    /// When that was last asked for.
    pub(crate) remembered: Moment,
    pub(crate) recorder: Option<Recorder>,
}

impl Monitor {
    /// Runs until the engine stops.
    pub(crate) async fn run(mut self, wakes: mpsc::UnboundedReceiver<Wake>) {
        self.run_until_stopped(wakes).await;
        let now = self.inner.shared.clock.now();
        self.remember_outages(now);
    }

    async fn run_until_stopped(&mut self, mut wakes: mpsc::UnboundedReceiver<Wake>) {
        let clock = self.inner.shared.clock;
        let stop = self.inner.stop.clone();
        let mut next_tick = clock.now();
        loop {
            // The tick goes first: a flood of wakes must not put it off.
            tokio::select! {
                biased;
                () = stop.cancelled() => return,
                () = clock.sleep_until(next_tick) => {
                    self.tick(next_tick);
                    next_tick = following(next_tick, clock.now());
                }
                wake = wakes.recv() => match wake {
                    Some(wake) => self.woken(wake),
                    None => return,
                },
            }
        }
    }

    fn woken(&mut self, wake: Wake) {
        let (mut told, mut reloaded) = (None, None);
        match wake {
            Wake::Transition {
                endpoint,
                transition,
            } => self.pending.push_back(Input::Transition {
                endpoint,
                transition,
            }),
            Wake::ProbeNow { endpoint } => self.pending.push_back(Input::ProbeNow { endpoint }),
            Wake::ProbeDone {
                endpoint,
                started,
                result,
            } => self.pending.push_back(Input::Probe {
                endpoint,
                started,
                result,
            }),
            Wake::Operator { inputs, done } => {
                self.pending.extend(inputs);
                told = Some(done);
            }
            Wake::Reload { settings, done } => reloaded = Some((done, self.reload(*settings))),
            Wake::PurgeRecordings { done } => self.purge_recordings(done),
        }
        self.decide();
        // Whoever has stopped waiting needs no answer.
        let _ = told.map(|done| done.send(()));
        let _ = reloaded.map(|(done, answer)| done.send(answer));
    }

    fn tick(&mut self, due: Moment) {
        let now = self.inner.shared.clock.now();
        let seen = |endpoint: &Arc<Endpoint>| {
            // Dates the successes that were counted without a clock.
            endpoint.breaker.tick(now);
            (
                endpoint.id,
                endpoint.stats.drain(&endpoint.breaker.snapshot(now)),
            )
        };
        let observed = self.inner.endpoints.iter().map(seen).collect();
        self.apply_limits(now);
        // A tick is a whole second after the one before, however late this task was woken: recordings count ticks
        // that are alike.
        let in_time = now.saturating_since(due) < LATE;
        let at = if in_time { due } else { now };
        self.feed(at, Input::Tick { observed });
        let (fallbacks, sampler) = (&self.inner.fallbacks, &self.inner.sampler);
        let facts = self.facts.due(now, fallbacks, sampler);
        self.pending.extend(facts.map(Input::Facts));
        self.decide();
        self.remember_those_that_last(now);
    }

    /// Feeds the controller until nothing more follows.
    fn decide(&mut self) {
        while let Some(input) = self.pending.pop_front() {
            let now = self.inner.shared.clock.now();
            self.feed(now, input);
        }
    }

    /// Feeds the controller one input, never at an earlier moment than the last, and carries out what it decides.
    fn feed(&mut self, now: Moment, input: Input) {
        let now = now.max(self.last);
        self.last = now;
        self.record_input(now, &input);
        let mut effects = Vec::new();
        self.controller.handle(now, input, &mut effects);
        if let Some(recorder) = &mut self.recorder {
            recorder.effects(now, &effects);
        }
        for effect in effects {
            self.carry_out(effect, now);
        }
        self.apply_limits(now);
    }

    fn record_input(&mut self, now: Moment, input: &Input) {
        if let Some(mut recorder) = self.recorder.take() {
            let wall = self.inner.shared.clock.wall();
            recorder.prepare(now, wall, &self.controller, || self.deployed());
            recorder.input(now, input);
            self.recorder = Some(recorder);
        }
    }

    /// Where nothing is recorded, there may be recordings of an earlier process.
    fn purge_recordings(&mut self, done: oneshot::Sender<io::Result<()>>) {
        if let Some(recorder) = &mut self.recorder {
            return recorder.purge(done);
        }
        let folder = recordings::folder(&self.inner.data_dir);
        // Whoever has stopped waiting needs no answer.
        tokio::task::spawn_blocking(move || drop(done.send(recordings::purge(&folder))));
    }

    /// Has it written down, from time to time in an outage, how long that was seen: after a crash nobody could tell it
    /// from a later one.
    fn remember_those_that_last(&mut self, now: Moment) {
        if now.saturating_since(self.remembered) < REMEMBERED_EVERY {
            return;
        }
        let snapshot = self.inner.snapshot.load();
        let mut components = snapshot.components.iter();
        if components.any(|one| one.down_since.is_some()) {
            self.remember_outages(now);
        }
    }

    /// Has it written down what is known of outages: as one begins or ends, while it lasts, and at the end.
    pub(crate) fn remember_outages(&mut self, now: Moment) {
        self.remembered = now;
        self.outages.send_replace(Remembered {
            at: self.inner.shared.clock.steady_of(now),
            history: self.controller.outages(now),
        });
    }

    pub(crate) fn probe(&self, endpoint: EndpointId, at: Moment) {
        let Some(prober) = self.probers[endpoint.index()].clone() else {
            return;
        };
        let stop = self.inner.stop.clone();
        self.inner.tasks.spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = prober.run(at) => {}
            }
        });
    }

    /// The in-flight limits: what the controller decided, less what a breaker that has just closed holds back.
    fn apply_limits(&self, now: Moment) {
        for (endpoint, factor) in self.inner.endpoints.iter().zip(&self.factors) {
            let ramp = f64::from(endpoint.breaker.ramp_percent(now)) / 100.0;
            endpoint.limit.set_factor(factor * ramp);
        }
    }
}

/// The tick after the one due at `last`: a second later, without drift; ticks that were missed are left out.
fn following(last: Moment, now: Moment) -> Moment {
    let next = last + TICK;
    if next > now { next } else { now + TICK }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_do_not_drift_and_missed_ones_are_left_out() {
        let at = |ms: u64| Moment::from_nanos(ms * 1_000_000);
        assert_eq!(following(at(5_000), at(5_030)), at(6_000));
        assert_eq!(following(at(5_000), at(9_500)), at(10_500));
    }
}
