//! Reads and writes.

use std::sync::atomic::Ordering;

use mainstay_runtime::{Attempt, Error, ErrorKind};
use rusqlite::Statement as Prepared;

use super::error::{commit_fault, fault_of};
use super::pool::{Access, Session, Sqlite};
use super::values::{self, Declared};
use crate::fault::Fault;
use crate::statement::{Column, Limits, Rows, Statement, Written};

impl Sqlite {
    /// Runs one statement on a connection that can only read.
    pub(crate) async fn read(
        &self,
        attempt: &Attempt,
        statement: &Statement,
    ) -> Result<Rows, Fault> {
        let (statement, limits) = (statement.clone(), self.limits);
        let read = move |session: &mut Session| session.execute(&statement, limits);
        let answer = self.with(Access::Read, attempt.deadline, read).await;
        // A reader's "read-only" is about the statement, not about the database.
        answer
            .map(|written| written.returned)
            .map_err(|fault| Fault {
                read_only: false,
                ..fault
            })
    }

    /// Runs the statements in one transaction, all or nothing.
    pub(crate) async fn write(
        &self,
        attempt: &Attempt,
        statements: &[Statement],
    ) -> Result<Vec<Written>, Fault> {
        let (statements, limits) = (statements.to_vec(), self.limits);
        attempt.mark_sent();
        let write = move |session: &mut Session| session.transaction(&statements, limits);
        self.with(Access::Write, attempt.deadline, write).await
    }
}

impl Session {
    /// A failure leaves the transaction open: the pool rolls it back.
    fn transaction(
        &mut self,
        statements: &[Statement],
        limits: Limits,
    ) -> Result<Vec<Written>, Fault> {
        self.control("BEGIN IMMEDIATE")?;
        let written = self.execute_all(statements, limits)?;
        self.commit()?;
        Ok(written)
    }

    pub(super) fn execute_all(
        &self,
        statements: &[Statement],
        limits: Limits,
    ) -> Result<Vec<Written>, Fault> {
        let run = |(index, statement)| {
            let done = self.execute(statement, limits);
            done.map_err(|fault| fault.in_operation(index))
        };
        statements.iter().enumerate().map(run).collect()
    }

    /// Unless nobody waits for it any more.
    pub(super) fn commit(&self) -> Result<(), Fault> {
        if self.stop.load(Ordering::Relaxed) {
            return Err(fault_of(&interrupted()));
        }
        self.ours_only("COMMIT")
            .map_err(|error| commit_fault(&error))
    }

    pub(super) fn control(&self, sql: &str) -> Result<(), Fault> {
        self.ours_only(sql).map_err(|error| fault_of(&error))
    }

    /// Runs what the authorizer lets only us run.
    pub(super) fn ours_only(&self, sql: &str) -> rusqlite::Result<()> {
        self.ours.store(true, Ordering::Relaxed);
        let done = self.connection.execute_batch(sql);
        self.ours.store(false, Ordering::Relaxed);
        done
    }

    fn execute(&self, statement: &Statement, limits: Limits) -> Result<Written, Fault> {
        let before = self.connection.total_changes();
        let mut prepared = self
            .connection
            .prepare(&statement.query)
            .map_err(|error| fault_of(&error))?;
        bind_all(&mut prepared, statement)?;
        let returned = collect(&mut prepared, limits)?;
        let rows_affected = if prepared.readonly() {
            returned.rows.len() as u64
        } else {
            self.affected(before)
        };
        Ok(Written {
            rows_affected,
            returned,
        })
    }

    /// Rows that the last statement changed itself, without those of triggers; none when it was no such statement.
    fn affected(&self, total_before: u64) -> u64 {
        if self.connection.total_changes() == total_before {
            0
        } else {
            self.connection.changes()
        }
    }
}

fn bind_all(prepared: &mut Prepared<'_>, statement: &Statement) -> Result<(), Fault> {
    let (wanted, given) = (prepared.parameter_count(), statement.params.len());
    if wanted != given {
        let detail = format!("the statement takes {wanted} parameters, {given} were given");
        return Err(Error::invalid("params", detail).into());
    }
    for (index, value) in statement.params.iter().enumerate() {
        let value = values::bind(value, &format!("params[{index}]"))?;
        prepared
            .raw_bind_parameter(index + 1, value)
            .map_err(|error| fault_of(&error))?;
    }
    Ok(())
}

fn collect(prepared: &mut Prepared<'_>, limits: Limits) -> Result<Rows, Fault> {
    let columns: Vec<Column> = prepared
        .columns()
        .map(|column| Column {
            name: column.name().to_owned(),
            r#type: column.decl_type().unwrap_or_default().to_owned(),
        })
        .collect();
    let declared: Vec<Declared> = columns
        .iter()
        .map(|column| Declared::new(&column.r#type))
        .collect();
    let (mut rows, mut bytes) = (Vec::new(), 0);
    let mut found = prepared.raw_query();
    while let Some(row) = found.next().map_err(|error| fault_of(&error))? {
        if rows.len() == limits.rows {
            return Err(Fault::too_large(format_args!("{} rows", limits.rows)));
        }
        let mut cells = Vec::with_capacity(columns.len());
        for (index, declared) in declared.iter().enumerate() {
            let value = row.get_ref(index).map_err(|error| fault_of(&error))?;
            bytes += values::length(value);
            cells.push(values::read(value, *declared).map_err(|_| not_text(&columns[index]))?);
        }
        if bytes > limits.bytes {
            return Err(Fault::too_large(format_args!("{} bytes", limits.bytes)));
        }
        rows.push(cells);
    }
    drop(found);
    Ok(Rows { columns, rows })
}

fn not_text(column: &Column) -> Fault {
    let detail = format!(
        "column {0} holds text that is not UTF-8: read it as hex({0})",
        column.name
    );
    Fault::request(Error::new(ErrorKind::Unsupported, detail).field("query"))
}

fn interrupted() -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_INTERRUPT),
        None,
    )
}
