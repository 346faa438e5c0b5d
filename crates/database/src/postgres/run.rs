//! Reads and writes, each in a transaction of its own.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use futures_util::TryStreamExt;
use futures_util::future::{join, ready};
use mainstay_breaker::Moment;
use mainstay_runtime::{Attempt, Error, ErrorKind};
use tokio_postgres::{Client, Error as PgError, RowStream, Statement as Prepared};

use super::error::statement as fault_of;
use super::lease::{AFTER_COMMIT, AFTER_FAILURE, AFTER_READ, Lease};
use super::params::{self, Param};
use super::pool::Postgres;
use super::text_columns;
use super::values::Cell;
use crate::fault::{DATABASE, Fault};
use crate::statement::{Column, Isolation, Limits, Rows, Statement, Written};

/// How long before our deadline the server ends a statement by itself, so that its answer still arrives.
const HEADROOM: Duration = Duration::from_millis(500);
const SHORTEST: Duration = Duration::from_millis(50);

/// A prepared statement with its parameters.
pub(super) struct Ready {
    prepared: Prepared,
    columns: Vec<Column>,
    params: Vec<Param>,
}

impl Postgres {
    /// Runs one statement in a READ ONLY transaction that is always rolled back.
    pub(crate) async fn read(
        &self,
        attempt: &Attempt,
        statement: &Statement,
    ) -> Result<Rows, Fault> {
        let lease = self.lease().await?;
        let begin = format!("BEGIN READ ONLY; {}", self.time_limit(attempt.deadline));
        let answer = self.read_on(lease.client(), &begin, statement).await;
        settle(lease, answer, AFTER_READ, AFTER_READ).map(|written| written.returned)
    }

    async fn read_on(
        &self,
        client: &Client,
        begin: &str,
        statement: &Statement,
    ) -> Result<Written, Fault> {
        let begun = client.batch_execute(begin);
        let ready = prepare(client, begun, statement).await?;
        self.run(client, &ready, ready_ok()).await
    }

    /// Runs the statements in one transaction, all or nothing.
    pub(crate) async fn write(
        &self,
        attempt: &Attempt,
        statements: &[Statement],
        isolation: Isolation,
    ) -> Result<Vec<Written>, Fault> {
        let lease = self.lease().await?;
        let begin = self.begin(isolation, attempt.deadline);
        let answer = self
            .write_on(lease.client(), &begin, attempt, statements)
            .await;
        settle(lease, answer, AFTER_COMMIT, AFTER_FAILURE)
    }

    async fn write_on(
        &self,
        client: &Client,
        begin: &str,
        attempt: &Attempt,
        statements: &[Statement],
    ) -> Result<Vec<Written>, Fault> {
        if let [statement] = statements {
            let ready = prepare(client, client.batch_execute(begin), statement).await;
            let ready = ready.map_err(|fault| fault.in_operation(0))?;
            let written = self.write_alone(client, attempt, &ready).await;
            return Ok(vec![written.map_err(|fault| fault.in_operation(0))?]);
        }
        client
            .batch_execute(begin)
            .await
            .map_err(|error| unsent(fault_of(&error)))?;
        let written = self.run_each(client, statements).await?;
        attempt.mark_sent();
        client
            .batch_execute("COMMIT")
            .await
            .map_err(|error| fault_of(&error))?;
        Ok(written)
    }

    /// Each statement of a transaction that has begun, in order; the fault names the one that failed.
    pub(super) async fn run_each(
        &self,
        client: &Client,
        statements: &[Statement],
    ) -> Result<Vec<Written>, Fault> {
        let mut written = Vec::with_capacity(statements.len());
        for (index, statement) in statements.iter().enumerate() {
            let done = async {
                let ready = prepare(client, ready_ok(), statement).await?;
                self.run(client, &ready, ready_ok()).await
            };
            // Before COMMIT is sent, a broken connection means that nothing was done.
            written.push(
                done.await
                    .map_err(|fault| unsent(fault).in_operation(index))?,
            );
        }
        Ok(written)
    }

    /// COMMIT travels with a statement that returns no rows. One with rows commits when they fit the limits.
    async fn write_alone(
        &self,
        client: &Client,
        attempt: &Attempt,
        ready: &Ready,
    ) -> Result<Written, Fault> {
        attempt.mark_sent();
        if ready.columns.is_empty() {
            return self
                .run(client, ready, client.batch_execute("COMMIT"))
                .await;
        }
        let written = self.run(client, ready, ready_ok()).await?;
        client
            .batch_execute("COMMIT")
            .await
            .map_err(|error| fault_of(&error))?;
        Ok(written)
    }

