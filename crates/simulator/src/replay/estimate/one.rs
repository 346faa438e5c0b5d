//! One breaker with other settings, beside the recorded one: together with it or apart.
//!
//! Together: both are in the same state, and what the recorded one did next the other one does too, by rules that are
//! as strict. A rule that is stricter looks at the calls itself and may open it before.
//! Apart: it lives on the calls that were counted, on those that are supposed, and on recorded probes.

use std::time::Duration;

use mainstay_breaker::{Breaker, FailureKind, Mode, Moment, Rule, Settings, State, Transition};
use mainstay_degradation::{EndpointView, Histogram, Observed, ProbeResult};

use super::belief::Belief;
use super::calls::{self, Call, Origin, Pace, Second};
use super::generations::Generations;
use super::lead::{align, begin, lead, outcome};
use super::stricter::{follows, muted};

/// Openings less than this apart are of one trouble: who opened a little earlier or later tries again with the other.
const CALM: Duration = Duration::from_secs(10);
#[derive(Debug)]
pub(super) struct Estimate {
    wanted: Settings,
    recorded: Settings,
    /// With the other settings. Together, it is led along.
    ours: Breaker,
    /// With the recorded ones, always led along: it knows the re-openings in a row.
    theirs: Breaker,
    together: bool,
    /// It was apart at some time since the last tick.
    parted: bool,
    opened: Option<Moment>,
    /// End of the open time, while apart.
    retry_at: Option<Moment>,
    /// Where the last open time lay within its jitter, `-1.0..=1.0`.
    luck: f64,
    generations: Generations,
    belief: Belief,
    pace: Pace,
    /// As the last tick found the recorded breaker.
    row: u32,
    mode: Mode,
    /// What it has let pass since the last tick.
    passed: Observed,
}

impl Estimate {
    /// `None`: the settings make no sense. `view`: the recorded breaker at the beginning.
    pub(super) fn new(
        wanted: Settings,
        recorded: Settings,
        view: &EndpointView,
        now: Moment,
    ) -> Option<Self> {
        wanted.validate().and(recorded.validate()).ok()?;
        // A breaker's own jitter is never asked for: open times end by the recorded one.
        let wanted_breaker = Breaker::new(exact(wanted), 0).ok()?;
        let recorded_breaker = Breaker::new(exact(recorded), 0).ok()?;
        let one = Self {
            wanted,
            recorded,
            ours: wanted_breaker,
            theirs: recorded_breaker,
            together: true,
            parted: false,
            opened: view.opened_at,
            retry_at: view.retry_at,
            luck: 0.0,
            generations: Generations::new(view.generation),
            belief: Belief::new(view.state),
            pace: Pace::default(),
            row: view.failures_in_row,
            mode: view.mode,
            passed: Observed::default(),
        };
        for breaker in [&one.ours, &one.theirs] {
            begin(breaker, view, now);
        }
        one.shape(now);
        Some(one)
    }

    pub(super) fn reloaded(&mut self, recorded: Settings, now: Moment) {
        // Only a damaged recording has others.
        if recorded.validate().is_err() {
            return;
        }
        self.recorded = recorded;
        // The window has room for every shape.
        let _ = self.theirs.reconfigure(exact(recorded), now);
        self.shape(now);
    }

    /// Sets the rules that are to open it.
    fn shape(&self, now: Moment) {
        let rules = if self.together {
            muted(&self.wanted, &self.recorded)
        } else {
            self.wanted
        };
        // They are within what was checked when the breaker was made.
        let _ = self.ours.reconfigure(exact(rules), now);
    }

