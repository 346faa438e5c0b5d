//! An adapter under test with a real engine and a real journal behind it.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use mainstay_journal::Journal;
use mainstay_runtime::breaker::{self, State};
use mainstay_runtime::degradation::Level;
use mainstay_runtime::{
    Action, Answer, EngineBuilder, EngineSettings, Error, Exercised, Handle, Observer,
    OperatorCommand, Report, Secret, degradation,
};
use mainstay_s3::{Objects, Receipt, S3Target, Settings, Target, connect, contract};
use mainstay_testkit::{FaultProxy, S3, eventually};

pub(crate) struct World {
    pub(crate) objects: Objects,
    settings: Settings,
    journal: mainstay_journal::Settings,
    reports: Arc<Reports>,
    handle: Handle,
    data: tempfile::TempDir,
}

#[derive(Default)]
struct Reports(Mutex<Vec<Report>>);

impl Observer for Reports {
    fn operation(&self, dependency: &str, report: &Report) {
        assert_eq!(dependency, "s3");
        self.0
            .lock()
            .expect("no test panics here")
            .push(report.clone());
    }
}

impl World {
    pub(crate) async fn embedded() -> Self {
        Self::with(|data| Target::Local(data.to_owned()), |_, _| {}).await
    }

    pub(crate) async fn of(server: &S3) -> Self {
        Self::at(server, &server.endpoint(), |_, _| {}).await
    }

    /// For uploads that a busy machine takes its time over, in tests that aren't about deadlines.
    pub(crate) async fn patient(server: &S3) -> Self {
        Self::at(server, &server.endpoint(), |settings, _| patient(settings)).await
    }

    /// For what is asked of whatever answers, again and again.
    pub(crate) async fn that_stays_closed(server: &S3) -> Self {
        let change = |settings: &mut Settings, _: &mut _| stays_closed(settings);
        Self::at(server, &server.endpoint(), change).await
    }

    pub(crate) async fn behind(proxy: &FaultProxy, server: &S3) -> Self {
        Self::at(server, &format!("http://{}", proxy.addr()), |_, _| {}).await
    }

    /// An S3 server by its endpoint, with other settings.
    pub(crate) async fn at(
        server: &S3,
        endpoint: &str,
        change: impl FnOnce(&mut Settings, &mut mainstay_journal::Settings),
    ) -> Self {
        let target = Target::S3(S3Target {
            endpoint: Some(endpoint.to_owned()),
            bucket: server.bucket().into(),
            region: server.region().into(),
            access_key_id: server.access_key().into(),
            secret_access_key: Secret::new(server.secret_key()),
            virtual_hosted: false,
        });
        Self::with(|_| target, change).await
    }

    async fn with(
        target: impl FnOnce(&Path) -> Target,
        change: impl FnOnce(&mut Settings, &mut mainstay_journal::Settings),
    ) -> Self {
        let data = tempfile::tempdir().expect("a temporary folder");
        let mut settings = Settings::new(target(data.path()), data.path(), breaker());
        // Tests have less patience than users.
        settings.first_byte = Duration::from_secs(2);
        settings.idle = Duration::from_secs(10);
        let mut journal = mainstay_journal::Settings {
            min_free_disk: 0,
            ..Default::default()
        };
        change(&mut settings, &mut journal);
        Self::open(settings, journal, data).await
    }

    async fn open(
        settings: Settings,
        journal: mainstay_journal::Settings,
        data: tempfile::TempDir,
    ) -> Self {
        let reports = Arc::new(Reports::default());
        let opened = Journal::open(data.path().join("journal"), journal.clone())
            .await
            .expect("this works in every test");
        let mut engine = EngineBuilder::new(rules(), data.path(), reports.clone())
            .expect("this works in every test");
        // Unless a test asks for them.
        engine.exercise_share(None);
        let objects =
            connect(settings.clone(), opened, &mut engine).expect("this works in every test");
        let handle = engine.start().expect("this works in every test");
        objects.start(&handle);
        Self {
            objects,
            settings,
            journal,
            reports,
            handle,
            data,
        }
    }

    /// Every read exercises the local copies from now on, and canaries fly.
    pub(crate) async fn exercise(&self) {
        let settings = EngineSettings {
            rules: (*self.handle.rules()).clone(),
            endpoints: vec![self.settings.endpoint()],
            exercise_share: Some(1.0),
        };
        self.handle.reload(settings).await.expect("all as before");
    }

    /// What is kept of objects is no longer what was kept.
    pub(crate) fn damage_copies(&self) {
        for entry in std::fs::read_dir(&self.settings.copies_dir).expect("the folder of copies") {
            let path = entry.expect("the folder of copies").path();
            if path.extension().is_some_and(|ending| ending == "body") {
                std::fs::write(path, "ruined").expect("it is ours");
            }
        }
    }

    /// Pins the level, as an operator does.
    pub(crate) async fn pin(&self, level: Level) {
        let command = OperatorCommand {
            action: Action::Pin(level),
            actor: "test".into(),
            reason: "a test".into(),
            lasts: None,
        };
        self.handle.command(command).await.expect("it is pinned");
    }

    /// What became of the last exercise of a fallback.
    pub(crate) fn exercised(&self, source: &str) -> Option<Exercised> {
        let all = self.handle.fallbacks();
        let found = all.into_iter().find(|one| one.source == source)?;
        found.last.map(|(_, ended)| ended)
    }

    /// Waits until a canary has ended like this.
    pub(crate) async fn until_canary(&self, ended: Exercised) {
        let what = format!("a canary that has {}", ended.as_str());
        eventually(Duration::from_secs(60), &what, async || {
            self.exercised("journal") == Some(ended)
        })
        .await;
    }

