//! The application over dependencies of its own, with a caller that needs no socket.

use std::io;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use mainstay_database::Database;
use mainstay_journal::Journal;
use mainstay_openai::{Models, ProviderSettings};
use mainstay_redis::{ClassRule, Redis};
use mainstay_runtime::degradation::{EndpointSettings, Level, Presence, Settings as Rules};
use mainstay_runtime::{EngineBuilder, Secret, breaker};
use mainstay_s3::S3Target;
use mainstay_server::limits::Limits;
use mainstay_server::webhooks::{WebhookSettings, Webhooks};
use mainstay_server::{Core, KeyRing, Metrics, Parts, RateSettings, Reload, Scope, Settings};
use mainstay_testkit::{Described, eventually, eventually_some, free_port};
use serde_json::Value;
use tempfile::TempDir;
use tower::ServiceExt;
use tracing_subscriber::fmt::MakeWriter;
use utoipa_axum::router::OpenApiRouter;

/// Longest time for anything that has to happen by itself.
pub(crate) const SOON: Duration = Duration::from_secs(30);

/// Where the dependencies are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dependencies {
    /// The embedded defaults; no provider.
    Embedded,
    /// Real drivers, and nobody at the other end.
    Unreachable,
}

/// What a test may change before the start.
pub(crate) struct Plan {
    pub(crate) dependencies: Dependencies,
    pub(crate) rules: Rules,
    pub(crate) rates: RateSettings,
    pub(crate) db_read_get: bool,
    pub(crate) journal: mainstay_journal::Settings,
    pub(crate) webhooks: WebhookSettings,
    pub(crate) reload: Option<Reload>,
    pub(crate) classes: Vec<ClassRule>,
    pub(crate) record: bool,
}

impl Default for Plan {
    /// Embedded, without rate limits, and quick to rise again.
    fn default() -> Self {
        let mut rules = Rules::standard();
        rules.level.dwell = Duration::from_millis(100);
        Self {
            dependencies: Dependencies::Embedded,
            rules,
            rates: RateSettings {
                control: None,
                data: None,
            },
            db_read_get: false,
            journal: mainstay_journal::Settings::default(),
            webhooks: WebhookSettings::default(),
            reload: None,
            classes: Vec::new(),
            record: false,
        }
    }
}

/// A started application.
pub(crate) struct World {
    pub(crate) core: Core,
    pub(crate) app: Router,
    /// The admin key.
    pub(crate) key: String,
    pub(crate) folder: TempDir,
    described: Described,
}

/// A reply, read whole.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: bytes::Bytes,
    /// As JSON; null if it isn't.
    pub(crate) body: Value,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The problem's kind, e.g. `read-only`; empty for anything else.
    pub(crate) fn problem(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.strip_prefix("urn:mainstay:problem:").unwrap_or(kind)
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes).unwrap()
    }
}

impl World {
    /// Embedded dependencies, all well.
    pub(crate) async fn healthy() -> Self {
        Self::planned(Plan::default()).await
    }

    /// Real drivers with nobody at the other end.
    pub(crate) async fn unreachable() -> Self {
        Self::planned(Plan {
            dependencies: Dependencies::Unreachable,
            ..Plan::default()
        })
        .await
    }

