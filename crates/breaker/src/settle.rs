//! What a verdict does: the closed path without a lock, everything else under it.

use core::num::NonZeroU32;

use crate::half_open::Place;
use crate::lane::Lane;
use crate::ledger::Ledger;
use crate::lock::Held;

use crate::snapshot::share;
use crate::tally::Tally;
use crate::ticket::Kind;
use crate::window::{Entry, Window};
use crate::word::Word;
use crate::{Breaker, FailureKind, Moment, Outcome, Rule, Settings, State, Ticket, Transition};

/// A verdict with what it newly says about slowness.
#[derive(Clone, Copy)]
struct Verdict {
    outcome: Outcome,
    /// Slow, and not counted as such before.
    newly_slow: bool,
    /// Already in the window as a slow call.
    counted: bool,
}

impl Breaker {
    pub(crate) fn settle(
        &self,
        ticket: &Ticket,
        outcome: Outcome,
        slow: bool,
        now: Moment,
    ) -> Option<Transition> {
        let verdict = Verdict {
            outcome,
            newly_slow: slow && !ticket.is_slow(),
            counted: ticket.is_slow(),
        };
        match ticket.kind() {
            Kind::Uncounted => None,
            Kind::Shadowed => {
                self.tally(verdict, self.word.load());
                None
            }
            Kind::Probe(place) => self.settle_probe(ticket.generation(), place, verdict, now),
            Kind::Counted => self.settle_counted(ticket.generation(), verdict, now),
        }
    }

    /// A success that needs no moment; false if it does need one, and then nothing has happened.
    #[inline]
    pub(crate) fn try_success(&self, ticket: &Ticket, lane: &Lane) -> bool {
        let word = self.word.load();
        if !ticket.is_plain(word) {
            // By value: a ticket whose address is known lives in memory, which costs more than all the rest.
            return self.try_odd_success(ticket.copy(), word);
        }
        if let Some(window) = self.counting_window(word) {
            window.count_untimed(lane);
        }
        if word.row() > 0 {
            self.word.clear_row(word);
        }
        true
    }

    /// Late ones, those that count nowhere, and those that counted as slow before.
    #[cold]
    fn try_odd_success(&self, ticket: Ticket, word: Word) -> bool {
        match ticket.kind() {
            Kind::Probe(_) => return false,
            Kind::Uncounted => return true,
            Kind::Counted | Kind::Shadowed => {}
        }
        if let Some(window) = self.counting_window(word) {
            window.count_other();
        }
        if ticket.kind() == Kind::Counted && word.is(State::Closed, ticket.generation()) {
            self.word.clear_row(word);
        }
        true
    }

    /// Counts a running call as slow, once.
    pub(crate) fn mark_slow(&self, ticket: &mut Ticket, now: Moment) -> Option<Transition> {
        if ticket.is_slow() || ticket.kind() == Kind::Uncounted {
            return None;
        }
        ticket.set_slow();
        self.totals_here().slow.count();
        if ticket.kind() != Kind::Counted {
            return None;
        }
        let ledger = self.aside.ledger.lock();
        let word = self.word.load();
        if !word.is(State::Closed, ticket.generation()) {
            return None;
        }
        let entry = Entry {
            call: true,
            slow: true,
            failure: false,
        };
        self.record(word, entry, now);
        let rule = self.rule_met(word, &self.settings.load(), false, now)?;
        Some(self.open(&ledger, word, Some(rule), None, now))
    }

    /// Gives a permit back without a verdict, and without a moment: a place is free whenever that is.
    #[inline(never)]
    pub(crate) fn release(&self, ticket: Ticket) {
        if ticket.kind() == Kind::Uncounted {
            return;
        }
        self.totals_here().neutral.count();
        if let Kind::Probe(place) = ticket.kind() {
            let ledger = self.aside.ledger.lock();
            ledger.probes.give_back(place, Moment::default());
        }
    }

    fn settle_counted(&self, generation: u64, verdict: Verdict, now: Moment) -> Option<Transition> {
        let word = self.word.load();
        let current = word.is(State::Closed, generation);
        if current && verdict.outcome == Outcome::Success && !verdict.newly_slow {
            self.count_success(word, verdict, now);
            if word.row() > 0 {
                self.word.clear_row(word);
            }
            return None;
        }
        self.tally(verdict, word);
        match verdict.outcome {
            Outcome::Neutral if !verdict.newly_slow => None,
            _ if current => self.settle_locked(generation, verdict, now),
            _ => None,
        }
    }

    fn count_success(&self, word: Word, verdict: Verdict, now: Moment) {
        let Some(window) = self.counting_window(word) else {
            return;
        };
        if verdict.counted {
            return window.count_other();
        }
        // Once a bucket, and without waiting: who holds the lock now may bring the time as well.
        if !window.is_current(now)
            && let Some(_ledger) = self.aside.ledger.try_lock()
        {
            window.advance(now);
        }
        window.count_timed();
    }

    /// Failures and slow calls, one at a time: so the very call that meets a threshold trips, and only that one.
    fn settle_locked(&self, generation: u64, verdict: Verdict, now: Moment) -> Option<Transition> {
        let ledger = self.aside.ledger.lock();
        let word = self.word.load();
        if !word.is(State::Closed, generation) {
            return None;
        }
        let failure = verdict.outcome.failure();
        let entry = Entry {
            call: !verdict.counted,
            failure: failure.is_some(),
            slow: verdict.newly_slow,
        };
        self.record(word, entry, now);
        let settings = self.settings.load();
        let word = match (failure, verdict.outcome) {
            (Some(kind), outcome) => {
                ledger.failed(&settings, kind, outcome.hint(), now);
                self.word.update(|word| word.with_row(word.row() + 1))
            }
            (None, Outcome::Success) => self.word.update(|word| word.with_row(0)),
            (None, _) => word,
        };
        let rule = self.rule_met(word, &settings, failure.is_some(), now)?;
        Some(self.open(&ledger, word, Some(rule), failure, now))
    }