    /// Ends everything that runs and begins anew on the same data.
    pub(crate) async fn reopen(self) -> Self {
        self.handle.shutdown(Duration::from_secs(5)).await;
        self.objects
            .journal()
            .close()
            .await
            .expect("this works in every test");
        drop(self.objects);
        Self::open(self.settings, self.journal, self.data).await
    }

    /// Reads a key that nobody has until the breaker is open.
    pub(crate) async fn until_open(&self) {
        eventually(Duration::from_secs(20), "the breaker to open", async || {
            let _ = contract::get(&self.objects, "until-open", None).await;
            self.objects.guard().state() == State::Open
        })
        .await;
    }

    /// Waits until the breaker is closed, which probes do without any traffic.
    pub(crate) async fn until_closed(&self) {
        eventually(
            Duration::from_secs(20),
            "the breaker to close",
            async || self.objects.guard().state() == State::Closed,
        )
        .await;
    }

    /// Waits until everything accepted has reached the store.
    pub(crate) async fn until_drained(&self) {
        eventually(
            Duration::from_secs(30),
            "the journal to be empty",
            async || self.objects.journal_stats().entries == 0,
        )
        .await;
    }

    /// The kinds of all events so far, with their data.
    pub(crate) fn events(&self, kind: &str) -> Vec<serde_json::Value> {
        let all = self.handle.events().recent(1000);
        let wanted = all.into_iter().filter(|event| event.kind == kind);
        wanted.map(|event| event.data).collect()
    }

    /// How many files there are in the folder of copies.
    pub(crate) fn files_of_copies(&self) -> usize {
        let entries = std::fs::read_dir(&self.settings.copies_dir);
        entries.expect("the folder of copies").count()
    }

    /// The journal brings nothing to disk until this is dropped.
    pub(crate) fn lock_journal(&self) -> rusqlite::Connection {
        let path = self.data.path().join("journal/journal.db");
        let lock = rusqlite::Connection::open(path).expect("it opens");
        lock.execute_batch("BEGIN IMMEDIATE").expect("it is free");
        lock
    }

    /// Entries that were set aside.
    pub(crate) fn set_aside(&self) -> Vec<mainstay_journal::Entry> {
        let state = Some(mainstay_journal::State::SetAside);
        self.objects.journal_entries(state, None, 100)
    }

    /// What was reported since the last look.
    pub(crate) fn reports(&self) -> Vec<Report> {
        std::mem::take(&mut self.reports.0.lock().expect("no test panics here"))
    }

    pub(crate) async fn put(
        &self,
        name: &str,
        content: impl Into<Bytes>,
    ) -> Result<Answer<Receipt>, Error> {
        contract::put(&self.objects, name, &content.into()).await
    }

    /// Uploads and asserts that it was accepted for later.
    pub(crate) async fn accepted(&self, name: &str, content: impl Into<Bytes>) {
        is_accepted(self.put(name, content).await);
    }

    /// Uploads and asserts that the store has it.
    pub(crate) async fn stored(&self, name: &str, content: impl Into<Bytes>) {
        let answer = self
            .put(name, content)
            .await
            .expect("this works in every test");
        assert!(
            matches!(answer.value, Receipt::Stored { .. }),
            "{name}: {answer:?}"
        );
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Answer<Bytes>, Error> {
        contract::get(&self.objects, name, None).await
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<Answer<Receipt>, Error> {
        self.objects
            .delete(
                &contract::context(&self.objects),
                &contract::key(name),
                None,
            )
            .await
    }

    pub(crate) async fn copy(&self, from: &str, to: &str) -> Result<Answer<Receipt>, Error> {
        let ctx = contract::context(&self.objects);
        self.objects
            .copy(&ctx, &contract::key(from), &contract::key(to), None)
            .await
    }

    /// The keys under a prefix.
    pub(crate) async fn keys(&self, prefix: &str) -> Vec<String> {
        let page = contract::list(&self.objects, prefix, None, 1000)
            .await
            .expect("this works in every test")
            .value;
        page.objects.into_iter().map(|l| l.key).collect()
    }
}

pub(crate) fn is_accepted(result: Result<Answer<Receipt>, Error>) {
    let answer = result.expect("this works in every test");
    assert!(
        matches!(answer.value, Receipt::Accepted { .. }),
        "{answer:?}"
    );
    assert_eq!(answer.source.to_string(), "journal");
}

/// Deadlines that only a store that hangs would miss.
pub(crate) fn patient(settings: &mut Settings) {
    settings.first_byte = Duration::from_secs(20);
    settings.idle = Duration::from_secs(60);
}

/// A breaker that only slow calls open.
pub(crate) fn stays_closed(settings: &mut Settings) {
    (settings.breaker.consecutive, settings.breaker.rate) = (None, None);
}

/// The defaults with a breaker that comes back quickly.
fn breaker() -> breaker::Settings {
    breaker::Settings {
        reset_timeout: Duration::from_millis(300),
        ..Default::default()
    }
}

/// A system of nothing but objects.
fn rules() -> degradation::Rules {
    let mut settings = degradation::Settings::standard();
    // Every run with the same jitter.
    settings.seed = 1;
    settings
        .dependencies
        .retain(|dependency| dependency.name == "s3");
    settings
        .dependencies
        .iter_mut()
        .for_each(|dependency| dependency.weight = 1.0);
    settings
        .features
        .retain(|feature| feature.requires.iter().all(|name| name == "s3"));
    settings.cascade.clear();
    settings.validate().expect("sensible rules")
}
