//! The breaker: admission and commands. What verdicts do is in `settle`, what it looks like in `snapshot`.

use crate::cells::Maybe;
use crate::ledger::Ledger;
use crate::lock::{Guarded, Held};
use crate::stored::StoredSettings;
use crate::tally::Tally;
use crate::ticket::Kind;
use crate::window::Window;
use crate::word::{AtomicWord, Word};
use crate::{
    Admission, FailureKind, Mode, Moment, Permit, Rejected, RejectedWhy, Rule, Settings,
    SettingsError, State, Ticket, Transition,
};
use alloc::boxed::Box;
use core::time::Duration;

/// A circuit breaker, shared by reference between any number of threads. About 12 KiB for ever, or 256 bytes
/// [without a window](Breaker::without_window).
#[derive(Debug)]
pub struct Breaker {
    pub(crate) word: AtomicWord,
    pub(crate) settings: StoredSettings,
    /// End of the open time. Outside the ledger, so that rejecting takes no lock.
    pub(crate) retry_at: Maybe,
    pub(crate) ramp_from: Maybe,
    pub(crate) window: Option<Box<Window>>,
    pub(crate) aside: Aside,
}

/// What the closed path neither reads nor writes: away from the word's cache line.
#[derive(Debug)]
#[repr(align(128))]
pub(crate) struct Aside {
    pub(crate) ledger: Guarded<Ledger>,
    /// Totals of a breaker without a window; otherwise they are in its shards.
    pub(crate) tally: Tally,
}

