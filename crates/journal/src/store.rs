//! The database: opening, migrating, and the statements on it.

use std::path::Path;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Row, params};

use crate::OpenError;
use crate::entry::{BodyInfo, EntryId};
use crate::record::{Place, Record, StoredBody};

/// Marks the file as a journal ("MSJ1"), so that another program's database isn't taken for one.
const APPLICATION_ID: i64 = 0x4d53_4a31;

/// One script per schema version; `user_version` counts those applied. Only ever appended to.
const MIGRATIONS: &[&str] = &[
    "
    CREATE TABLE entries (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        queue TEXT NOT NULL,
        key TEXT NOT NULL,
        kind TEXT NOT NULL,
        meta TEXT NOT NULL,
        accepted_at_ms INTEGER NOT NULL,
        attempts INTEGER NOT NULL DEFAULT 0,
        last_error TEXT,
        set_aside INTEGER NOT NULL DEFAULT 0,
        body_len INTEGER,
        body_blake3 BLOB,
        body_file INTEGER
    ) STRICT;
    -- Apart from the entries, so that start-up reads no bodies.
    CREATE TABLE bodies (entry INTEGER PRIMARY KEY, body BLOB NOT NULL) STRICT;
",
    IDENTITY,
    OUTCOMES,
    DISCARDED,
];

const IDENTITY: &str = "
    CREATE TABLE identity (id TEXT NOT NULL) STRICT;
    INSERT INTO identity VALUES (lower(hex(randomblob(8))));
";

pub(crate) const OUTCOMES: &str = "
    CREATE TABLE outcomes (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        scope TEXT NOT NULL,
        key TEXT NOT NULL,
        request BLOB NOT NULL,
        answer TEXT NOT NULL,
        entry INTEGER,
        at_ms INTEGER NOT NULL,
        UNIQUE (scope, key)
    ) STRICT;
";

/// What an operator has given up, so that whoever asks for it is not told that it is still accepted, or never was.
pub(crate) const DISCARDED: &str = "
    CREATE TABLE discarded (
        number INTEGER PRIMARY KEY AUTOINCREMENT,
        entry INTEGER NOT NULL,
        queue TEXT NOT NULL,
        key TEXT NOT NULL
    ) STRICT;
    CREATE INDEX discarded_entry ON discarded (entry);
    CREATE INDEX discarded_key ON discarded (queue, key);
";

/// How long to wait for another program that locks the database.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// Discarded entries that are remembered.
const KEPT_DISCARDED: i64 = 100_000;

/// What a failed statement means for the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The disk is full: nothing was written, and nothing is broken.
    Full,
    /// Another program holds the database.
    Busy,
    /// The storage can't be trusted any more.
    Fault,
}

pub(crate) fn classify(error: &rusqlite::Error) -> Failure {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => Failure::Full,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Failure::Busy,
        _ => Failure::Fault,
    }
}

/// Opens the database for the writer, migrated to the newest schema.
pub(crate) fn open(path: &Path) -> Result<Connection, OpenError> {
    let database = |source| OpenError::Database {
        path: path.to_owned(),
        source,
    };
    let mut connection = connect(path, OpenFlags::SQLITE_OPEN_CREATE).map_err(database)?;
    let Some(version) = version(&connection).map_err(database)? else {
        return Err(OpenError::Foreign(path.to_owned()));
    };
    let supported = MIGRATIONS.len();
    if version > supported {
        return Err(OpenError::Newer {
            path: path.to_owned(),
            found: version,
            supported,
        });
    }
    make_durable(&connection).map_err(database)?;
    for (done, script) in (1..).zip(MIGRATIONS).skip(version) {
        migrate(&mut connection, script, done).map_err(database)?;
    }
    Ok(connection)
}

/// A second connection, that reads bodies while the writer commits.
pub(crate) fn open_reader(path: &Path) -> Result<Connection, OpenError> {
    let opened = connect(path, OpenFlags::empty()).and_then(|connection| {
        connection.pragma_update(None, "query_only", true)?;
        Ok(connection)
    });
    opened.map_err(|source| OpenError::Database {
        path: path.to_owned(),
        source,
    })
}

fn connect(path: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    let flags = flags | OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(BUSY_TIMEOUT)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    // SQLite's own checkpoints swallow a failed fsync and try it again later, when the kernel has forgotten it:
    // the writer makes them and looks at the result.
    connection.pragma_update(None, "wal_autocheckpoint", 0)?;
    Ok(connection)
}

fn make_durable(connection: &Connection) -> rusqlite::Result<()> {
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| {
        let mode: String = row.get(0)?;
        match mode.as_str() {
            "wal" => Ok(()),
            _ => Err(rusqlite::Error::SqliteFailure(
                rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN),
                Some("this file system allows no write-ahead log".to_owned()),
            )),
        }
    })?;
    connection.pragma_update(None, "synchronous", "FULL")
}

/// The schema version; `None` for a database that isn't a journal's.
fn version(connection: &Connection) -> rusqlite::Result<Option<usize>> {
    let pragma = |name| connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: i64 = connection.query_row(tables, [], |row| row.get(0))?;
    let ours = pragma("application_id")? == APPLICATION_ID || tables == 0;
    let version = usize::try_from(pragma("user_version")?).ok();
    Ok(version.filter(|_| ours))
}

fn migrate(connection: &mut Connection, script: &str, version: usize) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    transaction.execute_batch(script)?;
    transaction.pragma_update(None, "application_id", APPLICATION_ID)?;
    transaction.pragma_update(None, "user_version", version as i64)?;
    transaction.commit()
}

