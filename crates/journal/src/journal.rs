//! The handle: opening, accepting, claiming, looking things up.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use crate::body::Body;
use crate::entry::{Entry, EntryId, Filter, Health, NewEntry, State, Stats};
use crate::folder::{FileGuard, Folder, FolderLock};
use crate::index::{Index, Place, Record};
use crate::shared::{Hold, Shared, lock};
use crate::spool::SpoolWriter;
use crate::writer::{Append, Change, Command, Writer};
use crate::{AppendError, ChangeError, OpenError, ReadError, Settings, store};

/// Key, kind and metadata of an entry may have this many bytes together.
const ROW_LIMIT: usize = 1 << 20;

/// Error texts are kept up to this many characters.
const ERROR_CHARS: usize = 1000;

/// Entries looked at under one lock while listing.
const SCAN: usize = 4096;

/// A durable queue. Cheap to clone; the folder is free when it is closed, or when the last clone is dropped (which
/// waits for the commit under way).
#[derive(Debug, Clone)]
pub struct Journal {
    shared: Arc<Shared>,
    _thread: Arc<WriterThread>,
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

    /// Accepts an entry: when this returns, it and its body are on disk.
    ///
    /// # Errors
    /// See [`AppendError`]. After [`AppendError::Faulted`] it is unknown whether the entry is on disk.
    ///
    /// # Cancel safety
    /// A cancelled append may or may not have been accepted.
    pub async fn append(&self, new: NewEntry<'_>) -> Result<EntryId, AppendError> {
        self.shared.accepts()?;
        let meta = new.meta.to_string();
        if new.queue.len() + new.key.len() + new.kind.len() + meta.len() > ROW_LIMIT {
            return Err(AppendError::TooLarge);
        }
        let placed = match new.body {
            Some(spooled) => {
                // Spares the fsync of a body that will be refused; the writer looks again.
                self.shared.room(1, spooled.len(), 0)?;
                Some(spooled.place(&self.shared).await?)
            }
            None => None,
        };
        let record = Record {
            queue: new.queue.into(),
            key: new.key.into(),
            kind: new.kind.into(),
            meta: meta.into(),
            body: placed.as_ref().map(|placed| placed.body),
            accepted_at_ms: new.accepted_at_ms,
            attempts: 0,
            last_error: None,
            set_aside: false,
        };
        self.shared
            .commit(Change::Append(Box::new(Append { record, placed })))
            .await
    }

    /// Takes up to `limit` entries of a queue, oldest first: of each key only the oldest, if it waits and its time has
    /// come. `now_ms` is compared with what [`Claimed::retry_later`] got, and with nothing else, so any clock will do;
    /// a monotonic one is best. Nothing is handed out that couldn't be completed: a faulted or closed journal gives none.
    pub fn claim(&self, queue: &str, limit: usize, now_ms: i64) -> Vec<Claimed> {
        if self.shared.accepts().is_err() {
            return Vec::new();
        }
        let entries = self.shared.index().claim(queue, limit, now_ms);
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

    /// All entries of a key, newest last. From memory.
    pub fn entries_for_key(&self, queue: &str, key: &str) -> Vec<Entry> {
        self.shared.index().of_key(queue, key)
    }

    /// The newest entry of each key that starts with `prefix` and is greater than `after`, in key order (by bytes), up to
    /// `limit`. From memory.
    pub fn list(&self, queue: &str, prefix: &str, after: Option<&str>, limit: usize) -> Vec<Entry> {
        self.shared.index().list(queue, prefix, after, limit)
    }

    /// One entry. From memory.
    pub fn get(&self, id: EntryId) -> Option<Entry> {
        self.shared.index().get(id)
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

    /// Whether it accepts work.
    pub fn health(&self) -> Health {
        self.shared.health()
    }

    /// The bounds it was opened with.
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// Puts an entry that was set aside back in its queue.
    ///
    /// # Errors
    /// [`ChangeError::State`] when it isn't set aside.
    pub async fn retry(&self, id: EntryId) -> Result<(), ChangeError> {
        let hold = self.reserve(id, |state| state == State::SetAside)?;
        self.shared.commit(Change::Requeue(hold)).await?;
        Ok(())
    }

    /// Removes an entry that is queued or set aside, and its body, for good.
    ///
    /// # Errors
    /// [`ChangeError::State`] when it is in flight.
    pub async fn discard(&self, id: EntryId) -> Result<(), ChangeError> {
        let hold = self.reserve(id, |state| state != State::InFlight)?;
        self.shared.commit(Change::Remove(hold)).await?;
        Ok(())
    }

    fn reserve(&self, id: EntryId, allowed: fn(State) -> bool) -> Result<Hold, ChangeError> {
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

/// An entry in flight. Dropped without a verdict, it returns to the queue. When a verdict can't be written the entry
/// also returns, so it may be carried out twice.
#[derive(Debug)]
pub struct Claimed {
    entry: Entry,
    hold: Hold,
}

impl Claimed {
    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The entry's number.
    pub fn id(&self) -> EntryId {
        self.entry.id
    }

    /// The later entries of the same key as of now, newest last. When one of them makes this one pointless, complete it
    /// without carrying it out.
    pub fn later(&self) -> Vec<Entry> {
        let index = self.hold.shared.index();
        let mut entries = index.of_key(&self.entry.queue, &self.entry.key);
        entries.retain(|other| other.id > self.entry.id);
        entries
    }

    /// It has reached its dependency (or is pointless): removes it and its body.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn complete(self) -> Result<(), AppendError> {
        verdict(self.hold, Change::Remove).await
    }

    /// It failed: counts the attempt and queues it again, not to be claimed before `not_before_ms` on the clock given to
    /// [`Journal::claim`]. After a restart it can be claimed at once.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn retry_later(self, error: &str, not_before_ms: i64) -> Result<(), AppendError> {
        let (error, not_before_ms) = (shortened(error), Some(not_before_ms));
        let change = |hold| Change::Fail {
            hold,
            error,
            not_before_ms,
            set_aside: false,
        };
        verdict(self.hold, change).await
    }

    /// It can't succeed without a person: counts the attempt and sets it aside. Later entries of its key wait.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn set_aside(self, reason: &str) -> Result<(), AppendError> {
        let error = shortened(reason);
        let change = |hold| Change::Fail {
            hold,
            error,
            not_before_ms: None,
            set_aside: true,
        };
        verdict(self.hold, change).await
    }
}

/// The claim travels with the change: a caller that stops waiting doesn't end it early.
async fn verdict(hold: Hold, change: impl FnOnce(Hold) -> Change) -> Result<(), AppendError> {
    let shared = hold.shared.clone();
    shared.commit(change(hold)).await.map(drop)
}

fn shortened(error: &str) -> Box<str> {
    error.chars().take(ERROR_CHARS).collect::<String>().into()
}

/// Closes the journal when the last handle goes.
#[derive(Debug)]
struct WriterThread {
    commands: mpsc::UnboundedSender<Command>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // Fails when it is closed already.
        let _ = self.commands.send(Command::Close(None));
        if let Some(handle) = lock(&self.handle).take() {
            let _ = handle.join();
        }
    }
}

