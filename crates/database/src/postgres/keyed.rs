//! Writes under a key: the record is made before the statements and filled after them, all in their transaction.

use std::time::Duration;

use mainstay_journal::fault::point;
use mainstay_runtime::Attempt;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Error as PgError};

use super::error::statement as fault_of;
use super::lease::AFTER_COMMIT;
use super::pool::Postgres;
use super::run::{settle, unsent};
use crate::codec;
use crate::fault::Fault;
use crate::keyed::{Kept, Keyed, Outcome, Record, no_table, still_running};
use crate::statement::{Isolation, Statement, Written};

/// Times are the server's: several processes share the table.
const NOW: &str = "extract(epoch from clock_timestamp())::bigint";

/// Made by whoever needs it first.
const MAKE: &str = "CREATE TABLE IF NOT EXISTS mainstay_idempotency (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, fingerprint TEXT NOT NULL, outcome BYTEA, created_at BIGINT NOT NULL);
    CREATE INDEX IF NOT EXISTS mainstay_idempotency_age ON mainstay_idempotency (created_at)";

/// What the database said to a key.
enum Claim {
    /// It is ours: the record is made.
    New,
    /// It was used before.
    Known(Record),
    /// Somebody else runs it now.
    Running,
    /// There is no table yet.
    NoTable,
}

impl Postgres {
    /// Runs the statements in one transaction, unless they have been run under this key.
    pub(crate) async fn write_keyed(
        &self,
        attempt: &Attempt,
        statements: &[Statement],
        isolation: Isolation,
        keyed: &Keyed,
    ) -> Result<Outcome, Fault> {
        let lease = self.lease().await?;
        let begin = self.begin(isolation, attempt.deadline);
        let answer = self
            .keyed_on(lease.client(), &begin, attempt, statements, keyed)
            .await;
        let is_open = match &answer {
            Ok(outcome) => outcome.age.is_some(),
            Err(fault) => !fault.abandon,
        };
        // Before the answer, not behind it: until then the key's lock would make the next request wait.
        if is_open && lease.client().batch_execute("ROLLBACK").await.is_err() {
            return answer;
        }
        settle(lease, answer, AFTER_COMMIT, AFTER_COMMIT)
    }

    async fn keyed_on(
        &self,
        client: &Client,
        begin: &str,
        attempt: &Attempt,
        statements: &[Statement],
        keyed: &Keyed,
    ) -> Result<Outcome, Fault> {
        let mut claimed = claim(client, begin, keyed).await.map_err(unsent)?;
        if matches!(claimed, Claim::NoTable) {
            make_table(client).await.map_err(unsent)?;
            claimed = claim(client, begin, keyed).await.map_err(unsent)?;
        }
        match claimed {
            Claim::New => {}
            Claim::Running => return Err(Fault::request(still_running())),
            Claim::NoTable => return Err(Fault::request(no_table())),
            Claim::Known(record) => match keyed.judge(record) {
                Some(known) => return known,
                None => renew(client, keyed).await.map_err(unsent)?,
            },
        }
        let written = self.run_each(client, statements).await?;
        record(client, keyed, &written).await.map_err(unsent)?;
        attempt.mark_sent();
        point("write.recorded");
        client
            .batch_execute("COMMIT")
            .await
            .map_err(|error| fault_of(&error))?;
        point("write.committed");
        Ok(Outcome::fresh(written))
    }

    /// The record of a key, if there is one.
    pub(crate) async fn record_of(&self, keyed: &Keyed) -> Result<Option<Record>, Fault> {
        let lease = self.lease().await?;
        let found = find(lease.client(), keyed).await;
        let found = match found {
            Err(error) if is_no_table(&error) => Ok(None),
            found => found.map_err(|error| fault_of(&error)),
        };
        if found.as_ref().err().is_none_or(|fault| !fault.abandon) {
            lease.give_back();
        }
        found
    }

    /// Removes up to `most` records that count no longer, and says how many.
    pub(crate) async fn purge_records(&self, kept: Kept, most: i64) -> Result<u64, Fault> {
        let query = format!(
            "DELETE FROM mainstay_idempotency WHERE id IN (SELECT id FROM mainstay_idempotency \
             WHERE created_at < {NOW} - (CASE kind WHEN 'deferred' THEN $2 ELSE $1 END) LIMIT $3)"
        );
        let lease = self.lease().await?;
        let client = lease.client();
        let (plain, deferred) = (seconds(kept.plain), seconds(kept.deferred));
        let removed = async {
            let exists = "SELECT to_regclass('mainstay_idempotency') IS NOT NULL";
            let exists = client.query_typed(exists, &[]).await?;
            if !exists.iter().any(|row| row.get(0)) {
                return Ok(0);
            }
            client
                .execute_typed(
                    &query,
                    &[
                        (&plain, Type::INT8),
                        (&deferred, Type::INT8),
                        (&most, Type::INT8),
                    ],
                )
                .await
        };
        let removed = removed.await.map_err(|error: PgError| fault_of(&error));
        settle(lease, removed, AFTER_COMMIT, AFTER_COMMIT)
    }
}

