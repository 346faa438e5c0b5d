//! The thread that writes: it collects what arrived during the last commit and commits it as one group.
//!
//! Steps of one group, each a place where a crash must be harmless: bodies' folder fsync, rows, commit (with its
//! fsync), index, acknowledgements, removal of files nothing refers to any more.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use crate::entry::EntryId;
use crate::folder::{FileGuard, FolderLock, Reserve};
use crate::index::Index;
use crate::outcomes::{self, NewOutcome};
use crate::record::{Place, Record};
use crate::shared::{Hold, Shared, lock};
use crate::spool::SyncedContent;
use crate::store::{self, Checkpoint, Failure};
use crate::{AppendError, Bound, fault};

/// Changes in one group at most, so that no acknowledgement waits for a very long commit.
const GROUP: usize = 512;

/// Bytes of log one group may take, by estimate; a single change may take more.
const GROUP_BYTES: u64 = 1 << 20;

/// Bytes of log after which it is moved into the database, by estimate.
const LOG_BYTES: u64 = 1 << 20;

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
    Remove {
        hold: Hold,
        /// Another entry and its new metadata.
        next: Option<(EntryId, Box<str>)>,
        /// Whether an operator has given it up.
        discarded: bool,
    },
    Fail {
        hold: Hold,
        error: Box<str>,
        not_before_ms: Option<i64>,
        set_aside: bool,
    },
    Requeue {
        hold: Hold,
        meta: Option<Box<str>>,
    },
    Record(Box<NewOutcome>),
}

#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) record: Record,
    pub(crate) content: Option<SyncedContent>,
    pub(crate) outcome: Option<NewOutcome>,
}

impl Append {
    fn inline(&self) -> Option<&[u8]> {
        match &self.content {
            Some(SyncedContent::Row(bytes)) => Some(bytes),
            _ => None,
        }
    }

    fn file(&mut self) -> Option<(u64, &mut FileGuard)> {
        match &mut self.content {
            Some(SyncedContent::File(number, guard)) => Some((*number, guard)),
            _ => None,
        }
    }
}

impl Change {
    /// The log it takes, estimated from above: what it stores and the pages it touches.
    fn log_bytes(&self) -> u64 {
        const PAGES: u64 = 4 * 4096;
        match self {
            Change::Append(append) => {
                let inline = append.inline().map_or(0, |content| content.len() as u64);
                append.record.row_bytes() + inline + PAGES
            }
            _ => PAGES,
        }
    }
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
    /// What the log has grown by since the last checkpoint.
    pub(crate) log_bytes: u64,
    pub(crate) reserve: Reserve,
    /// Last, so that it is dropped last: the database is closed before the folder is free.
    pub(crate) _lock: FolderLock,
}

