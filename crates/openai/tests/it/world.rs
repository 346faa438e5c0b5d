//! An engine with model providers.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use mainstay_breaker::{State, Totals};
use mainstay_degradation::{EndpointSettings, ProbeSchedule, Rules, Settings as RuleSettings};
use mainstay_openai::{ChatRequest, Models, ProviderSettings, Settings, message};
use mainstay_runtime::{
    Answer, CallerId, Context, EngineBuilder, Error, Exercised, FallbackStatus, Handle, NoObserver,
    Observer, Secret,
};
use mainstay_testkit::ModelApi;

/// Longer than anything here takes.
pub(crate) const LONG: Duration = Duration::from_secs(20);
/// The open time of the breakers here.
pub(crate) const OPEN: Duration = Duration::from_millis(500);

/// A running engine and its providers.
pub(crate) struct World {
    pub(crate) models: Models,
    handle: Handle,
    _data: tempfile::TempDir,
}

impl World {
    /// With these providers, the standard deadlines and a short open time.
    pub(crate) async fn new(providers: Vec<ProviderSettings>) -> Self {
        Self::with(settings(providers)).await
    }

    pub(crate) async fn with(settings: Settings) -> Self {
        Self::watched(settings, Arc::new(NoObserver)).await
    }

    /// With somebody who is told of every operation.
    pub(crate) async fn watched(settings: Settings, observer: Arc<dyn Observer>) -> Self {
        Self::start(settings, observer, |_| {})
    }

    /// With so long between trials of providers that are all open.
    pub(crate) async fn trying(settings: Settings, pauses: &[Duration]) -> Self {
        Self::start(settings, Arc::new(NoObserver), |probes| {
            probes.failing = pauses.to_vec();
        })
    }

    /// With probes that follow each other closely.
    pub(crate) async fn probing(settings: Settings) -> Self {
        Self::start(settings, Arc::new(NoObserver), |probes| {
            probes.heartbeat = Duration::from_millis(100);
            probes.recovered = Duration::from_millis(100);
            probes.failing = vec![Duration::from_millis(100)];
            probes.deadline = Duration::from_secs(2);
        })
    }

    fn start(
        settings: Settings,
        observer: Arc<dyn Observer>,
        probes: impl Fn(&mut ProbeSchedule),
    ) -> Self {
        let data = tempfile::tempdir().unwrap();
        let names = settings
            .providers
            .iter()
            .map(|p| format!("openai/{}", p.name));
        let rules = rules(names.collect(), probes);
        let mut engine = EngineBuilder::new(rules, data.path(), observer).unwrap();
        let models = Models::connect(settings, &mut engine).unwrap();
        let handle = engine.start().unwrap();
        Self {
            models,
            handle,
            _data: data,
        }
    }

    /// A caller with all the time there is.
    pub(crate) fn ctx(&self) -> Context {
        self.ctx_for(1, LONG)
    }

    pub(crate) fn ctx_for(&self, caller: u64, time: Duration) -> Context {
        Context::new(CallerId(caller), self.handle.clock().now() + time)
    }

    /// The text of a chat and where it came from.
    pub(crate) async fn say(&self, text: &str) -> Result<Answer<String>, Error> {
        let answer = self.models.chat(&self.ctx(), hello(text)).await?;
        Ok(answer.map(|reply| reply.text().unwrap_or_default().to_owned()))
    }

    /// What is known of the fallbacks.
    pub(crate) fn fallbacks(&self) -> Vec<FallbackStatus> {
        self.handle.fallbacks()
    }

    /// What became of the last exercise of a fallback.
    pub(crate) fn exercised(&self, source: &str) -> Option<Exercised> {
        let all = self.fallbacks();
        let found = all.into_iter().find(|one| one.source == source)?;
        found.last.map(|(_, ended)| ended)
    }

    pub(crate) fn state(&self, endpoint: &str) -> State {
        self.handle.guard(endpoint).unwrap().state()
    }

    pub(crate) fn failures_in_row(&self, endpoint: &str) -> u32 {
        self.handle
            .guard(endpoint)
            .unwrap()
            .snapshot()
            .failures_in_row
    }

    pub(crate) fn totals(&self, endpoint: &str) -> Totals {
        self.handle.guard(endpoint).unwrap().snapshot().totals
    }

    /// Lets this much time go by; answers nothing.
    pub(crate) async fn pass<T>(&self, time: Duration) -> Option<T> {
        self.handle.clock().sleep(time).await;
        None
    }

    /// How long the work takes.
    pub(crate) async fn time<T>(&self, work: impl Future<Output = T>) -> (T, Duration) {
        let clock = self.handle.clock();
        let started = clock.now();
        let done = work.await;
        (done, clock.now().saturating_since(started))
    }
}

pub(crate) fn hello(text: &str) -> ChatRequest {
    ChatRequest::new(vec![message("user", text)])
}

pub(crate) fn settings(providers: Vec<ProviderSettings>) -> Settings {
    let mut settings = Settings {
        providers,
        ..Settings::default()
    };
    settings.breaker.consecutive = NonZeroU32::new(5);
    settings.breaker.reset_timeout = OPEN;
    settings.breaker.ramp = None;
    settings
}

/// A provider that does everything.
pub(crate) fn provider(name: &str, api: &ModelApi) -> ProviderSettings {
    ProviderSettings {
        embedding_model: Some(ModelApi::EMBEDDING_MODEL.into()),
        moderation_model: Some(ModelApi::MODERATION_MODEL.into()),
        api_key: Some(Secret::new(api.api_key())),
        ..ProviderSettings::new(name, api.base_url(), ModelApi::CHAT_MODEL)
    }
}

/// How many chats it was asked for.
pub(crate) async fn chats(api: &ModelApi) -> u64 {
    let requests = api.requests().await;
    requests.get("/v1/chat/completions").copied().unwrap_or(0)
}

/// The model providers and no other dependency.
fn rules(endpoints: Vec<String>, probes: impl Fn(&mut ProbeSchedule)) -> Rules {
    let mut settings = RuleSettings::standard();
    // Every run with the same jitter.
    settings.seed = 1;
    settings.features.clear();
    settings.cascade.clear();
    settings.dependencies.retain(|it| it.name == "openai");
    for openai in &mut settings.dependencies {
        openai.weight = 1.0;
        probes(&mut openai.probes);
        openai.endpoints = endpoints.iter().map(EndpointSettings::main).collect();
    }
    settings.validate().unwrap()
}
