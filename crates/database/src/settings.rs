//! What a database is told at its start.

use std::path::PathBuf;
use std::time::Duration;

use mainstay_breaker as breaker;
use mainstay_runtime::EndpointSpec;

use crate::cache::CacheSettings;
use crate::deferred::DeferredSettings;
use crate::postgres::PostgresUrl;
use crate::statement::Limits;

pub(crate) const PRIMARY: &str = "database";
pub(crate) const REPLICA: &str = "database/replica";

/// Where the data is.
#[derive(Clone, Debug)]
pub enum Target {
    /// A PostgreSQL server.
    Postgres(Box<PostgresUrl>),
    /// The embedded default: a SQLite file, made if it is missing. Its folder must exist.
    Sqlite(PathBuf),
}

/// Everything about the dependency `database`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The primary.
    pub target: Target,
    /// A read replica of the primary, with a breaker of its own.
    pub replica: Option<PostgresUrl>,
    /// The rules of both breakers.
    pub breaker: breaker::Settings,
    /// Most calls in flight at each endpoint; its pool has a few connections more, for probes.
    pub limit: usize,
    /// Longest time for one attempt.
    pub call_deadline: Duration,
    /// Bounds on one result.
    pub limits: Limits,
    /// Bounds on the results kept for bad times.
    pub cache: CacheSettings,
    /// The file that keeps them over a restart; its folder must be ours alone.
    pub cache_file: Option<PathBuf>,
    /// How long a key that came with a write stands for its outcome.
    pub idempotency_keep: Duration,
    /// Statements that may be deferred, and where they wait.
    pub deferred: Option<DeferredSettings>,
    /// Whether a PostgreSQL role may be a superuser, which no safety rule can hold.
    pub allow_superuser: bool,
}

impl Settings {
    /// What the engine is told of the endpoints, at the start and whenever settings change.
    pub fn endpoints(&self) -> Vec<EndpointSpec> {
        let replica = self.replica.iter().map(|_| self.endpoint(REPLICA));
        std::iter::once(self.endpoint(PRIMARY))
            .chain(replica)
            .collect()
    }

    pub(crate) fn endpoint(&self, name: &str) -> EndpointSpec {
        EndpointSpec {
            name: name.into(),
            breaker: self.breaker,
            limit: self.limit,
            call_deadline: self.call_deadline,
        }
    }

    /// The numbers that hold unless somebody says otherwise.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            replica: None,
            breaker: breaker::Settings::default(),
            limit: 20,
            call_deadline: Duration::from_secs(5),
            limits: Limits::default(),
            cache: CacheSettings::default(),
            cache_file: None,
            idempotency_keep: Duration::from_secs(24 * 3600),
            deferred: None,
            allow_superuser: false,
        }
    }
}
