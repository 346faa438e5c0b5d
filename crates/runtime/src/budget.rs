//! The retry budget: retries may be a tenth of the calls of the last minute, and at least three a minute.
//!
//! Without it a retry layer multiplies the load on a dependency that is already failing.

use std::sync::Mutex;
use std::time::Duration;

use mainstay_breaker::Moment;

const SLOTS: usize = 12;
const SLOT: Duration = Duration::from_secs(5);

/// Counts calls and retries over a sliding minute and says whether one more retry fits.
#[derive(Debug)]
pub struct RetryBudget {
    share: f64,
    minimum: u32,
    slots: Mutex<[Slot; SLOTS]>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Slot {
    epoch: u64,
    calls: u32,
    retries: u32,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self::new(0.1, 3)
    }
}

impl RetryBudget {
    /// A budget of `share` × the last minute's calls, never less than `minimum` a minute.
    pub fn new(share: f64, minimum: u32) -> Self {
        Self {
            share,
            minimum,
            slots: Mutex::new([Slot::default(); SLOTS]),
        }
    }

    /// Counts a first attempt.
    pub fn call(&self, now: Moment) {
        self.with_slot(now, |slot| slot.calls = slot.calls.saturating_add(1));
    }

    /// Takes one retry from the budget, if there is one.
    pub fn try_retry(&self, now: Moment) -> bool {
        let epoch = epoch(now);
        let mut slots = self.lock();
        let live = slots.iter().filter(|s| s.epoch + SLOTS as u64 > epoch);
        let (calls, retries) = live.fold((0u64, 0u64), |(c, r), s| {
            (c + u64::from(s.calls), r + u64::from(s.retries))
        });
        let allowed = (calls as f64 * self.share).max(f64::from(self.minimum));
        if retries as f64 + 1.0 > allowed {
            return false;
        }
        let slot = current(&mut slots, epoch);
        slot.retries = slot.retries.saturating_add(1);
        true
    }

    fn with_slot(&self, now: Moment, f: impl FnOnce(&mut Slot)) {
        f(current(&mut self.lock(), epoch(now)));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, [Slot; SLOTS]> {
        // Nothing panics while the lock is held, and counts stay meaningful even if something did.
        self.slots.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn epoch(now: Moment) -> u64 {
    now.as_nanos() / SLOT.as_nanos() as u64
}

fn current(slots: &mut [Slot; SLOTS], epoch: u64) -> &mut Slot {
    let slot = &mut slots[(epoch % SLOTS as u64) as usize];
    if slot.epoch != epoch {
        *slot = Slot {
            epoch,
            ..Slot::default()
        };
    }
    slot
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos((1_000 + seconds) * 1_000_000_000)
    }

    #[test]
    fn three_a_minute_are_always_allowed() {
        let budget = RetryBudget::default();
        let granted = (0..10).filter(|_| budget.try_retry(at(0))).count();
        assert_eq!(granted, 3);
        assert!(budget.try_retry(at(61)), "the minute slides");
    }

    #[test]
    fn a_tenth_of_the_calls_may_be_retried() {
        let budget = RetryBudget::default();
        (0..200).for_each(|i| budget.call(at(i / 10)));
        let granted = (0..100).filter(|_| budget.try_retry(at(20))).count();
        assert_eq!(granted, 20);
    }
}
