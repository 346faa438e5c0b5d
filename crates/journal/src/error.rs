//! What can go wrong, sorted by what the caller may do about it.

use std::path::PathBuf;

use crate::entry::{EntryId, State};

/// Why a journal can't be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process (or another handle of this one) has the folder.
    #[error("journal folder {} is in use by {}", dir.display(), holder(*pid))]
    Locked {
        /// The folder.
        dir: PathBuf,
        /// The holder's process id, when the lock file names it.
        pid: Option<u32>,
    },
    /// The folder was written by a newer version of this program.
    #[error("journal {} has schema version {found}, and this program knows versions up to {supported}: use the newer program that wrote it", path.display())]
    Newer {
        /// The database file.
        path: PathBuf,
        /// The version found.
        found: usize,
        /// The newest version this program knows.
        supported: usize,
    },
    /// The database file isn't a journal.
    #[error("{} is a database of another program", .0.display())]
    Foreign(PathBuf),
    /// A setting is out of range.
    #[error("journal settings: {0}")]
    Settings(String),
    /// The folder or a file in it can't be read or written.
    #[error("journal {}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// SQLite can't open or read the database.
    #[error("journal database {}: {source}", path.display())]
    Database {
        /// The database file.
        path: PathBuf,
        /// What SQLite said.
        source: rusqlite::Error,
    },
}

impl OpenError {
    /// What the operating system found wrong with a file, as far as that is known.
    pub fn kind(&self) -> Option<std::io::ErrorKind> {
        use rusqlite::ErrorCode;
        use std::io::ErrorKind::{PermissionDenied, StorageFull};
        match self {
            Self::Io { source, .. } => Some(source.kind()),
            Self::Database { source, .. } => match source.sqlite_error_code()? {
                ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied => {
                    Some(PermissionDenied)
                }
                ErrorCode::DiskFull => Some(StorageFull),
                _ => None,
            },
            _ => None,
        }
    }
}

fn holder(pid: Option<u32>) -> String {
    pid.map_or("another process".to_owned(), |pid| format!("process {pid}"))
}

/// Which bound a full journal has met.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`Settings::max_entries`](crate::Settings::max_entries).
    Entries,
    /// [`Settings::max_bytes`](crate::Settings::max_bytes).
    Bytes,
    /// The disk is full, or less than [`Settings::min_free_disk`](crate::Settings::min_free_disk) is free.
    Disk,
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Bound::Entries => "too many entries",
            Bound::Bytes => "too many bytes",
            Bound::Disk => "too little free disk",
        })
    }
}

/// Why nothing was accepted. Nothing held earlier is lost by any of these.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// A bound is met; room appears as entries drain.
    #[error("journal full: {which}")]
    Full {
        /// The bound.
        which: Bound,
    },
    /// The storage has failed; nothing is accepted until the journal is opened again.
    #[error("journal faulted: {reason}")]
    Faulted {
        /// The first failure.
        reason: String,
    },
    /// The storage failed while this was brought to disk: when the journal is opened again, it may be there or not.
    #[error("journal faulted, and this may be on disk or not: {reason}")]
    Uncertain {
        /// The first failure.
        reason: String,
    },
    /// Something outside the journal is in the way for now (another program locks the database, no file handles left).
    #[error("journal busy: {reason}")]
    Busy {
        /// What is in the way.
        reason: String,
    },
    /// Key, kind and metadata together are larger than 1 MiB.
    #[error("journal entry too large: key, kind and metadata may have 1 MiB together")]
    TooLarge,
    /// A write to the spool was cancelled or failed, so its content is incomplete.
    #[error("journal spool incomplete: an earlier write was cancelled or failed")]
    Incomplete,
    /// The journal was closed.
    #[error("journal closed")]
    Closed,
}

/// Why an entry wasn't changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChangeError {
    /// There is no such entry (any more).
    #[error("no journal entry {0}")]
    Unknown(EntryId),
    /// The entry's state doesn't allow the change.
    #[error("journal entry {id} is {state}")]
    State {
        /// The entry.
        id: EntryId,
        /// Its state.
        state: State,
    },
    /// The change couldn't be written; the entry is as it was.
    #[error(transparent)]
    Storage(#[from] AppendError),
}

/// Why a body can't be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReadError {
    /// There is no such entry (any more).
    #[error("no journal entry {0}")]
    Unknown(EntryId),
    /// The entry has no body.
    #[error("journal entry {0} has no body")]
    NoBody(EntryId),
    /// What is on disk isn't what was accepted.
    #[error("body of journal entry {id} is damaged: {reason}")]
    Corrupt {
        /// The entry.
        id: EntryId,
        /// How it differs.
        reason: String,
    },
    /// The body can't be read.
    #[error("body of journal entry {id}: {source}")]
    Io {
        /// The entry.
        id: EntryId,
        /// What the operating system or SQLite said.
        source: std::io::Error,
    },
    /// The journal was closed.
    #[error("journal closed")]
    Closed,
}
