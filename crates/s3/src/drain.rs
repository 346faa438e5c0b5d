//! Brings accepted work to the store, oldest first, behind live traffic.
//!
//! It runs while the breaker is closed, goes through the guard like everybody else, and after an outage sends one
//! entry alone before it sends several at once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_journal::EntryId;
use mainstay_runtime::breaker::State;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::carry::{Before, Carried, carry};
use crate::objects::{DEPENDENCY, Inner, QUEUE, source_of};

/// How often the drain looks for entries whose pause is over, and for a breaker that has closed.
const LOOK: Duration = Duration::from_millis(100);
/// Longest pause of an entry that failed, in ms.
pub(crate) const LONGEST_PAUSE: i64 = 60_000;
/// Entries refused in a row, none stored in between, from which on it may be that everything is.
const SEVERAL: usize = 3;
/// First and longest pause of the drain between attempts then, ms.
const FIRST_HOLD: i64 = 1000;
const LONGEST_HOLD: i64 = 5000;
/// Entries at most that have left the store and wait for our own disk: past this it is what sets the pace.
const ENDING: usize = 64;

/// A place at the store, until it is dropped.
pub(crate) struct Place(Arc<Places>);

#[derive(Default)]
struct Places {
    taken: AtomicUsize,
    freed: Notify,
}

impl Places {
    fn take(self: &Arc<Self>) -> Place {
        self.taken.fetch_add(1, Ordering::AcqRel);
        Place(Arc::clone(self))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.taken.fetch_sub(1, Ordering::AcqRel);
        self.0.freed.notify_one();
    }
}

pub(crate) async fn run(inner: Arc<Inner>, stop: CancellationToken, share: watch::Receiver<f64>) {
    inner.clear_canaries().await;
    let mut drain = Drain {
        claimable: inner.journal.claimable(),
        inner,
        share,
        taken: Arc::default(),
        under_way: JoinSet::new(),
        skipped: 0,
        is_warm: false,
        refusals: HashMap::new(),
        row: Row::default(),
    };
    // What is under way when the engine stops returns to the queue.
    stop.run_until_cancelled(drain.work()).await;
}

struct Drain {
    inner: Arc<Inner>,
    share: watch::Receiver<f64>,
    claimable: watch::Receiver<()>,
    taken: Arc<Places>,
    under_way: JoinSet<Carried>,
    /// How far the drain's clock is ahead, ms: it jumps over the pauses that an outage, now over, has made.
    skipped: i64,
    /// Whether something has reached the store since the breaker closed.
    is_warm: bool,
    /// How often the store has refused an entry for its own sake.
    refusals: HashMap<EntryId, u32>,
    row: Row,
}

/// Refusals since something was last stored. The store refuses an entry for its own sake; what refuses one after the
/// other is more likely something in between, or a store with a fault.
#[derive(Default)]
struct Row {
    refused: HashSet<EntryId>,
    hold: i64,
    held_until: i64,
}

impl Row {
    fn is_long(&self) -> bool {
        self.refused.len() >= SEVERAL
    }

    fn refused(&mut self, id: EntryId, now_ms: i64) {
        let was_long = self.is_long();
        self.refused.insert(id);
        if !self.is_long() {
            return;
        }
        if !was_long {
            tracing::warn!(
                dependency = DEPENDENCY,
                "the store refuses one entry after the other: the drain is held back, and none is set aside for it until one arrives"
            );
        }
        // Not for every one of those that were under way together.
        if now_ms >= self.held_until {
            self.hold = self.next_hold();
            self.held_until = now_ms.saturating_add(self.hold);
        }
    }

    fn next_hold(&self) -> i64 {
        (self.hold * 2).clamp(FIRST_HOLD, LONGEST_HOLD)
    }

    /// How long one that is refused again waits, so that each of the others, and one that was not tried yet, has its
    /// turn before it.
    fn round(&self) -> i64 {
        let others = i64::try_from(self.refused.len()).unwrap_or(i64::MAX);
        self.next_hold().saturating_mul(others.saturating_add(2))
    }

    fn stored(&mut self) {
        if self.is_long() {
            tracing::info!(dependency = DEPENDENCY, "the store takes entries again");
        }
        *self = Self::default();
    }
}

