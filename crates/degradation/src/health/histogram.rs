//! Latencies in logarithmic buckets, mergeable and sparse.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Sixteen equal buckets for every power of two of nanoseconds, so that the middle of a bucket is within
/// 1/32 (3.2 %) of everything in it. Below 16 ns buckets are exact.
const STEPS_LOG2: u32 = 4;
const STEPS: u64 = 1 << STEPS_LOG2;

/// What is written down of a histogram.
type Counts = Vec<(u16, u32)>;

/// Counts of latencies. Quantiles read from it are within 3.2 % of the true ones.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(try_from = "Counts", into = "Counts")]
pub struct Histogram {
    /// Bucket and count, ordered by bucket, no count zero.
    counts: Vec<(u16, u32)>,
    total: u64,
}

impl Histogram {
    /// Every bucket is below this.
    pub const BUCKETS: usize = 976;

    /// Empty; allocates nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            counts: Vec::new(),
            total: 0,
        }
    }

    /// The bucket of a latency, `0..BUCKETS`: for whoever counts in an array of their own.
    #[must_use]
    pub fn bucket(latency: Duration) -> u16 {
        let nanos = u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX);
        if nanos < STEPS {
            return u16::try_from(nanos).unwrap_or(0);
        }
        let octave = nanos.ilog2() - STEPS_LOG2;
        let step = (nanos >> octave) - STEPS;
        let bucket = (u64::from(octave) + 1) * STEPS + step;
        u16::try_from(bucket).unwrap_or(u16::MAX)
    }

    /// The middle of a bucket.
    #[must_use]
    pub fn middle(bucket: u16) -> Duration {
        let bucket = u64::from(bucket);
        if bucket < STEPS {
            return Duration::from_nanos(bucket);
        }
        let octave = bucket / STEPS - 1;
        let lower = (STEPS + bucket % STEPS) << octave;
        Duration::from_nanos(lower + ((1_u64 << octave) >> 1))
    }

    /// Counts one latency.
    pub fn record(&mut self, latency: Duration) {
        self.add(Self::bucket(latency), 1);
    }

    /// Counts `count` latencies of this bucket.
    pub fn add(&mut self, bucket: u16, count: u32) {
        if count == 0 {
            return;
        }
        self.total += u64::from(count);
        match self.counts.binary_search_by_key(&bucket, |entry| entry.0) {
            Ok(index) => self.counts[index].1 = self.counts[index].1.saturating_add(count),
            Err(index) => self.counts.insert(index, (bucket, count)),
        }
    }

    /// Adds all that the other has counted.
    pub fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            self.counts.extend_from_slice(&other.counts);
            self.total = other.total;
            return;
        }
        self.total += other.total;
        let mut from = 0;
        for (bucket, count) in &other.counts {
            from += self.counts[from..].partition_point(|entry| entry.0 < *bucket);
            match self.counts.get_mut(from) {
                Some(entry) if entry.0 == *bucket => entry.1 = entry.1.saturating_add(*count),
                _ => self.counts.insert(from, (*bucket, *count)),
            }
        }
    }

    /// Takes away what was merged before.
    pub(crate) fn subtract(&mut self, other: &Self) {
        let (mut from, mut emptied) = (0, false);
        for (bucket, count) in &other.counts {
            from += self.counts[from..].partition_point(|entry| entry.0 < *bucket);
            if let Some(entry) = self.counts.get_mut(from).filter(|entry| entry.0 == *bucket) {
                self.total -= u64::from(entry.1.min(*count));
                entry.1 = entry.1.saturating_sub(*count);
                emptied |= entry.1 == 0;
            }
        }
        if emptied {
            self.counts.retain(|entry| entry.1 > 0);
        }
    }

    /// How many latencies it holds.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.total
    }

    /// How many latencies are longer than this, those within 3.2 % of it aside.
    #[must_use]
    pub fn longer_than(&self, latency: Duration) -> u64 {
        let longer = |entry: &&(u16, u32)| Self::middle(entry.0) > latency;
        let longer = self.counts.iter().filter(longer);
        longer.map(|entry| u64::from(entry.1)).sum()
    }

    /// The smallest latency that at least this share (`0.0..=1.0`) is no longer than, within 3.2 %; `None` when empty.
    #[must_use]
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "counts stay far below 2^53"
    )]
    pub fn quantile(&self, share: f64) -> Option<Duration> {
        let exact = self.total as f64 * share.clamp(0.0, 1.0);
        let whole = exact as u64;
        let rank = (whole + u64::from((whole as f64) < exact)).max(1);
        let mut seen = 0;
        for (bucket, count) in &self.counts {
            seen += u64::from(*count);
            if seen >= rank {
                return Some(Self::middle(*bucket));
            }
        }
        None
    }
}

