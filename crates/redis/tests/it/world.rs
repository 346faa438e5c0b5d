//! An adapter under test with a real engine behind it.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_redis::{Class, ClassRule, Command, DEPENDENCY, Redis, Reply, Settings, Target};
use mainstay_runtime::breaker::State;
use mainstay_runtime::{
    Answer, CallerId, Context, EndpointSpec, EngineBuilder, EngineSettings, Error, Exercised,
    Handle, Observer, Report, Secret, Source,
};
use mainstay_runtime::{Moment, degradation};
use mainstay_testkit::eventually;
use serde_json::Value;

pub(crate) struct World {
    pub(crate) redis: Redis,
    reports: Arc<Reports>,
    callers: AtomicU64,
    endpoint: EndpointSpec,
    handle: Handle,
    _data: tempfile::TempDir,
}

#[derive(Default)]
struct Reports(Mutex<Vec<Report>>);

impl Observer for Reports {
    fn operation(&self, dependency: &str, report: &Report) {
        assert_eq!(dependency, DEPENDENCY);
        self.0
            .lock()
            .expect("no test panics here")
            .push(report.clone());
    }
}

impl World {
    pub(crate) fn embedded() -> Self {
        Self::new(Settings::new(Target::Memory))
    }

    pub(crate) fn of(server: &mainstay_testkit::Redis) -> Self {
        Self::at(&server.url())
    }

    pub(crate) fn at(url: &str) -> Self {
        Self::new(settings(url))
    }

    pub(crate) fn behind(proxy: &mainstay_testkit::FaultProxy) -> Self {
        Self::at(&url(proxy.addr()))
    }

    pub(crate) fn new(settings: Settings) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let reports = Arc::new(Reports::default());
        let mut engine =
            EngineBuilder::new(rules(), data.path(), reports.clone()).expect("an empty folder");
        // Unless a test asks for them.
        engine.exercise_share(None);
        let endpoint = settings.endpoint();
        let redis = Redis::connect(settings, &mut engine).expect("the settings are valid");
        let handle = engine.start().expect("every endpoint has its guard");
        Self {
            redis,
            reports,
            callers: AtomicU64::new(1),
            endpoint,
            handle,
            _data: data,
        }
    }

    /// Every read exercises the fallback from now on, and canaries fly.
    pub(crate) async fn exercise(&self) {
        let settings = EngineSettings {
            rules: (*self.handle.rules()).clone(),
            endpoints: vec![self.endpoint.clone()],
            exercise_share: Some(1.0),
        };
        self.handle.reload(settings).await.expect("all as before");
    }

    /// What became of the last exercise of a fallback.
    pub(crate) fn exercised(&self, source: &str) -> Option<Exercised> {
        let all = self.handle.fallbacks();
        let found = all.into_iter().find(|one| one.source == source)?;
        found.last.map(|(_, ended)| ended)
    }

    pub(crate) fn now(&self) -> Moment {
        self.redis.guard().now()
    }

    /// Runs an operation as a caller of its own, with 2 s for all of it.
    pub(crate) async fn run(&self, operation: &str, body: Value) -> Result<Answer<Reply>, Error> {
        self.run_within(Duration::from_secs(2), operation, body)
            .await
    }

    pub(crate) async fn run_within(
        &self,
        time: Duration,
        operation: &str,
        body: Value,
    ) -> Result<Answer<Reply>, Error> {
        let caller = CallerId(self.callers.fetch_add(1, Ordering::Relaxed));
        let command = Command::parse(operation, &body)?;
        self.redis
            .run(&Context::new(caller, self.now() + time), command)
            .await
    }

    /// The answer as JSON with its source.
    pub(crate) async fn ask(&self, operation: &str, body: Value) -> Result<(Value, Source), Error> {
        let answer = self.run(operation, body).await?;
        Ok((
            serde_json::to_value(answer.value).expect("replies are JSON"),
            answer.source,
        ))
    }

    pub(crate) async fn ok(&self, operation: &str, body: Value) -> (Value, Source) {
        let asked = self.ask(operation, body.clone()).await;
        asked.unwrap_or_else(|error| panic!("{operation} {body}: {error}"))
    }

    /// Asks, and asserts that the answer took at most `most`.
    pub(crate) async fn ok_within(
        &self,
        most: Duration,
        operation: &str,
        body: Value,
    ) -> (Value, Source) {
        let started = self.now();
        let answer = self.ok(operation, body).await;
        let took = self.now().saturating_since(started);
        assert!(took <= most, "{operation} took {took:?}");
        answer
    }

    /// Reads until the breaker is open.
    pub(crate) async fn until_open(&self) {
        eventually(Duration::from_secs(10), "the breaker to open", async || {
            let _ = self
                .run("get", serde_json::json!({"key": "until-open"}))
                .await;
            self.redis.guard().state() == State::Open
        })
        .await;
    }

    /// Reads until Redis itself answers.
    pub(crate) async fn until_primary(&self) {
        eventually(
            Duration::from_secs(20),
            "Redis to answer again",
            async || {
                let asked = self
                    .ask("get", serde_json::json!({"key": "until-primary"}))
                    .await;
                asked.is_ok_and(|(_, source)| source == Source::Primary)
            },
        )
        .await;
    }

    /// The data of all events of this kind so far.
    pub(crate) fn events(&self, kind: &str) -> Vec<Value> {
        let all = self.handle.events().recent(usize::MAX).into_iter();
        all.filter(|event| event.kind == kind)
            .map(|event| event.data)
            .collect()
    }

    /// Waits until Redis has been told everything.
    pub(crate) async fn until_settled(&self) {
        let what = "everything that was written to be settled";
        eventually(Duration::from_secs(20), what, async || {
            self.redis.keys_to_reconcile() == 0
        })
        .await;
    }

    /// What was reported since the last look.
    pub(crate) fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.reports.0.lock().expect("no test panics here"))
    }
}

pub(crate) fn url(addr: SocketAddr) -> String {
    format!("redis://{addr}/")
}

/// The defaults with a breaker that comes back quickly.
pub(crate) fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(Target::Server(Secret::new(url)));
    settings.breaker.reset_timeout = Duration::from_millis(300);
    settings
}

/// The same with every class under a prefix of its name: `counter:…`, `session:…`.
pub(crate) fn classed(url: &str) -> Settings {
    let rule = |class: Class| ClassRule {
        prefix: format!("{}:", class.as_str()),
        class,
    };
    Settings {
        classes: Class::ALL.map(rule).to_vec(),
        ..settings(url)
    }
}

/// A system of nothing but Redis.
fn rules() -> degradation::Rules {
    let mut settings = degradation::Settings::standard();
    // Every run with the same jitter.
    settings.seed = 1;
    settings
        .dependencies
        .retain(|dependency| dependency.name == DEPENDENCY);
    settings
        .dependencies
        .iter_mut()
        .for_each(|dependency| dependency.weight = 1.0);
    settings
        .features
        .retain(|feature| feature.requires.iter().all(|name| name == DEPENDENCY));
    settings.cascade.clear();
    settings.validate().expect("sensible rules")
}
