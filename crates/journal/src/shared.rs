//! What the handles, the claims and the writer thread share.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};

use crate::entry::{EntryId, Health};
use crate::folder::Folder;
use crate::index::Index;
use crate::outcomes::Running;
use crate::settings::Settings;
use crate::turns::{Turn, Turns};
use crate::writer::{Change, Command};
use crate::{AppendError, Bound};

#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) folder: Folder,
    pub(crate) settings: Settings,
    pub(crate) index: Mutex<Index>,
    /// Idempotency keys whose requests are under way.
    pub(crate) running: Mutex<Running>,
    /// What tells this journal from all others.
    pub(crate) identity: String,
    /// Reads inline bodies; gone once the journal is closed.
    pub(crate) reader: Mutex<Option<Connection>>,
    pub(crate) fault: OnceLock<String>,
    pub(crate) closed: AtomicBool,
    pub(crate) commands: mpsc::UnboundedSender<Command>,
    /// Moves whenever something may have become claimable.
    pub(crate) claimable: watch::Sender<()>,
    pub(crate) next_body: AtomicU64,
    pub(crate) commits: AtomicU64,
    /// Who is on the way to the writer.
    pub(crate) turns: Turns,
}

/// A panic elsewhere doesn't make the data wrong: each critical section leaves it whole.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn index(&self) -> MutexGuard<'_, Index> {
        lock(&self.index)
    }

    pub(crate) fn health(&self) -> Health {
        match self.fault.get() {
            Some(reason) => Health::Faulted(reason.clone()),
            None if self.closed.load(Ordering::Acquire) => Health::Closed,
            None => Health::Ok,
        }
    }

    pub(crate) fn accepts(&self) -> Result<(), AppendError> {
        match self.health() {
            Health::Ok => Ok(()),
            Health::Faulted(reason) => Err(AppendError::Faulted { reason }),
            Health::Closed => Err(AppendError::Closed),
        }
    }

    /// Records the first storage failure, and gives the error every caller gets from now on.
    pub(crate) fn faulted(&self, step: &str, error: &dyn std::fmt::Display) -> AppendError {
        let reason = self.fault.get_or_init(|| {
            tracing::error!(step, %error, "journal faulted: it accepts nothing until it is opened again");
            format!("{step}: {error}")
        });
        AppendError::Faulted {
            reason: reason.clone(),
        }
    }

    /// What a file operation's failure means.
    pub(crate) fn file_failure(&self, step: &str, error: &std::io::Error) -> AppendError {
        use std::io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
        let out_of_handles = [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE]
            .iter()
            .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()));
        match error.kind() {
            StorageFull | QuotaExceeded | FileTooLarge => AppendError::Full { which: Bound::Disk },
            _ if out_of_handles => AppendError::Busy {
                reason: error.to_string(),
            },
            _ => self.faulted(step, error),
        }
    }

    /// Whether the bounds leave room for this much more.
    pub(crate) fn room(&self, entries: u64, bytes: u64, disk: u64) -> Result<(), AppendError> {
        let held = self.index().stats();
        let full = |which| Err(AppendError::Full { which });
        if held.entries.saturating_add(entries) > self.settings.max_entries {
            return full(Bound::Entries);
        }
        if held.bytes.saturating_add(bytes) > self.settings.max_bytes {
            return full(Bound::Bytes);
        }
        let free = self
            .folder
            .free_bytes()
            .map_err(|error| self.faulted("statvfs", &error))?;
        if free < self.settings.min_free_disk.saturating_add(disk) {
            return full(Bound::Disk);
        }
        Ok(())
    }

    /// The bound that leaves no room for one more body that fits its row.
    pub(crate) fn full(&self) -> Option<Bound> {
        let disk = self.settings.inline_limit as u64 + self.folder.reserve().missing();
        match self.room(1, 1, disk) {
            Err(AppendError::Full { which }) => Some(which),
            _ => None,
        }
    }

    /// Has the writer commit a change.
    pub(crate) async fn commit(&self, change: Change) -> Result<EntryId, AppendError> {
        self.ask(|reply| Command::Change(change, reply)).await
    }

    /// The same when its turn comes; the next one's comes as soon as the writer has it.
    pub(crate) async fn commit_in_turn(
        &self,
        change: Change,
        turn: Turn,
    ) -> Result<EntryId, AppendError> {
        turn.comes().await;
        let answer = self.send(|reply| Command::Change(change, reply))?;
        drop(turn);
        answer.await.map_err(|_| AppendError::Closed)?
    }

    pub(crate) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, AppendError>>) -> Command,
    ) -> Result<T, AppendError> {
        let answer = self.send(command)?;
        answer.await.map_err(|_| AppendError::Closed)?
    }

    fn send<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<Result<T, AppendError>>) -> Command,
    ) -> Result<oneshot::Receiver<Result<T, AppendError>>, AppendError> {
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(command(reply));
        sent.map_err(|_| AppendError::Closed)?;
        Ok(answer)
    }
}

/// Holds an entry in flight. Dropped, the entry is as its record says: queued, or set aside.
#[derive(Debug)]
pub(crate) struct Hold {
    pub(crate) shared: Arc<Shared>,
    pub(crate) id: EntryId,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared.index().release(self.id);
        self.shared.claimable.send_replace(());
    }
}
