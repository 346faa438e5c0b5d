//! Reads: the primary, else the replica, else this caller's earlier result, else the truth.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_breaker::State;
use mainstay_runtime::{
    Answer, Attempt, Boarding, Call, CallError, Context, Error, ErrorKind, Source,
};

use crate::cache::Key;
use crate::client::{Database, Replica};
use crate::ended::{Ended, Landed, Trouble, into_error};
use crate::fault::{DATABASE, Fault};
use crate::sql;
use crate::statement::{Rows, Statement};
use crate::write_mode::Primary;

/// What the replica gets when the primary can't answer, and what the primary leaves it of the deadline.
pub(crate) const REPLICA: Duration = Duration::from_millis(200);

impl Database {
    /// Runs one statement that reads. When the primary can't answer: the replica, then this caller's earlier result with its age.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, for a statement that writes, too; `Forbidden`, `Conflict`, `TooLarge`, `Unsupported`,
    /// `Timeout`, `Busy`, `Unavailable`.
    ///
    /// # Cancel safety
    /// Dropped, the statement is cancelled on the server, unless an identical read of the same caller waits for it, too.
    pub async fn read(
        &self,
        ctx: &Context,
        statement: Statement,
    ) -> Result<Answer<Arc<Rows>>, Error> {
        self.read_within(ctx, statement, None).await
    }

    /// The same, and nothing older than `max_age`.
    ///
    /// # Errors
    /// Those of [`Database::read`]: `Unavailable`, too, when all there is, is older.
    ///
    /// # Cancel safety
    /// As [`Database::read`].
    pub async fn read_within(
        &self,
        ctx: &Context,
        statement: Statement,
        max_age: Option<Duration>,
    ) -> Result<Answer<Arc<Rows>>, Error> {
        let started = self.guard().now();
        let mut trouble = None;
        let answer = match sql::check(&statement.query, self.dialect) {
            Err(error) => Err(error.dependency(DATABASE)),
            Ok(()) => {
                self.read_somewhere(ctx, statement, max_age, &mut trouble)
                    .await
            }
        };
        self.report(
            "read",
            started,
            answer.as_ref().map(|answer| &answer.source),
            trouble,
        );
        answer
    }

    async fn read_somewhere(
        &self,
        ctx: &Context,
        statement: Statement,
        max_age: Option<Duration>,
        trouble: &mut Option<Trouble>,
    ) -> Result<Answer<Arc<Rows>>, Error> {
        let key = self.keys.of(ctx.caller, &statement);
        let ended = match self.read_together(ctx, key, statement, max_age).await {
            Ok(answer) => return Ok(answer),
            Err(ended) => ended,
        };
        let Some(found) = Trouble::of(&ended) else {
            return Err(into_error(ended));
        };
        *trouble = Some(found);
        match self.cache.get(&key).await {
            Some((rows, age)) if max_age.is_none_or(|most| age <= most) => {
                Ok(Answer::aged(rows, Source::Cache, age))
            }
            Some((_, age)) => Err(too_old(into_error(ended), age)),
            None => Err(into_error(ended)),
        }
    }

    /// Alone in good times. While there is no earlier result, the database is in trouble, or another dependency's
    /// outage sends its load here, with those who ask the same: nobody's return or failure is a stampede. Only with the
    /// same caller's, since each has its own view of what is in there.
    async fn read_together(
        &self,
        ctx: &Context,
        key: Key,
        statement: Statement,
        max_age: Option<Duration>,
    ) -> Result<Answer<Arc<Rows>>, Ended> {
        let instead = ctx.instead_of.is_some();
        if self.cache.has(&key) && !instead && !self.is_troubled() {
            let (rows, source) = self.read_alone(ctx, key, &statement).await?;
            return Ok(Answer::fresh(rows, source));
        }
        let clock = self.guard().clock();
        loop {
            let boarding = Boarding {
                key: (key, instead),
                now: clock.now(),
                writes: self.primary.writes.load(Ordering::Acquire),
                max_age,
            };
            let (flight, joined) = self.flights.board(boarding, || {
                let (database, ctx, statement) = (self.clone(), *ctx, statement.clone());
                async move { database.read_alone(&ctx, key, &statement).await }.boxed()
            });
            let Some(age) = joined else {
                let (rows, source) = flight.await?;
                return Ok(Answer::fresh(rows, source));
            };
            match clock.until(ctx.deadline, flight).await {
                Ok(Ok((rows, source))) => return Ok(Answer::aged(rows, source, age)),
                // The deadline of who began it: ours is later, as long as the loop goes on.
                Ok(Err(ended)) if is_out_of_time(&ended) && clock.now() < ctx.deadline => {}
                Ok(Err(ended)) => return Err(ended),
                Err(_elapsed) => return Err(CallError::Deadline { sent: false }),
            }
        }
    }

    fn is_troubled(&self) -> bool {
        let guard = self.guard();
        guard.state() != State::Closed
            || guard.is_threatened()
            || self.primary.failed_last.load(Ordering::Relaxed)
    }

    async fn read_alone(&self, ctx: &Context, key: Key, statement: &Statement) -> Landed {
        let primary = self.read_primary(ctx, statement).await;
        let failed = primary.as_ref().err().and_then(Trouble::of);
        let failed = matches!(failed, Some(Trouble::Failed(_)));
        self.primary.failed_last.store(failed, Ordering::Relaxed);
        let (rows, source) = match primary {
            Ok(rows) => (rows, Source::Primary),
            Err(ended) => match self.read_replica(ctx, statement, &ended).await {
                Some(rows) => (rows, Source::Replica),
                None => return Err(ended),
            },
        };
        let rows = Arc::new(rows);
        let earlier = self.cache.put(key, Arc::clone(&rows));
        if source == Source::Primary {
            self.exercise(ctx, (key, statement), &rows, earlier);
        }
        Ok((rows, source))
    }

    async fn read_primary(&self, ctx: &Context, statement: &Statement) -> Result<Rows, Ended> {
        let mut call = Call::new("read", ctx).idempotent();
        if self.replica.is_some() {
            call = call.no_later_than(ctx.deadline - REPLICA);
        }
        let Primary { guard, driver, .. } = &*self.primary;
        guard
            .call(
                call,
                |fault: &Fault| fault.verdict,
                async |attempt: Attempt| driver.read(&attempt, statement).await,
            )
            .await
    }

    /// Not when only our own places are taken: the primary is fine then.
    async fn read_replica(
        &self,
        ctx: &Context,
        statement: &Statement,
        ended: &Ended,
    ) -> Option<Rows> {
        if Trouble::of(ended).is_none() || matches!(ended, CallError::Busy { .. }) {
            return None;
        }
        let Replica { guard, driver } = &**self.replica.as_ref()?;
        let call = Call::new("read", ctx).no_later_than(guard.now() + REPLICA);
        guard
            .call(
                call,
                |fault: &Fault| fault.verdict,
                async |attempt: Attempt| driver.read(&attempt, statement).await,
            )
            .await
            .ok()
    }
}

fn is_out_of_time(ended: &Ended) -> bool {
    match ended {
        CallError::Deadline { .. } => true,
        CallError::Failed(fault) => fault.error.kind == ErrorKind::Timeout,
        CallError::Rejected(_) | CallError::Busy { .. } => false,
    }
}

fn too_old(error: Error, age: Duration) -> Error {
    let detail = format!(
        "{}; the last known result is {} s old, older than max_age",
        error.detail,
        age.as_secs()
    );
    Error { detail, ..error }
}
