//! What calls and probes of one endpoint came to in the last while of the present epoch.

use alloc::collections::VecDeque;
use core::time::Duration;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use super::Histogram;

/// Samples are kept second by second.
const SECOND: u64 = 1_000_000_000;
/// No more calls than these are counted at once.
const MOST: u64 = u32::MAX as u64;

/// Counts of some span of time.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Counts {
    successes: u64,
    failures: u64,
    passes: u32,
    misses: u32,
    latency: Histogram,
}

/// A sliding window in steps of a second, with its sums kept up to date.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(from = "Kept")]
pub struct Window {
    seconds: VecDeque<(u64, Counts)>,
    #[serde(skip_serializing)]
    sum: Counts,
    last_failure: Option<Moment>,
}

/// What is written down of a window: its sums follow from it.
#[derive(Deserialize)]
struct Kept {
    seconds: VecDeque<(u64, Counts)>,
    last_failure: Option<Moment>,
}

impl From<Kept> for Window {
    fn from(kept: Kept) -> Self {
        let mut sum = Counts::default();
        for (_, one) in &kept.seconds {
            sum.successes = sum.successes.saturating_add(one.successes.min(MOST));
            sum.failures = sum.failures.saturating_add(one.failures.min(MOST));
            sum.passes = sum.passes.saturating_add(one.passes);
            sum.misses = sum.misses.saturating_add(one.misses);
            sum.latency.merge(&one.latency);
        }
        Self {
            seconds: kept.seconds,
            sum,
            last_failure: kept.last_failure,
        }
    }
}

impl Window {
    /// A new epoch: what was counted before says nothing about now.
    pub fn start_epoch(&mut self) {
        self.seconds.clear();
        self.sum = Counts::default();
        self.last_failure = None;
    }

    /// Counts calls.
    pub fn add_calls(&mut self, now: Moment, successes: u64, failures: u64, latency: Histogram) {
        // What no second can hold is no count; and sums of counts must not overflow.
        let (successes, failures) = (successes.min(MOST), failures.min(MOST));
        if successes + failures == 0 && latency.count() == 0 {
            return;
        }
        if failures > 0 {
            self.last_failure = Some(now);
        }
        self.sum.successes += successes;
        self.sum.failures += failures;
        self.sum.latency.merge(&latency);
        let counts = self.second(now);
        counts.successes += successes;
        counts.failures += failures;
        if counts.latency.count() == 0 {
            counts.latency = latency;
        } else {
            counts.latency.merge(&latency);
        }
    }

    /// Counts a probe; `passed`: its latency, `None` if it failed.
    pub fn add_probe(&mut self, now: Moment, passed: Option<Duration>) {
        let (passes, misses) = (u32::from(passed.is_some()), u32::from(passed.is_none()));
        if passed.is_none() {
            self.last_failure = Some(now);
        }
        let count = |counts: &mut Counts| {
            counts.passes = counts.passes.saturating_add(passes);
            counts.misses = counts.misses.saturating_add(misses);
            if let Some(latency) = passed {
                counts.latency.record(latency);
            }
        };
        count(&mut self.sum);
        count(self.second(now));
    }

    /// The counts of the present second.
    fn second(&mut self, now: Moment) -> &mut Counts {
        let second = now.as_nanos() / SECOND;
        // A moment before the last one counts with it.
        if self.seconds.back().is_none_or(|last| last.0 < second) {
            self.seconds.push_back((second, Counts::default()));
        }
        let last = self.seconds.len() - 1;
        &mut self.seconds[last].1
    }

    /// Forgets what is older than `length`.
    pub fn slide(&mut self, now: Moment, length: Duration) {
        let oldest = (now - length).as_nanos().div_ceil(SECOND);
        while let Some((_, old)) = self.seconds.pop_front_if(|(second, _)| *second < oldest) {
            let sum = &mut self.sum;
            sum.successes = sum.successes.saturating_sub(old.successes);
            sum.failures = sum.failures.saturating_sub(old.failures);
            sum.passes = sum.passes.saturating_sub(old.passes);
            sum.misses = sum.misses.saturating_sub(old.misses);
            self.sum.latency.subtract(&old.latency);
        }
    }

    /// Calls and probes: good ones, bad ones.
    #[must_use]
    pub fn verdicts(&self) -> (u64, u64) {
        let good = self.sum.successes + u64::from(self.sum.passes);
        (good, self.sum.failures + u64::from(self.sum.misses))
    }

    /// Share of probes that passed, in percent; `None` without any.
    #[must_use]
    pub fn availability(&self) -> Option<f64> {
        let (passes, misses) = (f64::from(self.sum.passes), f64::from(self.sum.misses));
        let all = passes + misses;
        (all > 0.0).then(|| 100.0 * passes / all)
    }

    /// The latencies of calls and of passed probes.
    #[must_use]
    pub const fn latency(&self) -> &Histogram {
        &self.sum.latency
    }

    /// When the last failure in this epoch was noted.
    #[must_use]
    pub const fn last_failure(&self) -> Option<Moment> {
        self.last_failure
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::default() + Duration::from_millis(millis)
    }

    #[test]
    fn samples_leave_after_the_window_and_at_a_new_epoch() {
        let mut window = Window::default();
        let minute = Duration::from_secs(60);
        window.add_calls(at(1_000), 3, 1, Histogram::new());
        window.add_probe(at(30_500), None);
        window.slide(at(61_000), minute);
        assert_eq!(window.verdicts(), (3, 2));
        window.slide(at(62_000), minute);
        assert_eq!(window.verdicts(), (0, 1));
        assert_eq!(window.availability(), Some(0.0));
        window.start_epoch();
        assert_eq!(window.verdicts(), (0, 0));
        assert_eq!(window.availability(), None);
        assert_eq!(window.last_failure(), None);
    }

    #[test]
    fn latencies_leave_with_their_second() {
        let mut window = Window::default();
        window.add_probe(at(0), Some(Duration::from_millis(900)));
        window.add_probe(at(59_000), Some(Duration::from_millis(1)));
        window.slide(at(60_500), Duration::from_secs(60));
        assert_eq!(window.latency().count(), 1);
    }
}