    /// Starts and waits for the first probe round; a healthy world is at OPTIMAL then.
    pub(crate) async fn planned(plan: Plan) -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let embedded = plan.dependencies == Dependencies::Embedded;
        let folder = tempfile::tempdir().unwrap();
        let journal = Journal::open(folder.path().join("journal"), plan.journal.clone());
        let core = core(&plan, &folder, journal.await.unwrap());
        let (key, _) = core
            .keys
            .create("root", vec![Scope::Admin], jiff::Timestamp::UNIX_EPOCH)
            .unwrap();
        let world = Self {
            app: mainstay_server::app(&core, OpenApiRouter::new()),
            described: described(&core),
            core,
            key: key.expose().to_owned(),
            folder,
        };
        eventually(SOON, "the first probe round is over", async || {
            world.core.handle.is_started()
        })
        .await;
        if embedded {
            world.level(Level::Optimal).await;
        }
        world
    }

    pub(crate) async fn level(&self, level: Level) {
        eventually(SOON, &format!("the level is {level:?}"), async || {
            self.core.handle.level() == level
        })
        .await;
    }

    /// A key with these scopes.
    pub(crate) fn key_with(&self, scopes: &[Scope]) -> String {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let made = self.core.keys.create("narrow", scopes.to_vec(), now);
        made.unwrap().0.expose().to_owned()
    }

    /// A request with the admin key.
    pub(crate) fn request(&self, method: Method, path: &str) -> http::request::Builder {
        Request::builder()
            .method(method)
            .uri(path)
            .header("x-api-key", &self.key)
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let (method, path) = (request.method().clone(), request.uri().clone());
        let response = self.app.clone().oneshot(request).await.unwrap();
        self.described
            .check(method.as_str(), path.path(), response.status().as_u16());
        let (parts, body) = response.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        Reply {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or_default(),
            bytes,
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Reply {
        let request = self.request(Method::GET, path);
        self.send(request.body(Body::empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: Value) -> Reply {
        self.send_json(Method::POST, path, &body).await
    }

    pub(crate) async fn put(&self, path: &str, body: impl Into<Body>) -> Reply {
        let request = self.request(Method::PUT, path);
        self.send(request.body(body.into()).unwrap()).await
    }

    pub(crate) async fn send_json(&self, method: Method, path: &str, body: &Value) -> Reply {
        let request = self
            .request(method, path)
            .header(header::CONTENT_TYPE, "application/json");
        self.send(request.body(Body::from(body.to_string())).unwrap())
            .await
    }

    /// The value of a metric by its name with labels, as Prometheus writes it.
    pub(crate) async fn metric(&self, line: &str) -> Option<f64> {
        let reply = self.get("/metrics").await;
        reply
            .text()
            .lines()
            .find_map(|l| l.strip_prefix(line)?.strip_prefix(' ')?.parse().ok())
    }

    /// The event of this kind that happened last, once there is one.
    pub(crate) async fn event(&self, kind: &str) -> mainstay_runtime::EventRecord {
        eventually_some(SOON, &format!("there is an event {kind}"), async || {
            let all = self.core.handle.events().recent(1000);
            all.into_iter().rev().find(|event| event.kind == kind)
        })
        .await
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.core.handle.stopping().cancel();
    }
}

fn described(core: &Core) -> Described {
    let description = mainstay_server::description(core, OpenApiRouter::new());
    Described::new(serde_json::to_value(description).unwrap())
}

fn core(plan: &Plan, folder: &TempDir, journal: Journal) -> Core {
    let metrics = Arc::new(Metrics::default());
    let dir = folder.path();
    let rules = endpoints(plan).validate().unwrap();
    let mut engine = EngineBuilder::new(rules, dir, metrics.clone()).unwrap();
    if plan.record {
        engine.record(64 << 20);
    }
    let (database, mut redis, s3, openai) = settings(plan.dependencies, dir);
    let database = Database::connect(database, &mut engine).unwrap();
    redis.classes = plan.classes.clone();
    let redis = Redis::connect(redis, &mut engine).unwrap();
    let objects = mainstay_s3::connect(s3, journal, &mut engine).unwrap();
    let models = Models::connect(openai, &mut engine).unwrap();
    let handle = engine.start().unwrap();
    objects.start(&handle);
    let webhooks = Webhooks::start(&handle, &plan.webhooks).unwrap();
    Core::new(Parts {
        handle,
        database,
        redis,
        objects,
        models,
        keys: KeyRing::open(dir).unwrap(),
        limits: Limits::new(plan.rates),
        metrics,
        webhooks,
        reload: plan.reload.clone(),
        settings: Settings {
            rates: plan.rates,
            db_read_get: plan.db_read_get,
        },
    })
}

fn endpoints(plan: &Plan) -> Rules {
    let mut rules = plan.rules.clone();
    let embedded = plan.dependencies == Dependencies::Embedded;
    for name in ["database", "redis", "s3"] {
        let dependency = rules.dependency_mut(name).unwrap();
        if embedded {
            dependency.presence = Presence::Embedded;
        }
    }
    let openai = rules.dependency_mut("openai").unwrap();
    openai.endpoints = Vec::new();
    if embedded {
        openai.presence = Presence::Absent;
    } else {
        openai.endpoints = vec![EndpointSettings::main("openai/first")];
    }
    rules
}

fn settings(
    dependencies: Dependencies,
    dir: &std::path::Path,
) -> (
    mainstay_database::Settings,
    mainstay_redis::Settings,
    mainstay_s3::Settings,
    mainstay_openai::Settings,
) {
    use {mainstay_database as database, mainstay_redis as redis, mainstay_s3 as s3};
    let nobody = format!("127.0.0.1:{}", free_port());
    let mut openai = mainstay_openai::Settings {
        providers: Vec::new(),
        total_deadline: Duration::from_secs(10),
        cache_bytes: 1 << 20,
        breaker: breaker::Settings::default(),
        ..mainstay_openai::Settings::default()
    };
    let (database, redis, s3) = if dependencies == Dependencies::Embedded {
        (
            database::Target::Sqlite(dir.join("database.sqlite")),
            redis::Target::Memory,
            s3::Target::Local(dir.join("objects")),
        )
    } else {
        let url = format!("http://{nobody}/v1");
        openai.providers = vec![ProviderSettings::new("first", url, "m")];
        let postgres = format!("postgres://user:hunter2@{nobody}/db");
        let bucket = S3Target {
            endpoint: Some(format!("http://{nobody}")),
            bucket: "bucket".to_owned(),
            region: "us-east-1".to_owned(),
            access_key_id: "id".to_owned(),
            secret_access_key: Secret::new("hunter2"),
            virtual_hosted: false,
        };
        (
            database::Target::Postgres(Box::new(postgres.parse().unwrap())),
            redis::Target::Server(Secret::new(format!("redis://:hunter2@{nobody}/0"))),
            s3::Target::S3(bucket),
        )
    };
    let mut database = database::Settings::new(database);
    let mut redis = redis::Settings::new(redis);
    let mut s3 = s3::Settings::new(s3, dir, breaker::Settings::default());
    // An open breaker that tries again at once: the same behaviour, sooner.
    let breakers = [&mut database.breaker, &mut redis.breaker, &mut s3.breaker];
    for breaker in breakers.into_iter().chain([&mut openai.breaker]) {
        breaker.reset_timeout = Duration::from_millis(500);
    }
    (database, redis, s3, openai)
}

/// What is logged on this thread, as the program writes it: one JSON object a line.
#[derive(Clone, Default)]
pub(crate) struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Collects until the guard is dropped.
    pub(crate) fn start() -> (Self, tracing::subscriber::DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .json()
            .flatten_event(true)
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .finish();
        let guard = tracing::subscriber::set_default(subscriber);
        (log, guard)
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// The lines of this target.
    pub(crate) fn lines(&self, target: &str) -> Vec<Value> {
        let lines = self.text();
        let lines = lines.lines().map(|l| serde_json::from_str(l).unwrap());
        lines.filter(|l: &Value| l["target"] == target).collect()
    }
}

impl io::Write for Log {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}
