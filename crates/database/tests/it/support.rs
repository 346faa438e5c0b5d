//! Databases to test with.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_database::{Database, PostgresUrl, Settings, Target};
use mainstay_runtime::degradation::{self, EndpointSettings, Level};
use mainstay_runtime::{EngineBuilder, EngineSettings, Exercised, Handle, Observer, Report};
use mainstay_testkit::Postgres;
use tempfile::TempDir;

/// A database with a running engine, and what must live as long.
pub(crate) struct Fixture {
    pub(crate) database: Database,
    reports: Arc<Reports>,
    handle: Handle,
    _data: TempDir,
}

/// Keeps the reports.
#[derive(Default)]
struct Reports(Mutex<Vec<Report>>);

impl Observer for Reports {
    fn operation(&self, _: &str, report: &Report) {
        self.0.lock().unwrap().push(report.clone());
    }
}

impl Fixture {
    /// The reports since the last call.
    pub(crate) fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.reports.0.lock().unwrap())
    }

    /// The data of the events of this kind.
    pub(crate) fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let all = self.handle.events().recent(1000).into_iter();
        let ours = all.filter(|event| event.kind == kind);
        ours.map(|event| event.data).collect()
    }

    pub(crate) fn level(&self) -> Level {
        self.handle.snapshot().level
    }

    /// Every read exercises the fallbacks from now on.
    pub(crate) async fn exercise_every_read(&self, settings: &Settings) {
        let settings = EngineSettings {
            rules: (*self.handle.rules()).clone(),
            endpoints: settings.endpoints(),
            exercise_share: Some(1.0),
        };
        self.handle.reload(settings).await.unwrap();
    }

    /// What became of the last exercises: source and result.
    pub(crate) fn exercised(&self) -> Vec<(String, Option<Exercised>)> {
        let all = self.handle.fallbacks().into_iter();
        all.map(|one| (one.source, one.last.map(|(_, ended)| ended)))
            .collect()
    }

    /// Ends the engine as a server does.
    pub(crate) async fn end(self) {
        self.handle.shutdown(Duration::from_secs(10)).await;
    }
}

/// Connects with an engine that guards this dependency alone.
pub(crate) async fn connect(settings: Settings) -> Fixture {
    let data = tempfile::tempdir().unwrap();
    let mut rules = degradation::Settings::standard();
    // Every run with the same jitter.
    rules.seed = 1;
    rules
        .dependencies
        .retain(|dependency| dependency.name == "database");
    rules.dependencies[0].weight = 1.0;
    if settings.replica.is_some() {
        let replica = EndpointSettings::helper("database/replica");
        rules.dependencies[0].endpoints.push(replica);
    }
    rules.features.clear();
    rules.cascade.clear();
    let reports = Arc::<Reports>::default();
    let observer = Arc::clone(&reports) as Arc<dyn Observer>;
    let mut engine = EngineBuilder::new(rules.validate().unwrap(), data.path(), observer).unwrap();
    let database = Database::connect(settings, &mut engine).unwrap();
    let handle = engine.start().unwrap();
    database.start(&handle);
    Fixture {
        database,
        reports,
        handle,
        _data: data,
    }
}

/// Settings for this URL, with a breaker that is quick to try again.
pub(crate) fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(Target::Postgres(Box::new(parse(url))));
    settings.breaker.reset_timeout = Duration::from_secs(2);
    settings
}

pub(crate) fn parse(url: &str) -> PostgresUrl {
    url.parse().unwrap()
}

/// A PostgreSQL server with a database on it.
pub(crate) async fn postgres() -> (Postgres, Fixture) {
    let server = Postgres::start().await;
    let fixture = connect(settings(&server.url())).await;
    (server, fixture)
}

/// The same server, reached through this port.
pub(crate) fn through(server: &Postgres, port: u16) -> String {
    server
        .url()
        .replace(&format!(":{}/", server.port()), &format!(":{port}/"))
}
