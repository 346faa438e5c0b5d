//! What the slow path keeps: openings, hints, probes, the last failure. Only touched under its lock.

use core::time::Duration;

use crate::cells::{Maybe, MaybeCode, Number, Small};
use crate::half_open::Probes;
use crate::open_time::open_time;
use crate::sync::{AtomicU16, Ordering};
use crate::{FailureKind, HalfOpen, LastFailure, Moment, Rule, Settings, random};

#[derive(Debug)]
pub(crate) struct Ledger {
    random: Number,
    pub(crate) probes: Probes,
    pub(crate) opened_at: Maybe,
    pub(crate) forced_at: Maybe,
    pub(crate) hint_until: Maybe,
    pub(crate) closed_at: Maybe,
    failure_at: Maybe,
    reopenings: Small,
    /// Of probes, since it became half-open.
    successes: AtomicU16,
    opened_by: MaybeCode,
    failure_kind: MaybeCode,
}

impl Ledger {
    /// `many`: with room for every probe that settings can allow.
    pub(crate) fn new(seed: u64, many: bool) -> Self {
        Self {
            random: Number::new(seed),
            probes: Probes::new(many),
            opened_at: Maybe::none(),
            forced_at: Maybe::none(),
            hint_until: Maybe::none(),
            closed_at: Maybe::none(),
            failure_at: Maybe::none(),
            reopenings: Small::new(0),
            successes: AtomicU16::new(0),
            opened_by: MaybeCode::none(),
            failure_kind: MaybeCode::none(),
        }
    }

    /// Writes down an opening and gives the end of the open time.
    pub(crate) fn open(
        &self,
        settings: &Settings,
        reopened: bool,
        rule: Option<Rule>,
        now: Moment,
    ) -> Moment {
        let reopenings = if reopened {
            self.reopenings().saturating_add(1)
        } else {
            self.reopenings_if_closed(settings, now, 1)
        };
        self.reopenings.set(reopenings);
        self.opened_at.set(Some(now));
        if let Some(rule) = rule {
            self.opened_by.set(Some(rule.code()));
        }
        self.forget_successes();
        let hint = self
            .hint_until
            .moment()
            .map(|until| until.saturating_since(now));
        now + open_time(settings, reopenings, hint, self.unit())
    }

    /// Writes down that probes closed it, or an operator did.
    pub(crate) fn close(&self, now: Moment) {
        self.forget_successes();
        self.opened_at.set(None);
        self.opened_by.set(None);
        self.hint_until.set(None);
        self.closed_at.set(Some(now));
    }

    /// Starts from nothing, but for the random state and the last failure.
    pub(crate) fn reset(&self) {
        self.close(Moment::default());
        self.closed_at.set(None);
        self.reopenings.set(0);
    }

    pub(crate) fn failed(
        &self,
        settings: &Settings,
        kind: FailureKind,
        hint: Option<Duration>,
        now: Moment,
    ) {
        self.failure_kind.set(Some(kind.code()));
        self.failure_at.set(Some(now));
        if let Some(hint) = hint {
            let until = now + hint.min(settings.max_open_time());
            self.hint_until
                .set(self.hint_until.moment().max(Some(until)));
        }
    }

    /// Re-openings in a row as they count while closed: `step` more than before unless it has stayed closed
    /// long enough to forget them, or has never been open.
    pub(crate) fn reopenings_if_closed(&self, settings: &Settings, now: Moment, step: u32) -> u32 {
        let forget = settings.reset_timeout.saturating_mul(settings.forget_after);
        let recent = |closed_at| now.saturating_since(closed_at) < forget;
        if self.closed_at.moment().is_some_and(recent) {
            self.reopenings().saturating_add(step)
        } else {
            0
        }
    }

    pub(crate) fn reopenings(&self) -> u32 {
        self.reopenings.get()
    }

    pub(crate) fn last_failure(&self) -> Option<LastFailure> {
        let kind = FailureKind::from_code(self.failure_kind.get()?)?;
        Some(LastFailure {
            kind,
            at: self.failure_at.moment()?,
        })
    }

    pub(crate) fn rule(&self) -> Option<Rule> {
        Rule::from_code(self.opened_by.get()?)
    }

    /// Probes that succeeded count no more. Leases go on: whoever holds a place may still be in flight.
    pub(crate) fn forget_successes(&self) {
        self.successes.store(0, Ordering::Release);
    }

    /// Counts a probe's success; true when it is the last one needed.
    pub(crate) fn probe_succeeded(&self, settings: HalfOpen) -> bool {
        let successes = self.successes.load(Ordering::Acquire).saturating_add(1);
        self.successes.store(successes, Ordering::Release);
        u32::from(successes) >= settings.successes
    }

    fn unit(&self) -> f64 {
        let (state, number) = random::next(self.random.get());
        self.random.set(state);
        random::unit(number)
    }
}
