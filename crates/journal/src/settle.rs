//! What a start finds is brought to disk before anybody is told of it.
//!
//! A process that was killed, or whose fsync failed, leaves rows that the page cache shows and the disk may not have;
//! after a failed fsync another one says nothing, since the kernel takes those pages for clean. So they are written anew.

use std::fs::OpenOptions;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rusqlite::Connection;

use crate::OpenError;
use crate::store::{self, Checkpoint, Failure};

/// Bytes of log copied at once.
const CHUNK: usize = 64 << 10;

/// Writes all that the log holds into the database file and fsyncs it; says whether that emptied the log. On a full disk,
/// or with a reader in the way, the log stays and is itself written anew, in its place: that takes no room.
pub(crate) fn settle(connection: &Connection, path: &Path) -> Result<bool, OpenError> {
    let database = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    match store::checkpoint(connection, Checkpoint::Truncate) {
        Ok(true) => return Ok(true),
        Ok(false) => {}
        Err(error) if store::classify(&error) != Failure::Fault => {}
        Err(error) => return Err(database(error)),
    }
    // Nobody else may write to the log meanwhile.
    connection
        .execute_batch("BEGIN IMMEDIATE")
        .map_err(database)?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let rewritten = rewrite(log.as_ref()).map_err(|source| OpenError::Io {
        path: log.into(),
        source,
    });
    connection.execute_batch("ROLLBACK").map_err(database)?;
    rewritten.map(|()| false)
}

/// Writes a file's bytes over themselves and fsyncs it. A power cut in between harms nothing: old and new are the same.
/// What the page cache shows of it is on disk then, though an earlier fsync may have failed.
///
/// # Errors
/// When it can't be read, written or fsynced.
pub fn rewrite(path: &Path) -> io::Result<()> {
    let file = OpenOptions::new().read(true).write(true).open(path)?;
    let mut chunk = vec![0; CHUNK];
    let mut at = 0;
    loop {
        let read = file.read_at(&mut chunk, at)?;
        if read == 0 {
            return file.sync_all();
        }
        file.write_all_at(&chunk[..read], at)?;
        at += read as u64;
    }
}
