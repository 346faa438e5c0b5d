//! When an endpoint is probed, and what its probes do to its breaker.
//!
//! A breaker and its probes are joined: failed probes open it, passed ones enter half-open early and, in
//! half-open, close it, so that it needs no traffic to recover. Early entry has conditions, since a cheap probe that
//! passes while real calls fail must not defeat the growing open time. How long outages lasted is kept and tells how
//! long the present one may last; that informs, and never forbids a probe.

mod history;
mod predictor;

use core::time::Duration;

use mainstay_breaker::{Mode, Moment, State, Transition};
use serde::{Deserialize, Serialize};

pub use history::{KEPT, Outage, OutageHistory, Recoveries, Standing};
pub use predictor::{Prediction, Predictor};

use crate::random::{Lean, SplitMix64};
use crate::settings::ProbeSchedule;
use crate::snapshot::EndpointView;

/// Probes due within this time are asked for now: the next tick may come too late.
const HORIZON: Duration = Duration::from_secs(1);
/// A probe that could find nothing out is begun again after this.
const AGAIN: Duration = Duration::from_millis(200);
/// Beyond its deadline, a probe that has not answered for this long is taken as lost and asked for again.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// What is expected to stay away for so many pauses between probes is in no hurry.
const NO_HURRY: u32 = 8;

/// What the pause before the next probe is drawn by.
pub(crate) struct Pace<'a> {
    pub(crate) random: &'a mut SplitMix64,
    /// From now, it is back after this long with a probability of one half, judged by its own outages.
    pub(crate) expected: Option<Duration>,
}

impl Pace<'_> {
    /// What is expected back before its next probe is probed in the earlier half of what the jitter allows; what is
    /// expected to stay away for long, in the later half.
    fn pause(&mut self, base: Duration, jitter: f64) -> Duration {
        let lean = match self.expected {
            Some(expected) if expected <= base => Lean::Earlier,
            Some(expected) if expected >= base * NO_HURRY => Lean::Later,
            _ => Lean::Neither,
        };
        self.random.leaning(base, jitter, lean)
    }
}

/// What a probe's result asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Verdict {
    /// Open the breaker.
    pub(crate) trip: bool,
    /// Enter half-open before the open time is over.
    pub(crate) half_open_early: bool,
    /// A new epoch of health begins.
    pub(crate) new_epoch: bool,
}

/// Whether half-open was entered early in the present outage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
enum Early {
    #[default]
    Unused,
    Asked,
    Failed,
}

/// The probes of one endpoint.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Prober {
    next_at: Option<Moment>,
    asked: Option<Moment>,
    requested_at: Option<Moment>,
    passes: u32,
    failures: u32,
    step: usize,
    missed_in_epoch: bool,
    recovered_at: Option<Moment>,
    /// When the breaker last opened after it was closed, or became half-open: what a probe that began before found
    /// says nothing about the time since.
    speaks_from: Option<Moment>,
    missed_since_open: bool,
    early: Early,
}

impl Prober {
    /// Due at once if it is `probed` at all.
    #[must_use]
    pub(crate) fn new(now: Moment, probed: bool) -> Self {
        Self {
            next_at: probed.then_some(now),
            asked: None,
            requested_at: None,
            passes: 0,
            failures: 0,
            step: 0,
            missed_in_epoch: false,
            recovered_at: None,
            speaks_from: None,
            missed_since_open: false,
            early: Early::Unused,
        }
    }

    /// When the next probe starts; `None`: it has no probe, or one is running.
    #[must_use]
    pub(crate) fn next_at(&self) -> Option<Moment> {
        self.asked.or(self.next_at)
    }

    /// The moment of a probe that has to be asked for now.
    pub(crate) fn due(&mut self, now: Moment, schedule: &ProbeSchedule) -> Option<Moment> {
        if let Some(asked) = self.asked {
            if now.saturating_since(asked) < schedule.deadline + LOST_AFTER {
                return None;
            }
            self.next_at = Some(now);
        }
        let at = self.next_at?.max(now);
        if at > now + HORIZON {
            return None;
        }
        self.asked = Some(at);
        self.next_at = None;
        Some(at)
    }

