//! The results on disk: what outlives the process, and nothing that anybody waits for.
//!
//! A SQLite file that may be lost: one that can't be read is set aside and begun anew. Each result has a checksum over
//! its key, its time and its bytes, since an old answer must be exactly what the database once said.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, ErrorCode, OptionalExtension, params};

use super::memory::Key;
use crate::codec;
use crate::statement::Rows;

/// Told apart from other programs' databases, and from later forms of this one.
const APPLICATION: i32 = 0x4D53_5243;
const VERSION: i32 = 1;

const SCHEMA: &str = "CREATE TABLE results (
    key BLOB PRIMARY KEY, stored_ms INTEGER NOT NULL, checksum BLOB NOT NULL, content BLOB NOT NULL) WITHOUT ROWID;
    CREATE INDEX results_by_age ON results (stored_ms)";

/// Ending of a file that was set aside.
const RUINED: &str = ".ruined";

/// A result from the future by more than this was stored before the clock was set back: nobody knows its age.
const CLOCK_SLACK_MS: i64 = 5_000;

/// A result on its way to the disk.
pub(super) struct Kept<'a> {
    pub(super) key: Key,
    pub(super) rows: &'a Rows,
    /// Wall clock, ms since the Unix epoch.
    pub(super) stored_ms: i64,
}

/// The file, open.
pub(super) struct ResultFile {
    path: PathBuf,
    connection: Connection,
    bytes: u64,
}

impl ResultFile {
    /// Opens the file, or begins a new one beside what could not be read.
    pub(super) fn open(path: &Path) -> rusqlite::Result<Self> {
        match Self::try_open(path) {
            Err(error) if is_ruined(&error) => {
                set_aside(path, &error);
                Self::try_open(path)
            }
            opened => opened,
        }
    }

    fn try_open(path: &Path) -> rusqlite::Result<Self> {
        // Made before SQLite makes it, for its owner alone; its companions take over the mode.
        let _ = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(path);
        let connection = Connection::open(path)?;
        connection.execute_batch(
            "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; \
             PRAGMA journal_size_limit = 4194304",
        )?;
        let pragma = |name: &str| connection.pragma_query_value(None, name, |row| row.get(0));
        let found: (i32, i32) = (pragma("application_id")?, pragma("user_version")?);
        match found {
            (APPLICATION, VERSION) => {}
            (0, 0) => {
                connection.execute_batch(SCHEMA)?;
                connection.pragma_update(None, "application_id", APPLICATION)?;
                connection.pragma_update(None, "user_version", VERSION)?;
            }
            _ => return Err(ruined()),
        }
        let bytes = "SELECT coalesce(sum(length(content)), 0) FROM results";
        let bytes: i64 = connection.query_row(bytes, [], |row| row.get(0))?;
        Ok(Self {
            path: path.to_owned(),
            connection,
            bytes: bytes.unsigned_abs(),
        })
    }

    /// Writes results, and gives up what is too old or, the oldest first, more than `bound` bytes.
    pub(super) fn put(
        &mut self,
        all: &[Kept<'_>],
        bound: u64,
        oldest_ms: i64,
    ) -> rusqlite::Result<()> {
        let transaction = self.connection.transaction()?;
        let mut bytes = self.bytes;
        for kept in all {
            let content = codec::encode_rows(kept.rows);
            let before = "SELECT length(content) FROM results WHERE key = ?1";
            let before: Option<i64> = transaction
                .prepare_cached(before)?
                .query_row([&kept.key], |row| row.get(0))
                .optional()?;
            let checksum = checksum(&kept.key, kept.stored_ms, &content);
            transaction
                .prepare_cached("INSERT OR REPLACE INTO results VALUES (?1, ?2, ?3, ?4)")?
                .execute(params![kept.key, kept.stored_ms, checksum, content])?;
            bytes = bytes.saturating_sub(before.unwrap_or(0).unsigned_abs()) + content.len() as u64;
        }
        let mut oldest = transaction.prepare_cached(
            "SELECT key, stored_ms, length(content) FROM results ORDER BY stored_ms LIMIT 1",
        )?;
        loop {
            let first = oldest.query_row([], |row| {
                Ok((
                    row.get::<_, Key>(0)?,
                    row.get::<_, i64>(1)?,
                    row.get::<_, i64>(2)?,
                ))
            });
            let Some((key, stored_ms, length)) = first.optional()? else {
                break;
            };
            if bytes <= bound && stored_ms >= oldest_ms {
                break;
            }
            transaction
                .prepare_cached("DELETE FROM results WHERE key = ?1")?
                .execute([key])?;
            bytes = bytes.saturating_sub(length.unsigned_abs());
        }
        drop(oldest);
        transaction.commit()?;
        self.bytes = bytes;
        self.connection.execute_batch("PRAGMA incremental_vacuum")
    }

    /// The result and when it was stored, if that can be told.
    pub(super) fn get(&self, key: &Key, now_ms: i64) -> rusqlite::Result<Option<(Rows, i64)>> {
        let query = "SELECT stored_ms, checksum, content FROM results WHERE key = ?1";
        let found = self
            .connection
            .prepare_cached(query)?
            .query_row([key], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
            .optional()?;
        let Some((stored_ms, sum, content)): Option<(i64, [u8; 32], Vec<u8>)> = found else {
            return Ok(None);
        };
        if sum != checksum(key, stored_ms, &content) {
            return Err(ruined());
        }
        let rows = codec::decode_rows(&content).ok_or_else(ruined)?;
        Ok((stored_ms <= now_ms + CLOCK_SLACK_MS).then_some((rows, stored_ms)))
    }

    /// Forgets everything, on disk too, and what was set aside.
    pub(super) fn clear(&mut self) -> rusqlite::Result<()> {
        let _ = fs::remove_file(beside(&self.path, RUINED));
        self.connection.execute_batch(
            "PRAGMA secure_delete = ON; DELETE FROM results; PRAGMA secure_delete = OFF; \
             PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(TRUNCATE)",
        )?;
        self.bytes = 0;
        Ok(())
    }

    /// Begins anew when the error says that the file can't be read; otherwise keeps it.
    pub(super) fn after(self, error: &rusqlite::Error) -> Option<Self> {
        if !is_ruined(error) {
            return Some(self);
        }
        let Self {
            path, connection, ..
        } = self;
        drop(connection);
        set_aside(&path, error);
        Self::try_open(&path).ok()
    }
}

fn checksum(key: &Key, stored_ms: i64, content: &[u8]) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(key);
    hasher.update(&stored_ms.to_le_bytes());
    hasher.update(content);
    *hasher.finalize().as_bytes()
}

fn ruined() -> rusqlite::Error {
    let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CORRUPT);
    rusqlite::Error::SqliteFailure(code, None)
}

