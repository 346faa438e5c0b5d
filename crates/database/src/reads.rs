//! Reads: the primary, else the replica, else this caller's earlier result, else the truth.

use std::sync::Arc;
use std::time::Duration;

use mainstay_runtime::{Answer, Attempt, Call, CallError, Context, Error, Source};

use crate::cache;
use crate::client::{Database, Replica};
use crate::ended::{Ended, Trouble, into_error};
use crate::fault::{DATABASE, Fault};
use crate::sql;
use crate::statement::{Rows, Statement};
use crate::write_mode::Primary;

/// What the replica gets when the primary can't answer, and what the primary leaves it of the deadline.
const REPLICA: Duration = Duration::from_millis(200);

impl Database {
    /// Runs one statement that reads. When the primary can't answer: the replica, then this caller's earlier result with its age.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, for a statement that writes, too; `Forbidden`, `Conflict`, `TooLarge`, `Unsupported`,
    /// `Timeout`, `Busy`, `Unavailable`.
    ///
    /// # Cancel safety
    /// Dropped, the statement is cancelled on the server.
    pub async fn read(
        &self,
        ctx: &Context,
        statement: Statement,
    ) -> Result<Answer<Arc<Rows>>, Error> {
        let started = self.guard().now();
        let mut trouble = None;
        let answer = match sql::check(&statement.query, self.dialect) {
            Err(error) => Err(error.dependency(DATABASE)),
            Ok(()) => self.read_somewhere(ctx, &statement, &mut trouble).await,
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
        statement: &Statement,
        trouble: &mut Option<Trouble>,
    ) -> Result<Answer<Arc<Rows>>, Error> {
        let key = cache::key(ctx.caller, statement);
        let ended = match self.read_primary(ctx, statement).await {
            Ok(rows) => return Ok(self.keep(key, rows, Source::Primary)),
            Err(ended) => ended,
        };
        let Some(found) = Trouble::of(&ended) else {
            return Err(into_error(ended));
        };
        *trouble = Some(found);
        if !matches!(ended, CallError::Busy { .. })
            && let Some(rows) = self.read_replica(ctx, statement).await
        {
            return Ok(self.keep(key, rows, Source::Replica));
        }
        match self.cache.get(&key, self.guard().now()) {
            Some((rows, age)) => Ok(Answer::aged(rows, Source::Cache, age)),
            None => Err(into_error(ended)),
        }
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

    async fn read_replica(&self, ctx: &Context, statement: &Statement) -> Option<Rows> {
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

    fn keep(&self, key: cache::Key, rows: Rows, source: Source) -> Answer<Arc<Rows>> {
        let rows = Arc::new(rows);
        self.cache.put(key, Arc::clone(&rows), self.guard().now());
        Answer::fresh(rows, source)
    }
}
