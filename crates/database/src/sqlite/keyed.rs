//! Writes under a key: the record is made and filled in the transaction of the statements.

use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_runtime::Attempt;
use rusqlite::{Connection, OptionalExtension, params};

use super::error::fault_of;
use super::pool::{Access, Session, Sqlite};
use crate::codec;
use crate::fault::Fault;
use crate::keyed::{Kept, Keyed, Outcome, Record};
use crate::statement::{Limits, Statement};

const MAKE: &str = "CREATE TABLE IF NOT EXISTS mainstay_idempotency (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, fingerprint TEXT NOT NULL, outcome BLOB, created_at INTEGER NOT NULL);
    CREATE INDEX IF NOT EXISTS mainstay_idempotency_age ON mainstay_idempotency (created_at)";

impl Sqlite {
    /// Runs the statements in one transaction, unless they have been run under this key.
    pub(crate) async fn write_keyed(
        &self,
        attempt: &Attempt,
        statements: &[Statement],
        keyed: &Keyed,
    ) -> Result<Outcome, Fault> {
        let (statements, limits, keyed) = (statements.to_vec(), self.limits, *keyed);
        let now = self.seconds();
        attempt.mark_sent();
        let write = move |session: &mut Session| session.keyed(&statements, limits, &keyed, now);
        self.with(Access::Write, attempt.deadline, write).await
    }

    /// The record of a key, if there is one.
    pub(crate) async fn record_of(
        &self,
        attempt: &Attempt,
        keyed: &Keyed,
    ) -> Result<Option<Record>, Fault> {
        let (keyed, now) = (*keyed, self.seconds());
        let read = move |session: &mut Session| {
            session.ours(|connection| match has_table(connection)? {
                true => find(connection, &keyed, now),
                false => Ok(None),
            })
        };
        self.with(Access::Read, attempt.deadline, read).await
    }

    /// Removes up to `most` records that count no longer, and says how many.
    pub(crate) async fn purge_records(
        &self,
        attempt: &Attempt,
        kept: Kept,
        most: i64,
    ) -> Result<u64, Fault> {
        let now = self.seconds();
        let purge = move |session: &mut Session| {
            session.ours(|connection| {
                if !has_table(connection)? {
                    return Ok(0);
                }
                let query = "DELETE FROM mainstay_idempotency WHERE id IN (SELECT id FROM mainstay_idempotency \
                     WHERE created_at < ?4 - (CASE kind WHEN 'deferred' THEN ?2 ELSE ?1 END) LIMIT ?3)";
                let seconds = |time: Duration| i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
                connection.execute(query, [seconds(kept.plain), seconds(kept.deferred), most, now]).map(|removed| removed as u64)
            })
        };
        self.with(Access::Write, attempt.deadline, purge).await
    }

    /// For the age of records: SQLite's own clock is the wall clock, which may be set.
    fn seconds(&self) -> i64 {
        self.clock.steady().as_second()
    }
}

impl Session {
    /// Whatever ends it without COMMIT leaves the transaction open: the pool rolls it back.
    fn keyed(
        &mut self,
        statements: &[Statement],
        limits: Limits,
        keyed: &Keyed,
        now: i64,
    ) -> Result<Outcome, Fault> {
        self.control("BEGIN IMMEDIATE")?;
        let known = self.ours(|connection| {
            connection.execute_batch(MAKE)?;
            find(connection, keyed, now)
        })?;
        if let Some(known) = known.and_then(|record| keyed.judge(record)) {
            return known;
        }
        let written = self.execute_all(statements, limits)?;
        self.ours(|connection| {
            let query = "INSERT OR REPLACE INTO mainstay_idempotency VALUES (?1, ?2, ?3, ?4, ?5)";
            let (id, outcome) = (keyed.id.hex(), codec::encode_written(&written));
            connection.execute(
                query,
                params![
                    id,
                    keyed.kind.as_str(),
                    keyed.fingerprint_hex(),
                    outcome,
                    now
                ],
            )
        })?;
        self.commit()?;
        Ok(Outcome::fresh(written))
    }

    /// Does something that the authorizer lets nobody else do.
    fn ours<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T, Fault> {
        self.ours.store(true, Ordering::Relaxed);
        let done = work(&self.connection);
        self.ours.store(false, Ordering::Relaxed);
        done.map_err(|error| fault_of(&error))
    }
}

fn has_table(connection: &Connection) -> rusqlite::Result<bool> {
    let query = "SELECT count(*) FROM sqlite_schema WHERE name = 'mainstay_idempotency'";
    connection.query_row(query, [], |row| row.get(0))
}

fn find(connection: &Connection, keyed: &Keyed, now: i64) -> rusqlite::Result<Option<Record>> {
    let query = "SELECT fingerprint, outcome, ?2 - created_at, kind FROM mainstay_idempotency WHERE id = ?1";
    let record = |row: &rusqlite::Row<'_>| {
        Ok(Record {
            kind: row.get(3)?,
            fingerprint: row.get(0)?,
            outcome: row.get(1)?,
            // One that an earlier process made in the future is new.
            age: Duration::from_secs(row.get::<_, i64>(2)?.max(0).unsigned_abs()),
        })
    };
    connection
        .query_row(query, params![keyed.id.hex(), now], record)
        .optional()
}