    /// A second's calls, in order.
    pub(super) fn calls(&mut self, second: &Second<'_>) -> Vec<(Moment, Call)> {
        let state = self.theirs.state();
        let supposed = second.supposed(state, &mut self.pace);
        let counts = |mode: Mode| matches!(mode, Mode::Auto | Mode::Shadow);
        let observed = second.observed;
        let settings = (&self.wanted, &self.recorded);
        let mut calls = second.laid_out(state, self.row, settings);
        if !calls.is_empty() {
            let failures = calls::failures(observed);
            let slow = calls::slow(observed, &self.wanted, &self.recorded);
            let kind = calls.iter().rev().find_map(|(_, call)| call.fails);
            let kind = kind.unwrap_or(FailureKind::Unavailable);
            self.belief.counted(observed.calls, failures, slow, kind);
        }
        let (was, is) = (self.mode, observed.breaker.mode);
        if self.together && !(counts(was) && counts(is)) {
            calls.clear();
        }
        let supposed = supposed.into_iter().map(|at| (at, None));
        let mut all: Vec<_> = calls
            .into_iter()
            .map(|(at, call)| (at, Some(call)))
            .collect();
        all.extend(supposed);
        all.sort_by_key(|(at, _)| *at);
        // What a supposed call comes to is known when its time has come.
        let later = Call {
            fails: None,
            slow: false,
            origin: Origin::Supposed,
        };
        all.into_iter()
            .map(|(at, call)| (at, call.unwrap_or(later)))
            .collect()
    }

    /// One of these calls.
    pub(super) fn call(&mut self, now: Moment, call: Call) -> Vec<Transition> {
        if self.together {
            return self.call_together(now, call);
        }
        let call = match call.origin {
            Origin::Counted => call,
            Origin::Supposed => self.belief.supposed(),
        };
        self.put(now, call)
    }

    fn call_together(&mut self, now: Moment, call: Call) -> Vec<Transition> {
        if call.origin == Origin::Supposed {
            return Vec::new();
        }
        self.count(call);
        if self.theirs.state() != State::Closed {
            return Vec::new();
        }
        let admitted = self.ours.admit(now).result.ok();
        let moved = admitted.and_then(|permit| permit.settle(outcome(call.fails), call.slow, now));
        let Some(moved) = moved else {
            return Vec::new();
        };
        self.part(now);
        vec![self.told(moved)]
    }

    /// Puts a call to the breaker, apart.
    fn put(&mut self, now: Moment, call: Call) -> Vec<Transition> {
        let mut moved = Vec::new();
        if self.ours.state() == State::Open && self.ours.mode() != Mode::ForcedOpen {
            if self.retry_at.is_none_or(|at| now >= at) {
                let entered = self.ours.half_open_early(now);
                moved.extend(entered.map(|one| self.told(one)));
            } else if self.ours.mode() == Mode::Auto {
                return moved;
            }
        }
        let (entered, settled, passed) = {
            let admission = self.ours.admit(now);
            let permit = admission.result.ok();
            let passed = permit.is_some();
            let settle = permit.map(|one| one.settle(outcome(call.fails), call.slow, now));
            (admission.transition, settle.flatten(), passed)
        };
        if passed {
            self.count(call);
        }
        for one in entered.into_iter().chain(settled) {
            moved.push(self.told(one));
        }
        self.join(now);
        moved
    }

    fn count(&mut self, call: Call) {
        self.passed.calls += 1;
        self.passed.slow += u64::from(call.slow);
        match call.fails {
            Some(kind) => self.passed.failures[kind as usize] += 1,
            None => self.passed.successes += 1,
        }
    }

    /// The recorded breaker has changed its state.
    pub(super) fn recorded(&mut self, transition: &Transition) -> Vec<Transition> {
        let at = transition.at;
        lead(&self.theirs, transition);
        self.belief.moved(transition);
        if !self.together {
            self.generations.recorded = transition.generation;
            return self.recorded_apart(transition);
        }
        let from_closed = transition.from == State::Closed;
        if transition.to == State::Open
            && from_closed
            && !follows(&self.wanted, &self.recorded, transition.rule)
        {
            self.generations.recorded = transition.generation;
            self.part(at);
            return Vec::new();
        }
        lead(&self.ours, transition);
        let mut told = *transition;
        told.generation = self.generations.together(transition.generation);
        match transition.to {
            State::Open => {
                self.opened = Some(at);
                let retry_at = self.end_of_open_time(transition);
                self.retry_at = retry_at;
                if retry_at != transition.retry_at {
                    told.retry_at = retry_at;
                    self.part(at);
                }
            }
            State::HalfOpen if self.tries_otherwise() => self.part(at),
            State::HalfOpen | State::Closed => {}
        }
        vec![told]
    }

