//! The sliding window: a ring of buckets written under the ledger's lock, and shards that successes count into
//! without it.
//!
//! A shard's counters only grow. Whoever holds the lock and knows the time moves what is new in them into the
//! ring: so a success needs no clock, no bucket and, in a lane of its own, no locked instruction.

use alloc::boxed::Box;
use core::array;

use crate::Moment;
use crate::cells::{Maybe, Number};
use crate::lane::{LANES, Lane};
use crate::settings::{MAX_BUCKETS, Window as Shape};
use crate::tally::Tally;

/// For callers without a lane of their own.
const SHARED: usize = if cfg!(loom) { 1 } else { 16 };
const NANOS: u64 = 1_000_000;

#[derive(Debug, Default)]
struct Bucket {
    /// In ms, a multiple of the width it was taken over with.
    start: Number,
    calls: Number,
    failures: Number,
    slow: Number,
}

impl Bucket {
    fn clear(&self) {
        for counter in [&self.calls, &self.failures, &self.slow] {
            counter.set(0);
        }
    }

    /// Empties it: when it began, and what it had.
    fn take(&self) -> (u64, Sums) {
        let had = Sums {
            calls: self.calls.get(),
            failures: self.failures.get(),
            slow: self.slow.get(),
        };
        let start = self.start.get();
        self.clear();
        self.start.set(0);
        (start, had)
    }
}

/// Two cache lines apart: neighbours are prefetched in pairs.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Shard {
    /// Successes whose moment was known: all from the bucket that was current.
    timed: Number,
    /// Successes since an unknown moment.
    untimed: Number,
    /// Successes that the window doesn't count: late, of probes, or counted as slow calls before.
    others: Number,
    tally: Tally,
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

#[derive(Debug)]
pub(crate) struct Window {
    /// End of the current bucket in ns. With what follows it changes once a bucket, except under failures.
    until: Number,
    /// The latest moment heard of.
    heard: Maybe,
    /// Of a bucket, in ms.
    width: Number,
    buckets: Number,
    /// What the ring has of the shards.
    timed: Number,
    untimed: Number,
    ring: [Bucket; MAX_BUCKETS as usize],
    /// First the lanes', then the shared ones.
    shards: [Shard; LANES + SHARED],
}

impl Window {
    pub(crate) fn new(shape: Shape) -> Box<Self> {
        let window = Self {
            until: Number::new(0),
            heard: Maybe::none(),
            width: Number::new(1),
            buckets: Number::new(1),
            timed: Number::new(0),
            untimed: Number::new(0),
            ring: array::from_fn(|_| Bucket::default()),
            shards: array::from_fn(|_| Shard::default()),
        };
        window.set_shape(shape);
        Box::new(window)
    }

    /// Live counts stay, each in the place where it would stand had the window always had this shape: none leaves it
    /// later than its moment says.
    pub(crate) fn reshape(&self, shape: Shape, now: Moment) {
        self.advance(now);
        let heard = self.heard(now);
        let oldest = self.oldest(millis(heard));
        let mut kept = self.ring.each_ref().map(Bucket::take);
        kept.sort_unstable_by_key(|(start, _)| *start);
        self.set_shape(shape);
        for (start, sums) in kept.iter().filter(|(start, _)| *start >= oldest) {
            let bucket = self.bucket(*start);
            bucket.calls.add_alone(sums.calls);
            bucket.failures.add_alone(sums.failures);
            bucket.slow.add_alone(sums.slow);
        }
        self.set_heard(heard);
    }

    fn set_shape(&self, shape: Shape) {
        let millis = u64::try_from(shape.length.as_millis()).unwrap_or(u64::MAX);
        let buckets = u64::from(shape.buckets.max(1));
        self.width.set(millis.div_ceil(buckets).max(1));
        self.buckets.set(buckets);
    }

    /// A success at `now` stays in the current bucket.
    pub(crate) fn is_current(&self, now: Moment) -> bool {
        now.as_nanos() < self.until.get()
    }

    /// Counts a success in the current bucket.
    pub(crate) fn count_timed(&self) {
        self.shared().timed.count();
    }

    /// Counts a success whose moment nobody asked for.
    #[inline]
    pub(crate) fn count_untimed(&self, lane: &Lane) {
        if lane.is_own() {
            self.shards[lane.index()].untimed.add_alone(1);
        } else {
            self.shared().untimed.count();
        }
    }

    /// Counts a success for the totals alone.
    pub(crate) fn count_other(&self) {
        self.shared().others.count();
    }

    pub(crate) fn tally(&self) -> &Tally {
        &self.shared().tally
    }

    /// Moves what the shards have counted into the ring, and makes the bucket of `now` current. Time doesn't go
    /// backwards: a reading behind the latest counts as the latest.
    pub(crate) fn advance(&self, now: Moment) {
        let heard = self.heard(now);
        let (timed, untimed) = self.pending();
        self.timed.add_alone(timed);
        self.untimed.add_alone(untimed);
        self.bucket(millis(heard)).calls.add_alone(timed);
        let now = now.max(heard);
        self.spread(untimed, millis(heard), millis(now));
        self.set_heard(now);
    }