fn is_ruined(error: &rusqlite::Error) -> bool {
    let codes = [ErrorCode::DatabaseCorrupt, ErrorCode::NotADatabase];
    let by_type = matches!(
        error,
        rusqlite::Error::FromSqlConversionFailure(..) | rusqlite::Error::InvalidColumnType(..)
    );
    by_type
        || error
            .sqlite_error_code()
            .is_some_and(|code| codes.contains(&code))
}

/// Keeps the last ruined file for whoever wants to know; it holds nothing that can't be read again.
fn set_aside(path: &Path, error: &rusqlite::Error) {
    tracing::warn!(dependency = "database", %error, "the file of old results can't be read: it is set aside, and begun anew");
    for companion in ["-wal", "-shm"] {
        let _ = fs::remove_file(beside(path, companion));
    }
    if fs::rename(path, beside(path, RUINED)).is_err() {
        let _ = fs::remove_file(path);
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rows(bytes: usize) -> Rows {
        Rows {
            columns: Vec::new(),
            rows: vec![vec![json!("x".repeat(bytes))]],
        }
    }

    fn put(file: &mut ResultFile, name: u8, stored_ms: i64, bound: u64, oldest_ms: i64) {
        let kept = Kept {
            key: [name; 32],
            rows: &rows(1000),
            stored_ms,
        };
        file.put(&[kept], bound, oldest_ms).unwrap();
    }

    fn has(file: &ResultFile, name: u8) -> bool {
        file.get(&[name; 32], 1_000_000).unwrap().is_some()
    }

    #[test]
    fn bytes_and_ages_are_bounded_also_over_a_restart() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        let mut file = ResultFile::open(&path).unwrap();
        for name in 0..50 {
            put(&mut file, name, i64::from(name), 10_000, 0);
        }
        put(&mut file, 49, 50, 10_000, 0);
        drop(file);
        let mut file = ResultFile::open(&path).unwrap();
        assert!(file.bytes <= 10_000 && file.bytes > 8_000, "{}", file.bytes);
        assert!(!has(&file, 40) && has(&file, 42) && has(&file, 49));
        put(&mut file, 60, 60, 10_000, 50);
        assert!(
            !has(&file, 48) && has(&file, 49) && has(&file, 60),
            "too old"
        );
    }

    #[test]
    fn what_was_stored_before_the_clock_was_set_back_has_no_age() {
        let folder = tempfile::tempdir().unwrap();
        let mut file = ResultFile::open(&folder.path().join("results")).unwrap();
        put(&mut file, 1, 100_000, u64::MAX, 0);
        assert!(
            file.get(&[1; 32], 100_000 - CLOCK_SLACK_MS)
                .unwrap()
                .is_some()
        );
        assert!(
            file.get(&[1; 32], 99_999 - CLOCK_SLACK_MS)
                .unwrap()
                .is_none()
        );
    }

    #[test]
    fn a_damaged_result_is_no_result() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results");
        let mut file = ResultFile::open(&path).unwrap();
        put(&mut file, 1, 1, u64::MAX, 0);
        let damage = "UPDATE results SET stored_ms = stored_ms + 1";
        file.connection.execute(damage, []).unwrap();
        let error = file.get(&[1; 32], 10).unwrap_err();
        let file = file.after(&error).unwrap();
        assert!(!has(&file, 1) && path.with_extension("ruined").exists());
    }
}
