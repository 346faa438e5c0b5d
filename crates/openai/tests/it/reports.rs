//! Every operation is reported once, with how it ended.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_breaker::FailureKind;
use mainstay_runtime::{Observer, Report, Status};
use mainstay_testkit::{ModelApi, ModelApiMode, StreamFault};
use serde_json::json;

use crate::world::{World, hello, provider, settings};

#[derive(Default)]
struct Seen(Mutex<Vec<Report>>);

impl Observer for Seen {
    fn operation(&self, dependency: &str, report: &Report) {
        assert_eq!(dependency, "openai");
        self.0.lock().unwrap().push(report.clone());
    }
}

impl Seen {
    /// The one report since the last time: its status, source and kind of failure.
    fn one(&self) -> (Status, Option<String>, Option<FailureKind>) {
        let mut seen = self.0.lock().unwrap();
        assert_eq!(seen.len(), 1, "{seen:?}");
        let report = seen.remove(0);
        assert_eq!(report.operation, "chat");
        (
            report.status,
            report.source.map(|source| source.to_string()),
            report.error,
        )
    }
}

fn by(source: &str) -> Option<String> {
    Some(source.to_owned())
}

#[tokio::test]
async fn each_way_to_end_is_reported_once() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let mut settings = settings(vec![provider("a", &a), provider("b", &b)]);
    settings.breaker.reset_timeout = Duration::from_secs(60);
    let seen = Arc::new(Seen::default());
    let world = World::watched(settings, Arc::clone(&seen) as Arc<dyn Observer>).await;

    world.say("hello").await.unwrap();
    assert_eq!(seen.one(), (Status::Success, by("provider:a"), None));

    let mut wrong = hello("hello");
    wrong.options.insert("temperature".into(), json!(9));
    world.models.chat(&world.ctx(), wrong).await.unwrap_err();
    assert_eq!(seen.one(), (Status::Success, None, None));

    a.set(ModelApiMode::Overloaded529).await;
    world.say("hello").await.unwrap();
    assert_eq!(seen.one(), (Status::Fallback, by("provider:b"), None));

    b.set(ModelApiMode::Unauthorized).await;
    world.say("hello").await.unwrap();
    assert_eq!(
        seen.one(),
        (Status::Fallback, by("cache"), Some(FailureKind::Config))
    );
    world.say("unheard").await.unwrap_err();
    assert_eq!(
        seen.one(),
        (Status::Failure, None, Some(FailureKind::Config))
    );

    for _ in 0..4 {
        world.say("unheard").await.unwrap_err();
        seen.one();
    }
    world.say("unheard").await.unwrap_err();
    assert_eq!(seen.one(), (Status::Rejected, None, None));
}

#[tokio::test]
async fn a_stream_is_reported_once_at_its_end() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let seen = Arc::new(Seen::default());
    let settings = settings(vec![provider("a", &a), provider("b", &b)]);
    let world = World::watched(settings, Arc::clone(&seen) as Arc<dyn Observer>).await;

    world.hear("hello").await.unwrap().end.unwrap();
    assert_eq!(seen.one(), (Status::Success, by("provider:a"), None));

    let then = StreamFault::Cut;
    a.set(ModelApiMode::Stream { tokens: 1, then }).await;
    world.hear("good day").await.unwrap().end.unwrap_err();
    assert_eq!(
        seen.one(),
        (Status::Failure, None, Some(FailureKind::Protocol))
    );

    a.kill().await;
    world.hear("hello").await.unwrap().end.unwrap();
    assert_eq!(seen.one(), (Status::Fallback, by("provider:b"), None));

    b.kill().await;
    world.hear("hello").await.unwrap().end.unwrap();
    assert_eq!(
        seen.one(),
        (Status::Fallback, by("cache"), Some(FailureKind::Connect))
    );
}
