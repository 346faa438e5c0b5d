//! The guarded database: reads with their fallbacks, writes that are refused rather than queued.

use std::sync::Arc;
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment};
use mainstay_runtime::{
    Answer, Attempt, Call, CallError, Context, EndpointSpec, EngineBuilder, Error, ErrorKind, Guard, Probe, Report, Source, Status,
};

use crate::cache::{self, Cache};
use crate::driver::Driver;
use crate::fault::{DATABASE, Fault, outcome_unknown};
use crate::postgres::{Postgres, PostgresUrl};
use crate::probe::PrimaryProbe;
use crate::settings::{Settings, Target};
use crate::sql::{self, Dialect};
use crate::sqlite::Sqlite;
use crate::statement::{Isolation, Rows, Statement, WriteMode, Written};
use crate::write_mode::Primary;

/// What the replica gets when the primary can't answer, and what the primary leaves it of the deadline.
const REPLICA: Duration = Duration::from_millis(200);
/// Said when nothing better is known about when a failed endpoint is back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The dependency `database`. Cheap to clone; every clone shares everything.
#[derive(Clone)]
pub struct Database {
    primary: Arc<Primary>,
    replica: Option<Arc<Replica>>,
    cache: Arc<Cache>,
    dialect: Dialect,
}

/// The read replica.
pub(crate) struct Replica {
    pub(crate) guard: Guard,
    pub(crate) driver: Driver,
}

/// How a guarded read or write ended without its value.
type Ended = CallError<Fault>;

impl Database {
    /// Registers the endpoints and their probes with the engine. Opens no connection: a server that is down is no error here.
    ///
    /// # Errors
    /// Settings that make no sense, and TLS that can't be set up as the URL asks.
    pub fn connect(settings: Settings, engine: &mut EngineBuilder) -> Result<Self, Error> {
        let guard = endpoint(engine, "database", &settings)?;
        let (driver, dialect) = match &settings.target {
            Target::Postgres(url) => (postgres(url, &settings, &guard)?, Dialect::Postgres),
            Target::Sqlite(path) => (Driver::Sqlite(Sqlite::new(path, settings.limits, guard.clock())), Dialect::Sqlite),
        };
        let primary = Arc::new(Primary::new(guard, driver));
        engine.probe(&primary.guard, Arc::new(PrimaryProbe(Arc::clone(&primary))));
        let replica = settings.replica.as_ref().map(|url| connect_replica(url, &settings, engine)).transpose()?;
        Ok(Self { primary, replica, cache: Arc::new(Cache::new(settings.cache)), dialect })
    }

    /// Runs one statement that reads. When the primary can't answer: the replica, then this caller's earlier result with its age.
    ///
    /// # Errors
    /// `InvalidInput` naming the field, for a statement that writes, too; `Forbidden`, `Conflict`, `TooLarge`, `Unsupported`,
    /// `Timeout`, `Busy`, `Unavailable`.
    ///
    /// # Cancel safety
    /// Dropped, the statement is cancelled on the server.
    pub async fn read(&self, ctx: &Context, statement: Statement) -> Result<Answer<Arc<Rows>>, Error> {
        let started = self.guard().now();
        let mut trouble = None;
        let answer = match sql::check(&statement.query, self.dialect) {
            Err(error) => Err(error.dependency(DATABASE)),
            Ok(()) => self.read_somewhere(ctx, &statement, &mut trouble).await,
        };
        self.report("read", started, answer.as_ref().map(|answer| &answer.source), trouble);
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
        let Some(found) = Trouble::of(&ended) else { return Err(into_error(ended)) };
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
        guard.call(call, |fault: &Fault| fault.verdict, async |attempt: Attempt| driver.read(&attempt, statement).await).await
    }

    async fn read_replica(&self, ctx: &Context, statement: &Statement) -> Option<Rows> {
        let Replica { guard, driver } = &**self.replica.as_ref()?;
        let call = Call::new("read", ctx).no_later_than(guard.now() + REPLICA);
        guard.call(call, |fault: &Fault| fault.verdict, async |attempt: Attempt| driver.read(&attempt, statement).await).await.ok()
    }

    fn keep(&self, key: cache::Key, rows: Rows, source: Source) -> Answer<Arc<Rows>> {
        let rows = Arc::new(rows);
        self.cache.put(key, Arc::clone(&rows), self.guard().now());
        Answer::fresh(rows, source)
    }

