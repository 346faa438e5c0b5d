//! What is in force once everything was checked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use mainstay_breaker as breaker;
use mainstay_database::{CacheSettings, Limits, PostgresUrl};
use mainstay_redis::ClassRule;
use mainstay_runtime::Secret;
use mainstay_server::{RateSettings, WebhookSettings};

/// A whole, valid configuration.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) data_dir: PathBuf,
    /// Whether the controller's inputs are recorded.
    pub(crate) record: bool,
    /// Share of reads that exercise a fallback.
    pub(crate) exercise_share: Option<f64>,
    /// Presets the admin key, for containers and tests.
    pub(crate) admin_key: Option<Secret>,
    pub(crate) server: Server,
    pub(crate) rates: RateSettings,
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) s3: S3,
    pub(crate) openai: OpenAi,
    pub(crate) journal: mainstay_journal::Settings,
    pub(crate) breakers: Breakers,
    /// Endpoints and presence as the standard has them: wiring puts in what is connected.
    pub(crate) degradation: mainstay_degradation::Settings,
    /// Who is told of alerts and changes of level.
    pub(crate) webhooks: WebhookSettings,
    pub(crate) log: Log,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) listen: SocketAddr,
    pub(crate) db_read_get: bool,
    /// How long requests may run on after a signal.
    pub(crate) shutdown_grace: Duration,
}

#[derive(Clone, Debug)]
pub(crate) enum DatabaseUrl {
    Sqlite,
    Postgres(Box<PostgresUrl>),
}

#[derive(Clone, Debug)]
pub(crate) struct Database {
    pub(crate) url: DatabaseUrl,
    pub(crate) replica: Option<PostgresUrl>,
    pub(crate) limit: usize,
    pub(crate) call_deadline: Duration,
    pub(crate) allow_superuser: bool,
    pub(crate) idempotency_keep: Duration,
    /// Statements that may be deferred, by name.
    pub(crate) deferred: BTreeMap<String, String>,
    pub(crate) limits: Limits,
    pub(crate) cache: CacheSettings,
}

#[derive(Clone, Debug)]
pub(crate) enum RedisUrl {
    Memory,
    Server(Secret),
}

#[derive(Clone, Debug)]
pub(crate) struct Redis {
    pub(crate) url: RedisUrl,
    pub(crate) limit: usize,
    pub(crate) call_deadline: Duration,
    pub(crate) memory_bytes: usize,
    pub(crate) touched_keys: usize,
    pub(crate) classes: Vec<ClassRule>,
}

#[derive(Clone, Debug)]
pub(crate) enum ObjectStore {
    Local,
    Bucket(Bucket),
}

#[derive(Clone, Debug)]
pub(crate) struct Bucket {
    /// `None`: AWS.
    pub(crate) endpoint: Option<String>,
    pub(crate) bucket: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: Secret,
    pub(crate) virtual_hosted: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct S3 {
    pub(crate) store: ObjectStore,
    pub(crate) limit: usize,
    pub(crate) first_byte: Duration,
    pub(crate) idle: Duration,
    pub(crate) max_object: u64,
    pub(crate) upload_memory: u64,
    pub(crate) copies_bytes: u64,
    pub(crate) copy_limit: u64,
    pub(crate) drain_parallel: usize,
    pub(crate) conflicts: mainstay_s3::Conflicts,
}

#[derive(Clone, Debug)]
pub(crate) struct OpenAi {
    pub(crate) providers: Vec<Provider>,
    pub(crate) limit: usize,
    pub(crate) total_deadline: Duration,
    pub(crate) first_content: Duration,
    pub(crate) idle: Duration,
    pub(crate) stream_deadline: Duration,
    pub(crate) cache_bytes: usize,
    pub(crate) exercise_providers: bool,
}

#[derive(Clone, Debug)]
pub(crate) struct Provider {
    pub(crate) name: String,
    pub(crate) base_url: String,
    pub(crate) model: String,
    pub(crate) embedding_model: Option<String>,
    pub(crate) moderation_model: Option<String>,
    pub(crate) api_key: Option<Secret>,
    pub(crate) deadline: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Breakers {
    pub(crate) database: breaker::Settings,
    pub(crate) openai: breaker::Settings,
    pub(crate) redis: breaker::Settings,
    pub(crate) s3: breaker::Settings,
}

impl Breakers {
    /// Those of a dependency's endpoints.
    pub(crate) fn of(&self, dependency: &str) -> Option<breaker::Settings> {
        match dependency {
            "database" => Some(self.database),
            "openai" => Some(self.openai),
            "redis" => Some(self.redis),
            "s3" => Some(self.s3),
            _ => None,
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) level: tracing::Level,
    pub(crate) format: LogFormat,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogFormat {
    /// Text on a terminal, else JSON.
    Auto,
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}
