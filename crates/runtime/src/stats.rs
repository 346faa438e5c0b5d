//! What an endpoint's calls showed since the last tick, gathered for the controller.

use std::sync::Mutex;
use std::time::Duration;

use mainstay_breaker::{Outcome, Snapshot};
use mainstay_degradation::{EndpointView, Histogram, Observed};

use crate::call::Verdict;

/// Gathers; drained at each tick.
#[derive(Debug)]
pub(crate) struct Stats(Mutex<Gathered>);

#[derive(Debug)]
struct Gathered {
    calls: u64,
    successes: u64,
    failures: [u32; 7],
    slow: u64,
    latency: Histogram,
}

impl Default for Stats {
    fn default() -> Self {
        Self(Mutex::new(Gathered::new()))
    }
}

impl Gathered {
    fn new() -> Self {
        Self {
            calls: 0,
            successes: 0,
            failures: [0; 7],
            slow: 0,
            latency: Histogram::new(),
        }
    }
}

impl Stats {
    /// Counts a verdict. What is neutral says nothing about the dependency and counts nowhere, slowness aside.
    pub(crate) fn record(&self, verdict: &Verdict, slow: bool, elapsed: Duration) {
        let mut gathered = self.lock();
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
        self.lock().slow += 1;
    }

    /// Takes what was gathered, with the breaker as it stands.
    pub(crate) fn drain(&self, breaker: &Snapshot) -> Observed {
        let taken = {
            let mut gathered = self.lock();
            if gathered.calls == 0 && gathered.slow == 0 {
                None
            } else {
                Some(std::mem::replace(&mut *gathered, Gathered::new()))
            }
        };
        let taken = taken.unwrap_or_else(Gathered::new);
        Observed {
            calls: taken.calls,
            successes: taken.successes,
            failures: taken.failures,
            slow: taken.slow,
            latency: taken.latency,
            breaker: EndpointView::from(breaker),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Gathered> {
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