impl From<Histogram> for Counts {
    fn from(histogram: Histogram) -> Self {
        histogram.counts
    }
}

impl TryFrom<Counts> for Histogram {
    type Error = &'static str;

    fn try_from(counts: Counts) -> Result<Self, Self::Error> {
        let ordered = counts.windows(2).all(|pair| pair[0].0 < pair[1].0);
        let known = |entry: &(u16, u32)| usize::from(entry.0) < Self::BUCKETS && entry.1 > 0;
        if !ordered || !counts.iter().all(known) {
            return Err("buckets of a histogram out of order or out of range");
        }
        let total = counts.iter().map(|entry| u64::from(entry.1)).sum();
        Ok(Self { counts, total })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn of(latencies: &[u64]) -> Histogram {
        let mut histogram = Histogram::new();
        for nanos in latencies {
            histogram.record(Duration::from_nanos(*nanos));
        }
        histogram
    }

    #[test]
    fn the_longest_latency_has_a_bucket() {
        assert_eq!(
            usize::from(Histogram::bucket(Duration::MAX)) + 1,
            Histogram::BUCKETS
        );
        assert_eq!(of(&[]).quantile(0.95), None);
    }

    #[test]
    fn what_is_as_long_as_a_limit_is_not_longer() {
        let one = of(&[140_000_000]);
        let found = one.quantile(1.0).unwrap();
        assert_eq!(one.longer_than(found), 0);
        assert_eq!(one.longer_than(found - Duration::from_nanos(1)), 1);
    }

    proptest! {
        #[test]
        fn a_quantile_is_within_its_error_bound(
            mut latencies in prop::collection::vec(1_u64..100_000_000_000, 1..300),
            share in 0.0..=1.0_f64,
        ) {
            let read = of(&latencies).quantile(share).unwrap().as_nanos() as f64;
            latencies.sort_unstable();
            let rank = ((latencies.len() as f64 * share).ceil() as usize).max(1);
            let exact = latencies[rank - 1] as f64;
            prop_assert!((read - exact).abs() <= exact / 32.0 + 0.5, "{read} for {exact}");
        }

        #[test]
        fn what_is_longer_than_a_limit_is_counted_within_the_same_bound(
            latencies in prop::collection::vec(1_u64..1_000_000, 0..300),
            limit in 1_u64..1_000_000,
        ) {
            let read = of(&latencies).longer_than(Duration::from_nanos(limit));
            let above = |edge: u64| latencies.iter().filter(|one| **one > edge).count() as u64;
            let margin = limit / 31 + 1;
            prop_assert!(read >= above(limit + margin), "{read}");
            prop_assert!(read <= above(limit.saturating_sub(margin)), "{read}");
        }

        #[test]
        fn merging_is_counting_together_and_subtracting_undoes_it(
            left in prop::collection::vec(0_u64..1_000_000, 0..50),
            right in prop::collection::vec(0_u64..1_000_000, 0..50),
        ) {
            let mut merged = of(&left);
            merged.merge(&of(&right));
            prop_assert_eq!(&merged, &of(&[left.clone(), right.clone()].concat()));
            merged.subtract(&of(&right));
            prop_assert_eq!(merged, of(&left));
        }
    }
}
