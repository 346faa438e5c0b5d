//! An adapter under test with the engine behind it.

use std::time::Duration;

use mainstay_redis::{Command, Redis, Reply, Settings, Target};
use mainstay_runtime::{Answer, CallerId, Context, EngineBuilder, Error, Secret, Source};
use serde_json::Value;

pub(crate) struct World {
    pub(crate) redis: Redis,
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

    pub(crate) fn new(settings: Settings) -> Self {
        let mut engine = EngineBuilder::default();
        let redis = Redis::connect(settings, &mut engine).expect("the settings are valid");
        Self { redis }
    }

    pub(crate) async fn run(&self, operation: &str, body: Value) -> Result<Answer<Reply>, Error> {
        let deadline = self.redis.guard().now() + Duration::from_secs(2);
        let command = Command::parse(operation, &body)?;
        self.redis.run(&Context { caller: CallerId(1), deadline }, command).await
    }

    /// The answer as JSON with its source.
    pub(crate) async fn ask(&self, operation: &str, body: Value) -> Result<(Value, Source), Error> {
        let answer = self.run(operation, body).await?;
        Ok((serde_json::to_value(answer.value).expect("replies are JSON"), answer.source))
    }

    pub(crate) async fn ok(&self, operation: &str, body: Value) -> (Value, Source) {
        let asked = self.ask(operation, body.clone()).await;
        asked.unwrap_or_else(|error| panic!("{operation} {body}: {error}"))
    }
}

/// The defaults with a breaker that comes back quickly.
pub(crate) fn settings(url: &str) -> Settings {
    let mut settings = Settings::new(Target::Server(Secret::new(url)));
    settings.breaker.reset_timeout = Duration::from_millis(300);
    settings
}
