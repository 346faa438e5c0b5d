//! A second's calls, one by one, from what was counted of them.
//!
//! The counts say how many succeeded and failed; the recorded breaker says in which order. Where failures in a row
//! opened it, they are the last calls before; as many as it had in a row at the end of the second ended it; the rest
//! lie evenly among the successes. What is left over when it opened had begun before and ended late. Where it was
//! closed, calls are that far apart; where it wasn't, as many are supposed as came in the seconds before.
//!
//! Under another `slow.after` those calls are slow that took longer, within 3.2 %: calls that were still running at the
//! end of the second aren't among them before they end, nor are those that nobody waited for, or that the dependency
//! gave up by itself before.

use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Rule, Settings, State, Transition};
use mainstay_degradation::Observed;

/// Of one second at one endpoint, no more calls than these are put to a breaker.
const MOST_CALLS: u64 = 1_000_000;
/// What a second says of how many calls come, beside those before.
const WEIGHT: f64 = 0.2;

/// One call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Call {
    pub(super) fails: Option<FailureKind>,
    pub(super) slow: bool,
    pub(super) origin: Origin,
}

/// Where a call comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Origin {
    /// It was counted.
    Counted,
    /// It was rejected, if it came at all.
    Supposed,
}

/// What was recorded between two ticks of one endpoint.
#[derive(Debug)]
pub(super) struct Second<'a> {
    pub(super) from: Moment,
    pub(super) until: Moment,
    pub(super) observed: &'a Observed,
    pub(super) moved: Vec<Transition>,
}

/// How often calls come while they may.
#[derive(Debug, Default)]
pub(super) struct Pace {
    per_second: Option<f64>,
    /// In the last second.
    last: f64,
    /// Part of a supposed call that is still to come.
    owed: f64,
}

/// A stretch in which the recorded breaker stayed closed, or didn't.
#[derive(Debug, Clone, Copy)]
struct Span {
    from: Moment,
    until: Moment,
    closed: bool,
    /// What ended it, if it was an opening.
    opened: Option<Rule>,
}

impl Span {
    fn length(&self) -> Duration {
        self.until.saturating_since(self.from)
    }
}

/// Counts that are still to be laid out.
struct Heap {
    successes: u64,
    failures: u64,
    kinds: Vec<(FailureKind, u64)>,
    /// Slow ones and all, and how far the slow ones are ahead.
    slow: (u64, u64, u64),
}

impl Second<'_> {
    /// Its calls in order. `state` and `row`: the recorded breaker's and its failures in a row when the second begins.
    pub(super) fn laid_out(
        &self,
        state: State,
        row: u32,
        settings: (&Settings, &Settings),
    ) -> Vec<(Moment, Call)> {
        let (ours, theirs) = settings;
        let mut heap = Heap::new(self.observed, slow(self.observed, ours, theirs));
        let mut calls = Vec::new();
        if heap.is_empty() {
            return calls;
        }
        let spans = self.spans(state);
        let closed = || spans.iter().filter(|span| span.closed);
        let Some(longest) = closed().map(Span::length).max() else {
            let all = (heap.successes, heap.failures);
            heap.mix(&mut calls, (self.from, self.until), all);
            return calls;
        };
        let (mut main, mut late) = (true, self.from);
        for span in closed() {
            let row = if span.from == self.from { row } else { 0 };
            let (tail, begun) = self.tail(span, row, &heap, theirs);
            let is_main = main && span.length() == longest;
            main &= !is_main;
            let in_row = span.opened == Some(Rule::Consecutive);
            // Of a row that had begun before, whatever succeeded came after it.
            let body = match is_main && !begun {
                true if in_row => (heap.successes, 0),
                true => (heap.successes, heap.failures - tail),
                false => (0, 0),
            };
            heap.span(&mut calls, (span.from, span.until), body, tail);
            if in_row {
                late = span.until;
            }
        }
        let rest = (heap.successes, heap.failures);
        heap.mix(&mut calls, (late, self.until), rest);
        calls.sort_by_key(|(at, _)| *at);
        calls
    }

    /// With how many failures in a row a stretch ended, and whether that row had begun before the second.
    fn tail(&self, span: &Span, row: u32, heap: &Heap, theirs: &Settings) -> (u64, bool) {
        let whole = theirs.consecutive.map_or(u32::MAX, std::num::NonZero::get);
        let (whole, row) = (u64::from(whole), u64::from(row));
        let goes_on = heap.successes == 0 || heap.failures < whole;
        let tail = match span.opened {
            Some(Rule::Consecutive) if goes_on => whole.saturating_sub(row).max(1),
            Some(Rule::Consecutive) => whole,
            Some(_) => 0,
            None => u64::from(self.observed.breaker.failures_in_row),
        };
        let begun = span.opened == Some(Rule::Consecutive) && goes_on && row > 0;
        (tail.min(heap.failures), begun)
    }

    /// The recorded breaker's stretches.
    fn spans(&self, mut state: State) -> Vec<Span> {
        let (mut from, mut spans) = (self.from, Vec::new());
        let ends = self.moved.iter().map(|one| (one.at, one.to, one.rule));
        for (until, to, rule) in ends.chain([(self.until, State::Closed, None)]) {
            let until = until.clamp(from, self.until);
            let closed = state == State::Closed;
            let opened = rule.filter(|_| to == State::Open);
            if until > from || opened.is_some() {
                spans.push(Span {
                    from,
                    until,
                    closed,
                    opened,
                });
            }
            (from, state) = (until, to);
        }
        spans
    }

    fn pace(&self) -> Option<f64> {
        let length = self.until.saturating_since(self.from).as_secs_f64();
        (length > 0.0).then(|| total(self.observed) as f64 / length)
    }

    /// The moments at which calls are supposed: where calls were rejected, less those that ended late.
    pub(super) fn supposed(&self, state: State, pace: &mut Pace) -> Vec<Moment> {
        let spans = self.spans(state);
        if spans.iter().all(|span| span.closed) {
            pace.heard(self);
            return Vec::new();
        }
        let counted = if spans.iter().any(|span| span.closed) {
            pace.at_least(self);
            0
        } else {
            total(self.observed)
        };
        let mut moments = Vec::new();
        for span in spans.iter().filter(|span| !span.closed) {
            let count = pace.due(span.length(), counted);
            moments.extend(evenly((span.from, span.until), count));
        }
        moments
    }
}

