//! While all is well, providers that would take over are tried where the operator wants it, and only there.

use std::time::Duration;

use mainstay_openai::{ProviderSettings, Settings};
use mainstay_runtime::Exercised;
use mainstay_testkit::{ModelApi, ModelApiMode, eventually};

use crate::world::{World, chats, provider, settings};

fn tried(providers: Vec<ProviderSettings>) -> Settings {
    Settings {
        exercise_providers: true,
        ..settings(providers)
    }
}

async fn until(world: &World, source: &str, ended: Exercised) {
    let what = format!("{source} has {}", ended.as_str());
    eventually(Duration::from_secs(30), &what, async || {
        world.exercised(source) == Some(ended)
    })
    .await;
}

#[tokio::test]
async fn every_provider_but_the_first_is_asked_where_the_operator_wants_it() {
    let (first, second, third) =
        tokio::join!(ModelApi::start(), ModelApi::start(), ModelApi::start());
    // It answers, and could not chat.
    let mut silent = provider("third", &third);
    silent.model = "no-such-model".into();
    let providers = vec![
        provider("first", &first),
        provider("second", &second),
        silent,
    ];
    let world = World::with(tried(providers)).await;
    until(&world, "provider:second", Exercised::Agreed).await;
    until(&world, "provider:third", Exercised::Failed).await;
    assert_eq!(world.exercised("provider:first"), None);
    assert_eq!((chats(&first).await, chats(&second).await), (0, 1));
}

#[tokio::test]
async fn an_answer_without_words_is_no_answer() {
    let (first, second) = tokio::join!(ModelApi::start(), ModelApi::start());
    let content = String::new();
    second.set(ModelApiMode::FixedReply { content }).await;
    let providers = vec![provider("first", &first), provider("second", &second)];
    let world = World::with(tried(providers)).await;
    until(&world, "provider:second", Exercised::Differed).await;
}

#[tokio::test]
async fn nobody_is_asked_unless_the_operator_wants_it_and_nothing_is_called_neglected() {
    let (first, second) = tokio::join!(ModelApi::start(), ModelApi::start());
    let providers = vec![provider("first", &first), provider("second", &second)];
    let world = World::new(providers).await;
    // Longer than it takes where they are asked.
    world.pass::<()>(Duration::from_secs(7)).await;
    assert_eq!(chats(&second).await, 0);
    assert!(world.fallbacks().is_empty(), "{:?}", world.fallbacks());
    // In use it is shown all the same, as one that nobody tries.
    first.kill().await;
    assert!(world.say("hola").await.is_ok());
    let used = world.fallbacks();
    assert_eq!(
        (used[0].source.as_str(), used[0].exercised),
        ("provider:second", false)
    );
}