    fn settle_probe(
        &self,
        generation: u64,
        place: Place,
        verdict: Verdict,
        now: Moment,
    ) -> Option<Transition> {
        let ledger = self.aside.ledger.lock();
        let word = self.word.load();
        self.tally(verdict, word);
        let in_time = ledger.probes.give_back(place, now);
        if !in_time || !word.is(State::HalfOpen, generation) {
            return None;
        }
        let settings = self.settings.load();
        if let Some(kind) = verdict.outcome.failure() {
            ledger.failed(&settings, kind, verdict.outcome.hint(), now);
            let word = self.word.update(|word| word.with_row(word.row() + 1));
            return Some(self.open(&ledger, word, None, Some(kind), now));
        }
        if verdict.outcome == Outcome::Neutral {
            return None;
        }
        self.word.update(|word| word.with_row(0));
        ledger
            .probe_succeeded(settings.half_open)
            .then(|| self.close(&ledger, now))
    }

    fn rule_met(&self, word: Word, settings: &Settings, failed: bool, now: Moment) -> Option<Rule> {
        if failed
            && settings
                .consecutive
                .map(NonZeroU32::get)
                .is_some_and(|max| word.row() >= max)
        {
            return Some(Rule::Consecutive);
        }
        let sums = self.counting_window(word)?.sums(now);
        let met = |part, threshold, min_calls: u32| {
            sums.calls >= u64::from(min_calls) && share(part, sums.calls) >= threshold
        };
        if failed
            && settings
                .rate
                .is_some_and(|rate| met(sums.failures, rate.threshold, rate.min_calls))
        {
            return Some(Rule::Rate);
        }
        let slow = settings
            .slow
            .is_some_and(|slow| met(sums.slow, slow.threshold, slow.min_calls));
        slow.then_some(Rule::Slow)
    }

    fn record(&self, word: Word, entry: Entry, now: Moment) {
        if let Some(window) = self.counting_window(word) {
            window.record(entry, now);
        }
    }

    /// The window, while a rule looks at it.
    #[inline]
    fn counting_window(&self, word: Word) -> Option<&Window> {
        self.window.as_deref().filter(|_| word.windows())
    }

    /// Totals count whatever the verdict's generation. A success writes only where windows count anyway.
    fn tally(&self, verdict: Verdict, word: Word) {
        let tally = self.totals_here();
        match (verdict.outcome, self.counting_window(word)) {
            (Outcome::Success, Some(window)) => window.count_other(),
            (Outcome::Success, None) => {}
            (Outcome::Failure(_) | Outcome::Overload { .. }, _) => tally.failures.count(),
            (Outcome::Neutral, _) => tally.neutral.count(),
        }
        if verdict.newly_slow {
            tally.slow.count();
        }
    }

    /// The totals that the calling thread adds to.
    pub(crate) fn totals_here(&self) -> &Tally {
        match &self.window {
            Some(window) => window.tally(),
            None => &self.aside.tally,
        }
    }

    /// From closed or half-open to open, decided on `before`: a success that ends the row meanwhile is late. The end
    /// of the open time is written before the state: who reads the state reads its own end.
    pub(crate) fn open(
        &self,
        ledger: &Held<'_, Ledger>,
        before: Word,
        rule: Option<Rule>,
        kind: Option<FailureKind>,
        now: Moment,
    ) -> Transition {
        let reopened = before.state() == State::HalfOpen;
        let retry_at = ledger.open(&self.settings.load(), reopened, rule, now);
        self.retry_at.set(Some(retry_at));
        let after = self.word.update(|word| {
            let row = word.with_row(before.row());
            row.with_state(State::Open).next_generation()
        });
        self.moved(before, after, rule, kind, now)
    }

    pub(crate) fn enter_half_open(&self, ledger: &Held<'_, Ledger>, now: Moment) -> Transition {
        let before = self.word.load();
        ledger.forget_successes();
        let after = self
            .word
            .update(|word| word.with_state(State::HalfOpen).next_generation());
        self.moved(before, after, None, None, now)
    }

    fn close(&self, ledger: &Held<'_, Ledger>, now: Moment) -> Transition {
        let before = self.word.load();
        ledger.close(now);
        self.clear_window();
        self.retry_at.set(None);
        self.ramp_from.set(Some(now));
        let after = self
            .word
            .update(|word| word.with_state(State::Closed).with_row(0).next_generation());
        self.moved(before, after, None, None, now)
    }

    pub(crate) fn clear_window(&self) {
        if let Some(window) = &self.window {
            window.clear();
        }
    }

    /// The transition between two words, if the exported state differs.
    pub(crate) fn transition(
        &self,
        before: Word,
        after: Word,
        rule: Option<Rule>,
        kind: Option<FailureKind>,
        now: Moment,
    ) -> Option<Transition> {
        (before.exported() != after.exported()).then(|| self.moved(before, after, rule, kind, now))
    }

    fn moved(
        &self,
        before: Word,
        after: Word,
        rule: Option<Rule>,
        kind: Option<FailureKind>,
        now: Moment,
    ) -> Transition {
        let open = after.exported() == State::Open && after.mode().decides();
        Transition {
            from: before.exported(),
            to: after.exported(),
            at: now,
            generation: after.generation(),
            rule,
            kind,
            retry_at: self.retry_at.moment().filter(|_| open),
        }
    }
}