    /// Runs one statement that may write, in a transaction of its own.
    ///
    /// # Errors
    /// Those of [`Database::read`] and: `ReadOnly`, nothing was executed; `OutcomeUnknown`, it may have been.
    ///
    /// # Cancel safety
    /// Dropped, the statement is cancelled on the server; whether it had been carried out is unknown.
    pub async fn write(&self, ctx: &Context, statement: Statement) -> Result<Answer<Written>, Error> {
        let written = self.write_all("write", ctx, &[statement], Isolation::ReadCommitted).await;
        match written {
            Ok(answer) => Ok(answer.map(|written| written.into_iter().next().unwrap_or_default())),
            Err(mut error) => {
                error.field = error.field.map(|field| field.replacen("operations[0].", "", 1));
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
        self.write_all("transaction", ctx, &operations, isolation).await
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
            Ok(()) => self.write_primary(operation, ctx, statements, isolation, &mut trouble).await,
        };
        self.report(operation, started, answer.as_ref().map(|_| &Source::Primary), trouble);
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
        let ended = match guard.call(Call::new(operation, ctx), |fault: &Fault| fault.verdict, write).await {
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
        Error::new(ErrorKind::ReadOnly, detail).dependency(DATABASE).retry_after(self.primary.retry_after())
    }

    /// Whether writes are taken at present. Read-only ends by itself.
    pub fn write_mode(&self) -> WriteMode {
        self.primary.write_mode()
    }

    /// Open connections to the primary.
    pub fn pool_size(&self) -> usize {
        self.primary.driver.size()
    }

    /// The primary's guard: breaker, figures, clock.
    pub fn guard(&self) -> &Guard {
        &self.primary.guard
    }

    /// The replica's guard.
    pub fn replica_guard(&self) -> Option<&Guard> {
        self.replica.as_ref().map(|replica| &replica.guard)
    }

    /// Forgets all results kept for bad times.
    pub fn purge_cache(&self) {
        self.cache.clear();
    }

    pub(crate) fn primary_driver(&self) -> &Driver {
        &self.primary.driver
    }

    pub(crate) fn replica_driver(&self) -> Option<&Driver> {
        self.replica.as_ref().map(|replica| &replica.driver)
    }

    fn report(&self, operation: &'static str, started: Moment, source: Result<&Source, &Error>, trouble: Option<Trouble>) {
        let status = match (source, trouble) {
            (_, None) => Status::Success,
            (Ok(_), Some(_)) => Status::Fallback,
            (Err(_), Some(Trouble::Refused)) => Status::Rejected,
            (Err(_), Some(Trouble::Failed(_))) => Status::Failure,
        };
        let error = match trouble {
            Some(Trouble::Failed(kind)) => Some(kind),
            _ => None,
        };
        let elapsed = self.guard().now().saturating_since(started);
        let source = source.ok().cloned();
        self.guard().report(&Report { operation, status, source, error, elapsed });
    }
}

/// Why the primary didn't do its work, if it didn't: a correct "no" is no trouble.
#[derive(Clone, Copy)]
enum Trouble {
    Refused,
    Failed(FailureKind),
}

impl Trouble {
    fn of(ended: &Ended) -> Option<Self> {
        match ended {
            CallError::Rejected(_) | CallError::Busy { .. } => Some(Self::Refused),
            CallError::Deadline { .. } => Some(Self::Failed(FailureKind::Timeout)),
            CallError::Failed(fault) if fault.error.kind == ErrorKind::Busy => Some(Self::Refused),
            CallError::Failed(fault) => fault.verdict.failure_kind().map(Self::Failed),
        }
    }
}

fn into_error(ended: Ended) -> Error {
    let error = ended.into_error(DATABASE, |fault| fault.error);
    match (error.kind, error.retry_after) {
        (ErrorKind::Unavailable | ErrorKind::Busy, None) => error.retry_after(RETRY_AFTER),
        _ => error,
    }
}

fn endpoint(engine: &mut EngineBuilder, name: &str, settings: &Settings) -> Result<Guard, Error> {
    engine.endpoint(EndpointSpec {
        dependency: DATABASE.into(),
        name: name.into(),
        breaker: settings.breaker.clone(),
        limit: settings.limit,
        call_deadline: settings.call_deadline,
    })
}

fn postgres(url: &PostgresUrl, settings: &Settings, guard: &Guard) -> Result<Driver, Error> {
    let postgres = Postgres::new(url, settings.limit, settings.limits, settings.allow_superuser, guard.clock());
    postgres.map(Driver::Postgres)
}

fn connect_replica(url: &PostgresUrl, settings: &Settings, engine: &mut EngineBuilder) -> Result<Arc<Replica>, Error> {
    let guard = endpoint(engine, "database/replica", settings)?;
    let driver = postgres(url, settings, &guard)?;
    let replica = Arc::new(Replica { guard, driver });
    engine.probe(&replica.guard, Arc::clone(&replica) as Arc<dyn Probe>);
    Ok(replica)
}
