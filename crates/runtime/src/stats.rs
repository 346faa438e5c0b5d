//! What an endpoint's calls showed since the last tick, gathered for the controller.

use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use mainstay_breaker::{Outcome, Snapshot};
use mainstay_degradation::{EndpointView, Histogram, Observed};

use crate::call::Verdict;

/// Threads that gather without getting in each other's way; more share.
const SHARDS: usize = 8;

thread_local! {
    static SHARD: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Gathers; drained at each tick.
#[derive(Debug, Default)]
pub(crate) struct Stats([Shard; SHARDS]);

/// Two cache lines apart: neighbours are prefetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard(Mutex<Gathered>);

#[derive(Debug, Default)]
struct Gathered {
    calls: u64,
    successes: u64,
    failures: [u32; 7],
    slow: u64,
    latency: Histogram,
}

impl Gathered {
    fn add(&mut self, other: &Self) {
        self.calls += other.calls;
        self.successes += other.successes;
        self.slow += other.slow;
        for (sum, count) in self.failures.iter_mut().zip(other.failures) {
            *sum += count;
        }
        self.latency.merge(&other.latency);
    }
}

impl Stats {
    /// Counts a verdict. What is neutral says nothing about the dependency and counts nowhere, slowness aside.
    pub(crate) fn record(&self, verdict: &Verdict, slow: bool, elapsed: Duration) {
        let mut gathered = self.here();
        gathered.slow += u64::from(slow);
        match (verdict.outcome, verdict.failure_kind()) {
            (Outcome::Neutral, _) => return,
            (_, Some(kind)) => gathered.failures[kind as usize] += 1,
            (_, None) => gathered.successes += 1,
        }
        gathered.calls += 1;
        gathered.latency.record(elapsed);
    }

    /// Counts a call that is still running after `slow.after`.
    pub(crate) fn record_slow(&self) {
        self.here().slow += 1;
    }

    /// Takes what was gathered, with the breaker as it stands.
    pub(crate) fn drain(&self, breaker: &Snapshot) -> Observed {
        let mut taken = Gathered::default();
        for shard in &self.0 {
            let part = std::mem::take(&mut *shard.lock());
            taken.add(&part);
        }
        Observed {
            calls: taken.calls,
            successes: taken.successes,
            failures: taken.failures,
            slow: taken.slow,
            latency: taken.latency,
            breaker: EndpointView::from(breaker),
        }
    }

    /// The shard of the calling thread.
    fn here(&self) -> MutexGuard<'_, Gathered> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let number = SHARD.get().unwrap_or_else(|| {
            let number = NEXT.fetch_add(1, Ordering::Relaxed) % SHARDS;
            SHARD.set(Some(number));
            number
        });
        self.0[number].lock()
    }
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, Gathered> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use mainstay_breaker::{Breaker, FailureKind, Moment, Settings};

    use super::*;

    #[test]
    fn neutral_counts_as_slow_at_most_and_draining_starts_anew() {
        let breaker = Breaker::new(Settings::default(), 0).unwrap();
        let view = breaker.snapshot(Moment::default());
        let (stats, ms) = (Stats::default(), Duration::from_millis(5));
        stats.record(&Verdict::SUCCESS, false, ms);
        stats.record(&Verdict::failure(FailureKind::Timeout), true, ms);
        stats.record(&Verdict::NEUTRAL, true, ms);
        let seen = stats.drain(&view);
        assert_eq!((seen.calls, seen.successes, seen.slow), (2, 1, 2));
        assert_eq!(seen.failures[FailureKind::Timeout as usize], 1);
        assert_eq!(stats.drain(&view).calls, 0);
    }
}