impl Writer {
    /// Serves until the journal is closed.
    pub(crate) fn run(mut self) {
        let (mut reply, mut result) = (None, Ok(()));
        while let Some(first) = self.commands.blocking_recv() {
            let (mut group, mut log_bytes) = (Group::new(), 0);
            let mut next = Some(first);
            while let Some(Command::Change(change, reply)) = next {
                log_bytes += change.log_bytes();
                group.push((change, reply));
                let more = group.len() < GROUP && log_bytes < GROUP_BYTES;
                next = more.then(|| self.commands.try_recv().ok()).flatten();
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
        let mut group = match self.shared.accepts() {
            Ok(()) => self.admit(group),
            Err(error) => return refuse(group, &error),
        };
        if group.is_empty() {
            return;
        }
        let log_bytes: u64 = group.iter().map(|(change, _)| change.log_bytes()).sum();
        match self.write(&mut group) {
            Ok(ids) => {
                self.log_bytes = self.log_bytes.saturating_add(log_bytes);
                self.acknowledge(group, ids);
                self.checkpoint_if_due();
            }
            Err(Refusal::Full) => self.refuse_appends(group, retry),
            Err(Refusal::Error(error)) => {
                if matches!(error, AppendError::Uncertain { .. }) {
                    self.leave_unresolved(&mut group);
                }
                refuse(group, &error);
            }
        }
    }

    /// The rows may be on disk in spite of the failure: then their files must be, too, and nothing may overtake them.
    /// The next start decides.
    fn leave_unresolved(&self, group: &mut Group) {
        let mut index = self.shared.index();
        for (change, _) in group {
            let Change::Append(append) = change else {
                continue;
            };
            index.leave_unresolved(&append.record.label.queue, &append.record.key);
            if let Some((_, guard)) = append.file() {
                guard.keep();
            }
        }
    }

    /// Refuses the appends for which there is no room.
    fn admit(&mut self, group: Group) -> Group {
        let (mut entries, mut bytes, mut inline) = (0, 0, 0);
        let mut admitted = Group::with_capacity(group.len());
        for (change, reply) in group {
            if let Change::Append(append) = &change {
                let row = append.inline().map_or(0, |content| content.len() as u64);
                let size = append.record.bytes();
                let room = self.shared.room(entries + 1, bytes + size, inline + row);
                if let Err(error) = room.and_then(|()| self.take_reserve()) {
                    refuse(vec![(change, reply)], &error);
                    continue;
                }
                (entries, bytes, inline) = (entries + 1, bytes + size, inline + row);
            }
            admitted.push((change, reply));
        }
        admitted
    }

    /// Without the reserve nothing is accepted: what is accepted must be able to drain.
    fn take_reserve(&mut self) -> Result<(), AppendError> {
        let taken = self.reserve.take();
        taken.map_err(|error| self.shared.file_failure("reserve disk", &error))
    }

    /// Brings a group to disk, all of it or nothing.
    fn write(&self, group: &mut Group) -> Result<Vec<EntryId>, Refusal> {
        self.place_files(group).map_err(|(step, error)| {
            match self.shared.file_failure(step, &error) {
                AppendError::Full { .. } => Refusal::Full,
                error => Refusal::Error(error),
            }
        })?;
        let written = transact(&self.connection, group);
        fault::point("group.committed");
        if written.is_err() && !self.connection.is_autocommit() {
            // Nothing of the group is acknowledged, whether or not this succeeds.
            let _ = self.connection.execute_batch("ROLLBACK");
        }
        written.map_err(|error| match store::classify(&error) {
            Failure::Full => Refusal::Full,
            Failure::Busy => Refusal::Error(AppendError::Busy {
                reason: error.to_string(),
            }),
            Failure::Fault => Refusal::Error(self.uncertain(&error)),
        })
    }

    /// What failed may have reached the disk.
    fn uncertain(&self, error: &rusqlite::Error) -> AppendError {
        match self.shared.faulted("commit", error) {
            AppendError::Faulted { reason } => AppendError::Uncertain { reason },
            other => other,
        }
    }

    /// Moves the bodies that are files to where their rows say they are.
    fn place_files(&self, group: &mut Group) -> Result<(), (&'static str, std::io::Error)> {
        let folder = &self.shared.folder;
        let mut moved = false;
        for (change, _) in group {
            let Change::Append(append) = change else {
                continue;
            };
            if let Some((number, guard)) = append.file() {
                guard
                    .rename(folder.body(number))
                    .map_err(|error| ("rename a body", error))?;
                moved = true;
                fault::point("group.renamed");
            }
        }
        if moved {
            folder
                .sync_bodies()
                .map_err(|error| ("fsync the bodies folder", error))?;
            fault::point("group.folder-synced");
        }
        Ok(())
    }

    fn acknowledge(&mut self, group: Group, ids: Vec<EntryId>) {
        self.shared.commits.fetch_add(1, Ordering::Relaxed);
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
        fault::point("group.indexed");
        // Ends the claims: before the acknowledgements, so that nobody still sees them in flight.
        drop(holds);
        self.shared.claimable.send_replace(());
        for (reply, id) in replies {
            // The caller may have stopped waiting; the change stands.
            let _ = reply.send(Ok(id));
        }
        fault::point("group.acknowledged");
        for number in files {
            drop(FileGuard::new(self.shared.folder.body(number)));
            fault::point("group.file-removed");
        }
    }

    /// The disk is full. Appends are refused; other changes make room in the end, so they get the reserve to do it.
    fn refuse_appends(&mut self, group: Group, retry: bool) {
        let full = AppendError::Full { which: Bound::Disk };
        let (appends, others): (Group, Group) = group
            .into_iter()
            .partition(|(change, _)| matches!(change, Change::Append(_)));
        refuse(appends, &full);
        if !retry {
            refuse(others, &full);
        } else if !others.is_empty() {
            self.reserve.give_up();
            self.checkpoint(Checkpoint::Truncate);
            self.commit(others, false);
        }
    }

    fn checkpoint_if_due(&mut self) {
        if self.log_bytes >= LOG_BYTES {
            self.checkpoint(Checkpoint::Passive);
        }
    }

    /// Moves the log into the database. A full disk or a reader in the way leaves the log longer; anything else is a
    /// fault.
    fn checkpoint(&mut self, mode: Checkpoint) {
        self.log_bytes = 0;
        fault::point("checkpoint.before");
        if let Err(error) = store::checkpoint(&self.connection, mode) {
            match store::classify(&error) {
                Failure::Full | Failure::Busy => tracing::warn!(%error, "journal checkpoint"),
                Failure::Fault => drop(self.shared.faulted("checkpoint", &error)),
            }
        }
        fault::point("checkpoint.after");
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
    fault::point("group.rows-written");
    connection.execute_batch("COMMIT")?;
    Ok(ids)
}

fn write_change(connection: &Connection, change: &Change) -> rusqlite::Result<EntryId> {
    match change {
        Change::Append(append) => {
            let id = store::insert(connection, &append.record, append.inline())?;
            if let Some(outcome) = &append.outcome {
                outcomes::write(connection, outcome, Some(id))?;
            }
            Ok(id)
        }
        Change::Remove {
            hold,
            next,
            discarded,
        } => {
            if *discarded {
                store::remember_discarded(connection, hold.id)?;
            }
            store::remove(connection, hold.id)?;
            if let Some((id, meta)) = next {
                store::describe(connection, *id, meta)?;
            }
            Ok(hold.id)
        }
        Change::Fail {
            hold,
            error,
            set_aside,
            ..
        } => store::fail(connection, hold.id, error, *set_aside).map(|()| hold.id),
        Change::Requeue { hold, meta } => {
            if let Some(meta) = meta {
                store::describe(connection, hold.id, meta)?;
            }
            store::requeue(connection, hold.id).map(|()| hold.id)
        }
        // It is no entry: nobody looks at this id.
        Change::Record(outcome) => outcomes::write(connection, outcome, None).map(|()| EntryId(0)),
    }
}

/// Repeats a committed change in the index; returns the claim that ends and the body file nothing refers to any more.
fn apply(index: &mut Index, change: Change, id: EntryId) -> (Option<Hold>, Option<u64>) {
    match change {
        Change::Append(mut append) => {
            if let Some((_, guard)) = append.file() {
                guard.keep();
            }
            index.insert(id, append.record);
            (None, None)
        }
        Change::Remove { hold, next, .. } => {
            if let Some((id, meta)) = next {
                index.describe(id, meta);
            }
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
                record.failed_with(error);
                record.set_aside = set_aside;
            });
            (Some(hold), None)
        }
        Change::Requeue { hold, meta } => {
            if let Some(meta) = meta {
                index.describe(id, meta);
            }
            index.change(id, None, |record| record.set_aside = false);
            (Some(hold), None)
        }
        // Its key is free again: the outcome is on disk.
        Change::Record(_) => (None, None),
    }
}

fn refuse(group: Group, error: &AppendError) {
    for (change, reply) in group {
        // Ends the claim first, so that nobody still sees it in flight.
        drop(change);
        let _ = reply.send(Err(error.clone()));
    }
}