    /// Somebody wants a verdict at once. Requests closer together than the schedule allows wait their turn.
    pub(crate) fn request(&mut self, now: Moment, schedule: &ProbeSchedule) {
        if self.asked.is_some_and(|at| at > now) {
            return;
        }
        let earliest = self
            .requested_at
            .map(|last| last + schedule.request_interval);
        let at = earliest.map_or(now, |earliest| earliest.max(now));
        if self.next_at.is_none_or(|next| next > at) {
            self.next_at = Some(at);
            self.requested_at = Some(at);
        }
    }

    /// A probe that began at `started` has ended; `passed` is `None` if it could find nothing out. The result of
    /// another one than was asked for last comes too late: it says nothing about now, and must not begin a second
    /// row of probes.
    pub(crate) fn result(
        &mut self,
        now: Moment,
        started: Moment,
        passed: Option<bool>,
        view: &EndpointView,
        schedule: &ProbeSchedule,
        pace: Pace<'_>,
    ) -> Verdict {
        if self.asked.is_none_or(|asked| started < asked) {
            return Verdict::default();
        }
        self.asked = None;
        let Some(passed) = passed else {
            let again = now + AGAIN;
            self.next_at = Some(self.next_at.map_or(again, |wanted| wanted.min(again)));
            return Verdict::default();
        };
        let speaks = self.speaks_from.is_none_or(|from| started >= from);
        let verdict = if passed {
            self.passed(now, speaks, view, schedule)
        } else {
            self.failed(speaks, view, schedule)
        };
        if verdict.new_epoch && view.is_usable() {
            self.recovered_at = Some(now);
        }
        self.plan(now, view, schedule, pace);
        // The open time ended while it ran, or a call has made the breaker half-open: nothing it found could close it.
        let over = |retry_at: Moment| started < retry_at && retry_at <= now;
        let in_vain = match view.state {
            State::Closed => false,
            State::Open => view.retry_at.is_some_and(over),
            State::HalfOpen => !speaks,
        };
        if in_vain {
            self.next_at = Some(now);
        }
        verdict
    }

    fn passed(
        &mut self,
        now: Moment,
        speaks: bool,
        view: &EndpointView,
        schedule: &ProbeSchedule,
    ) -> Verdict {
        self.failures = 0;
        self.step = 0;
        self.passes = self.passes.saturating_add(u32::from(speaks));
        let confirmed = self.passes >= schedule.early_after;
        let new_epoch = confirmed && self.missed_in_epoch;
        if new_epoch {
            self.missed_in_epoch = false;
        }
        let hinted = view.hint_until.is_some_and(|until| now < until);
        let by_rule = matches!(view.mode, Mode::Auto | Mode::Shadow) && view.state == State::Open;
        let allowed = self.missed_since_open && self.early != Early::Failed && !hinted;
        let half_open_early = confirmed && by_rule && allowed;
        if half_open_early {
            self.early = Early::Asked;
        }
        Verdict {
            trip: false,
            half_open_early,
            new_epoch,
        }
    }

    fn failed(&mut self, speaks: bool, view: &EndpointView, schedule: &ProbeSchedule) -> Verdict {
        self.passes = 0;
        self.failures = self.failures.saturating_add(1);
        self.missed_in_epoch = true;
        self.missed_since_open |= speaks && view.state == State::Open;
        Verdict {
            trip: view.state == State::Closed && self.failures >= schedule.trip_after,
            ..Verdict::default()
        }
    }

    /// The breaker has changed its state; `view` shows it as it is now.
    pub(crate) fn transition(
        &mut self,
        now: Moment,
        transition: &Transition,
        view: &EndpointView,
        schedule: &ProbeSchedule,
        random: &mut SplitMix64,
    ) {
        match (transition.from, transition.to) {
            (State::Closed, State::Open) => {
                self.speaks_from = Some(transition.at);
                self.missed_since_open = false;
                self.early = Early::Unused;
                self.passes = 0;
                self.step = 0;
            }
            (_, State::Open) => {
                self.passes = 0;
                if self.early == Early::Asked {
                    self.early = Early::Failed;
                }
            }
            (_, State::HalfOpen) => self.speaks_from = Some(transition.at),
            (_, State::Closed) => {
                self.speaks_from = None;
                self.missed_in_epoch = false;
                self.early = Early::Unused;
                self.failures = 0;
                self.step = 0;
                self.recovered_at = Some(now);
            }
        }
        self.replan(now, transition.to, view, schedule, random);
    }

