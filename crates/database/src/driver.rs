//! The two drivers behind one face.

use mainstay_runtime::Attempt;

use crate::fault::Fault;
use crate::keyed::{Kept, Keyed, Outcome, Record};
use crate::postgres::Postgres;
use crate::sqlite::Sqlite;
use crate::statement::{Isolation, Rows, Statement, Written};

pub(crate) enum Driver {
    Postgres(Box<Postgres>),
    Sqlite(Sqlite),
}

impl Driver {
    pub(crate) async fn read(
        &self,
        attempt: &Attempt,
        statement: &Statement,
    ) -> Result<Rows, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.read(attempt, statement).await,
            Self::Sqlite(sqlite) => sqlite.read(attempt, statement).await,
        }
    }

    /// Errors name the field as a part of `operations[i]`.
    pub(crate) async fn write(
        &self,
        attempt: &Attempt,
        statements: &[Statement],
        isolation: Isolation,
    ) -> Result<Vec<Written>, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.write(attempt, statements, isolation).await,
            Self::Sqlite(sqlite) => sqlite.write(attempt, statements).await,
        }
    }

    /// As [`Driver::write`], unless the statements have been run under this key.
    pub(crate) async fn write_keyed(
        &self,
        attempt: &Attempt,
        statements: &[Statement],
        isolation: Isolation,
        keyed: &Keyed,
    ) -> Result<Outcome, Fault> {
        match self {
            Self::Postgres(postgres) => {
                postgres
                    .write_keyed(attempt, statements, isolation, keyed)
                    .await
            }
            Self::Sqlite(sqlite) => sqlite.write_keyed(attempt, statements, keyed).await,
        }
    }

    /// The record of a key, if there is one.
    pub(crate) async fn record_of(
        &self,
        attempt: &Attempt,
        keyed: &Keyed,
    ) -> Result<Option<Record>, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.record_of(keyed).await,
            Self::Sqlite(sqlite) => sqlite.record_of(attempt, keyed).await,
        }
    }

    /// Removes up to `most` records of keys that count no longer, and says how many.
    pub(crate) async fn purge_records(
        &self,
        attempt: &Attempt,
        kept: Kept,
        most: i64,
    ) -> Result<u64, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.purge_records(kept, most).await,
            Self::Sqlite(sqlite) => sqlite.purge_records(attempt, kept, most).await,
        }
    }

    /// The cheapest honest check. `true`: it lives, but takes no writes.
    pub(crate) async fn probe(&self) -> Result<bool, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.probe().await,
            Self::Sqlite(sqlite) => sqlite.probe().await,
        }
    }

    /// The same on a new connection, which nothing old clings to.
    pub(crate) async fn probe_anew(&self) -> Result<bool, Fault> {
        match self {
            Self::Postgres(postgres) => postgres.probe_anew().await,
            Self::Sqlite(sqlite) => sqlite.probe().await,
        }
    }

    pub(crate) fn close_idle(&self) {
        match self {
            Self::Postgres(postgres) => postgres.close_idle(),
            Self::Sqlite(sqlite) => sqlite.close_idle(),
        }
    }

    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Postgres(postgres) => postgres.size(),
            Self::Sqlite(sqlite) => sqlite.size(),
        }
    }
}
