//! Earlier answers: only when nobody can answer, labelled, and never another caller's.

use std::time::Duration;

use mainstay_openai::Settings;
use mainstay_runtime::{ErrorKind, Source};
use mainstay_testkit::{ModelApi, ModelApiMode};

use crate::world::{LONG, World, chats, hello, provider, settings};

#[tokio::test]
async fn an_earlier_answer_stands_in_with_its_age_while_nobody_can_answer() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let fresh = world.say("hello").await.unwrap();
    api.kill().await;
    for _ in 0..8 {
        let old = world.say("hello").await.unwrap();
        assert_eq!(old.value, fresh.value);
        assert_eq!(old.source, Source::Cache);
        assert!(old.age.unwrap() < LONG);
    }
}

#[tokio::test]
async fn after_a_purge_no_earlier_answer_stands_in() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    world.say("hello").await.unwrap();
    api.kill().await;
    world.models.purge_cache();
    let error = world.say("hello").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert_eq!(world.models.cache_bytes(), 0);
}

#[tokio::test]
async fn a_caller_never_gets_what_another_was_told() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let (first, second) = (world.ctx_for(1, LONG), world.ctx_for(2, LONG));
    world.models.chat(&first, hello("hello")).await.unwrap();
    api.kill().await;
    let error = world
        .models
        .chat(&second, hello("hello"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let own = world.models.chat(&first, hello("hello")).await.unwrap();
    assert_eq!(own.source, Source::Cache);
}

#[tokio::test]
async fn a_provider_that_can_answer_is_always_asked() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    for _ in 0..3 {
        let said = world.say("hello").await.unwrap();
        assert_eq!(said.source, Source::Provider("a".into()));
    }
    assert_eq!(chats(&api).await, 3);
}

#[tokio::test]
async fn failures_and_another_question_are_not_answered_from_it() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    api.set(ModelApiMode::BadJson).await;
    world.say("hello").await.unwrap_err();
    assert_eq!(world.models.cache_bytes(), 0);
    api.set(ModelApiMode::Ok).await;
    world.say("hello").await.unwrap();
    api.kill().await;
    let error = world.say("hello!").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_frozen_provider_is_given_up_at_the_deadline_for_an_earlier_answer() {
    let api = ModelApi::start().await;
    let world = World::with(Settings {
        total_deadline: Duration::from_secs(1),
        ..settings(vec![provider("a", &api)])
    })
    .await;
    world.say("hello").await.unwrap();
    api.stop().await;
    let (old, took) = world.time(world.say("hello")).await;
    assert_eq!(old.unwrap().source, Source::Cache);
    assert!(took < Duration::from_secs(5), "{took:?}");
}
