//! The next provider, in time.

use std::time::Duration;

use mainstay_breaker::State;
use mainstay_openai::{ProviderSettings, Settings};
use mainstay_runtime::ErrorKind;
use mainstay_testkit::{ModelApi, ModelApiMode};
use serde_json::json;

use crate::world::{World, chats, hello, provider, settings};

#[tokio::test]
async fn whatever_ails_the_first_provider_the_second_answers() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let impatient = ProviderSettings {
        deadline: Duration::from_secs(1),
        ..provider("a", &a)
    };
    let mut settings = settings(vec![impatient, provider("b", &b)]);
    // Here each fault is to meet the provider itself, not an open breaker.
    settings.breaker.consecutive = None;
    let world = World::with(settings).await;
    let modes = [
        ModelApiMode::RateLimited { retry_after: 1 },
        ModelApiMode::Overloaded529,
        ModelApiMode::Internal500,
        ModelApiMode::Unauthorized,
        ModelApiMode::Slow { ms: 5_000 },
        ModelApiMode::Hang,
        ModelApiMode::CutMidway,
        ModelApiMode::StallMidway,
        ModelApiMode::BadJson,
    ];
    for (asked, mode) in (1..).zip(modes) {
        a.set(mode.clone()).await;
        let said = world.say(&format!("{mode:?}")).await.unwrap();
        assert_eq!(said.source.to_string(), "provider:b", "{mode:?}");
        assert_eq!(said.age, None);
        assert_eq!(chats(&a).await, asked, "{mode:?}");
    }
    a.kill().await;
    assert_eq!(
        world.say("killed").await.unwrap().source.to_string(),
        "provider:b"
    );
    a.restart().await;
    assert_eq!(
        world.say("back").await.unwrap().source.to_string(),
        "provider:a"
    );
}

#[tokio::test]
async fn where_the_first_is_spared_the_second_answers_else_an_earlier_answer_else_nobody() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let two = World::new(vec![provider("a", &a), provider("b", &b)]).await;
    let sparing = two.models.sparing_first();
    let ctx = two.ctx();
    let given = sparing.chat(&ctx, hello("hello")).await.unwrap();
    assert_eq!(given.source.to_string(), "provider:b");
    let given = sparing.chat_stream(&ctx, hello("hello")).await.unwrap();
    assert_eq!(given.source.to_string(), "provider:b");
    assert_eq!((chats(&a).await, chats(&b).await), (0, 2));
    let said = two.say("all of them").await.unwrap();
    assert_eq!(said.source.to_string(), "provider:a");

    let alone = World::new(vec![provider("a", &a)]).await;
    alone.say("known").await.unwrap();
    let sparing = alone.models.sparing_first();
    let earlier = sparing.chat(&alone.ctx(), hello("known")).await.unwrap();
    assert_eq!(earlier.source.to_string(), "cache");
    let error = sparing.chat(&alone.ctx(), hello("new")).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
    assert!(error.detail.contains("is spared"), "{error}");
    assert_eq!(chats(&a).await, 2, "nothing more");
}

#[tokio::test]
async fn a_frozen_provider_gets_half_of_the_time_while_another_is_left() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::new(vec![provider("a", &a), provider("b", &b)]).await;
    a.stop().await;
    let ctx = world.ctx_for(1, Duration::from_secs(4));
    let asked = world.time(world.models.chat(&ctx, hello("hello")));
    let (answer, took) = asked.await;
    assert_eq!(answer.unwrap().source.to_string(), "provider:b");
    assert!(took >= Duration::from_millis(1_900), "{took:?}");
    assert!(took < Duration::from_secs(4), "{took:?}");
}

#[tokio::test]
async fn the_total_deadline_bounds_all_attempts() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::with(Settings {
        total_deadline: Duration::from_secs(1),
        ..settings(vec![provider("a", &a), provider("b", &b)])
    })
    .await;
    a.stop().await;
    b.stop().await;
    let (answer, took) = world.time(world.say("hello")).await;
    let error = answer.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Timeout, "{error}");
    assert!(took >= Duration::from_millis(900), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn a_refused_request_comes_back_at_once_and_counts_against_nobody() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::new(vec![provider("a", &a), provider("b", &b)]).await;
    for _ in 0..10 {
        let mut request = hello("hello");
        request.options.insert("temperature".into(), json!(9));
        let error = world.models.chat(&world.ctx(), request).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput);
        assert_eq!(error.field.as_deref(), Some("temperature"));
        assert!(!error.retryable);
    }
    assert_eq!((chats(&a).await, chats(&b).await), (10, 0));
    assert_eq!(world.state("openai/a"), State::Closed);
    assert_eq!(world.failures_in_row("openai/a"), 0);
}

#[tokio::test]
async fn a_provider_that_lacks_its_model_is_passed_over_without_counting() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let gone = ProviderSettings {
        model: "retired".into(),
        ..provider("a", &a)
    };
    let world = World::new(vec![gone, provider("b", &b)]).await;
    for _ in 0..6 {
        assert_eq!(
            world.say("hello").await.unwrap().source.to_string(),
            "provider:b"
        );
    }
    assert_eq!(world.state("openai/a"), State::Closed);
    b.kill().await;
    let error = world.say("another").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(
        error
            .detail
            .contains("a: it answered 404 (model_not_found)"),
        "{error}"
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_passed_on() {
    let api = ModelApi::start().await;
    let impatient = ProviderSettings {
        deadline: Duration::from_secs(1),
        ..provider("a", &api)
    };
    let world = World::new(vec![impatient]).await;
    for mode in [
        ModelApiMode::CutMidway,
        ModelApiMode::BadJson,
        ModelApiMode::StallMidway,
    ] {
        api.set(mode.clone()).await;
        let error = world.say("hello").await.unwrap_err();
        assert!(error.retryable, "{mode:?}: {error}");
    }
}
