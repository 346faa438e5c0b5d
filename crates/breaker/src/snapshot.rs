//! What a breaker looks like at one moment. Looking changes nothing.

use core::num::NonZeroU32;

use crate::cells::Number;
use crate::tally::Tally;
use crate::window::{Sums, Window};
use crate::word::Word;
use crate::{Breaker, FailureKind, Mode, Moment, Rule, State};

/// The last failure that counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct LastFailure {
    /// What kind.
    pub kind: FailureKind,
    /// When its verdict came.
    pub at: Moment,
}

/// The sliding window's counts. Nothing is counted while neither the rate nor the slow rule is set.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct WindowView {
    /// Calls that counted.
    pub calls: u64,
    /// Of these, failures.
    pub failures: u64,
    /// Of these, slow ones.
    pub slow: u64,
    /// `failures / calls`, `0.0..=1.0`; 0 without calls.
    pub failure_rate: f64,
    /// `slow / calls`, `0.0..=1.0`; 0 without calls.
    pub slow_rate: f64,
}

/// Counts since the breaker was made, late verdicts included.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Successes. `None` with the consecutive rule alone: then a success writes nothing, and isn't counted.
    pub successes: Option<u64>,
    /// Failures, overload included.
    pub failures: u64,
    /// Slow calls, whatever became of them.
    pub slow: u64,
    /// Calls rejected.
    pub rejected: u64,
    /// Calls that shadow mode let pass and that would have been rejected.
    pub would_reject: u64,
    /// Calls without a verdict: cancelled, panicked, refused by us.
    pub neutral: u64,
}

/// One consistent view of a breaker.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Snapshot {
    /// The state as exported: forced open shows open, disabled shows closed.
    pub state: State,
    /// The operator's mode.
    pub mode: Mode,
    /// Counts transitions; permits of an earlier one change nothing.
    pub generation: u64,
    /// Failures since the last success, at most 65,535.
    pub failures_in_row: u32,
    /// Failures in a row that open it; `None` when that rule is off.
    pub fail_max: Option<u32>,
    /// The sliding window.
    pub window: WindowView,
    /// Since when it is open, half-open included until a probe fails; `None` while closed.
    pub opened_at: Option<Moment>,
    /// The rule that opened it first in this outage.
    pub opened_by: Option<Rule>,
    /// End of the open time; `None` unless open by a rule.
    pub retry_at: Option<Moment>,
    /// Open, with its open time over: the next call is a probe.
    pub ready_for_half_open: bool,
    /// Until when the server asked us to stay away.
    pub hint_until: Option<Moment>,
    /// Re-openings in a row: the exponent of the open time.
    pub reopenings: u32,
    /// Probes in flight with a running lease.
    pub probes_in_flight: u32,
    /// The last failure that counted.
    pub last_failure: Option<LastFailure>,
    /// Counts since the start.
    pub totals: Totals,
}

impl Breaker {
    /// One consistent view.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let ledger = self.aside.ledger.lock();
        let (word, settings) = (self.word.load(), self.settings.load());
        let forced = word.mode() == Mode::ForcedOpen;
        let by_rule = word.mode().decides() && word.state() == State::Open;
        let retry_at = self.retry_at.moment().filter(|_| by_rule);
        let exponent = match word.state() {
            State::Closed => ledger.reopenings_if_closed(&settings, now, 0),
            State::Open | State::HalfOpen => ledger.reopenings(),
        };
        let opened_at = if forced {
            &ledger.forced_at
        } else {
            &ledger.opened_at
        };
        let shown = word.exported() != State::Closed;
        let opened_by = if forced {
            Some(Rule::Operator)
        } else {
            ledger.rule()
        };
        Snapshot {
            state: word.exported(),
            mode: word.mode(),
            generation: word.generation(),
            failures_in_row: word.row(),
            fail_max: settings.consecutive.map(NonZeroU32::get),
            window: view(self.window.as_ref().map(|window| window.sums(now))),
            opened_at: opened_at.moment().filter(|_| shown),
            opened_by: opened_by.filter(|_| shown),
            retry_at,
            ready_for_half_open: retry_at.is_some_and(|at| now >= at),
            hint_until: ledger.hint_until.moment().filter(|until| now < *until),
            reopenings: exponent,
            probes_in_flight: ledger.probes.in_flight(now),
            last_failure: ledger.last_failure(),
            totals: self.totals(word),
        }
    }

    fn totals(&self, word: Word) -> Totals {
        let window = self.window.as_deref();
        let total = |field: fn(&Tally) -> &Number| {
            field(&self.aside.tally).get() + window.map_or(0, |window| window.total(field))
        };
        Totals {
            successes: window.filter(|_| word.windows()).map(Window::successes),
            failures: total(|tally| &tally.failures),
            slow: total(|tally| &tally.slow),
            rejected: total(|tally| &tally.rejected),
            would_reject: total(|tally| &tally.would_reject),
            neutral: total(|tally| &tally.neutral),
        }
    }
}

fn view(sums: Option<Sums>) -> WindowView {
    let sums = sums.unwrap_or_default();
    WindowView {
        calls: sums.calls,
        failures: sums.failures,
        slow: sums.slow,
        failure_rate: share(sums.failures, sums.calls),
        slow_rate: share(sums.slow, sums.calls),
    }
}

/// `part / whole`, at most 1: a call that was counted slow may fail after its own bucket has gone.
#[expect(clippy::cast_precision_loss, reason = "counts stay far below 2^53")]
pub(crate) fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        (part as f64 / whole as f64).min(1.0)
    }
}
