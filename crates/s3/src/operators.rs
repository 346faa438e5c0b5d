//! What operators ask of accepted work: to see it, to try again, to give it up.

use std::time::Duration;

use mainstay_journal::{ChangeError, Entry, EntryId, Filter, Journal, State, Stats};
use mainstay_runtime::{Error, ErrorKind};

use crate::copying::untouched;
use crate::objects::{DEPENDENCY, Objects, QUEUE, source_of};
use crate::replaced::base_behind;
use crate::standing::Base;

/// How often a flush looks whether everything has reached the store.
const LOOK: Duration = Duration::from_millis(50);

impl Objects {
    /// The journal's figures.
    pub fn journal_stats(&self) -> Stats {
        self.0.journal.stats()
    }

    /// Accepted work after `after`, oldest first, up to `limit`.
    pub fn journal_entries(
        &self,
        state: Option<State>,
        after: Option<EntryId>,
        limit: usize,
    ) -> Vec<Entry> {
        let filter = Filter {
            queue: Some(QUEUE.to_owned()),
            state,
        };
        self.0.journal.entries(&filter, after, limit)
    }

    /// Puts an entry that was set aside back in its queue and wakes the drain. Whatever the store has of its key by then
    /// is replaced: who retries an entry has looked.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` when it isn't set aside; `JournalFull` when the journal can't be written.
    pub async fn retry_entry(&self, id: EntryId) -> Result<(), Error> {
        retry(&self.0.journal, id).await.map_err(refused)?;
        self.0.hurry.notify_one();
        Ok(())
    }

    /// Gives an entry up for good, and its body.
    ///
    /// # Errors
    /// `NotFound`; `Conflict` while it is on its way to the store; `JournalFull` when the journal can't be written.
    pub async fn discard_entry(&self, id: EntryId) -> Result<(), Error> {
        let entry = self.0.journal.get(id);
        let base = entry.as_ref().map(|entry| untouched(&self.0, entry));
        let discarded = discard_behind(&self.0.journal, id, base.unwrap_or(Base::Unknown)).await;
        discarded.map_err(refused)?;
        self.0.sent_copies().remove(&id);
        if let Some(source) = entry.as_ref().and_then(source_of) {
            self.0.pending.tidy(&source, id, &self.0.journal);
            self.0.give_way(&source).await;
        }
        Ok(())
    }

    /// Wakes the drain, whatever pauses it made, and waits until all accepted work has reached the store, the breaker
    /// is open, or the time is over. Gives the number of entries left, those set aside included.
    pub async fn drain_now(&self, patience: Duration) -> u64 {
        let clock = self.0.guard.clock();
        let until = clock.now() + patience;
        self.0.hurry.notify_one();
        let is_busy = || {
            let waiting = [State::Queued, State::InFlight];
            waiting
                .into_iter()
                .any(|state| !self.journal_entries(Some(state), None, 1).is_empty())
        };
        while is_busy() && !self.0.guard.is_open() && clock.now() < until {
            clock.sleep(LOOK).await;
        }
        self.0.journal.stats().entries
    }
}

/// Puts an entry that was set aside back in its queue, also where no store is at hand. One for objects forgets the ETag
/// that it was accepted on.
///
/// # Errors
/// As [`Journal::retry`].
pub async fn retry(journal: &Journal, id: EntryId) -> Result<(), ChangeError> {
    let ours = journal.get(id).filter(|entry| entry.queue == QUEUE);
    let meta = ours.map(|mut entry| {
        Base::Unknown.write_to(&mut entry.meta);
        entry.meta
    });
    journal.retry(id, meta).await
}

/// Gives an entry up for good, also where no store is at hand. The next of its key takes over what was known of the object
/// when this one was accepted: if somebody else has changed it since, that is a conflict for the next one, too. Not from a
/// copy that may have been made unheard.
///
/// # Errors
/// As [`Journal::discard`].
pub async fn discard(journal: &Journal, id: EntryId) -> Result<(), ChangeError> {
    let ours = journal.get(id).filter(|entry| entry.queue == QUEUE);
    let base = ours.map_or(Base::Unknown, |entry| base_behind(&entry));
    discard_behind(journal, id, base).await
}

async fn discard_behind(journal: &Journal, id: EntryId, base: Base) -> Result<(), ChangeError> {
    let next = journal.next_of_key(id);
    let next = next.filter(|next| base != Base::Unknown && Base::of(next) == Base::Unknown);
    let told = next.map(|mut next| {
        base.write_to(&mut next.meta);
        (next.id, next.meta)
    });
    journal.discard_and_tell(id, told).await
}

fn refused(error: ChangeError) -> Error {
    let kind = match &error {
        ChangeError::Unknown(_) => ErrorKind::NotFound,
        ChangeError::State { .. } => ErrorKind::Conflict,
        _ => ErrorKind::JournalFull,
    };
    Error::new(kind, error.to_string())
        .field("id")
        .dependency(DEPENDENCY)
}