    /// An operator has put on another mode, or taken one off: what is planned for the one may be late for the other,
    /// under which failures may count at last.
    pub(crate) fn mode_changed(
        &mut self,
        now: Moment,
        view: &EndpointView,
        schedule: &ProbeSchedule,
        random: &mut SplitMix64,
    ) {
        self.rescheduled(now, view, schedule, random);
        let over = view.retry_at.is_some_and(|retry_at| retry_at <= now);
        // What runs began under the other mode, and another one has to follow it.
        let wanted = self.is_planned() || self.asked.is_some_and(|asked| asked < now);
        if wanted && over && view.state == State::Open {
            self.next_at = Some(now);
        }
    }

    /// The schedule is another one: what is planned comes no later than it would by that, from its first pause on.
    pub(crate) fn rescheduled(
        &mut self,
        now: Moment,
        view: &EndpointView,
        schedule: &ProbeSchedule,
        random: &mut SplitMix64,
    ) {
        self.step = 0;
        self.replan(now, view.state, view, schedule, random);
    }

    fn is_planned(&self) -> bool {
        self.asked.is_none() && self.next_at.is_some()
    }

    /// A change of state never puts off a probe that is planned; where none is, there is nothing to do.
    fn replan(
        &mut self,
        now: Moment,
        to: State,
        view: &EndpointView,
        schedule: &ProbeSchedule,
        random: &mut SplitMix64,
    ) {
        if !self.is_planned() {
            return;
        }
        let planned = self.next_at;
        if to == State::HalfOpen {
            self.next_at = Some(now);
        } else {
            let expected = None;
            self.plan(now, view, schedule, Pace { random, expected });
        }
        if let (Some(planned), Some(next)) = (planned, self.next_at) {
            self.next_at = Some(next.min(planned));
        }
    }

    /// Plans the next probe, no later than one that was requested meanwhile.
    fn plan(&mut self, now: Moment, view: &EndpointView, schedule: &ProbeSchedule, pace: Pace<'_>) {
        let mut at = now + self.interval(now, view, schedule, pace);
        // The end of the open time is worth a probe of its own.
        if let Some(retry_at) = view.retry_at.filter(|retry_at| *retry_at > now) {
            at = at.min(retry_at);
        }
        self.next_at = Some(self.next_at.map_or(at, |wanted| wanted.min(at)));
    }

    fn interval(
        &mut self,
        now: Moment,
        view: &EndpointView,
        schedule: &ProbeSchedule,
        mut pace: Pace<'_>,
    ) -> Duration {
        let open = view.state != State::Closed && view.mode != Mode::ForcedOpen;
        let unconfirmed = self.missed_in_epoch || view.state == State::HalfOpen;
        if self.failures == 0 && unconfirmed && self.passes > 0 {
            return schedule.confirm;
        }
        if open || self.failures > 0 {
            let base = schedule.failing.get(self.step).or(schedule.failing.last());
            self.step = (self.step + 1).min(schedule.failing.len().saturating_sub(1));
            return pace.pause(base.copied().unwrap_or(schedule.heartbeat), schedule.jitter);
        }
        let recent = |at: Moment| now.saturating_since(at) < schedule.recovered_for;
        if self.recovered_at.is_some_and(recent) {
            schedule.recovered
        } else {
            schedule.heartbeat
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_leans_to_when_it_is_expected_back_and_stays_within_its_jitter() {
        let (base, second) = (Duration::from_secs(10), Duration::from_secs(1));
        for (expected, shortest, longest) in [
            (None, 8, 12),
            (Some(10 * second), 8, 10),
            (Some(11 * second), 8, 12),
            (Some(79 * second), 8, 12),
            (Some(80 * second), 10, 12),
        ] {
            let mut random = SplitMix64::new(3);
            let mut pace = Pace {
                random: &mut random,
                expected,
            };
            let pauses = (0..500).map(|_| pace.pause(base, 0.2));
            let (least, most) = pauses.fold((base * 2, Duration::ZERO), |(least, most), one| {
                (least.min(one), most.max(one))
            });
            let near = |found: Duration, bound: u32| found.abs_diff(second * bound) < second / 20;
            assert!(
                near(least, shortest) && near(most, longest),
                "{expected:?}: {least:?} {most:?}"
            );
        }
    }
}
