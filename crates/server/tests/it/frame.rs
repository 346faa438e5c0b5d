//! What every reply carries: a request id, the level, where data came from.

use std::time::Duration;

use axum::body::Body;
use http::{Method, StatusCode};
use mainstay_runtime::degradation::Level;
use mainstay_testkit::eventually;
use serde_json::json;

use crate::world::{Log, Plan, SOON, World};

async fn with_id(world: &World, id: &[u8]) -> String {
    let request = world
        .request(Method::GET, "/nowhere")
        .header("x-request-id", id);
    let reply = world.send(request.body(Body::empty()).unwrap()).await;
    let shown = reply.header("x-request-id").unwrap().to_owned();
    assert_eq!(
        reply.body["request_id"],
        shown.as_str(),
        "both say the same"
    );
    shown
}

#[tokio::test]
async fn a_sane_request_id_is_taken_over_and_any_other_replaced() {
    let world = World::healthy().await;
    let longest = "x".repeat(128);
    for sane in ["a", "6f1c-4e.b:2/x_+=", &longest] {
        assert_eq!(with_id(&world, sane.as_bytes()).await, sane);
    }
    let too_long = "x".repeat(129);
    for odd in [
        &b""[..],
        b"a b",
        b"a\"b",
        b"<x>",
        b"\xff",
        too_long.as_bytes(),
    ] {
        let shown = with_id(&world, odd).await;
        let fresh = shown.len() == 32 && shown.bytes().all(|b| b.is_ascii_hexdigit());
        assert!(fresh, "{shown}");
    }
    let (one, two) = (with_id(&world, b"").await, with_id(&world, b"").await);
    assert_ne!(one, two);
}

#[tokio::test]
async fn the_request_id_leads_to_the_log() {
    let (log, _guard) = Log::start();
    let world = World::healthy().await;
    with_id(&world, b"find-me").await;
    let lines = log.text();
    let answered = lines
        .lines()
        .find(|l| l.contains("find-me") && l.contains("\"answered\""));
    assert!(
        answered.is_some_and(|l| l.contains("\"status\":404")),
        "{lines}"
    );
}

#[tokio::test]
async fn every_reply_has_the_level() {
    let world = World::healthy().await;
    let pin = json!({"level": "LIMITED", "reason": "a rehearsal"});
    assert_eq!(
        world.post("/admin/level/pin", pin).await.status,
        StatusCode::OK
    );
    for path in [
        "/livez",
        "/status",
        "/nowhere",
        "/objects/nothing",
        "/metrics",
    ] {
        let reply = world.get(path).await;
        assert_eq!(reply.header("mainstay-level"), Some("LIMITED"), "{path}");
    }
    assert_eq!(world.core.handle.level(), Level::Limited);
}

#[tokio::test]
async fn data_replies_say_where_they_come_from_and_how_old_they_are() {
    let world = World::healthy().await;
    let read = json!({"query": "select 1 as one"});
    let fresh = world.post("/db/read", read.clone()).await;
    assert_eq!(fresh.header("mainstay-source"), Some("primary"));
    assert_eq!(fresh.header("age"), None);
    assert_eq!(fresh.body["age_ms"], 0);
    world
        .post("/cache/set", json!({"key": "k", "value": "v"}))
        .await;
    let got = world.post("/cache/get", json!({"key": "k"})).await;
    assert_eq!(got.header("mainstay-source"), Some("primary"));
    let put = world.put("/objects/k", "v").await;
    assert_eq!(put.header("mainstay-source"), Some("primary"));

    for dependency in ["database", "s3"] {
        let path = format!("/admin/breakers/{dependency}/forced_open");
        assert_eq!(world.post(&path, json!({})).await.status, StatusCode::OK);
    }
    let older = world.post("/db/read", read).await;
    assert_eq!(older.status, StatusCode::OK, "{older:?}");
    assert_eq!(older.header("mainstay-source"), Some("cache"));
    assert!(
        older
            .header("age")
            .is_some_and(|age| age.parse::<u64>().is_ok())
    );
    assert_eq!(older.body["breaker_state"], "open");
    let accepted = world.put("/objects/later", "v").await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED);
    assert_eq!(accepted.header("mainstay-source"), Some("journal"));
    let back = world.get("/objects/later").await;
    assert_eq!(
        (back.text(), back.header("mainstay-source")),
        ("v", Some("journal"))
    );
}

#[tokio::test]
async fn while_dependencies_are_down_liveness_and_readiness_stay() {
    let world = World::planned(Plan {
        dependencies: crate::world::Dependencies::Unreachable,
        ..Plan::default()
    })
    .await;
    for path in ["/livez", "/readyz", "/startupz", "/health"] {
        let reply = world.get(path).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        assert_eq!(reply.header("mainstay-level"), Some("EMERGENCY"));
    }
    eventually(SOON, "all are down", async || {
        let health = world.get("/health").await.body;
        let all = health["dependencies"].as_array().unwrap();
        all.iter().all(|d| d["status"] == "down")
    })
    .await;
    let refused = world.post("/db/write", json!({"query": "select 1"})).await;
    assert_eq!(
        refused.status,
        StatusCode::SERVICE_UNAVAILABLE,
        "{refused:?}"
    );
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!(Duration::from_secs(after) <= Duration::from_secs(600));
    assert_eq!(refused.body["level"], "EMERGENCY");
    assert_eq!(refused.body["dependency"], "database");
}