    fn tries_otherwise(&self) -> bool {
        self.wanted.half_open.successes != self.recorded.half_open.successes
    }

    /// What the recorded breaker's change says of the dependency.
    fn recorded_apart(&mut self, transition: &Transition) -> Vec<Transition> {
        let (at, mut moved) = (transition.at, Vec::new());
        let said = |fails| Call {
            fails,
            slow: false,
            origin: Origin::Supposed,
        };
        match (transition.from, transition.to, transition.rule) {
            (_, State::Open, Some(Rule::Operator)) | (State::Open, State::Closed, _) => {
                let (before, from) = (self.ours.generation(), self.ours.state());
                lead(&self.ours, transition);
                if self.ours.generation() != before && self.ours.state() != from {
                    let generation = self.generations.apart();
                    moved.push(Transition {
                        generation,
                        from,
                        ..*transition
                    });
                }
            }
            (State::HalfOpen, State::Open, _) => {
                let kind = transition.kind.unwrap_or(FailureKind::Unavailable);
                moved = self.put(at, said(Some(kind)));
            }
            (State::HalfOpen, State::Closed, _) => {
                for _ in 0..self.recorded.half_open.successes {
                    if self.ours.state() != State::Closed {
                        moved.extend(self.put(at, said(None)));
                    }
                }
            }
            _ => {}
        }
        self.join(at);
        moved
    }

    /// A recorded probe has ended.
    pub(super) fn probed(
        &mut self,
        now: Moment,
        started: Moment,
        result: ProbeResult,
    ) -> Vec<Transition> {
        self.belief.probed(self.theirs.state(), result);
        let fails = match result {
            ProbeResult::Passed { .. } => None,
            ProbeResult::Failed { kind, .. } => Some(kind),
            ProbeResult::Nothing => return Vec::new(),
        };
        let ready = match self.ours.state() {
            State::Closed => false,
            State::HalfOpen => true,
            State::Open => self.retry_at.is_none_or(|at| started >= at),
        };
        if self.together || !ready {
            return Vec::new();
        }
        let before = self.passed.clone();
        let moved = self.put(
            now,
            Call {
                fails,
                slow: false,
                origin: Origin::Supposed,
            },
        );
        // A probe is no call.
        self.passed = before;
        moved
    }

    /// A tick: `observed` becomes what this breaker would have let pass.
    pub(super) fn ticked(&mut self, now: Moment, observed: &mut Observed) -> Vec<Transition> {
        let view = observed.breaker;
        let passed = std::mem::take(&mut self.passed);
        (self.row, self.mode) = (view.failures_in_row, view.mode);
        align(&self.theirs, &view, now);
        let mut moved = Vec::new();
        if self.together {
            align(&self.ours, &view, now);
        } else {
            let masked = self.ours.set_mode(view.mode, now);
            moved.extend(masked.map(|one| self.told(one)));
            self.join(now);
        }
        if std::mem::take(&mut self.parted) {
            let latency = std::mem::replace(&mut observed.latency, Histogram::new());
            *observed = passed;
            if observed.calls > 0 {
                observed.latency = latency;
            }
            observed.breaker = view;
        }
        if self.together {
            observed.breaker.generation = self.generations.together(view.generation);
        } else {
            self.parted = true;
            self.generations.recorded = view.generation;
            observed.breaker = EndpointView::from(&self.ours.snapshot(now));
            observed.breaker.generation = self.generations.told;
            if self.ours.state() != State::Closed {
                observed.breaker.hint_until = view.hint_until;
            }
            if observed.breaker.retry_at.is_some() {
                observed.breaker.retry_at = self.retry_at;
            }
        }
        moved
    }

    /// Probes have failed. Together, what was recorded opens it.
    pub(super) fn trip(&mut self, kind: FailureKind, now: Moment) -> Option<Transition> {
        if self.together {
            return None;
        }
        let moved = self.ours.trip(Rule::Probes, kind, now)?;
        let told = self.told(moved);
        self.join(now);
        Some(told)
    }

