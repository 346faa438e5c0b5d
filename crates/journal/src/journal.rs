//! The handle: accepting, claiming, looking things up.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::watch;

use crate::body::Body;
use crate::claim::Claimed;
use crate::entry::{Entry, EntryId, Filter, Health, NewEntry, State, Stats};
use crate::index::Order;
use crate::open::{WriterThread, open};
use crate::record::Record;
use crate::shared::{Hold, Shared};
use crate::spool::SpoolWriter;
use crate::turns::Turn;
use crate::writer::{Append, Change, Command};
use crate::{AppendError, Bound, ChangeError, OpenError, ReadError, Settings};

/// Key, kind and metadata of an entry may have this many bytes together.
const ROW_LIMIT: usize = 1 << 20;

/// Entries looked at under one lock while listing.
const SCAN: usize = 4096;

/// A durable queue. Cheap to clone; the folder is free when it is closed, or when the last clone is dropped (which
/// waits for the commit under way).
#[derive(Debug, Clone)]
pub struct Journal {
    pub(crate) shared: Arc<Shared>,
    pub(crate) _thread: Arc<WriterThread>,
}

impl Journal {
    /// Opens the journal in a folder, making both if they aren't there, and brings the folder in order: bodies that were
    /// never accepted are removed, an entry whose body file is missing is set aside. No body is read.
    ///
    /// # Errors
    /// See [`OpenError`]; [`OpenError::Locked`] names the process that has the folder.
    pub async fn open(dir: impl Into<PathBuf>, settings: Settings) -> Result<Self, OpenError> {
        let dir = dir.into();
        let path = dir.clone();
        let opened = tokio::task::spawn_blocking(move || open(&dir, settings)).await;
        opened.map_err(|error| OpenError::Io {
            path,
            source: std::io::Error::other(error),
        })?
    }

    /// Starts a body.
    pub fn spool(&self) -> SpoolWriter {
        SpoolWriter::new(self.shared.clone())
    }

    /// Accepts an entry: when this returns, it and its body are on disk. Entries of one key are in the order in which
    /// this was asked for.
    ///
    /// # Errors
    /// See [`AppendError`]. After [`AppendError::Uncertain`] it is unknown whether the entry is on disk; its key is
    /// [unresolved](Journal::is_unresolved) from then on.
    ///
    /// # Cancel safety
    /// A cancelled append may or may not have been accepted.
    pub async fn append(&self, new: NewEntry<'_>) -> Result<EntryId, AppendError> {
        let turn = self.shared.turns.take(new.queue, &new.key);
        self.append_in_turn(new, turn).await
    }

    async fn append_in_turn(&self, new: NewEntry<'_>, turn: Turn) -> Result<EntryId, AppendError> {
        self.shared.accepts()?;
        let meta = new.meta.to_string();
        if new.queue.len() + new.key.len() + new.kind.len() + meta.len() > ROW_LIMIT {
            return Err(AppendError::TooLarge);
        }
        let synced = match new.body {
            Some(spooled) => {
                // Spares the fsync of a body that will be refused; the writer looks again.
                self.shared.room(1, spooled.len(), 0)?;
                Some(spooled.sync(&self.shared).await?)
            }
            None => None,
        };
        let record = Record::new(
            new.queue,
            &new.kind,
            &new.key,
            meta.into(),
            synced.as_ref().map(|synced| synced.body),
            new.accepted_at_ms,
        );
        let append = Append {
            record,
            content: synced.map(|synced| synced.content),
            outcome: new.outcome,
        };
        let change = Change::Append(Box::new(append));
        self.shared.commit_in_turn(change, turn).await
    }

    /// As [`append`](Self::append), and to its end also when whoever asked for it leaves. `arrived` hears how it ended,
    /// before the caller does: what has to be known of it until it is seen here ends then.
    ///
    /// # Errors
    /// As [`append`](Self::append); [`AppendError::Uncertain`], too, when the runtime ends first.
    ///
    /// # Cancel safety
    /// A cancelled append goes on.
    pub async fn append_to_the_end(
        &self,
        new: NewEntry<'static>,
        arrived: impl FnOnce(&Result<EntryId, AppendError>) + Send + 'static,
    ) -> Result<EntryId, AppendError> {
        let journal = self.clone();
        let turn = self.shared.turns.take(new.queue, &new.key);
        let arriving = tokio::spawn(async move {
            let appended = journal.append_in_turn(new, turn).await;
            arrived(&appended);
            appended
        });
        arriving.await.unwrap_or_else(|error| {
            let reason = error.to_string();
            Err(AppendError::Uncertain { reason })
        })
    }

