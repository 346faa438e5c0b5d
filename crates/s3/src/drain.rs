//! Brings accepted work to the store, in order per key, behind live traffic; what was tried before in turn with what was
//! not, oldest first.
//!
//! It runs while the breaker is closed, goes through the guard like everybody else, and after an outage sends one
//! entry alone before it sends several at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_journal::{Entry, EntryId, State as Standing};
use mainstay_runtime::breaker::State;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::carry::{Carried, carry};
use crate::objects::{Inner, QUEUE, source_of};
use crate::refusals::{LATEST_TURN, Refusals};

/// How often the drain looks for entries whose pause is over, and for a breaker that has closed.
const LOOK: Duration = Duration::from_millis(100);
/// Longest pause of an entry that failed, in ms.
pub(crate) const LONGEST_PAUSE: i64 = 60_000;
/// Entries at most that have left the store and wait for our own disk: past this it is what sets the pace.
const ENDING: usize = 64;

/// What the drain knows of an entry that it claims.
#[derive(Clone, Copy)]
pub(crate) struct Turn {
    /// The drain's own time, ms.
    pub(crate) now_ms: i64,
    /// How far that is ahead of the clock, ms.
    pub(crate) ahead: i64,
    /// How often the store has refused it for its own sake.
    pub(crate) refusals: u32,
    /// What is left of the pause that it makes since it was refused, ms.
    pub(crate) rest: i64,
}

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
    let earlier = Arc::clone(&inner);
    let mut drain = Drain {
        claimable: inner.journal.claimable(),
        inner,
        share,
        taken: Arc::default(),
        under_way: JoinSet::new(),
        skipped: 0,
        is_warm: false,
        refusals: Refusals::default(),
        stuck: Stuck::default(),
    };
    // What is under way when the engine stops returns to the queue.
    let all = async { tokio::join!(earlier.give_way_everywhere(), drain.work()) };
    stop.run_until_cancelled(all).await;
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
    /// What the store has refused, and has not taken since.
    refusals: Refusals,
    stuck: Stuck,
}

/// The pause of everything while the journal takes no verdicts, in ms.
#[derive(Default)]
struct Stuck {
    pause: i64,
    /// In the drain's time.
    until: i64,
}

impl Stuck {
    fn more(&mut self, now: i64) {
        // Those that were under way together count once.
        if now >= self.until {
            self.pause = (self.pause * 2).clamp(1000, LONGEST_PAUSE);
            self.until = now + self.pause;
        }
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
            }
            was_closed = is_closed;
            self.look_at_followed();
            if is_closed && self.now_ms() >= self.stuck.until {
                self.claim();
            }
            tokio::select! {
                Some(done) = self.under_way.join_next() => self.done(done.ok()),
                () = self.taken.freed.notified(), if is_closed => {}
                () = self.inner.hurry.notified() => self.end_all_pauses(),
                Ok(()) = self.claimable.changed(), if is_closed && self.room() > 0 => {}
                () = clock.sleep(LOOK) => {}
            }
        }
    }

    fn end_all_pauses(&mut self) {
        let now = self.now_ms() - self.skipped;
        self.skipped += LATEST_TURN;
        self.refusals.end_pauses(now);
    }

    /// What is replaced now, and waits for its turn or for a person, need not any more. What has failed otherwise keeps
    /// its short pause: the store may still be at it.
    fn look_at_followed(&mut self) {
        for key in self.inner.followed.take() {
            let oldest = self.inner.journal.oldest(QUEUE, &key);
            match oldest.and_then(|id| self.inner.journal.get(id)) {
                Some(entry) if entry.state == Standing::SetAside => {
                    let inner = Arc::clone(&self.inner);
                    self.under_way.spawn(async move {
                        inner.give_way(&key).await;
                        Carried::Waits
                    });
                }
                Some(entry) => self.end_pause_if_followed(&entry),
                None => {}
            }
        }
    }

    fn end_pause_if_followed(&self, entry: &Entry) {
        if self.refusals.knows(entry.id) && self.inner.is_followed(entry) {
            self.inner.journal.end_pause(QUEUE, &entry.key);
        }
    }

    /// Whether it was replaced while it was tried.
    fn look_again_at(&self, id: EntryId) {
        if let Some(entry) = self.inner.journal.get(id) {
            self.end_pause_if_followed(&entry);
        }
    }

    fn claim(&mut self) {
        let now_ms = self.now_ms();
        let claimed = self.inner.journal.claim_in_turn(QUEUE, self.room(), now_ms);
        for claimed in claimed {
            let (inner, place) = (Arc::clone(&self.inner), self.taken.take());
            let (id, turn) = (claimed.id(), self.turn(claimed.id(), now_ms));
            self.under_way.spawn(async move {
                let (key, source) = (claimed.entry().key.clone(), source_of(claimed.entry()));
                let done = carry(Arc::clone(&inner), claimed, place, turn).await;
                if matches!(done, Carried::SetAside(_)) {
                    // It may have been replaced while it was tried.
                    inner.give_way(&key).await;
                }
                if let Some(source) = source {
                    if inner.journal.state(id).is_none() {
                        inner.sent_copies().remove(&id);
                    }
                    inner.pending.tidy(&source, id, &inner.journal);
                    // It may have been the last to read that.
                    inner.give_way(&source).await;
                }
                done
            });
        }
    }

    fn turn(&self, id: EntryId, now_ms: i64) -> Turn {
        Turn {
            now_ms,
            ahead: self.skipped,
            refusals: self.refusals.times(id),
            rest: self.refusals.rest(id, now_ms - self.skipped),
        }
    }

    fn done(&mut self, done: Option<Carried>) {
        match done {
            Some(Carried::Stored(id) | Carried::Pointless(id) | Carried::SetAside(id)) => {
                self.is_warm = true;
                self.stuck = Stuck::default();
                self.refusals.forget(id);
            }
            Some(Carried::Refused { id, pause }) => {
                self.is_warm = true;
                self.refusals.refused(id, pause);
                self.tidy_refusals();
                self.look_again_at(id);
            }
            // The store may be well, or refuse everything.
            Some(Carried::Denied { id, pause }) => {
                let now = self.now_ms() - self.skipped;
                self.refusals.denied(id, pause, now);
                self.tidy_refusals();
                self.look_again_at(id);
            }
            Some(Carried::Waits) => {}
            // It went well or not with the store; it would be sent again as fast as the journal can say so.
            Some(Carried::Stuck) => self.stuck.more(self.now_ms()),
            // A refusal before that still counts: this says nothing of the entry. Nothing at all: it panicked, and came back.
            Some(Carried::Failed) | None => self.is_warm = false,
        }
    }

    fn tidy_refusals(&mut self) {
        let journal = &self.inner.journal;
        let is_there = |id| journal.state(id).is_some();
        self.refusals.tidy(journal.stats().entries, is_there);
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
    fn while_the_journal_takes_no_verdict_the_drain_rests_longer_and_longer_up_to_a_minute() {
        let mut stuck = Stuck::default();
        for (now, until) in [(0, 1000), (900, 1000), (1000, 3000), (3000, 7000)] {
            stuck.more(now);
            assert_eq!(stuck.until, until, "{now}");
        }
        for _ in 0..9 {
            stuck.more(stuck.until);
        }
        assert_eq!(stuck.pause, LONGEST_PAUSE);
    }
}
