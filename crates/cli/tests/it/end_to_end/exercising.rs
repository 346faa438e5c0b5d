//! Fallbacks that no read goes through are tried with canaries while all is well, and `/status` says how that went.

use mainstay_testkit::{Leaves, ModelApi, Redis, S3, S3Mode, eventually};
use serde_json::Value;

use super::server::{SOON, Server};
use crate::support::{borrowed, s3_settings};

async fn serving(s3: &S3, redis: &Redis) -> Server {
    let mut settings = s3_settings(s3);
    settings.push(("REDIS_URL", redis.url()));
    Server::start(&borrowed(&settings)).await
}

/// What `/status` says of a fallback.
async fn fallback(server: &Server, dependency: &str, source: &str) -> Value {
    let status = server.get("/status").await.body;
    let all = status["fallbacks"].as_array().cloned().unwrap_or_default();
    let is_it = |one: &Value| one["dependency"] == dependency && one["source"] == source;
    all.into_iter().find(is_it).unwrap_or_default()
}

async fn until(server: &Server, dependency: &str, source: &str, result: &str) -> Value {
    let what = format!("{source} has {result}");
    eventually(SOON, &what, async || {
        fallback(server, dependency, source).await["result"] == result
    })
    .await;
    fallback(server, dependency, source).await
}

#[tokio::test]
async fn journal_and_settlement_are_tried_soon_after_the_start_and_nobody_sees_the_canary() {
    let (s3, redis) = (S3::start().await, Redis::start().await);
    let server = serving(&s3, &redis).await;
    for (dependency, way) in [("s3", "journal"), ("redis", "settlement")] {
        let tried = until(&server, dependency, way, "agreed").await;
        assert_eq!(tried["exercised"], true, "{tried}");
        assert!(tried["last_tried"].is_string(), "{tried}");
        assert!(tried["in_use_seconds"].is_null(), "{tried}");
        assert!(tried["age_seconds"].as_u64().is_some_and(|age| age < 60));
    }
    let list = server.get("/objects").await.body;
    assert_eq!(list["objects"].as_array().map(Vec::len), Some(0), "{list}");
    assert_eq!(server.get("/journal").await.body["entries"], 0);
    assert_eq!(s3.names(".mainstay"), Vec::<String>::new());
    let age = r#"fallback_last_exercised_seconds{dependency="redis"}"#;
    eventually(SOON, "the age grows", async || {
        server.metric(age).await > 1.0
    })
    .await;
}

#[tokio::test]
async fn a_store_that_forgets_what_it_took_shows_in_the_status() {
    let (s3, redis) = (S3::start().await, Redis::start().await);
    s3.set(S3Mode::Spoil {
        prefix: ".mainstay/canary-".into(),
        leaves: Leaves::Nothing,
    })
    .await;
    let server = serving(&s3, &redis).await;
    until(&server, "s3", "journal", "failed").await;
    let journal = server.get("/journal").await.body;
    assert_eq!(
        (&journal["entries"], &journal["set_aside"]),
        (&0.into(), &0.into()),
        "nothing for anybody to mend: {journal}"
    );
}

#[tokio::test]
async fn the_second_provider_is_tried_where_the_operator_wants_it() {
    let (first, second) = tokio::join!(ModelApi::start(), ModelApi::start());
    let provider = |name: &str, api: &ModelApi| {
        format!(
            "[[openai.providers]]\nname = \"{name}\"\nbase_url = \"{}\"\nmodel = \"{}\"\napi_key = \"{}\"\n",
            api.base_url(),
            ModelApi::CHAT_MODEL,
            api.api_key(),
        )
    };
    let file = [provider("first", &first), provider("second", &second)].concat();
    let wanted = [("OPENAI_EXERCISE_PROVIDERS", "true")];
    let server = Server::launch_with_file(&file, &wanted);
    server.ready().await;
    let tried = until(&server, "openai", "provider:second", "agreed").await;
    assert_eq!(tried["exercised"], true, "{tried}");
    let preferred = fallback(&server, "openai", "provider:first").await;
    assert!(preferred.is_null(), "it is no fallback: {preferred}");
}