impl Pace {
    fn heard(&mut self, second: &Second<'_>) {
        let Some(now) = second.pace() else { return };
        self.last = now;
        let before = self.per_second.unwrap_or(now);
        self.per_second = Some(before + WEIGHT * (now - before));
    }

    /// As many came in the second in which it opened, or before: they may have begun to come just then.
    fn at_least(&mut self, second: &Second<'_>) {
        let now = second.pace().unwrap_or(0.0).max(self.last);
        self.per_second = Some(self.per_second.unwrap_or(0.0).max(now));
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "small and not negative"
    )]
    fn due(&mut self, length: Duration, counted: u64) -> u64 {
        self.owed += self.per_second.unwrap_or(0.0) * length.as_secs_f64();
        let due = self.owed.floor().min(MOST_CALLS as f64);
        self.owed -= due;
        (due as u64).saturating_sub(counted)
    }
}

impl Heap {
    fn new(observed: &Observed, slow: u64) -> Self {
        let kinds = FailureKind::ALL.into_iter().zip(observed.failures);
        let kinds = kinds.map(|(kind, count)| (kind, u64::from(count)));
        let failures = failures(observed).min(MOST_CALLS);
        let successes = observed.successes.min(MOST_CALLS - failures);
        Self {
            successes,
            failures,
            kinds: kinds.filter(|(_, count)| *count > 0).rev().collect(),
            slow: (slow.min(successes + failures), successes + failures, 0),
        }
    }

    const fn is_empty(&self) -> bool {
        self.successes + self.failures == 0
    }

    /// `body`, successes and failures, evenly mixed, and then a row of failures, all the same way apart.
    fn span(
        &mut self,
        calls: &mut Vec<(Moment, Call)>,
        (from, until): (Moment, Moment),
        body: (u64, u64),
        tail: u64,
    ) {
        let mixed = body.0 + body.1;
        for (index, at) in evenly((from, until), mixed + tail).enumerate() {
            let index = index as u64;
            let fails = index >= mixed || (index + 1) * body.1 / mixed > index * body.1 / mixed;
            let call = self.take(fails);
            calls.push((at, call));
        }
    }

    fn mix(
        &mut self,
        calls: &mut Vec<(Moment, Call)>,
        within: (Moment, Moment),
        counts: (u64, u64),
    ) {
        self.span(calls, within, counts, 0);
    }

    fn take(&mut self, fails: bool) -> Call {
        let (slow, all, ahead) = &mut self.slow;
        *ahead += *slow;
        let is_slow = *ahead >= *all;
        *ahead -= if is_slow { *all } else { 0 };
        Call {
            fails: if fails { self.kind() } else { self.success() },
            slow: is_slow,
            origin: Origin::Counted,
        }
    }

    fn kind(&mut self) -> Option<FailureKind> {
        self.failures = self.failures.saturating_sub(1);
        let (kind, left) = self.kinds.last_mut()?;
        let kind = *kind;
        *left -= 1;
        if *left == 0 {
            self.kinds.pop();
        }
        Some(kind)
    }

    fn success(&mut self) -> Option<FailureKind> {
        self.successes = self.successes.saturating_sub(1);
        None
    }
}

/// How many of a second's calls are slow to the other breaker: no more than were, if it is slow only later.
pub(super) fn slow(observed: &Observed, ours: &Settings, theirs: &Settings) -> u64 {
    let Some(rule) = ours.slow else {
        return observed.slow;
    };
    let longer = || observed.latency.longer_than(rule.after);
    match theirs.slow {
        None => longer(),
        Some(theirs) if theirs.after < rule.after => longer().min(observed.slow),
        Some(theirs) if theirs.after > rule.after => longer().max(observed.slow),
        Some(_) => observed.slow,
    }
}

pub(super) fn failures(observed: &Observed) -> u64 {
    observed.failures.iter().copied().map(u64::from).sum()
}

fn total(observed: &Observed) -> u64 {
    observed.successes.saturating_add(failures(observed))
}

/// So many moments, the last of them at the end.
fn evenly((from, until): (Moment, Moment), count: u64) -> impl Iterator<Item = Moment> {
    let length = u128::from(until.as_nanos().saturating_sub(from.as_nanos()));
    (1..=count).map(move |index| {
        let nanos = length * u128::from(index) / u128::from(count);
        Moment::from_nanos(from.as_nanos() + u64::try_from(nanos).unwrap_or(0))
    })
}
