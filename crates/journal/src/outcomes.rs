//! First outcomes by idempotency key: what a caller is told who sends the same request again.
//!
//! An outcome is committed like everything else here, and with the entry where there is one: a caller whose answer was
//! lost finds it. Which requests are under way is known in memory only: with the process, they end.

use std::collections::HashSet;
use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};

use crate::entry::EntryId;
use crate::shared::{Shared, lock};
use crate::writer::Change;
use crate::{AppendError, Journal};

/// Outcomes kept at most; past this the oldest go.
const KEPT: u64 = 100_000;
/// How long an outcome is kept, ms.
const KEPT_MS: i64 = 24 * 3600 * 1000;
/// Outcomes recorded between two looks at what may go.
const PRUNE_EVERY: u64 = 256;

/// What was answered the first time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// BLAKE3 of what the request asked for.
    pub request: blake3::Hash,
    /// The answer, in the caller's own words.
    pub answer: String,
    /// The entry that was accepted with it.
    pub entry: Option<EntryId>,
    /// Whether an operator has discarded that.
    pub discarded: bool,
}

/// Why a key can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A request with this key is under way.
    #[error("a request with this idempotency key is still running")]
    Running,
    /// Outcomes can't be read or kept now.
    #[error(transparent)]
    Storage(#[from] AppendError),
}

/// What is known of a key.
#[derive(Debug)]
pub enum Reserved {
    /// Nothing: the request is to be carried out while this is held.
    First(KeyHold),
    /// It was carried out.
    Known(Outcome),
}

type Name = (String, String);

/// A key whose request is under way. Dropped, the key is free again.
#[derive(Debug)]
pub struct KeyHold {
    shared: Arc<Shared>,
    name: Name,
}

impl Drop for KeyHold {
    fn drop(&mut self) {
        lock(&self.shared.running).remove(&self.name);
    }
}

/// An outcome to be kept.
#[derive(Debug)]
pub struct NewOutcome {
    /// The key's hold, which ends when the outcome is on disk.
    pub hold: KeyHold,
    /// BLAKE3 of what the request asked for.
    pub request: blake3::Hash,
    /// The answer, in the caller's own words.
    pub answer: String,
    /// Wall clock, ms since the Unix epoch.
    pub at_ms: i64,
}

impl Journal {
    /// Takes an idempotency key for a request, or gives the outcome of the earlier one. Keys of different scopes (API
    /// keys, operations) don't meet. An outcome is kept for 24 hours, as long as it is among the newest 100,000.
    ///
    /// # Errors
    /// See [`KeyError`].
    pub async fn reserve(&self, scope: &str, key: &str, now_ms: i64) -> Result<Reserved, KeyError> {
        self.shared.accepts()?;
        let name = (scope.to_owned(), key.to_owned());
        if !lock(&self.shared.running).insert(name.clone()) {
            return Err(KeyError::Running);
        }
        let hold = KeyHold {
            shared: self.shared.clone(),
            name,
        };
        // The lookup comes after the hold: an outcome is recorded before its hold ends.
        let look = move || {
            let found = hold.shared.find_outcome(&hold.name, now_ms)?;
            Ok(found.map_or(Reserved::First(hold), Reserved::Known))
        };
        let looked = tokio::task::spawn_blocking(look).await;
        looked.map_err(|_| AppendError::Closed)?
    }

    /// Keeps an outcome that came without an entry: on disk when this returns.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn record(&self, outcome: NewOutcome) -> Result<(), AppendError> {
        let change = Change::Record(Box::new(outcome));
        self.shared.commit(change).await.map(drop)
    }
}

impl Shared {
    fn find_outcome(
        &self,
        (scope, key): &Name,
        now_ms: i64,
    ) -> Result<Option<Outcome>, AppendError> {
        let reader = lock(&self.reader);
        let connection = reader.as_ref().ok_or(AppendError::Closed)?;
        let found = connection
            .prepare_cached(
                "SELECT request, answer, entry, EXISTS (SELECT 1 FROM discarded WHERE discarded.entry = outcomes.entry)
                 FROM outcomes WHERE scope = ? AND key = ? AND at_ms > ?",
            )
            .and_then(|mut statement| {
                statement
                    .query_row(params![scope, key, now_ms - KEPT_MS], |row| {
                        Ok(Outcome {
                            request: blake3::Hash::from_bytes(row.get(0)?),
                            answer: row.get(1)?,
                            entry: row.get::<_, Option<i64>>(2)?.map(EntryId),
                            discarded: row.get(3)?,
                        })
                    })
                    .optional()
            });
        found.map_err(busy)
    }

    pub(crate) fn find_discarded(&self, (queue, key): &Name) -> Result<bool, AppendError> {
        let reader = lock(&self.reader);
        let connection = reader.as_ref().ok_or(AppendError::Closed)?;
        let found = connection
            .prepare_cached("SELECT EXISTS (SELECT 1 FROM discarded WHERE queue = ? AND key = ?)")
            .and_then(|mut statement| statement.query_row(params![queue, key], |row| row.get(0)));
        found.map_err(busy)
    }
}

fn busy(error: rusqlite::Error) -> AppendError {
    AppendError::Busy {
        reason: error.to_string(),
    }
}

/// Names of requests under way.
pub(crate) type Running = HashSet<Name>;

/// Writes an outcome, and now and then removes what is too old or too much.
pub(crate) fn write(
    connection: &Connection,
    outcome: &NewOutcome,
    entry: Option<EntryId>,
) -> rusqlite::Result<()> {
    let (scope, key) = &outcome.hold.name;
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO outcomes (scope, key, request, answer, entry, at_ms) VALUES (?, ?, ?, ?, ?, ?)",
        )?
        .execute(params![
            scope,
            key,
            &outcome.request.as_bytes()[..],
            outcome.answer,
            entry.map(|id| id.0),
            outcome.at_ms,
        ])?;
    let number = connection.last_insert_rowid().unsigned_abs();
    if number.is_multiple_of(PRUNE_EVERY) {
        prune(connection, number, outcome.at_ms)?;
    }
    Ok(())
}

fn prune(connection: &Connection, newest: u64, now_ms: i64) -> rusqlite::Result<()> {
    let first = newest.saturating_sub(KEPT).cast_signed();
    connection.execute(
        "DELETE FROM outcomes WHERE number <= ? OR at_ms <= ?",
        params![first, now_ms - KEPT_MS],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_outcomes_are_kept_and_no_more() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(crate::store::OUTCOMES).unwrap();
        let newest = KEPT + 10;
        for (number, at_ms) in [
            (5, 90),
            (10, 90),
            (11, 90),
            (newest, 100),
            (newest - 1, 100 - KEPT_MS),
        ] {
            connection
                .execute(
                    "INSERT INTO outcomes (number, scope, key, request, answer, at_ms) VALUES (?1, '', ?1, x'', '', ?2)",
                    params![number.cast_signed(), at_ms],
                )
                .unwrap();
        }
        prune(&connection, newest, 100).unwrap();
        let mut left = connection
            .prepare("SELECT number FROM outcomes ORDER BY number")
            .unwrap();
        let left: Vec<i64> = left
            .query_map([], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(left, [11, newest.cast_signed()]);
    }
}
