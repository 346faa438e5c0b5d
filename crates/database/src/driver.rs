//! The two drivers behind one face.

use mainstay_runtime::Attempt;

use crate::fault::Fault;
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
