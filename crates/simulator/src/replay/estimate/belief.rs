//! What would have become of the calls that a recorded breaker rejected. Nobody made them: while it was open, its
//! dependency was down as far as anybody knows, until a probe passed after one had failed, or until the breaker closed.
//! A probe that never failed says nothing: it passes while calls fail.

use mainstay_breaker::{FailureKind, Rule, State, Transition};
use mainstay_degradation::ProbeResult;

use super::calls::{Call, Origin};

/// What is known of a dependency while calls are rejected.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Known {
    Up,
    Down(FailureKind),
    /// It was opened by shares of failed or slow calls: those shares go on.
    Mixed,
}

#[derive(Debug)]
pub(super) struct Belief {
    known: Known,
    /// A probe has failed in this outage: one that passes says something.
    missed: bool,
    recent: Recent,
    /// Parts of a failure, and of a slow call, that shares are ahead of whole ones.
    owed: (f64, f64),
}

/// Recent calls, each second's half as heavy as those of the next one.
#[derive(Debug, Default)]
struct Recent {
    calls: f64,
    failures: f64,
    slow: f64,
    kind: Option<FailureKind>,
}

impl Belief {
    pub(super) fn new(state: State) -> Self {
        let known = match state {
            State::Closed => Known::Up,
            State::Open | State::HalfOpen => Known::Down(FailureKind::Unavailable),
        };
        Self {
            known,
            missed: false,
            recent: Recent::default(),
            owed: (0.0, 0.0),
        }
    }

    /// A second's calls that were let through.
    pub(super) fn counted(&mut self, calls: u64, failures: u64, slow: u64, kind: FailureKind) {
        let recent = &mut self.recent;
        let add = |sum: &mut f64, count: u64| *sum = *sum / 2.0 + count as f64;
        add(&mut recent.calls, calls);
        add(&mut recent.failures, failures);
        add(&mut recent.slow, slow);
        if failures > 0 {
            recent.kind = Some(kind);
        }
    }

    /// The recorded breaker has changed its state.
    pub(super) fn moved(&mut self, transition: &Transition) {
        let kind = transition.kind.or(self.recent.kind);
        let down = Known::Down(kind.unwrap_or(FailureKind::Unavailable));
        match (transition.from, transition.to, transition.rule) {
            (_, State::Closed, _) => {
                (self.missed, self.known) = (false, Known::Up);
            }
            (_, State::HalfOpen, _) | (_, State::Open, Some(Rule::Operator)) => {}
            (State::Closed, State::Open, Some(Rule::Rate | Rule::Slow)) => {
                self.known = Known::Mixed;
            }
            (_, State::Open, _) if self.known == Known::Mixed => {}
            (_, State::Open, _) => self.known = down,
        }
    }

    /// A probe has ended while the recorded breaker was in this state.
    pub(super) fn probed(&mut self, state: State, result: ProbeResult) {
        match (result, self.known) {
            (ProbeResult::Failed { kind, .. }, known) => {
                self.missed = true;
                if known != Known::Mixed && state != State::Closed {
                    self.known = Known::Down(kind);
                }
            }
            (ProbeResult::Passed { .. }, Known::Down(_)) if self.missed => {
                self.known = Known::Up;
            }
            (ProbeResult::Passed { .. }, _) if state == State::Closed => self.missed = false,
            _ => {}
        }
    }

    /// A call that was never made.
    pub(super) fn supposed(&mut self) -> Call {
        let (fails, slow) = match self.known {
            Known::Up => (None, false),
            Known::Down(kind) => (Some(kind), false),
            Known::Mixed => self.mixed(),
        };
        Call {
            fails,
            slow,
            origin: Origin::Supposed,
        }
    }

    fn mixed(&mut self) -> (Option<FailureKind>, bool) {
        let recent = &self.recent;
        let whole = recent.calls.max(1.0);
        let due = |owed: &mut f64, part: f64| {
            *owed += (part / whole).min(1.0);
            let due = *owed >= 1.0;
            *owed -= f64::from(u8::from(due));
            due
        };
        let fails = due(&mut self.owed.0, recent.failures);
        let slow = due(&mut self.owed.1, recent.slow);
        let kind = recent.kind.unwrap_or(FailureKind::Unavailable);
        (fails.then_some(kind), slow)
    }
}
