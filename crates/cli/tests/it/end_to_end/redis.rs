//! Redis killed, frozen and back.

use std::time::Duration;

use mainstay_testkit::{Redis, eventually};
use serde_json::json;

use super::server::{SOON, Server};

#[tokio::test]
async fn a_killed_redis_is_answered_for_from_memory_and_taken_up_again() {
    let redis = Redis::start().await;
    let server = Server::start(&[("REDIS_URL", &redis.url())]).await;
    server.level("OPTIMAL").await;
    let set = server
        .post("/cache/set", json!({"key": "greeting", "value": "hola"}))
        .await;
    assert_eq!(
        (set.status.as_u16(), set.body["source"].as_str()),
        (200, Some("primary"))
    );

    redis.kill().await;
    server.breaker("redis", "open").await;
    server.level("DEGRADED").await;
    let known = server.post("/cache/get", json!({"key": "greeting"})).await;
    assert_eq!(
        known.body["data"],
        json!({"status": "hit", "value": "hola"}),
        "{known:?}"
    );
    assert_eq!(known.header("mainstay-source"), Some("memory"));
    assert_eq!(known.header("mainstay-level"), Some("DEGRADED"));
    assert!(known.took < Duration::from_millis(250), "{:?}", known.took);
    let unknown = server
        .post("/cache/get", json!({"key": "never seen"}))
        .await;
    assert_eq!(
        unknown.body["data"]["status"], "unknown",
        "an outage is not a miss"
    );
    server
        .post("/cache/set", json!({"key": "greeting", "value": "changed"}))
        .await;

    assert_eq!(server.feature("redis_cache").await, "fallback");
    assert_eq!(server.feature("realtime_updates").await, "off");
    assert_eq!(
        server.feature("s3_uploads").await,
        "on",
        "a healthy store is not gated by Redis"
    );
    assert_eq!(server.metric("degradation_level").await, 2.0);
    assert_eq!(server.metric("redis_circuit_breaker_state").await, 1.0);
    assert!(
        server
            .metric("circuit_breaker_fallback_calls_total{dependency=\"redis\",source=\"memory\"}")
            .await
            >= 2.0
    );

    redis.restart().await;
    server.breaker("redis", "closed").await;
    eventually(
        SOON,
        "what was written meanwhile is deleted in Redis",
        async || {
            let reply = server.post("/cache/get", json!({"key": "greeting"})).await;
            reply.body["data"]["status"] == "absent" && reply.body["source"] == "primary"
        },
    )
    .await;
    server.level("OPTIMAL").await;
    assert_eq!(
        server
            .metric("degradation_level_info{level=\"OPTIMAL\"}")
            .await,
        1.0
    );
    assert_eq!(
        server
            .metric("degradation_level_info{level=\"DEGRADED\"}")
            .await,
        0.0
    );
    assert!(server.metric("recovery_time_seconds_count").await >= 1.0);
}

#[tokio::test]
async fn a_frozen_redis_opens_the_breaker_and_never_hangs_a_caller() {
    let redis = Redis::start().await;
    let server = Server::start(&[("REDIS_URL", &redis.url())]).await;
    server.level("OPTIMAL").await;
    server
        .post("/cache/set", json!({"key": "k", "value": "v"}))
        .await;

    redis.stop().await;
    let first = server.post("/cache/get", json!({"key": "k"})).await;
    assert_eq!(first.body["source"], "memory", "{first:?}");
    assert!(
        first.took < Duration::from_secs(2),
        "a call has its deadline: {:?}",
        first.took
    );
    server.breaker("redis", "open").await;
    server.level("DEGRADED").await;
    let why = server.get("/status/why").await;
    assert!(
        why.body["summary"]
            .as_str()
            .is_some_and(|s| s.contains("redis")),
        "{why:?}"
    );

    redis.cont();
    server.breaker("redis", "closed").await;
    server.level("OPTIMAL").await;
    let back = server.post("/cache/get", json!({"key": "k"})).await;
    assert_eq!(
        (
            back.body["data"]["value"].as_str(),
            back.body["source"].as_str()
        ),
        (Some("v"), Some("primary"))
    );
}
