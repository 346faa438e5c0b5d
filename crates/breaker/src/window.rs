//! The sliding window: sharded rings of counters that carry the start of the bucket they count for.
//!
//! Every counter is one word, stamp and count together, so that a bucket is taken over for a new span of
//! time and counted into in one step: no count is lost, and no reader sees an old count under a new stamp.

use alloc::boxed::Box;
use core::array;
use core::sync::atomic::{AtomicU64, Ordering};

use crate::Moment;
use crate::cells::Number;
use crate::settings::{MAX_BUCKETS, Window as Shape};

const SHARDS: usize = 8;
const COUNT_BITS: u32 = 28;
const COUNT_MASK: u64 = (1 << COUNT_BITS) - 1;
/// A full counter stays: the rest of the field is room for threads that race past this.
const FULL: u64 = COUNT_MASK - (1 << 16);

/// Bucket start in ms (upper 36 bits, wrapping after two years) and a count (lower 28).
#[derive(Debug, Default)]
struct Counter(AtomicU64);

impl Counter {
    fn add(&self, start: u64, length: u64) {
        let mut seen = self.0.load(Ordering::Relaxed);
        loop {
            let (kept, stay) = match age(start, seen) {
                _ if seen & COUNT_MASK == 0 => (0, false),
                // Newer, because our clock reading is a little behind, or a whole lap: count into it.
                age if age <= 0 && -age < 2 * signed(length) => (seen & COUNT_MASK, true),
                // Still live under another index: the window's shape has changed.
                age if age > 0 && age < signed(length) => (seen & COUNT_MASK, false),
                _ => (0, false),
            };
            if kept >= FULL && stay {
                return;
            }
            let stamp = if stay {
                seen & !COUNT_MASK
            } else {
                start << COUNT_BITS
            };
            let wanted = stamp | (kept + 1).min(FULL);
            match self
                .0
                .compare_exchange_weak(seen, wanted, Ordering::Relaxed, Ordering::Relaxed)
            {
                Ok(_) => return,
                Err(found) => seen = found,
            }
        }
    }

    fn live(&self, start: u64, length: u64) -> u64 {
        let seen = self.0.load(Ordering::Relaxed);
        let live = age(start, seen).unsigned_abs() < length;
        if live { seen & COUNT_MASK } else { 0 }
    }
}

/// How many ms the counter's bucket is older than the one that starts at `start`, wrapping like the stamp.
fn age(start: u64, counter: u64) -> i64 {
    signed((start << COUNT_BITS).wrapping_sub(counter & !COUNT_MASK)) >> COUNT_BITS
}

const fn signed(value: u64) -> i64 {
    value.cast_signed()
}

#[derive(Debug, Default)]
struct Bucket {
    calls: Counter,
    failures: Counter,
    slow: Counter,
}

/// Totals since the start. They live in the shards, which the closed path writes anyway.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) successes: Number,
    pub(crate) failures: Number,
    pub(crate) slow: Number,
    pub(crate) neutral: Number,
    pub(crate) rejected: Number,
    pub(crate) would_reject: Number,
}

/// Two cache lines apart: neighbours are prefetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    tally: Tally,
    ring: [Bucket; MAX_BUCKETS as usize],
}

/// What a call adds to the window.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Entry {
    pub(crate) call: bool,
    pub(crate) failure: bool,
    pub(crate) slow: bool,
}

/// Sums over the live part of the window.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Sums {
    pub(crate) calls: u64,
    pub(crate) failures: u64,
    pub(crate) slow: u64,
}

/// All shards, and the shape of their rings.
#[derive(Debug)]
pub(crate) struct Window {
    shards: Box<[Shard; SHARDS]>,
    width: Number,
    buckets: Number,
    /// Most buckets ever in use: those beyond hold nothing.
    used: Number,
}

impl Window {
    pub(crate) fn new(shape: Shape) -> Self {
        let window = Self {
            shards: Box::new(array::from_fn(|_| Shard::default())),
            width: Number::new(1),
            buckets: Number::new(1),
            used: Number::new(1),
        };
        window.reshape(shape);
        window
    }

