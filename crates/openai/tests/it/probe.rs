//! Probes find out what no caller asks for.

use mainstay_breaker::State;
use mainstay_openai::ProviderSettings;
use mainstay_runtime::Secret;
use mainstay_testkit::{ModelApi, ModelApiMode, eventually};

use crate::oddity::{Oddity, says};
use crate::world::{LONG, World, chats, provider, settings};

async fn until(world: &World, state: State) {
    eventually(LONG, "the breaker to change", async || {
        world.state("openai/a") == state
    })
    .await;
}

#[tokio::test]
async fn without_a_call_a_dead_provider_is_noticed_and_its_return_too() {
    let api = ModelApi::start().await;
    let world = World::probing(settings(vec![provider("a", &api)])).await;
    api.kill().await;
    until(&world, State::Open).await;
    api.restart().await;
    until(&world, State::Closed).await;
    assert_eq!(chats(&api).await, 0);
    world.say("hello").await.unwrap();
}

#[tokio::test]
async fn without_a_call_a_frozen_provider_is_noticed_and_its_return_too() {
    let api = ModelApi::start().await;
    let world = World::probing(settings(vec![provider("a", &api)])).await;
    api.stop().await;
    until(&world, State::Open).await;
    api.cont();
    until(&world, State::Closed).await;
}

#[tokio::test]
async fn a_wrong_key_opens_before_anybody_asks() {
    let api = ModelApi::start().await;
    let wrong = ProviderSettings {
        api_key: Some(Secret::new("sk-wrong")),
        ..provider("a", &api)
    };
    let world = World::probing(settings(vec![wrong])).await;
    until(&world, State::Open).await;
    let error = world.say("hello").await.unwrap_err();
    assert!(error.detail.contains("circuit breaker"), "{error}");
}

#[tokio::test]
async fn a_rate_limit_that_probes_meet_opens_it() {
    let api = ModelApi::start().await;
    api.set(ModelApiMode::RateLimited { retry_after: 60 }).await;
    let world = World::probing(settings(vec![provider("a", &api)])).await;
    until(&world, State::Open).await;
}

#[tokio::test]
async fn a_provider_without_a_list_of_models_is_alive() {
    let oddity = Oddity::start(|_| says("hello")).await;
    let provider = ProviderSettings::new("a", &oddity.base_url, "odd");
    let world = World::probing(settings(vec![provider])).await;
    eventually(LONG, "five probes", async || oddity.authorized().len() >= 5).await;
    assert_eq!(world.state("openai/a"), State::Closed);
    assert_eq!(world.failures_in_row("openai/a"), 0);
}