    /// Takes up to `limit` entries of a queue, oldest first: of each key only the oldest, if it waits and its time has
    /// come. `now_ms` is compared with what [`Claimed::retry_later`] got, and with nothing else, so any clock will do;
    /// a monotonic one is best. Nothing is handed out that couldn't be completed: a faulted or closed journal gives none.
    pub fn claim(&self, queue: &str, limit: usize, now_ms: i64) -> Vec<Claimed> {
        self.claim_by(Order::OldestFirst, queue, limit, now_ms)
    }

    /// As [`claim`](Self::claim), where only the order of each key's entries matters: those that had to wait for a time
    /// take turns with those that had not, oldest first. Many entries that fail again and again leave room for what was
    /// never tried, and that for them.
    pub fn claim_in_turn(&self, queue: &str, limit: usize, now_ms: i64) -> Vec<Claimed> {
        self.claim_by(Order::InTurn, queue, limit, now_ms)
    }

    fn claim_by(&self, order: Order, queue: &str, limit: usize, now_ms: i64) -> Vec<Claimed> {
        if self.shared.accepts().is_err() {
            return Vec::new();
        }
        let entries = self.shared.index().claim(queue, limit, now_ms, order);
        let hold = |id| Hold {
            shared: self.shared.clone(),
            id,
        };
        entries
            .into_iter()
            .map(|entry| Claimed {
                hold: hold(entry.id),
                entry,
            })
            .collect()
    }

    /// Moves whenever something may have become claimable (but for the passing of time): what a drain waits on.
    pub fn claimable(&self) -> watch::Receiver<()> {
        self.shared.claimable.subscribe()
    }

    /// The newest entry of a key: what a reader must see before the dependency's own answer. From memory.
    pub fn latest(&self, queue: &str, key: &str) -> Option<Entry> {
        self.shared.index().latest(queue, key)
    }

    /// The oldest entry of a key: the next of it to be carried out. From memory.
    pub fn oldest(&self, queue: &str, key: &str) -> Option<EntryId> {
        self.shared.index().oldest(queue, key)
    }

    /// Lets the oldest entry of a key be claimed whatever pause it makes. A drain that waits for
    /// [`claimable`](Self::claimable) is not woken.
    pub fn end_pause(&self, queue: &str, key: &str) {
        self.shared.index().end_pause(queue, key);
    }

    /// All entries of a key, newest last. From memory.
    pub fn entries_for_key(&self, queue: &str, key: &str) -> Vec<Entry> {
        self.shared.index().of_key(queue, key)
    }

    /// The newest entry of a key before this one. From memory.
    pub fn last_before(&self, queue: &str, key: &str, before: EntryId) -> Option<Entry> {
        self.shared.index().last_before(queue, key, before)
    }

    /// The next entry of the same key as this one's. From memory.
    pub fn next_of_key(&self, id: EntryId) -> Option<Entry> {
        self.shared.index().next_of_key(id)
    }

    /// Whether an append for the key ended in [`AppendError::Uncertain`]: an entry that nothing here shows may be on disk,
    /// and the next start carries it out then. What must not be overtaken by it has to wait until then.
    pub fn is_unresolved(&self, queue: &str, key: &str) -> bool {
        self.shared.index().is_unresolved(queue, key)
    }

    /// Whether the queue has work that is still to be carried out, in flight or unresolved: anything but what was set
    /// aside. Also while the journal is faulted and hands nothing out. From memory.
    pub fn is_waiting(&self, queue: &str) -> bool {
        self.shared.index().is_waiting(queue)
    }

