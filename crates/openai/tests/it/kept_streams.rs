//! Streamed answers that were kept, and kept answers that are streamed.

use mainstay_openai::ChatRequest;
use mainstay_runtime::{Answer, ErrorKind, Source};
use mainstay_testkit::{ModelApi, ModelApiMode, StreamFault};
use serde_json::json;

use crate::heard::Heard;
use crate::world::{LONG, World, hello, provider};

fn with_usage(text: &str) -> ChatRequest {
    ChatRequest {
        stream: true,
        stream_options: Some(json!({ "include_usage": true })),
        ..hello(text)
    }
}

#[tokio::test]
async fn a_stream_that_ended_well_stands_in_for_both_forms_while_nobody_can_answer() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let ctx = world.ctx();
    let first = Heard::of(world.begin_for(&ctx, with_usage("good day")).await.unwrap()).await;
    api.kill().await;
    let begun = world.begin_for(&ctx, with_usage("good day")).await.unwrap();
    assert!(begun.age.is_some_and(|age| age < LONG));
    let again = Heard::of(begun).await;
    assert_eq!((&again.source, &again.end), (&Source::Cache, &Ok(())));
    assert_eq!(
        (again.text(), again.finish_reason()),
        (first.text(), first.finish_reason())
    );
    let usage = |heard: &Heard| heard.chunks.last().unwrap()["usage"].clone();
    assert_eq!(usage(&again), usage(&first));
    assert_eq!(usage(&first)["total_tokens"], 5);
    let without = world.hear("good day").await.unwrap();
    assert!(
        without
            .chunks
            .iter()
            .all(|chunk| chunk.get("usage").is_none())
    );
    let Answer { value, source, .. } = world.say("good day").await.unwrap();
    assert_eq!((value.as_str(), source), ("echo: good day", Source::Cache));
}

#[tokio::test]
async fn a_whole_answer_is_streamed_while_nobody_can_answer_and_only_to_its_own_caller() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    world.say("good day").await.unwrap();
    api.kill().await;
    let heard = world.hear("good day").await.unwrap();
    assert_eq!(
        (heard.source.clone(), heard.end.clone()),
        (Source::Cache, Ok(()))
    );
    assert_eq!(
        (heard.text().as_str(), heard.finish_reason()),
        ("echo: good day", Some("stop"))
    );
    let other = world.ctx_for(2, LONG);
    let error = world
        .begin_for(&other, hello("good day"))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_stream_that_broke_off_or_was_left_is_not_kept() {
    let api = ModelApi::start().await;
    let world = World::new(vec![provider("a", &api)]).await;
    let then = StreamFault::Cut;
    api.set(ModelApiMode::Stream { tokens: 3, then }).await;
    world.hear("good day").await.unwrap().end.unwrap_err();
    let then = StreamFault::Endless { ms: 20 };
    api.set(ModelApiMode::Stream { tokens: 3, then }).await;
    drop(world.begin("good day").await.unwrap());
    api.kill().await;
    assert_eq!(world.models.cache_bytes(), 0);
    assert_eq!(
        world.hear("good day").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
}