    /// Runs a prepared statement, with `after` sent right behind it.
    pub(super) async fn run(
        &self,
        client: &Client,
        ready: &Ready,
        after: impl Future<Output = Result<(), PgError>>,
    ) -> Result<Written, Fault> {
        let run = async {
            let stream = client.query_raw(&ready.prepared, ready.params.iter()).await;
            collect(
                stream.map_err(|error| fault_of(&error))?,
                &ready.columns,
                self.limits,
            )
            .await
        };
        let (written, after) = join(run, after).await;
        let written = written?;
        after.map_err(|error| fault_of(&error))?;
        Ok(written)
    }

    /// Opens a transaction that writes.
    pub(super) fn begin(&self, isolation: Isolation, deadline: Moment) -> String {
        let limit = self.time_limit(deadline);
        format!("BEGIN ISOLATION LEVEL {}; {limit}", isolation.sql())
    }

    fn time_limit(&self, deadline: Moment) -> String {
        let left = deadline.saturating_since(self.clock.now());
        let limit = left.saturating_sub(HEADROOM).max(left / 2).max(SHORTEST);
        format!("SET LOCAL statement_timeout = {}", limit.as_millis())
    }
}

fn ready_ok() -> impl Future<Output = Result<(), PgError>> {
    ready(Ok(()))
}

/// Prepares the statement while `begun` is on its way. PostgreSQL itself refuses to prepare two statements.
async fn prepare(
    client: &Client,
    begun: impl Future<Output = Result<(), PgError>>,
    statement: &Statement,
) -> Result<Ready, Fault> {
    let (begun, prepared) = join(begun, client.prepare(&statement.query)).await;
    begun.map_err(|error| unsent(fault_of(&error)))?;
    let prepared = prepared.map_err(|error| unsent(fault_of(&error)))?;
    let columns = prepared.columns().iter().map(|column| Column {
        name: column.name().to_owned(),
        r#type: column.type_().name().to_owned(),
    });
    let columns = columns.collect();
    let params = params::encode_all(prepared.params(), &statement.params)?;
    let prepared = text_columns::readable(client, &statement.query, prepared)
        .await
        .map_err(unsent)?;
    Ok(Ready {
        prepared,
        columns,
        params,
    })
}

/// The rows, as long as they fit: they are counted while they arrive, so that memory stays bounded.
async fn collect(stream: RowStream, columns: &[Column], limits: Limits) -> Result<Written, Fault> {
    let mut stream = pin!(stream);
    let (mut rows, mut bytes) = (Vec::new(), 0);
    while let Some(row) = stream.try_next().await.map_err(|error| fault_of(&error))? {
        bytes += row.raw_size_bytes();
        if rows.len() == limits.rows {
            return Err(Fault::too_large(format_args!("{} rows", limits.rows)));
        }
        if bytes > limits.bytes {
            return Err(Fault::too_large(format_args!("{} bytes", limits.bytes)));
        }
        let cells: Result<Vec<_>, Fault> = (0..columns.len())
            .map(|i| cell(&row, i, &columns[i]))
            .collect();
        rows.push(cells?);
    }
    let rows_affected = stream.rows_affected().unwrap_or(0);
    Ok(Written {
        rows_affected,
        returned: Rows {
            columns: columns.to_vec(),
            rows,
        },
    })
}

fn cell(
    row: &tokio_postgres::Row,
    index: usize,
    column: &Column,
) -> Result<serde_json::Value, Fault> {
    let value = row.try_get::<_, Cell>(index).map(|cell| cell.0);
    value.map_err(|_| {
        let detail = format!(
            "column {0} holds a {1} that has no JSON form: cast it, {0}::text",
            column.name, column.r#type
        );
        Fault::midway(
            Error::new(ErrorKind::Unsupported, detail)
                .field("query")
                .dependency(DATABASE),
        )
    })
}

/// The same fault, of a connection on which nothing was committed.
pub(super) fn unsent(fault: Fault) -> Fault {
    Fault {
        unanswered: false,
        ..fault
    }
}

/// Gives the connection back when its state is known: after an answer, and after the server's own "no".
pub(super) fn settle<T>(
    lease: Lease,
    answer: Result<T, Fault>,
    good: &'static str,
    bad: &'static str,
) -> Result<T, Fault> {
    match &answer {
        Ok(_) => lease.give_back_after(good),
        Err(fault) if !fault.abandon => lease.give_back_after(bad),
        Err(_) => drop(lease),
    }
    answer
}