    /// The newest entry of each key that starts with `prefix` and is greater than `after`, in key order (by bytes), up to
    /// `limit`. From memory.
    pub fn list(&self, queue: &str, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Entry> {
        self.shared.index().list(queue, prefix, after, limit)
    }

    /// How an entry stands; `None` when it is gone. From memory.
    pub fn state(&self, id: EntryId) -> Option<State> {
        self.shared.index().state_of(id)
    }

    /// One entry. From memory.
    pub fn get(&self, id: EntryId) -> Option<Entry> {
        self.shared.index().get(id)
    }

    /// The newest of all entries. From memory.
    pub fn newest(&self) -> Option<EntryId> {
        self.shared.index().newest()
    }

    /// Matching entries with greater ids than `after`, oldest first, up to `limit`. From memory.
    pub fn entries(&self, filter: &Filter, after: Option<EntryId>, limit: usize) -> Vec<Entry> {
        let (mut found, mut after) = (Vec::new(), after);
        loop {
            let wanted = limit - found.len();
            let (page, next) = self.shared.index().page(filter, after, wanted, SCAN);
            found.extend(page);
            if next.is_none() || found.len() == limit {
                return found;
            }
            after = next;
        }
    }

    /// The body of an entry, also of one in flight or set aside. A body that is being read stays readable when its entry
    /// is completed.
    ///
    /// # Errors
    /// See [`ReadError`]; damage may also be found later, by the stream.
    pub async fn body(&self, id: EntryId) -> Result<Body, ReadError> {
        Body::open(self.shared.clone(), id).await
    }

    /// Counts, without looking at entries.
    pub fn stats(&self) -> Stats {
        Stats {
            commits: self.shared.commits.load(Ordering::Relaxed),
            faulted: self.shared.fault.get().is_some(),
            ..self.shared.index().stats()
        }
    }

    /// The bound that leaves no room for one more small body, as appends would find it now.
    pub fn full(&self) -> Option<Bound> {
        self.shared.full()
    }

    /// Whether it accepts work.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// The bounds it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// What tells this journal from all others: made with it, the same for its life.
    pub fn identity(&self) -> &str {
        &self.shared.identity
    }

    /// Puts an entry that was set aside back in its queue, with other metadata where it is given.
    ///
    /// # Errors
    /// [`ChangeError::State`] when it isn't set aside.
    pub async fn retry(
        &self,
        id: EntryId,
        meta: Option<serde_json::Value>,
    ) -> Result<(), ChangeError> {
        let hold = self.hold(id, |state| state == State::SetAside)?;
        let meta = meta.map(|meta| meta.to_string().into());
        self.shared.commit(Change::Requeue { hold, meta }).await?;
        Ok(())
    }

    /// Whether an entry of this key was discarded, as long as it is among the newest 100,000 that were.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn was_discarded(&self, queue: &str, key: &str) -> Result<bool, AppendError> {
        let (shared, name) = (self.shared.clone(), (queue.to_owned(), key.to_owned()));
        let look = move || shared.find_discarded(&name);
        let looked = tokio::task::spawn_blocking(look).await;
        looked.map_err(|_| AppendError::Closed)?
    }

    /// Removes an entry that is queued or set aside, and its body, for good. That it was is remembered.
    ///
    /// # Errors
    /// [`ChangeError::State`] when it is in flight.
    pub async fn discard(&self, id: EntryId) -> Result<(), ChangeError> {
        self.discard_and_tell(id, None).await
    }

    /// As [`discard`](Self::discard), and gives another entry new metadata in the same commit: what the one after it has
    /// to know of what this one found.
    ///
    /// # Errors
    /// As for [`discard`](Self::discard).
    pub async fn discard_and_tell(
        &self,
        id: EntryId,
        next: Option<(EntryId, serde_json::Value)>,
    ) -> Result<(), ChangeError> {
        let hold = self.hold(id, |state| state != State::InFlight)?;
        let next = next.map(|(id, meta)| (id, meta.to_string().into()));
        let change = Change::Remove {
            hold,
            next,
            discarded: true,
        };
        self.shared.commit(change).await?;
        Ok(())
    }

    fn hold(&self, id: EntryId, allowed: fn(State) -> bool) -> Result<Hold, ChangeError> {
        let reserved = self.shared.index().reserve(id, allowed);
        match reserved {
            Ok(()) => Ok(Hold {
                shared: self.shared.clone(),
                id,
            }),
            Err(None) => Err(ChangeError::Unknown(id)),
            Err(Some(state)) => Err(ChangeError::State { id, state }),
        }
    }

    /// Commits what was asked for before, and moves the log into the database file.
    ///
    /// # Errors
    /// [`AppendError::Faulted`] or [`AppendError::Closed`].
    pub async fn flush(&self) -> Result<(), AppendError> {
        self.shared.ask(Command::Flush).await
    }

    /// Flushes and frees the folder, for all clones; open claims return to the queue. Closing again does nothing.
    ///
    /// # Errors
    /// [`AppendError::Faulted`]; the folder is free also then.
    pub async fn close(&self) -> Result<(), AppendError> {
        match self.shared.ask(|reply| Command::Close(Some(reply))).await {
            Err(AppendError::Closed) => Ok(()),
            closed => closed,
        }
    }
}
