//! The guarded database: its endpoints and what can be asked about them. Reads and writes have files of their own.

use std::sync::Arc;

use mainstay_runtime::{EngineBuilder, Error, ErrorKind, Flights, Guard, Handle, Probe, Source};

use crate::cache::{Cache, Key, Keys};
use crate::deferred::{self, Deferred};
use crate::driver::Driver;
use crate::ended::Landed;
use crate::keyed::{Kept, Running};
use crate::postgres::{Postgres, PostgresUrl};
use crate::probe::PrimaryProbe;
use crate::settings::{PRIMARY, REPLICA, Settings, Target};
use crate::sql::Dialect;
use crate::sqlite::Sqlite;
use crate::statement::WriteMode;
use crate::write_mode::Primary;

/// The dependency `database`. Cheap to clone; every clone shares everything.
#[derive(Clone)]
pub struct Database {
    pub(crate) primary: Arc<Primary>,
    pub(crate) replica: Option<Arc<Replica>>,
    pub(crate) cache: Arc<Cache>,
    pub(crate) keys: Arc<Keys>,
    /// Identical reads that travel together, those in the place of another dependency among themselves.
    pub(crate) flights: Arc<Flights<(Key, bool), Landed>>,
    pub(crate) running: Arc<Running>,
    /// How long records of keys count.
    pub(crate) kept: Kept,
    pub(crate) deferred: Option<Arc<Deferred>>,
    pub(crate) dialect: Dialect,
}

/// The read replica.
pub(crate) struct Replica {
    pub(crate) guard: Guard,
    pub(crate) driver: Driver,
}

impl Database {
    /// Registers the endpoints and their probes with the engine. Opens no connection: a server that is down is no error here.
    ///
    /// # Errors
    /// Settings that make no sense, and TLS that can't be set up as the URL asks.
    pub fn connect(settings: Settings, engine: &mut EngineBuilder) -> Result<Self, Error> {
        let guard = engine.endpoint(settings.endpoint(PRIMARY))?;
        let (driver, dialect) = match &settings.target {
            Target::Postgres(url) => (postgres(url, &settings, &guard, engine)?, Dialect::Postgres),
            Target::Sqlite(path) => (
                Driver::Sqlite(Sqlite::new(path, settings.limits, guard.clock())),
                Dialect::Sqlite,
            ),
        };
        let primary = Arc::new(Primary::new(guard, driver));
        engine.probe(&primary.guard, Arc::new(PrimaryProbe(Arc::clone(&primary))));
        let replica = settings
            .replica
            .as_ref()
            .map(|url| connect_replica(url, &settings, engine))
            .transpose()?;
        if settings.cache.bytes > 0 {
            engine.fallback(&primary.guard, &Source::Cache);
        }
        if replica.is_some() {
            engine.fallback(&primary.guard, &Source::Replica);
        }
        let clock = primary.guard.clock();
        let kept = Kept::new(settings.idempotency_keep);
        let deferred = settings
            .deferred
            .map(|deferred| Deferred::new(deferred, kept, dialect))
            .transpose()?;
        Ok(Self {
            primary,
            replica,
            cache: Arc::new(Cache::new(settings.cache, settings.cache_file, clock)),
            keys: Arc::new(Keys::new(&settings.target)),
            flights: Arc::default(),
            running: Arc::default(),
            kept,
            deferred,
            dialect,
        })
    }

    /// Starts the work in the background, which ends with the engine.
    pub fn start(&self, handle: &Handle) {
        handle.spawn(Arc::clone(&self.cache).keep(handle.stopping()));
        handle.spawn(crate::purge::run(self.clone(), handle.stopping()));
        if let Some(waiting) = &self.deferred {
            let (database, waiting) = (self.clone(), Arc::clone(waiting));
            handle.spawn(deferred::run(
                database,
                waiting,
                handle.stopping(),
                handle.drain_share(),
            ));
        }
    }

    /// Whether writes are taken at present. Read-only ends by itself.
    pub fn write_mode(&self) -> WriteMode {
        self.primary.write_mode()
    }

    /// Reads that got the answer of an identical one under way, since the start.
    pub fn joined_reads(&self) -> u64 {
        self.flights.joined()
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

    /// Forgets all results kept for bad times, on disk too.
    ///
    /// # Errors
    /// `Internal` when they can't be removed from the disk: the log says why.
    pub async fn purge_cache(&self) -> Result<(), Error> {
        if self.cache.clear().await {
            return Ok(());
        }
        let detail = "the database's results can't be removed from the disk; the log says why";
        Err(Error::new(ErrorKind::Internal, detail))
    }
}

fn postgres(
    url: &PostgresUrl,
    settings: &Settings,
    guard: &Guard,
    engine: &mut EngineBuilder,
) -> Result<Driver, Error> {
    let postgres = Postgres::new(
        url,
        settings.limit,
        settings.limits,
        settings.allow_superuser,
        guard.clock(),
    )?;
    engine.on_limit(guard, postgres.resizer());
    Ok(Driver::Postgres(Box::new(postgres)))
}

fn connect_replica(
    url: &PostgresUrl,
    settings: &Settings,
    engine: &mut EngineBuilder,
) -> Result<Arc<Replica>, Error> {
    let guard = engine.endpoint(settings.endpoint(REPLICA))?;
    let driver = postgres(url, settings, &guard, engine)?;
    let replica = Arc::new(Replica { guard, driver });
    engine.probe(&replica.guard, Arc::clone(&replica) as Arc<dyn Probe>);
    Ok(replica)
}
