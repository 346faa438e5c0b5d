//! Writes and transactions: carried out, refused with nothing done, or of unknown outcome. Never queued.

use std::sync::atomic::Ordering;

use mainstay_runtime::{Answer, Attempt, Call, CallError, Context, Error, ErrorKind, Source};

use crate::client::Database;
use crate::ended::{Trouble, into_error};
use crate::fault::{DATABASE, Fault, outcome_unknown};
use crate::sql;
use crate::statement::{Isolation, Statement, WriteMode, Written};
use crate::write_mode::Primary;

impl Database {
    /// Runs one statement that may write, in a transaction of its own.
    ///
    /// # Errors
    /// Those of [`Database::read`] and: `ReadOnly`, nothing was executed; `OutcomeUnknown`, it may have been.
    ///
    /// # Cancel safety
    /// Dropped, the statement is cancelled on the server; whether it had been carried out is unknown.
    pub async fn write(
        &self,
        ctx: &Context,
        statement: Statement,
    ) -> Result<Answer<Written>, Error> {
        let written = self
            .write_all("write", ctx, &[statement], Isolation::ReadCommitted)
            .await;
        match written {
            Ok(answer) => Ok(answer.map(|written| written.into_iter().next().unwrap_or_default())),
            Err(mut error) => {
                error.field = error
                    .field
                    .map(|field| field.replacen("operations[0].", "", 1));
                Err(error)
            }
        }
    }

    /// Runs the statements in one transaction: all or nothing.
    ///
    /// # Errors
    /// Those of [`Database::write`]; fields are those of `operations[i]`. A serialization failure or a deadlock is a
    /// `Conflict` that is worth a retry.
    ///
    /// # Cancel safety
    /// As [`Database::write`].
    pub async fn transaction(
        &self,
        ctx: &Context,
        operations: Vec<Statement>,
        isolation: Isolation,
    ) -> Result<Answer<Vec<Written>>, Error> {
        self.write_all("transaction", ctx, &operations, isolation)
            .await
    }

    async fn write_all(
        &self,
        operation: &'static str,
        ctx: &Context,
        statements: &[Statement],
        isolation: Isolation,
    ) -> Result<Answer<Vec<Written>>, Error> {
        let started = self.guard().now();
        let mut trouble = None;
        let answer = match self.check_all(statements) {
            Err(error) => Err(error.dependency(DATABASE)),
            Ok(()) if self.write_mode() == WriteMode::ReadOnly => {
                trouble = Some(Trouble::Refused);
                Err(self.read_only())
            }
            Ok(()) => {
                self.write_primary(operation, ctx, statements, isolation, &mut trouble)
                    .await
            }
        };
        self.primary.writes.fetch_add(1, Ordering::AcqRel);
        self.report(
            operation,
            started,
            answer.as_ref().map(|_| &Source::Primary),
            trouble,
        );
        answer.map(|written| Answer::fresh(written, Source::Primary))
    }

    async fn write_primary(
        &self,
        operation: &'static str,
        ctx: &Context,
        statements: &[Statement],
        isolation: Isolation,
        trouble: &mut Option<Trouble>,
    ) -> Result<Vec<Written>, Error> {
        let Primary { guard, driver, .. } = &*self.primary;
        let write = async |attempt: Attempt| driver.write(&attempt, statements, isolation).await;
        let ended = match guard
            .call(
                Call::new(operation, ctx),
                |fault: &Fault| fault.verdict,
                write,
            )
            .await
        {
            Ok(written) => return Ok(written),
            Err(ended) => ended,
        };
        *trouble = Trouble::of(&ended);
        Err(match ended {
            CallError::Rejected(_) => self.read_only(),
            CallError::Deadline { sent: true } => outcome_unknown(),
            CallError::Failed(fault) if fault.unanswered => outcome_unknown(),
            CallError::Failed(fault) if fault.read_only => {
                self.primary.set_read_only();
                *trouble = Some(Trouble::Refused);
                self.read_only()
            }
            ended => into_error(ended),
        })
    }

    fn check_all(&self, statements: &[Statement]) -> Result<(), Error> {
        if statements.is_empty() {
            return Err(Error::invalid("operations", "there is no statement in it"));
        }
        for (index, statement) in statements.iter().enumerate() {
            let checked = sql::check(&statement.query, self.dialect);
            checked.map_err(|error| error.field(format!("operations[{index}].query")))?;
        }
        Ok(())
    }

    fn read_only(&self) -> Error {
        let detail = "the database takes no writes at present; nothing was executed";
        Error::new(ErrorKind::ReadOnly, detail)
            .dependency(DATABASE)
            .retry_after(self.primary.retry_after())
    }
}