/// What tells this journal from all others, made with it.
pub(crate) fn identity(connection: &Connection) -> rusqlite::Result<String> {
    connection.query_row("SELECT id FROM identity", [], |row| row.get(0))
}

/// All entries, oldest first.
pub(crate) fn load(
    connection: &Connection,
    mut each: impl FnMut(EntryId, Record),
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(
        "SELECT id, queue, key, kind, meta, accepted_at_ms, attempts, last_error, set_aside,
                body_len, body_blake3, body_file
         FROM entries ORDER BY id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        each(EntryId(row.get(0)?), record(row)?);
    }
    Ok(())
}

fn record(row: &Row<'_>) -> rusqlite::Result<Record> {
    let text = |column| row.get_ref(column)?.as_str().map_err(rusqlite::Error::from);
    let (queue, kind, key, meta) = (text(1)?, text(3)?, text(2)?, text(4)?.into());
    let mut record = Record::new(queue, kind, key, meta, body(row)?, row.get(5)?);
    record.attempts = row.get(6)?;
    record.set_aside = row.get(8)?;
    if let Some(error) = row.get::<_, Option<String>>(7)? {
        record.failed_with(error.into());
    }
    Ok(record)
}

fn body(row: &Row<'_>) -> rusqlite::Result<Option<StoredBody>> {
    let Some(len) = unsigned(row, 9)? else {
        return Ok(None);
    };
    let blake3 = blake3::Hash::from_bytes(row.get(10)?);
    let place = unsigned(row, 11)?.map_or(Place::Row, Place::File);
    Ok(Some(StoredBody {
        info: BodyInfo { len, blake3 },
        place,
    }))
}

fn unsigned(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<u64>> {
    let value = row.get::<_, Option<i64>>(column)?;
    let out_of_range = |value| rusqlite::Error::IntegralValueOutOfRange(column, value);
    value
        .map(|value| value.try_into().map_err(|_| out_of_range(value)))
        .transpose()
}

/// Adds an entry, with the content of a body that lives in its row.
pub(crate) fn insert(
    connection: &Connection,
    record: &Record,
    inline: Option<&[u8]>,
) -> rusqlite::Result<EntryId> {
    let file = match record.body.map(|body| body.place) {
        Some(Place::File(number)) => Some(number.cast_signed()),
        _ => None,
    };
    connection
        .prepare_cached(
            "INSERT INTO entries
                (queue, key, kind, meta, accepted_at_ms, body_len, body_blake3, body_file)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            &*record.label.queue,
            &*record.key,
            &*record.label.kind,
            &*record.meta,
            record.accepted_at_ms,
            record.body.map(|body| body.info.len.cast_signed()),
            record
                .body
                .as_ref()
                .map(|body| &body.info.blake3.as_bytes()[..]),
            file,
        ])?;
    let id = connection.last_insert_rowid();
    if let Some(content) = inline {
        connection
            .prepare_cached("INSERT INTO bodies (entry, body) VALUES (?, ?)")?
            .execute(params![id, content])?;
    }
    Ok(EntryId(id))
}

/// Remembers that an entry was given up: the newest 100,000 are.
pub(crate) fn remember_discarded(connection: &Connection, id: EntryId) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO discarded (entry, queue, key) SELECT id, queue, key FROM entries WHERE id = ?",
        )?
        .execute([id.0])?;
    let oldest = connection.last_insert_rowid() - KEPT_DISCARDED;
    connection
        .prepare_cached("DELETE FROM discarded WHERE number <= ?")?
        .execute([oldest])?;
    Ok(())
}

pub(crate) fn remove(connection: &Connection, id: EntryId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("DELETE FROM entries WHERE id = ?")?
        .execute([id.0])?;
    connection
        .prepare_cached("DELETE FROM bodies WHERE entry = ?")?
        .execute([id.0])?;
    Ok(())
}

/// Counts a failed attempt.
pub(crate) fn fail(
    connection: &Connection,
    id: EntryId,
    error: &str,
    set_aside: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE entries SET attempts = attempts + 1, last_error = ?, set_aside = ? WHERE id = ?",
        )?
        .execute(params![error, set_aside, id.0])?;
    Ok(())
}

/// Replaces an entry's metadata.
pub(crate) fn describe(connection: &Connection, id: EntryId, meta: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE entries SET meta = ? WHERE id = ?")?
        .execute(params![meta, id.0])?;
    Ok(())
}

/// Puts an entry that was set aside back in its queue.
pub(crate) fn requeue(connection: &Connection, id: EntryId) -> rusqlite::Result<()> {
    connection
        .prepare_cached("UPDATE entries SET set_aside = 0 WHERE id = ?")?
        .execute([id.0])?;
    Ok(())
}

pub(crate) fn inline_body(
    connection: &Connection,
    id: EntryId,
) -> rusqlite::Result<Option<Vec<u8>>> {
    connection
        .prepare_cached("SELECT body FROM bodies WHERE entry = ?")?
        .query_row([id.0], |row| row.get(0))
        .optional()
}

/// How much of the log a checkpoint moves.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Checkpoint {
    /// What no reader needs, without waiting.
    Passive,
    /// All of it, and the log file is emptied; waits for readers.
    Truncate,
}

/// Moves the log into the database file and fsyncs it; says whether that was all of it.
pub(crate) fn checkpoint(connection: &Connection, mode: Checkpoint) -> rusqlite::Result<bool> {
    let sql = match mode {
        Checkpoint::Passive => "PRAGMA wal_checkpoint(PASSIVE)",
        Checkpoint::Truncate => "PRAGMA wal_checkpoint(TRUNCATE)",
    };
    connection.query_row(sql, [], |row| {
        let (is_blocked, log, moved): (bool, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
        Ok(!is_blocked && log == moved)
    })
}