    /// Advances and counts `entry`.
    pub(crate) fn record(&self, entry: Entry, now: Moment) {
        self.advance(now);
        let bucket = self.bucket(millis(self.heard(now)));
        bucket.calls.add_alone(u64::from(entry.call));
        bucket.failures.add_alone(u64::from(entry.failure));
        bucket.slow.add_alone(u64::from(entry.slow));
    }

    /// The sums at `now`, what is still in the shards included. Changes nothing.
    pub(crate) fn sums(&self, now: Moment) -> Sums {
        let heard = self.heard(now);
        let (now, heard) = (millis(now.max(heard)), millis(heard));
        let oldest = self.oldest(now);
        let live = |bucket: &&Bucket| bucket.start.get() >= oldest;
        let ring = self.ring.iter().filter(live);
        let mut sums = ring.fold(Sums::default(), |sums, bucket| Sums {
            calls: sums.calls + bucket.calls.get(),
            failures: sums.failures + bucket.failures.get(),
            slow: sums.slow + bucket.slow.get(),
        });
        let (timed, untimed) = self.pending();
        if self.start(heard) >= oldest {
            sums.calls += timed;
        }
        sums.calls += share(untimed, now - oldest.clamp(heard, now), now - heard);
        sums
    }

    pub(crate) fn clear(&self) {
        self.ring.iter().for_each(Bucket::clear);
        let (timed, untimed) = self.pending();
        self.timed.add_alone(timed);
        self.untimed.add_alone(untimed);
    }

    pub(crate) fn successes(&self) -> u64 {
        self.sum(|shard| &shard.timed) + self.all_untimed() + self.sum(|shard| &shard.others)
    }

    pub(crate) fn total(&self, field: impl Fn(&Tally) -> &Number) -> u64 {
        self.sum(|shard| field(&shard.tally))
    }

    /// Of what only the shared shards count.
    fn sum(&self, field: impl Fn(&Shard) -> &Number) -> u64 {
        let shared = self.shards[LANES..].iter();
        shared.map(|shard| field(shard).get()).sum()
    }

    fn all_untimed(&self) -> u64 {
        self.shards.iter().map(|shard| shard.untimed.get()).sum()
    }

    /// Counted in the shards, not yet in the ring.
    fn pending(&self) -> (u64, u64) {
        let timed = self.sum(|shard| &shard.timed) - self.timed.get();
        let untimed = self.all_untimed() - self.untimed.get();
        (timed, untimed)
    }

    /// Puts `count` calls into the buckets from `from` to `now`, evenly over that time: nobody knows better.
    fn spread(&self, mut count: u64, from: u64, now: u64) {
        let (mut start, mut end) = (self.start(now), now);
        let from_window = from.max(self.oldest(now));
        count = share(count, now - from_window, now - from);
        while count > 0 {
            start = start.max(from_window);
            let part = share(count, end - start, end - from_window);
            self.bucket(start).calls.add_alone(part);
            count -= part;
            end = start;
            start = start.saturating_sub(self.width.get());
        }
    }

    /// The bucket of a moment in ms, taken over if it still belongs to another.
    fn bucket(&self, millis: u64) -> &Bucket {
        let start = self.start(millis);
        let number = start / self.width.get() % self.buckets.get();
        let bucket = &self.ring[usize::try_from(number).unwrap_or(0)];
        if bucket.start.get() < start {
            bucket.clear();
            bucket.start.set(start);
        }
        bucket
    }

    /// Where the bucket of a moment in ms starts.
    fn start(&self, millis: u64) -> u64 {
        millis / self.width.get() * self.width.get()
    }

    /// Buckets that start before this have left the window by `millis`.
    fn oldest(&self, millis: u64) -> u64 {
        let width = self.width.get();
        (self.start(millis) + width).saturating_sub(width * self.buckets.get())
    }

    fn heard(&self, now: Moment) -> Moment {
        self.heard.moment().unwrap_or(now)
    }

    fn set_heard(&self, now: Moment) {
        self.heard.set(Some(now));
        let end = self.start(millis(now)) + self.width.get();
        self.until.set(end.saturating_mul(NANOS));
    }

    /// The shared shard of the calling thread, told by where its stack lies: stacks are megabytes apart. Sums
    /// don't depend on the choice, so nothing that is decided does.
    fn shared(&self) -> &Shard {
        let local = 0_u8;
        let address = core::ptr::from_ref(core::hint::black_box(&local)).addr() as u64;
        let spread = (address >> 20).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 60;
        &self.shards[LANES + usize::try_from(spread).unwrap_or(0) % SHARED]
    }
}

fn millis(moment: Moment) -> u64 {
    moment.as_nanos() / NANOS
}

/// `count` × `part` / `whole`; all of it when there is nothing to divide by.
fn share(count: u64, part: u64, whole: u64) -> u64 {
    if part >= whole {
        return count;
    }
    let share = u128::from(count) * u128::from(part) / u128::from(whole);
    u64::try_from(share).unwrap_or(count)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn who_has_no_lane_never_counts_in_an_owned_one() {
        let window = Window::new(Settings::default().window);
        let shared = window.shared();
        let places = &window.shards[LANES..];
        assert!(places.iter().any(|shard| core::ptr::eq(shard, shared)));
    }
}
