//! The breaker of each provider: opens, answers fast, closes.

use std::time::Duration;

use mainstay_breaker::State;
use mainstay_openai::Settings;
use mainstay_runtime::ErrorKind;
use mainstay_testkit::{ModelApi, ModelApiMode, eventually};

use crate::world::{LONG, World, chats, provider, settings};

#[tokio::test]
async fn five_failures_open_it_and_from_then_on_answers_are_fast() {
    let api = ModelApi::start().await;
    let mut settings = settings(vec![provider("a", &api)]);
    settings.breaker.reset_timeout = Duration::from_secs(60);
    let world = World::with(settings).await;
    api.set(ModelApiMode::Internal500).await;
    eventually(LONG, "the breaker to open", async || {
        world.say("hello").await.unwrap_err();
        world.state("openai/a") == State::Open
    })
    .await;
    let asked = chats(&api).await;
    assert!(asked >= 5);

    let (answer, took) = world.time(world.say("hello")).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error.retry_after.unwrap() > Duration::from_secs(40),
        "{error:?}"
    );
    assert!(took < Duration::from_secs(3), "{took:?}");
    assert_eq!(chats(&api).await, asked);
}

#[tokio::test]
async fn a_provider_that_comes_back_is_taken_up_again() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    api.kill().await;
    eventually(LONG, "the breaker to open", async || {
        world.say("hello").await.unwrap_err();
        world.state("openai/a") == State::Open
    })
    .await;
    api.restart().await;
    eventually(LONG, "the breaker to close", async || {
        let answered = world.say("hello").await.is_ok();
        answered && world.state("openai/a") == State::Closed
    })
    .await;
}

#[tokio::test]
async fn each_provider_has_its_own() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let mut settings = settings(vec![provider("a", &a), provider("b", &b)]);
    settings.breaker.reset_timeout = Duration::from_secs(60);
    let world = World::with(settings).await;
    a.set(ModelApiMode::Overloaded529).await;
    for _ in 0..8 {
        assert_eq!(
            world.say("hello").await.unwrap().source.to_string(),
            "provider:b"
        );
    }
    assert_eq!(world.state("openai/a"), State::Open);
    assert_eq!(world.state("openai/b"), State::Closed);
    assert_eq!((chats(&a).await, chats(&b).await), (5, 8));
}

#[tokio::test]
async fn when_every_breaker_is_open_the_earliest_return_is_named() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let mut settings = settings(vec![provider("a", &a), provider("b", &b)]);
    settings.breaker.reset_timeout = Duration::from_secs(60);
    let world = World::with(Settings { ..settings }).await;
    a.set(ModelApiMode::RateLimited { retry_after: 300 }).await;
    b.set(ModelApiMode::RateLimited { retry_after: 90 }).await;
    eventually(LONG, "both breakers to open", async || {
        world.say("hello").await.unwrap_err();
        let open = |name| world.state(name) == State::Open;
        open("openai/a") && open("openai/b")
    })
    .await;
    let error = world.say("hello").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let wait = error.retry_after.unwrap().as_secs();
    assert!((80..=120).contains(&wait), "{wait}");
}
