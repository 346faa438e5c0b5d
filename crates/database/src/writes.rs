//! Writes and transactions: carried out, refused with nothing done, or of unknown outcome. Never queued.

use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_runtime::{Answer, Attempt, Call, CallError, Context, Error, ErrorKind, Source};

use crate::client::Database;
use crate::ended::{Ended, Trouble, into_error};
use crate::fault::{DATABASE, Fault, outcome_unknown};
use crate::keyed::{IdempotencyKey, KeyId, Keyed, Kind, Outcome, fingerprint};
use crate::sql;
use crate::statement::{Isolation, Statement, WriteMode, Written};
use crate::write_mode::Primary;

/// What is to be written.
pub(crate) struct Work<'a> {
    operation: &'static str,
    statements: &'a [Statement],
    isolation: Isolation,
    keyed: Option<Keyed>,
}

impl<'a> Work<'a> {
    /// A deferred write; its statement was checked at the start.
    pub(crate) fn deferred(statement: &'a Statement, keyed: Keyed) -> Self {
        Self {
            operation: "deferred",
            statements: std::slice::from_ref(statement),
            isolation: Isolation::ReadCommitted,
            keyed: Some(keyed),
        }
    }
}

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
        self.write_once(ctx, statement, None).await
    }

    /// The same, at most once for all requests of this caller with this key: later ones get the first outcome with its age.
    ///
    /// # Errors
    /// Those of [`Database::write`] and: `Conflict` worth a retry, while a request with the key runs; `KeyReused`, it was
    /// another request. A write that failed changed nothing and leaves its key free. After `OutcomeUnknown` the same
    /// request tells the truth.
    ///
    /// # Cancel safety
    /// As [`Database::write`]; the same request tells the truth.
    pub async fn write_once(
        &self,
        ctx: &Context,
        statement: Statement,
        key: Option<&IdempotencyKey>,
    ) -> Result<Answer<Written>, Error> {
        let statements = [statement];
        let isolation = Isolation::ReadCommitted;
        let work = Work {
            operation: "write",
            statements: &statements,
            isolation,
            keyed: key.map(|key| self.keyed(ctx, key, Kind::Write, &statements, isolation)),
        };
        match self.write_all(ctx, work).await {
            Ok(answer) => Ok(answer.map(first)),
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
        self.transaction_once(ctx, operations, isolation, None)
            .await
    }

    /// The same, at most once for all requests of this caller with this key.
    ///
    /// # Errors
    /// Those of [`Database::transaction`] and [`Database::write_once`].
    ///
    /// # Cancel safety
    /// As [`Database::write_once`].
    pub async fn transaction_once(
        &self,
        ctx: &Context,
        operations: Vec<Statement>,
        isolation: Isolation,
        key: Option<&IdempotencyKey>,
    ) -> Result<Answer<Vec<Written>>, Error> {
        let kind = Kind::Transaction;
        let work = Work {
            operation: "transaction",
            statements: &operations,
            isolation,
            keyed: key.map(|key| self.keyed(ctx, key, kind, &operations, isolation)),
        };
        self.write_all(ctx, work).await
    }

    fn keyed(
        &self,
        ctx: &Context,
        key: &IdempotencyKey,
        kind: Kind,
        statements: &[Statement],
        isolation: Isolation,
    ) -> Keyed {
        let id = KeyId::new(ctx.caller, key);
        Keyed::new(
            id,
            kind,
            fingerprint(kind, statements, isolation),
            self.kept,
        )
    }

    async fn write_all(
        &self,
        ctx: &Context,
        work: Work<'_>,
    ) -> Result<Answer<Vec<Written>>, Error> {
        let started = self.guard().now();
        let admitted = self.check_all(work.statements).and_then(|()| {
            // Held until the write has ended: the same request at the same time is told to wait.
            let keyed = work.keyed.as_ref();
            keyed.map(|keyed| self.running.enter(keyed)).transpose()
        });
        let _turn = admitted.map_err(|error| {
            let error = error.dependency(DATABASE);
            self.report(work.operation, started, Err(&error), None);
            error
        })?;
        self.write_work(ctx, &work).await.0
    }

    /// Carries out what was admitted; tells, too, why the database didn't do its work, if it didn't.
    pub(crate) async fn write_work(
        &self,
        ctx: &Context,
        work: &Work<'_>,
    ) -> (Result<Answer<Vec<Written>>, Error>, Option<Trouble>) {
        let started = self.guard().now();
        let mut trouble = None;
        let answer = self.write_admitted(ctx, work, &mut trouble).await;
        self.primary.writes.fetch_add(1, Ordering::AcqRel);
        let source = answer.as_ref().map(|_| &Source::Primary);
        self.report(work.operation, started, source, trouble);
        let answer = answer.map(|outcome| Answer {
            value: outcome.written,
            source: Source::Primary,
            age: outcome.age,
        });
        (answer, trouble)
    }

    async fn write_admitted(
        &self,
        ctx: &Context,
        work: &Work<'_>,
        trouble: &mut Option<Trouble>,
    ) -> Result<Outcome, Error> {
        if self.write_mode() == WriteMode::ReadOnly {
            *trouble = Some(Trouble::Refused);
            return Err(self.read_only());
        }
        let unanswered = AtomicBool::new(false);
        let ended = match self.write_primary(ctx, work, &unanswered).await {
            Ok(outcome) => return Ok(outcome),
            Err(ended) => ended,
        };
        let is_unknown =
            unanswered.into_inner() || matches!(ended, CallError::Deadline { sent: true });
        let takes_no_writes = matches!(&ended, CallError::Failed(fault) if fault.read_only);
        if takes_no_writes {
            self.primary.set_read_only();
        }
        *trouble = Trouble::of(&ended).or(takes_no_writes.then_some(Trouble::Refused));
        Err(match ended {
            _ if is_unknown && trouble.is_some() => outcome_unknown(),
            CallError::Rejected(_) => self.read_only(),
            _ if takes_no_writes => self.read_only(),
            ended => into_error(ended),
        })
    }

    /// Notes in `unanswered` whether any attempt went out and got no answer: a later one that failed proves nothing.
    async fn write_primary(
        &self,
        ctx: &Context,
        work: &Work<'_>,
        unanswered: &AtomicBool,
    ) -> Result<Outcome, Ended> {
        let Primary { guard, driver, .. } = &*self.primary;
        let (statements, isolation) = (work.statements, work.isolation);
        let write = async |attempt: Attempt| {
            let done = match &work.keyed {
                None => driver
                    .write(&attempt, statements, isolation)
                    .await
                    .map(Outcome::fresh),
                Some(keyed) => {
                    driver
                        .write_keyed(&attempt, statements, isolation, keyed)
                        .await
                }
            };
            if done.as_ref().is_err_and(|fault| fault.unanswered) {
                unanswered.store(true, Ordering::Relaxed);
            }
            done
        };
        let mut call = Call::new(work.operation, ctx);
        if work.keyed.is_some() {
            call = call.idempotent();
        }
        guard.call(call, |fault: &Fault| fault.verdict, write).await
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

/// What the only statement did.
pub(crate) fn first(written: Vec<Written>) -> Written {
    written.into_iter().next().unwrap_or_default()
}