impl Breaker {
    /// A closed breaker. `seed` determines its jitter.
    ///
    /// # Errors
    /// Names the setting that makes no sense, and what is allowed.
    pub fn new(settings: Settings, seed: u64) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self::made(settings, seed, true))
    }

    /// A closed breaker of 256 bytes, for those who have very many. It has no room for a window, nor for more than
    /// two probes, now and whenever it is reconfigured.
    ///
    /// # Errors
    /// Names the setting that makes no sense, and what is allowed: the rate rule and the slow rule are refused.
    pub fn without_window(settings: Settings, seed: u64) -> Result<Self, SettingsError> {
        settings.validate_without_window()?;
        Ok(Self::made(settings, seed, false))
    }

    fn made(settings: Settings, seed: u64, window: bool) -> Self {
        Self {
            word: AtomicWord::new(settings.counts_window()),
            settings: StoredSettings::new(&settings),
            retry_at: Maybe::none(),
            ramp_from: Maybe::none(),
            window: window.then(|| Window::new(settings.window)),
            aside: Aside {
                ledger: Guarded::new(Ledger::new(seed, window)),
                tally: Tally::default(),
            },
        }
    }

    /// Tells it the time, for successes that [`Permit::try_success`] counts without one. Cheap; once a second is
    /// plenty. Without it they are taken to have come evenly since the last verdict that brought a moment.
    pub fn tick(&self, now: Moment) {
        if let Some(window) = &self.window {
            let _ledger = self.aside.ledger.lock();
            window.advance(now);
        }
    }

    /// A permit if the breaker is closed or disabled: one atomic load. `None`: ask [`Breaker::admit`].
    #[inline]
    #[must_use]
    pub fn try_admit(&self) -> Option<Permit<'_>> {
        let word = self.word.load();
        if word.is_plainly_closed() {
            return Some(Permit::new(self, Ticket::counted(word)));
        }
        let kind = match (word.mode(), word.state()) {
            (Mode::Disabled, _) => Kind::Uncounted,
            (Mode::Auto | Mode::Shadow, State::Closed) => Kind::Counted,
            _ => return None,
        };
        Some(self.permit(word, kind))
    }

    /// A permit or a rejection. An open breaker whose open time is over becomes half-open here.
    #[must_use]
    pub fn admit(&self, now: Moment) -> Admission<'_> {
        if let Some(permit) = self.try_admit() {
            return Admission {
                result: Ok(permit),
                transition: None,
            };
        }
        if let Some(rejected) = self.reject_at_once(now) {
            return Admission {
                result: Err(rejected),
                transition: None,
            };
        }
        let ledger = self.aside.ledger.lock();
        let entered = self.enter_half_open_if_due(&ledger, now);
        Admission {
            result: self.admit_locked(&ledger, now),
            transition: entered,
        }
    }

    /// Rejects without the lock while nothing can change by asking.
    fn reject_at_once(&self, now: Moment) -> Option<Rejected> {
        let word = self.word.load();
        let (retry_at, why) = match (word.mode(), word.state()) {
            (Mode::ForcedOpen, _) => (None, RejectedWhy::ForcedOpen),
            (Mode::Auto, State::Open) => (self.retry_at.moment(), RejectedWhy::Open),
            _ => return None,
        };
        let waiting = why == RejectedWhy::ForcedOpen || retry_at.is_some_and(|at| now < at);
        // The same word before and after: the moment read between belongs to this opening.
        if !waiting || self.word.load() != word {
            return None;
        }
        Some(self.reject(word, retry_at, why))
    }

    fn enter_half_open_if_due(&self, ledger: &Held<'_, Ledger>, now: Moment) -> Option<Transition> {
        let word = self.word.load();
        let due = self.retry_at.moment().is_none_or(|at| now >= at);
        (word.mode().decides() && word.state() == State::Open && due)
            .then(|| self.enter_half_open(ledger, now))
    }

    fn admit_locked(&self, ledger: &Held<'_, Ledger>, now: Moment) -> Result<Permit<'_>, Rejected> {
        let word = self.word.load();
        let refuse = |retry_at, why| {
            if word.mode() == Mode::Shadow {
                self.totals_here().would_reject.count();
                return Ok(self.permit(word, Kind::Shadowed));
            }
            Err(self.reject(word, retry_at, why))
        };
        match (word.mode(), word.state()) {
            (Mode::Disabled, _) => Ok(self.permit(word, Kind::Uncounted)),
            (Mode::ForcedOpen, _) => Err(self.reject(word, None, RejectedWhy::ForcedOpen)),
            (_, State::Closed) => Ok(self.permit(word, Kind::Counted)),
            (_, State::Open) => refuse(self.retry_at.moment(), RejectedWhy::Open),
            (_, State::HalfOpen) => match ledger.probes.take(self.settings.load().half_open, now) {
                Some(place) => Ok(self.permit(word, Kind::Probe(place))),
                None => refuse(None, RejectedWhy::HalfOpenFull),
            },
        }
    }

    fn permit(&self, word: Word, kind: Kind) -> Permit<'_> {
        Permit::new(self, Ticket::new(word, kind))
    }

    fn reject(&self, word: Word, retry_at: Option<Moment>, why: RejectedWhy) -> Rejected {
        self.totals_here().rejected.count();
        Rejected {
            state: word.exported(),
            retry_at,
            why,
        }
    }

    /// Opens it for a reason that its own calls don't show: failed probes, an operator. Does nothing when it is
    /// open, forced open or disabled.
    pub fn trip(&self, rule: Rule, kind: FailureKind, now: Moment) -> Option<Transition> {
        self.trip_with_hint(rule, kind, None, now)
    }

    /// Like [`Breaker::trip`], for at least as long as a server asked for, up to the longest open time.
    pub fn trip_with_hint(
        &self,
        rule: Rule,
        kind: FailureKind,
        retry_after: Option<Duration>,
        now: Moment,
    ) -> Option<Transition> {
        let ledger = self.aside.ledger.lock();
        let word = self.word.load();
        if !word.mode().decides() || word.state() == State::Open {
            return None;
        }
        ledger.failed(&self.settings.load(), kind, retry_after, now);
        Some(self.open(&ledger, word, Some(rule), Some(kind), now))
    }

    /// Half-open before the open time is over, but never before a server's hint. Does nothing unless it is open
    /// by a rule.
    pub fn half_open_early(&self, now: Moment) -> Option<Transition> {
        let ledger = self.aside.ledger.lock();
        let word = self.word.load();
        let hinted = ledger.hint_until.moment().is_some_and(|until| now < until);
        (word.mode().decides() && word.state() == State::Open && !hinted)
            .then(|| self.enter_half_open(&ledger, now))
    }

    /// A server's wish to be left alone for so long, told outside of its own calls: while it is open by a rule, it
    /// stays open until then, up to the maximum open time.
    pub fn hint(&self, retry_after: Duration, now: Moment) {
        let ledger = self.aside.ledger.lock();
        let word = self.word.load();
        if !word.mode().decides() || word.state() != State::Open {
            return;
        }
        let until = now + retry_after.min(self.settings.load().max_open_time());
        ledger
            .hint_until
            .set(ledger.hint_until.moment().max(Some(until)));
        self.retry_at.set(self.retry_at.moment().max(Some(until)));
    }

    /// Puts the operator's mask on, or takes it off. Gives a transition if the exported state changes.
    /// Calls in flight across forced open or disabled change nothing any more.
    pub fn set_mode(&self, mode: Mode, now: Moment) -> Option<Transition> {
        let ledger = self.aside.ledger.lock();
        let before = self.word.load();
        if before.mode() == mode {
            return None;
        }
        ledger
            .forced_at
            .set((mode == Mode::ForcedOpen).then_some(now));
        if before.mode().decides() && mode.decides() {
            self.word.update(|word| word.with_mode(mode));
            return None;
        }
        ledger.forget_successes();
        if mode.decides() && before.exported() == State::Open && before.state() == State::Closed {
            self.ramp_from.set(Some(now));
        }
        let after = self
            .word
            .update(|word| word.with_mode(mode).next_generation());
        let rule = match after.exported() {
            State::Open if mode == Mode::ForcedOpen => Some(Rule::Operator),
            State::Open => ledger.rule(),
            State::Closed | State::HalfOpen => None,
        };
        self.transition(before, after, rule, None, now)
    }

    /// Closes it and forgets failures, window, hint and re-openings. Totals, last failure and mode stay.
    pub fn reset(&self, now: Moment) -> Option<Transition> {
        let ledger = self.aside.ledger.lock();
        let before = self.word.load();
        ledger.reset();
        self.clear_window();
        self.retry_at.set(None);
        let reopened = before.state() != State::Closed;
        self.ramp_from.set(reopened.then_some(now));
        let after = self
            .word
            .update(|word| word.with_state(State::Closed).with_row(0).next_generation());
        self.transition(before, after, None, None, now)
    }

    /// Takes new settings. State, counters, running open times and running leases stay as they are.
    ///
    /// # Errors
    /// Names the setting that makes no sense, and what is allowed; nothing has changed then.
    pub fn reconfigure(&self, settings: Settings, now: Moment) -> Result<(), SettingsError> {
        match &self.window {
            Some(_) => settings.validate()?,
            None => settings.validate_without_window()?,
        }
        let _ledger = self.aside.ledger.lock();
        self.settings.store(&settings);
        if let Some(window) = &self.window {
            window.reshape(settings.window, now);
        }
        self.word
            .update(|word| word.with_windows(settings.counts_window()));
        Ok(())
    }

    /// Share of the in-flight limit to use, in percent: 25, 50, then 100 over the `ramp` after closing; 100 at
    /// any other time.
    #[must_use]
    pub fn ramp_percent(&self, now: Moment) -> u32 {
        let word = self.word.load();
        let (Some(from), Some(ramp)) = (self.ramp_from.moment(), self.settings.ramp()) else {
            return 100;
        };
        if word.mode() != Mode::Auto || word.state() != State::Closed {
            return 100;
        }
        match now.saturating_since(from) {
            elapsed if elapsed >= ramp => 100,
            elapsed if elapsed >= ramp / 2 => 50,
            _ => 25,
        }
    }

    /// The exported state.
    #[must_use]
    pub fn state(&self) -> State {
        self.word.load().exported()
    }

    /// The operator's mode.
    #[must_use]
    pub fn mode(&self) -> Mode {
        self.word.load().mode()
    }

    /// The current generation: counts transitions.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.word.load().generation()
    }

    /// Past this a running call is slow; `None` when the slow rule is off.
    #[must_use]
    pub fn slow_after(&self) -> Option<Duration> {
        self.settings.slow_after()
    }

    /// The settings in force.
    #[must_use]
    pub fn settings(&self) -> Settings {
        let _ledger = self.aside.ledger.lock();
        self.settings.load()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Outcome;

    #[test]
    fn the_closed_path_takes_no_lock() {
        let plain = Settings {
            rate: None,
            slow: None,
            ..Settings::default()
        };
        for settings in [plain, Settings::default()] {
            let breaker = Breaker::new(settings, 0).expect("sensible");
            let now = Moment::default();
            breaker
                .try_admit()
                .map(|permit| permit.settle(Outcome::Failure(FailureKind::Connect), false, now));
            // Would wait for ever if anything below took the lock.
            let _held = breaker.aside.ledger.lock();
            for outcome in [Outcome::Success, Outcome::Success, Outcome::Neutral] {
                let permit = breaker.admit(now).result.expect("closed");
                assert_eq!(permit.settle(outcome, false, now), None);
            }
            drop(breaker.try_admit());
            assert_eq!(breaker.word.load().row(), 0);
        }
    }

    #[test]
    fn rejecting_takes_no_lock() {
        let breaker = Breaker::new(Settings::default(), 0).expect("sensible");
        let now = Moment::default();
        breaker.trip(Rule::Probes, FailureKind::Connect, now);
        let held = breaker.aside.ledger.lock();
        assert!(breaker.admit(now).result.is_err());
        drop(held);
        breaker.set_mode(Mode::ForcedOpen, now);
        let _held = breaker.aside.ledger.lock();
        assert!(breaker.admit(now).result.is_err());
    }

    #[test]
    fn a_success_writes_nothing_with_the_consecutive_rule_alone() {
        let settings = Settings {
            rate: None,
            slow: None,
            ..Settings::default()
        };
        let breaker = Breaker::new(settings, 0).expect("sensible");
        let before = alloc::format!("{breaker:?}");
        let permit = breaker.try_admit().expect("closed");
        permit.settle(Outcome::Success, false, Moment::default());
        assert_eq!(alloc::format!("{breaker:?}"), before);
    }
}
