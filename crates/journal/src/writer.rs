//! The thread that writes: it collects what arrived during the last commit and commits it as one group.
//!
//! Steps of one group, each a place where a crash must be harmless: bodies' folder fsync, rows, commit (with its
//! fsync), index, acknowledgements, removal of files nothing refers to any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::entry::EntryId;
use crate::folder::{FileGuard, FolderLock};
use crate::index::{Index, Place, Record};
use crate::shared::{Hold, Shared, lock};
use crate::spool::Placed;
use crate::store::{self, Checkpoint, Failure};
use crate::{AppendError, Bound};

/// Changes in one group at most, so that no acknowledgement waits for a very long commit.
const GROUP: usize = 512;

/// Changes between two checkpoints: some MiB of log.
const CHECKPOINT_AFTER: usize = 1000;

pub(crate) type Reply<T> = oneshot::Sender<Result<T, AppendError>>;

/// What the writer is asked for.
#[derive(Debug)]
pub(crate) enum Command {
    Change(Change, Reply<EntryId>),
    Flush(Reply<()>),
    Close(Option<Reply<()>>),
}

/// One change to the entries. All but an append hold their entry until they are committed or refused.
#[derive(Debug)]
pub(crate) enum Change {
    Append(Box<Append>),
    Remove(Hold),
    Fail {
        hold: Hold,
        error: Box<str>,
        not_before_ms: Option<i64>,
        set_aside: bool,
    },
    Requeue(Hold),
}

#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) record: Record,
    pub(crate) placed: Option<Placed>,
}

type Group = Vec<(Change, Reply<EntryId>)>;

/// Why a group isn't on disk.
enum Refusal {
    Full,
    Error(AppendError),
}

#[derive(Debug)]
pub(crate) struct Writer {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: Connection,
    pub(crate) commands: mpsc::UnboundedReceiver<Command>,
    pub(crate) since_checkpoint: usize,
    /// Last, so that it is dropped last: the database is closed before the folder is free.
    pub(crate) _lock: FolderLock,
}

impl Writer {
    /// Serves until the journal is closed.
    pub(crate) fn run(mut self) {
        let (mut reply, mut result) = (None, Ok(()));
        while let Some(first) = self.commands.blocking_recv() {
            let mut group = Group::new();
            let mut next = Some(first);
            while let Some(Command::Change(change, reply)) = next {
                group.push((change, reply));
                next = if group.len() < GROUP {
                    self.commands.try_recv().ok()
                } else {
                    None
                };
            }
            self.commit(group, true);
            match next {
                Some(Command::Flush(reply)) => drop(reply.send(self.flush())),
                Some(Command::Close(to)) => {
                    (reply, result) = (to, self.flush());
                    break;
                }
                _ => {}
            }
        }
        self.shared.closed.store(true, Ordering::Release);
        drop(lock(&self.shared.reader).take());
        drop(self);
        if let Some(reply) = reply {
            // The caller may have stopped waiting.
            let _ = reply.send(result);
        }
    }

    fn commit(&mut self, group: Group, retry: bool) {
        let group = match self.shared.accepts() {
            Ok(()) => self.admit(group),
            Err(error) => return refuse(group, &error),
        };
        if group.is_empty() {
            return;
        }
        match self.write(&group) {
            Ok(ids) => {
                self.acknowledge(group, ids);
                self.checkpoint_if_due();
            }
            Err(Refusal::Full) => self.refuse_appends(group, retry),
            Err(Refusal::Error(error)) => refuse(group, &error),
        }
    }

    /// Refuses the appends for which there is no room.
    fn admit(&self, group: Group) -> Group {
        let (mut entries, mut bytes, mut inline) = (0, 0, 0);
        let mut admitted = Group::with_capacity(group.len());
        for (change, reply) in group {
            if let Change::Append(append) = &change {
                let row = append
                    .placed
                    .as_ref()
                    .and_then(|placed| placed.inline.as_ref());
                let row = row.map_or(0, |content| content.len() as u64);
                let size = append.record.bytes();
                if let Err(error) = self.shared.room(entries + 1, bytes + size, inline + row) {
                    refuse(vec![(change, reply)], &error);
                    continue;
                }
                (entries, bytes, inline) = (entries + 1, bytes + size, inline + row);
            }
            admitted.push((change, reply));
        }
        admitted
    }

