//! Redis killed, frozen and back.

use std::time::Duration;

use mainstay_testkit::{Redis, eventually};
use serde_json::json;

use super::outage;
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
    assert!(known.took < Duration::from_secs(1), "{:?}", known.took);
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
    outage::REDIS.assert_down(&server).await;
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
    outage::REDIS.assert_back(&server).await;
    assert!(server.metric("recovery_time_seconds_count").await >= 1.0);
}

#[tokio::test]
async fn counters_sessions_and_locks_follow_the_rule_of_their_class() {
    let redis = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    let server = Server::start(&[
        ("REDIS_URL", &redis.url()),
        ("REDIS_CLASSES_COUNTER", "visits:"),
        ("REDIS_CLASSES_SESSION", "session:"),
        ("REDIS_CLASSES_LOCK", "lock:"),
        ("REDIS_MEMORY_BYTES", "64KiB"),
    ])
    .await;
    server.level("OPTIMAL").await;
    let incr = async |key: &str| server.post("/cache/incr", json!({"key": key})).await;
    incr("visits:home").await;

    redis.kill().await;
    server.breaker("redis", "open").await;
    let known = incr("visits:home").await;
    assert_eq!(known.body["data"], json!({"status": "counter", "value": 2}));
    assert_eq!(known.body["source"], "memory");
    let unknown = incr("visits:new").await;
    let delta = json!({"status": "delta", "delta": 1, "value": null});
    assert_eq!(unknown.body["data"], delta);
    let lock = server
        .post("/cache/set", json!({"key": "lock:a", "value": "1"}))
        .await;
    assert_eq!(lock.status.as_u16(), 503, "{lock:?}");
    assert!(lock.header("retry-after").is_some(), "{lock:?}");
    assert_eq!(server.metric("redis_keys_to_reconcile").await, 2.0);
    let large = json!({"key": "session:a", "value": "x".repeat(60 * 1024)});
    let full = server.post("/cache/set", large).await;
    assert_eq!(full.status.as_u16(), 507, "{full:?}");
    assert_eq!(full.body["type"], "urn:mainstay:problem:memory-full");
    let session = json!({"key": "session:a", "value": "ana"});
    assert_eq!(
        server.post("/cache/set", session).await.body["source"],
        "memory"
    );

    redis.restart().await;
    for (key, value) in [
        ("visits:home", "2"),
        ("visits:new", "1"),
        ("session:a", "ana"),
    ] {
        eventually(SOON, "it is brought back to Redis", async || {
            let reply = server.post("/cache/get", json!({"key": key})).await;
            reply.body["data"]["value"] == value && reply.body["source"] == "primary"
        })
        .await;
    }
    eventually(SOON, "nothing to be owed any more", async || {
        server.metric("redis_keys_to_reconcile").await == 0.0
    })
    .await;
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
    outage::REDIS.assert_down(&server).await;
    let why = server.get("/status/why").await;
    assert!(
        why.body["summary"]
            .as_str()
            .is_some_and(|s| s.contains("redis")),
        "{why:?}"
    );

    redis.cont();
    outage::REDIS.assert_back(&server).await;
    let back = server.post("/cache/get", json!({"key": "k"})).await;
    assert_eq!(
        (
            back.body["data"]["value"].as_str(),
            back.body["source"].as_str()
        ),
        (Some("v"), Some("primary"))
    );
}