impl Drain {
    async fn work(&mut self) {
        let clock = self.inner.guard.clock();
        let mut was_closed = false;
        loop {
            let is_closed = self.inner.guard.state() == State::Closed;
            if is_closed && !was_closed {
                (self.is_warm, self.skipped) = (false, self.skipped + LONGEST_PAUSE);
                self.row.hold = 0;
            }
            was_closed = is_closed;
            if is_closed {
                self.claim();
            }
            tokio::select! {
                Some(done) = self.under_way.join_next() => self.done(done.ok()),
                () = self.taken.freed.notified(), if is_closed => {}
                () = self.inner.hurry.notified() => self.skipped += LONGEST_PAUSE,
                Ok(()) = self.claimable.changed(), if is_closed && self.room() > 0 => {}
                () = clock.sleep(LOOK) => {}
            }
        }
    }

    fn claim(&mut self) {
        let now = self.now_ms();
        if now < self.row.held_until {
            return;
        }
        for claimed in self.inner.journal.claim(QUEUE, self.room(), now) {
            let (inner, place) = (Arc::clone(&self.inner), self.taken.take());
            let refusals = self.refusals.get(&claimed.id()).copied().unwrap_or(0);
            let before = match self.row.is_long() {
                true => Before::AllWere {
                    pause: self.row.round(),
                },
                false => Before::Refused(refusals),
            };
            self.under_way.spawn(async move {
                let source = source_of(claimed.entry());
                let done = carry(Arc::clone(&inner), claimed, place, before, now).await;
                if let Some(source) = source {
                    inner.pending.tidy(&source, &inner.journal);
                }
                done
            });
        }
    }

    fn done(&mut self, done: Option<Carried>) {
        match done {
            Some(Carried::Stored(id)) => {
                self.is_warm = true;
                self.refusals.remove(&id);
                self.row.stored();
            }
            Some(Carried::Pointless(id) | Carried::SetAside(id)) => {
                self.is_warm = true;
                self.refusals.remove(&id);
            }
            Some(Carried::Refused(id)) => {
                *self.refusals.entry(id).or_default() += 1;
                self.row.refused(id, self.now_ms());
                self.is_warm = !self.row.is_long();
            }
            Some(Carried::Waits) => {}
            // A failure of the store; or a panic, which gave the entry back.
            Some(Carried::Failed) | None => self.is_warm = false,
        }
    }

    /// How many entries may be claimed now.
    fn room(&self) -> usize {
        let (places, taken) = (self.places(), self.taken.taken.load(Ordering::Acquire));
        let ending = self.under_way.len().saturating_sub(taken);
        places
            .saturating_sub(taken)
            .min(ENDING.saturating_sub(ending))
    }

    /// At the store at once. At least half of the in-flight limit is left to live traffic.
    fn places(&self) -> usize {
        if !self.is_warm {
            return 1;
        }
        let share = self.share.borrow().clamp(0.0, 1.0);
        let wanted = (self.inner.settings.drain_parallel as f64 * share).round() as usize;
        wanted.min(self.inner.guard.limit() / 2).max(1)
    }

    fn now_ms(&self) -> i64 {
        let ms = self.inner.now().as_nanos() / 1_000_000;
        i64::try_from(ms)
            .unwrap_or(i64::MAX)
            .saturating_add(self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_of_refusals_holds_the_drain_back_longer_each_time_until_something_is_stored() {
        let id = |at: u64| at.to_string().parse::<EntryId>().unwrap();
        let mut row = Row::default();
        for _ in 0..10 {
            row.refused(id(1), 0);
            row.refused(id(2), 0);
        }
        assert!((row.is_long(), row.held_until) == (false, 0), "only two");
        row.refused(id(3), 0);
        row.refused(id(4), 1);
        assert!(row.is_long());
        assert_eq!((row.held_until, row.round()), (1000, 2000 * 6));
        row.refused(id(1), 1000);
        assert_eq!(row.held_until, 3000);
        for at in 0..20 {
            row.refused(id(4), at * LONGEST_HOLD);
        }
        assert_eq!(row.held_until, 20 * LONGEST_HOLD);
        row.stored();
        assert!(!row.is_long());
        assert_eq!(row.held_until, 0);
    }
}