    /// Brings a group to disk, all of it or nothing.
    fn write(&mut self, group: &Group) -> Result<Vec<EntryId>, Refusal> {
        let new_file = |change: &Change| match change {
            Change::Append(append) => append.placed.as_ref().is_some_and(|p| p.guard.is_some()),
            _ => false,
        };
        if group.iter().any(|(change, _)| new_file(change)) {
            let synced = self.shared.folder.sync_bodies();
            synced.map_err(|error| {
                Refusal::Error(self.shared.faulted("fsync the bodies folder", &error))
            })?;
        }
        let written = transact(&self.connection, group);
        if written.is_err() && !self.connection.is_autocommit() {
            // Nothing of the group is acknowledged, whether or not this succeeds.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written.map_err(|error| match store::classify(&error) {
            Failure::Full => Refusal::Full,
            Failure::Busy => Refusal::Error(AppendError::Busy {
                reason: error.to_string(),
            }),
            Failure::Fault => Refusal::Error(self.shared.faulted("commit", &error)),
        })
    }

    fn acknowledge(&mut self, group: Group, ids: Vec<EntryId>) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
        self.since_checkpoint += group.len();
        let mut replies = Vec::with_capacity(group.len());
        let (mut holds, mut files) = (Vec::new(), Vec::new());
        {
            let mut index = self.shared.index();
            for ((change, reply), id) in group.into_iter().zip(ids) {
                let (hold, file) = apply(&mut index, change, id);
                holds.extend(hold);
                files.extend(file);
                replies.push((reply, id));
            }
        }
        // Ends the claims: before the acknowledgements, so that nobody still sees them in flight.
        drop(holds);
        self.shared.claimable.send_replace(());
        for (reply, id) in replies {
            // The caller may have stopped waiting; the change stands.
            let _ = reply.send(Ok(id));
        }
        for number in files {
            drop(FileGuard::new(self.shared.folder.body(number)));
        }
    }

    /// The disk is full. Appends are refused; other changes make room, so they get a second try once the log is empty.
    fn refuse_appends(&mut self, group: Group, retry: bool) {
        let full = AppendError::Full { which: Bound::Disk };
        let (appends, others): (Group, Group) = group
            .into_iter()
            .partition(|(change, _)| matches!(change, Change::Append(_)));
        refuse(appends, &full);
        if !retry {
            refuse(others, &full);
        } else if !others.is_empty() {
            self.checkpoint(Checkpoint::Truncate);
            self.commit(others, false);
        }
    }

    fn checkpoint_if_due(&mut self) {
        if self.since_checkpoint >= CHECKPOINT_AFTER {
            self.checkpoint(Checkpoint::Passive);
        }
    }

    /// Moves the log into the database. A full disk or a reader in the way leaves the log longer; anything else is a
    /// fault.
    fn checkpoint(&mut self, mode: Checkpoint) {
        self.since_checkpoint = 0;
        if let Err(error) = store::checkpoint(&self.connection, mode) {
            match store::classify(&error) {
                Failure::Full | Failure::Busy => tracing::warn!(%error, "journal checkpoint"),
                Failure::Fault => drop(self.shared.faulted("checkpoint", &error)),
            }
        }
    }

    fn flush(&mut self) -> Result<(), AppendError> {
        self.shared.accepts()?;
        self.checkpoint(Checkpoint::Truncate);
        self.shared.accepts()
    }
}

fn transact(connection: &Connection, group: &Group) -> rusqlite::Result<Vec<EntryId>> {
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let ids = group
        .iter()
        .map(|(change, _)| write_change(connection, change));
    let ids = ids.collect::<rusqlite::Result<Vec<EntryId>>>()?;
    connection.execute_batch("COMMIT")?;
    Ok(ids)
}

fn write_change(connection: &Connection, change: &Change) -> rusqlite::Result<EntryId> {
    match change {
        Change::Append(append) => {
            let inline = append
                .placed
                .as_ref()
                .and_then(|placed| placed.inline.as_deref());
            store::insert(connection, &append.record, inline)
        }
        Change::Remove(hold) => store::remove(connection, hold.id).map(|()| hold.id),
        Change::Fail {
            hold,
            error,
            set_aside,
            ..
        } => store::fail(connection, hold.id, error, *set_aside).map(|()| hold.id),
        Change::Requeue(hold) => store::requeue(connection, hold.id).map(|()| hold.id),
    }
}

/// Repeats a committed change in the index; returns the claim that ends and the body file nothing refers to any more.
fn apply(index: &mut Index, change: Change, id: EntryId) -> (Option<Hold>, Option<u64>) {
    match change {
        Change::Append(mut append) => {
            if let Some(guard) = append
                .placed
                .as_mut()
                .and_then(|placed| placed.guard.as_mut())
            {
                guard.keep();
            }
            index.insert(id, append.record);
            (None, None)
        }
        Change::Remove(hold) => {
            let file = match index.remove(id) {
                Some(Place::File(number)) => Some(number),
                _ => None,
            };
            (Some(hold), file)
        }
        Change::Fail {
            hold,
            error,
            not_before_ms,
            set_aside,
        } => {
            index.change(id, not_before_ms, |record| {
                record.attempts = record.attempts.saturating_add(1);
                record.last_error = Some(error);
                record.set_aside = set_aside;
            });
            (Some(hold), None)
        }
        Change::Requeue(hold) => {
            index.change(id, None, |record| record.set_aside = false);
            (Some(hold), None)
        }
    }
}

fn refuse(group: Group, error: &AppendError) {
    for (mut change, reply) in group {
        if let (Change::Append(append), AppendError::Faulted { .. }) = (&mut change, error) {
            // The row may be on disk in spite of the failure: then its file must be, too. The next start decides.
            let guard = append
                .placed
                .as_mut()
                .and_then(|placed| placed.guard.as_mut());
            guard.into_iter().for_each(FileGuard::keep);
        }
        // Ends the claim first, so that nobody still sees it in flight.
        drop(change);
        let _ = reply.send(Err(error.clone()));
    }
}