    /// Counts stay: live ones are summed wherever they stand, and taken along when their place is reused.
    pub(crate) fn reshape(&self, shape: Shape) {
        let millis = u64::try_from(shape.length.as_millis()).unwrap_or(u64::MAX);
        let buckets = u64::from(shape.buckets.max(1));
        self.used.set(self.used.get().max(buckets));
        self.width.set(millis.div_ceil(buckets).max(1));
        self.buckets.set(buckets);
    }

    pub(crate) fn record(&self, entry: Entry, now: Moment) {
        let (width, buckets) = (self.width.get(), self.buckets.get());
        let number = now.as_nanos() / 1_000_000 / width;
        let index = usize::try_from(number % buckets).unwrap_or(0);
        let (start, length) = (number * width, width * buckets);
        let bucket = &self.shard().ring[index];
        if entry.call {
            bucket.calls.add(start, length);
        }
        if entry.failure {
            bucket.failures.add(start, length);
        }
        if entry.slow {
            bucket.slow.add(start, length);
        }
    }

    pub(crate) fn sums(&self, now: Moment) -> Sums {
        let (width, buckets) = (self.width.get(), self.buckets.get());
        let start = now.as_nanos() / 1_000_000 / width * width;
        let length = width * buckets;
        let used = usize::try_from(self.used.get()).unwrap_or(0);
        let live = self
            .shards
            .iter()
            .flat_map(|shard| shard.ring.iter().take(used));
        live.fold(Sums::default(), |sums, bucket| Sums {
            calls: sums.calls + bucket.calls.live(start, length),
            failures: sums.failures + bucket.failures.live(start, length),
            slow: sums.slow + bucket.slow.live(start, length),
        })
    }

    pub(crate) fn clear(&self) {
        for bucket in self.shards.iter().flat_map(|shard| &shard.ring) {
            for counter in [&bucket.calls, &bucket.failures, &bucket.slow] {
                counter.0.store(0, Ordering::Relaxed);
            }
        }
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shard().tally
    }

    pub(crate) fn total(&self, field: impl Fn(&Tally) -> &Number) -> u64 {
        self.shards
            .iter()
            .map(|shard| field(&shard.tally).get())
            .sum()
    }

    /// The shard of the calling thread, told by where its stack lies: stacks are megabytes apart. Sums
    /// don't depend on the choice, so nothing that is decided does.
    fn shard(&self) -> &Shard {
        let local = 0_u8;
        let address = core::ptr::from_ref(core::hint::black_box(&local)).addr() as u64;
        let spread = (address >> 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 61;
        &self.shards[usize::try_from(spread).unwrap_or(0) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    #[test]
    fn threads_that_share_a_counter_lose_no_count() {
        const ROUNDS: u64 = if cfg!(miri) { 100 } else { 100_000 };
        let counter = Counter::default();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..ROUNDS).for_each(|round| counter.add(round / 50, ROUNDS)));
            }
        });
        assert_eq!(counter.live(ROUNDS / 50, ROUNDS), 4 * ROUNDS);
    }

    #[test]
    fn a_full_counter_stays_full_and_keeps_its_stamp() {
        let counter = Counter(AtomicU64::new((7 << COUNT_BITS) | FULL));
        counter.add(7, 10);
        assert_eq!((counter.live(7, 10), counter.live(17, 10)), (FULL, 0));
        counter.add(8, 10);
        assert_eq!(counter.live(17, 10), FULL);
    }

    #[test]
    fn stamps_wrap_without_a_jump() {
        let (last, length) = ((1 << 36) - 1, 10);
        let counter = Counter::default();
        counter.add(last, length);
        assert_eq!(counter.live(last + 9, length), 1);
        assert_eq!(counter.live(last + 10, length), 0);
        counter.add(last + 10, length);
        assert_eq!(counter.live(last + 10, length), 1);
    }
}