    /// Probes pass again. Together, what was recorded tries it.
    pub(super) fn half_open_early(&mut self, now: Moment) -> Option<Transition> {
        if self.together {
            return None;
        }
        let moved = self.ours.half_open_early(now)?;
        Some(self.told(moved))
    }

    /// A change of its own, as the controller hears of it.
    fn told(&mut self, moved: Transition) -> Transition {
        let generation = self.generations.apart();
        if moved.to != State::Open || moved.rule == Some(Rule::Operator) {
            return Transition {
                generation,
                ..moved
            };
        }
        self.opened = Some(moved.at);
        let reopenings = self.ours.snapshot(moved.at).reopenings;
        let lasts = open_time(&self.wanted, reopenings, self.luck);
        self.retry_at = Some(moved.at + lasts);
        Transition {
            generation,
            retry_at: self.retry_at,
            ..moved
        }
    }

    /// When it tries again that has opened with the recorded one: a longer open time takes as much more of the jitter,
    /// and a server's wish holds for both.
    fn end_of_open_time(&mut self, transition: &Transition) -> Option<Moment> {
        let (at, retry_at) = (transition.at, transition.retry_at?);
        let (ours, theirs) = self.open_times(at);
        if ours == theirs && self.wanted.jitter.to_bits() == self.recorded.jitter.to_bits() {
            return Some(retry_at);
        }
        let lasted = retry_at.saturating_since(at);
        let share = lasted.as_secs_f64() / theirs.as_secs_f64() - 1.0;
        let jitter = self.recorded.jitter;
        if share > jitter + 0.001 {
            let longest = self.wanted.reset_timeout * self.wanted.max_open;
            return Some(at + ours.max(lasted.min(longest)));
        }
        self.luck = if jitter > 0.0 {
            (share / jitter).clamp(-1.0, 1.0)
        } else {
            0.0
        };
        Some(at + ours.mul_f64(1.0 + self.wanted.jitter * self.luck))
    }

    /// How long both are open without jitter, ours first.
    fn open_times(&self, now: Moment) -> (Duration, Duration) {
        let ours = self.ours.snapshot(now).reopenings;
        let theirs = self.theirs.snapshot(now).reopenings;
        (
            open_time(&self.wanted, ours, 0.0),
            open_time(&self.recorded, theirs, 0.0),
        )
    }

    fn part(&mut self, now: Moment) {
        (self.together, self.parted) = (false, true);
        self.shape(now);
    }

    /// Goes on together with the recorded one, if both are where the same follows.
    fn join(&mut self, now: Moment) {
        let states = (self.ours.state(), self.theirs.state());
        let same = match states {
            (State::Closed, State::Closed) => true,
            (State::Open, State::Open) => self.opened_alike(now),
            _ => false,
        };
        if self.together || !same || self.ours.mode() != self.theirs.mode() {
            return;
        }
        self.together = true;
        self.generations.joined();
        self.shape(now);
    }

    fn opened_alike(&self, now: Moment) -> bool {
        let theirs = self.theirs.snapshot(now).opened_at;
        let (Some(ours), Some(theirs)) = (self.opened, theirs) else {
            return false;
        };
        let (lasts, lasted) = self.open_times(now);
        let near = ours.max(theirs).saturating_since(ours.min(theirs)) <= CALM;
        near && lasts == lasted && self.wanted.jitter.to_bits() == self.recorded.jitter.to_bits()
    }
}

/// Without jitter: what a recording tells of it is put in its place.
fn exact(settings: Settings) -> Settings {
    Settings {
        jitter: 0.0,
        ..settings
    }
}

/// `luck`: where it lies within its jitter, `-1.0..=1.0`.
fn open_time(settings: &Settings, reopenings: u32, luck: f64) -> Duration {
    let longest = settings.reset_timeout.saturating_mul(settings.max_open);
    let factor = 1_u32.checked_shl(reopenings).unwrap_or(u32::MAX);
    let base = settings.reset_timeout.saturating_mul(factor).min(longest);
    base.mul_f64(1.0 + settings.jitter * luck)
}