fn open(dir: &Path, settings: Settings) -> Result<Journal, OpenError> {
    settings.validate()?;
    let io = |source| OpenError::Io {
        path: dir.to_owned(),
        source,
    };
    let folder = Folder::create(dir).map_err(io)?;
    let folder_lock = FolderLock::acquire(folder.root())?;
    folder.clear_spool().map_err(io)?;
    let path = folder.database();
    let connection = store::open(&path)?;
    let reader = store::open_reader(&path)?;
    let (index, next_body) = recover(&folder, &connection)?;
    folder.sync_root().map_err(io)?;
    let (commands, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        folder,
        settings,
        index: Mutex::new(index),
        reader: Mutex::new(Some(reader)),
        fault: OnceLock::new(),
        closed: AtomicBool::new(false),
        commands: commands.clone(),
        claimable: watch::Sender::new(()),
        next_body: AtomicU64::new(next_body),
        commits: AtomicU64::new(0),
    });
    let writer = Writer {
        shared: shared.clone(),
        connection,
        commands: receiver,
        since_checkpoint: 0,
        _lock: folder_lock,
    };
    let handle = std::thread::Builder::new()
        .name("journal".into())
        .spawn(|| writer.run());
    let handle = Mutex::new(Some(handle.map_err(io)?));
    Ok(Journal {
        shared,
        _thread: Arc::new(WriterThread { commands, handle }),
    })
}

/// Loads the entries and makes rows and body files agree; returns the next free body number, too.
fn recover(folder: &Folder, connection: &Connection) -> Result<(Index, u64), OpenError> {
    let path = folder.database();
    let database = |source| OpenError::Database {
        path: path.clone(),
        source,
    };
    let numbers = folder.body_numbers();
    let numbers = numbers.map_err(|source| OpenError::Io {
        path: folder.root().to_owned(),
        source,
    })?;
    let mut next = numbers.iter().max().map_or(0, |number| number + 1);
    let mut unused: HashSet<u64> = numbers.into_iter().collect();
    let (mut index, mut lost) = (Index::default(), Vec::new());
    let loaded = store::load(connection, |id, record| {
        if let Some(Place::File(number)) = record.body.map(|body| body.place) {
            next = next.max(number + 1);
            if !unused.remove(&number) && !record.set_aside {
                lost.push(id);
            }
        }
        index.insert(id, record);
    });
    loaded.map_err(database)?;
    for number in unused {
        drop(FileGuard::new(folder.body(number)));
    }
    for id in lost {
        let reason = "its body file is missing";
        store::fail(connection, id, reason, true).map_err(database)?;
        index.change(id, None, |record| {
            (record.last_error, record.set_aside) = (Some(reason.into()), true);
            record.attempts += 1;
        });
    }
    Ok((index, next))
}