/// Begins the transaction and takes the key. A lock that is never waited for tells a running request from one that ended;
/// the primary key alone decides.
async fn claim(client: &Client, begin: &str, keyed: &Keyed) -> Result<Claim, Fault> {
    let taken = async {
        client.batch_execute(begin).await?;
        let lock = "SELECT pg_try_advisory_xact_lock($1)";
        let lock = client
            .query_typed(lock, &[(&keyed.id.lock(), Type::INT8)])
            .await?;
        if !lock.iter().any(|row| row.get(0)) {
            return Ok(Claim::Running);
        }
        let insert = format!(
            "INSERT INTO mainstay_idempotency VALUES ($1, $2, $3, NULL, {NOW}) ON CONFLICT (id) DO NOTHING"
        );
        let (id, kind) = (keyed.id.hex(), keyed.kind.as_str());
        let made = client
            .execute_typed(
                &insert,
                &[
                    (&id, Type::TEXT),
                    (&kind, Type::TEXT),
                    (&keyed.fingerprint_hex(), Type::TEXT),
                ],
            )
            .await?;
        if made == 1 {
            return Ok(Claim::New);
        }
        let found = find(client, keyed).await?;
        Ok(found.map_or(Claim::Running, Claim::Known))
    };
    match taken.await {
        Err(error) if is_no_table(&error) => Ok(Claim::NoTable),
        taken => taken.map_err(|error: PgError| fault_of(&error)),
    }
}

async fn find(client: &Client, keyed: &Keyed) -> Result<Option<Record>, PgError> {
    let query = format!(
        "SELECT fingerprint, outcome, {NOW} - created_at, kind FROM mainstay_idempotency WHERE id = $1"
    );
    let rows = client
        .query_typed(&query, &[(&keyed.id.hex(), Type::TEXT)])
        .await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let age: i64 = row.try_get(2)?;
    Ok(Some(Record {
        kind: row.try_get(3)?,
        fingerprint: row.try_get(0)?,
        outcome: row.try_get(1)?,
        // A clock that was set back makes a record look new, never older than it is.
        age: Duration::from_secs(age.max(0).unsigned_abs()),
    }))
}

/// Takes over a record that counts no longer.
async fn renew(client: &Client, keyed: &Keyed) -> Result<(), Fault> {
    let query = format!(
        "UPDATE mainstay_idempotency SET kind = $2, fingerprint = $3, outcome = NULL, created_at = {NOW} WHERE id = $1"
    );
    let (id, kind) = (keyed.id.hex(), keyed.kind.as_str());
    let renewed = client
        .execute_typed(
            &query,
            &[
                (&id, Type::TEXT),
                (&kind, Type::TEXT),
                (&keyed.fingerprint_hex(), Type::TEXT),
            ],
        )
        .await;
    one_row(renewed)
}

/// Notes the outcome. The statements may have changed where names are looked up.
async fn record(client: &Client, keyed: &Keyed, written: &[Written]) -> Result<(), Fault> {
    let reset = client.batch_execute("SET LOCAL search_path TO DEFAULT");
    reset.await.map_err(|error| fault_of(&error))?;
    let query = "UPDATE mainstay_idempotency SET outcome = $2 WHERE id = $1";
    let (id, outcome) = (keyed.id.hex(), codec::encode_written(written));
    let noted = client
        .execute_typed(query, &[(&id, Type::TEXT), (&outcome, Type::BYTEA)])
        .await;
    one_row(noted)
}

/// Without its record nothing may be committed.
fn one_row(changed: Result<u64, PgError>) -> Result<(), Fault> {
    match changed {
        Ok(1) => Ok(()),
        Ok(_) => Err(Fault::request(still_running())),
        Err(error) => Err(fault_of(&error)),
    }
}

async fn make_table(client: &Client) -> Result<(), Fault> {
    let rolled_back = client.batch_execute("ROLLBACK").await;
    rolled_back.map_err(|error| fault_of(&error))?;
    match client.batch_execute(MAKE).await {
        Ok(()) => Ok(()),
        Err(error) => match error.code().map(|code| code.code()) {
            // Somebody else made it at the same time.
            Some("23505" | "42P07" | "42710") => Ok(()),
            Some("42501" | "3F000") => Err(Fault::request(no_table())),
            _ => Err(fault_of(&error)),
        },
    }
}

fn is_no_table(error: &PgError) -> bool {
    error.code().is_some_and(|code| code.code() == "42P01")
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}
