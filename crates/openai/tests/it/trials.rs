//! Every provider is open: the least bad is tried, one call at a time, in its time.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::State;
use mainstay_openai::Settings;
use mainstay_runtime::Source;
use mainstay_testkit::{ModelApi, ModelApiMode, eventually};

use crate::world::{LONG, World, chats, provider, settings};

const PAUSE: Duration = Duration::from_millis(300);
const FOR_LONG: Duration = Duration::from_secs(60);

/// Opens on the first failure and stays open for longer than any test takes.
fn touchy(apis: &[(&str, &ModelApi)]) -> Settings {
    let providers = apis.iter().map(|(name, api)| provider(name, api)).collect();
    let mut settings = settings(providers);
    settings.breaker.consecutive = NonZeroU32::new(1);
    settings.breaker.reset_timeout = FOR_LONG;
    settings.breaker.jitter = 0.0;
    settings
}

/// Asks until every breaker is open.
async fn open(world: &World) {
    world.say("hello").await.unwrap_err();
    for name in world.models.provider_names() {
        assert_eq!(world.state(&format!("openai/{name}")), State::Open);
    }
}

#[tokio::test]
async fn an_only_provider_that_is_back_is_found_by_a_real_call_long_before_its_open_time_is_over() {
    let api = ModelApi::start().await;
    let world = World::trying(touchy(&[("a", &api)]), &[PAUSE]).await;
    api.set(ModelApiMode::Internal500).await;
    open(&world).await;
    api.set(ModelApiMode::Ok).await;
    let (_, took) = world
        .time(eventually(LONG, "a trial to be let through", async || {
            world.say("hello").await.is_ok()
        }))
        .await;
    assert!(
        took >= PAUSE / 2 && took < Duration::from_secs(10),
        "{took:?}"
    );
    eventually(LONG, "the breaker to close", async || {
        let _ = world.say("hello").await;
        world.state("openai/a") == State::Closed
    })
    .await;
}

#[tokio::test]
async fn while_it_stays_down_only_the_trials_reach_it() {
    let api = ModelApi::start().await;
    let world = World::trying(touchy(&[("a", &api)]), &[PAUSE, FOR_LONG]).await;
    api.set(ModelApiMode::Internal500).await;
    open(&world).await;
    let before = chats(&api).await;
    eventually(LONG, "the first trial", async || {
        world.say("hello").await.unwrap_err();
        chats(&api).await > before
    })
    .await;
    for _ in 0..20 {
        world.say("hello").await.unwrap_err();
    }
    assert_eq!(chats(&api).await, before + 1);
    assert_eq!(world.state("openai/a"), State::Open);
}

#[tokio::test]
async fn many_callers_at_once_make_one_trial() {
    let api = ModelApi::start().await;
    let world = World::trying(touchy(&[("a", &api)]), &[PAUSE, FOR_LONG]).await;
    api.set(ModelApiMode::Internal500).await;
    open(&world).await;
    let before = chats(&api).await;
    api.set(ModelApiMode::Slow { ms: 300 }).await;
    world.pass::<()>(PAUSE).await;
    let asked = futures_util::future::join_all((0..10).map(|_| world.say("hello"))).await;
    let answered = asked.iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((answered, chats(&api).await - before), (1, 1));
}

#[tokio::test]
async fn the_least_bad_is_the_one_whose_open_time_ends_soonest() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::trying(touchy(&[("a", &a), ("b", &b)]), &[PAUSE, FOR_LONG]).await;
    // A hint above the open time: the first provider is away for longer than the second.
    a.set(ModelApiMode::RateLimited { retry_after: 300 }).await;
    b.set(ModelApiMode::Internal500).await;
    open(&world).await;
    tokio::join!(a.set(ModelApiMode::Ok), b.set(ModelApiMode::Ok));
    let before = chats(&a).await;
    world.pass::<()>(PAUSE).await;
    let said = world.say("hello").await.unwrap();
    assert_eq!(said.source, Source::Provider("b".into()));
    assert_eq!(chats(&a).await, before, "asked to be left alone");
}

#[tokio::test]
async fn a_stream_is_a_trial_too() {
    let api = ModelApi::start().await;
    let world = World::trying(touchy(&[("a", &api)]), &[PAUSE]).await;
    api.set(ModelApiMode::Internal500).await;
    open(&world).await;
    api.set(ModelApiMode::Ok).await;
    eventually(LONG, "a trial to be let through", async || {
        world.hear("hello").await.is_ok()
    })
    .await;
    assert_ne!(world.state("openai/a"), State::Open);
}

#[tokio::test]
async fn while_anybody_else_may_answer_nobody_is_tried() {
    let (a, b) = tokio::join!(ModelApi::start(), ModelApi::start());
    let world = World::trying(touchy(&[("a", &a), ("b", &b)]), &[PAUSE]).await;
    a.set(ModelApiMode::Internal500).await;
    world.say("hello").await.unwrap();
    let before = chats(&a).await;
    world.pass::<()>(PAUSE * 2).await;
    for _ in 0..5 {
        let said = world.say("hello").await.unwrap();
        assert_eq!(said.source, Source::Provider("b".into()));
    }
    assert_eq!(chats(&a).await, before);
}
