//! The retry budget: retries may be a tenth of the calls of the last minute, and at least three a minute.
//!
//! Without it a retry layer multiplies the load on a dependency that is already failing.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_breaker::Moment;

const SLOTS: usize = 12;
const SLOT: Duration = Duration::from_secs(5);

/// Counts calls and retries over a sliding minute and says whether one more retry fits.
#[derive(Debug)]
pub struct RetryBudget {
    share: f64,
    minimum: u32,
    /// Counted at every call, so without a lock.
    calls: [Slot; SLOTS],
    retries: [Slot; SLOTS],
    /// Held while a retry is asked for: two must not take the last one.
    asking: Mutex<()>,
}

/// Which five seconds it counts in the upper half, and how many in the lower.
#[derive(Debug, Default)]
struct Slot(AtomicU64);

impl Slot {
    fn count(&self, epoch: u32) {
        let mut word = self.0.load(Ordering::Relaxed);
        loop {
            let next = match split(word) {
                // One ahead of us: a clock read just after ours, and close enough.
                (found, u32::MAX) if found >= epoch => return,
                (found, _) if found >= epoch => word + 1,
                _ => u64::from(epoch) << 32 | 1,
            };
            let order = Ordering::Relaxed;
            match self.0.compare_exchange_weak(word, next, order, order) {
                Ok(_) => return,
                Err(found) => word = found,
            }
        }
    }

    fn counted(&self, now: u32) -> u64 {
        let (epoch, count) = split(self.0.load(Ordering::Relaxed));
        let live = now.saturating_sub(epoch) < SLOTS as u32;
        u64::from(count) * u64::from(live)
    }
}

fn split(word: u64) -> (u32, u32) {
    ((word >> 32) as u32, word as u32)
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
            calls: Default::default(),
            retries: Default::default(),
            asking: Mutex::default(),
        }
    }

    /// Counts a first attempt.
    pub fn call(&self, now: Moment) {
        let epoch = epoch(now);
        slot(&self.calls, epoch).count(epoch);
    }

    /// Takes one retry from the budget, if there is one.
    pub fn try_retry(&self, now: Moment) -> bool {
        let epoch = epoch(now);
        // Nothing panics while the lock is held.
        let _alone = self.asking.lock().unwrap_or_else(|e| e.into_inner());
        let sum = |slots: &[Slot]| slots.iter().map(|slot| slot.counted(epoch)).sum::<u64>();
        let (calls, retries) = (sum(&self.calls), sum(&self.retries));
        let allowed = (calls as f64 * self.share).max(f64::from(self.minimum));
        if retries as f64 + 1.0 > allowed {
            return false;
        }
        slot(&self.retries, epoch).count(epoch);
        true
    }
}

/// Five seconds each: enough for six centuries.
fn epoch(now: Moment) -> u32 {
    u32::try_from(now.as_nanos() / SLOT.as_nanos() as u64).unwrap_or(u32::MAX)
}

fn slot(slots: &[Slot; SLOTS], epoch: u32) -> &Slot {
    &slots[epoch as usize % SLOTS]
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
