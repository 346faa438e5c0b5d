//! What a start finds is brought to disk before anybody is told of it.
//!
//! A process that was killed, or whose fsync failed, leaves rows that the page cache shows and the disk may not have. The
//! outcome of a write under a key is told from such a row without another fsync, so they are written anew first.

use std::io;
use std::path::Path;

use rusqlite::{Connection, Error, ErrorCode, ffi};

/// Writes all that the log holds into the file and fsyncs it. On a full disk, or with another process's reader in the way,
/// the log is itself written anew, in its place. A file that takes no writes stays as it is.
pub(super) fn settle(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    if connection.is_readonly("main")? {
        return Ok(());
    }
    let checkpoint = "PRAGMA wal_checkpoint(TRUNCATE)";
    let is_busy = connection.query_row(checkpoint, [], |row| row.get(0));
    match is_busy.or_else(waits_for_room)? {
        false => Ok(()),
        true => rewrite_log(connection, path),
    }
}

fn waits_for_room(error: Error) -> rusqlite::Result<bool> {
    let may_wait = [ErrorCode::DiskFull, ErrorCode::DatabaseBusy];
    match error.sqlite_error_code() {
        Some(code) if may_wait.contains(&code) => Ok(true),
        _ => Err(error),
    }
}

fn rewrite_log(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    // Nobody else may write to the log meanwhile.
    connection.execute_batch("BEGIN IMMEDIATE")?;
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let rewritten = mainstay_journal::rewrite(log.as_ref());
    connection.execute_batch("ROLLBACK")?;
    rewritten.map_err(|error| failed(&error))
}

fn failed(error: &io::Error) -> Error {
    let code = ffi::Error::new(ffi::SQLITE_IOERR);
    Error::SqliteFailure(
        code,
        Some(format!("its log can't be written anew: {error}")),
    )
}
