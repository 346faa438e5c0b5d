//! What the matrix does to the primitive routes: nothing of its own accord, and every lesser mode what it says under
//! strict gating, a pin or a knob.

use http::StatusCode;
use mainstay_redis::{Class, ClassRule};
use mainstay_runtime::degradation::{FeatureMode, Gating, Level};
use serde_json::{Value, json};

use crate::world::{Plan, Reply, World};

async fn pin(world: &World, level: &str) {
    let reply = world
        .post("/admin/level/pin", json!({"level": level}))
        .await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

async fn knob(world: &World, feature: &str, mode: &str) {
    let path = format!("/admin/features/{feature}");
    let reply = world.post(&path, json!({"mode": mode})).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
}

fn assert_off(reply: &Reply, feature: &str) {
    let got = (reply.status.as_u16(), reply.problem());
    assert_eq!(got, (503, "feature-off"), "{reply:?}");
    assert_eq!(reply.body["feature"], feature);
    assert!(reply.header("retry-after").is_some());
}

fn assert_ok(reply: &Reply) {
    assert!(reply.status.is_success(), "{reply:?}");
}

fn read() -> Value {
    json!({"query": "select 1"})
}

/// Counts for as long as it may.
fn endless() -> Value {
    let query =
        "with recursive n(i) as (select 1 union all select i + 1 from n) select count(*) from n";
    json!({"query": query})
}

#[tokio::test]
async fn core_application_at_partial_takes_reads_only() {
    let world = World::healthy().await;
    let table = json!({"query": "create table t (a integer)"});
    let insert = json!({"query": "insert into t values (1)"});
    assert_ok(&world.post("/db/write", table).await);
    knob(&world, "core_application", "partial").await;
    assert_ok(&world.post("/db/read", read()).await);
    assert_off(
        &world.post("/db/write", insert.clone()).await,
        "core_application",
    );
    let both = json!({"operations": [insert]});
    assert_off(
        &world.post("/db/transaction", both).await,
        "core_application",
    );
    knob(&world, "core_application", "off").await;
    assert_off(&world.post("/db/read", read()).await, "core_application");
    knob(&world, "core_application", "auto").await;
    pin(&world, "EMERGENCY").await;
    assert_ok(&world.post("/db/read", read()).await);
    let count = world
        .post("/db/read", json!({"query": "select count(*) as n from t"}))
        .await;
    assert_eq!(
        count.body["data"][0]["n"], 0,
        "nothing was written: {count:?}"
    );
}

#[tokio::test]
async fn complex_queries_at_partial_have_a_second() {
    let world = World::healthy().await;
    let tuning = world.core.handle.tuning().request_deadline;
    assert!(
        tuning.as_millis() >= 2000,
        "or the level's deadline comes first"
    );
    knob(&world, "complex_queries", "partial").await;
    let started = world.core.handle.clock().now();
    let ended = world.post("/db/read", endless()).await;
    let took = world.core.handle.clock().now().saturating_since(started);
    assert!(!ended.status.is_success(), "{ended:?}");
    let limit = 900..1900;
    assert!(limit.contains(&took.as_millis()), "{took:?}");
    assert_ok(&world.post("/db/read", read()).await);
}

#[tokio::test]
async fn redis_cache_at_partial_takes_no_writes_to_shared_keys() {
    let world = World::planned(Plan {
        classes: vec![ClassRule {
            prefix: "session:".to_owned(),
            class: Class::Session,
        }],
        ..Plan::default()
    })
    .await;
    let set = |key: &str| json!({"key": key, "value": "v"});
    assert_ok(&world.post("/cache/set", set("shared")).await);
    pin(&world, "LIMITED").await;
    assert_off(
        &world.post("/cache/set", set("shared")).await,
        "redis_cache",
    );
    let got = world.post("/cache/get", json!({"key": "shared"})).await;
    assert_eq!(got.body["data"]["value"], "v", "{got:?}");
    assert_ok(&world.post("/cache/set", set("session:1")).await);
    pin(&world, "MINIMAL").await;
    assert_off(
        &world.post("/cache/get", json!({"key": "shared"})).await,
        "redis_cache",
    );
    assert_off(
        &world.post("/cache/set", set("session:1")).await,
        "session_storage",
    );
}

#[tokio::test]
async fn s3_uploads_at_partial_fill_half_of_the_journal() {
    let world = World::planned(Plan {
        journal: mainstay_journal::Settings {
            max_entries: 6,
            ..mainstay_journal::Settings::default()
        },
        ..Plan::default()
    })
    .await;
    let forced = world
        .post("/admin/breakers/s3/forced_open", json!({}))
        .await;
    assert_ok(&forced);
    knob(&world, "s3_uploads", "partial").await;
    for n in 0..3 {
        let accepted = world.put(&format!("/objects/k{n}"), "x").await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    }
    let refused = world.put("/objects/k3", "x").await;
    let got = (refused.status.as_u16(), refused.problem());
    assert_eq!(got, (503, "journal-full"), "{refused:?}");
    assert_eq!(
        world.get("/objects/k3").await.status,
        StatusCode::SERVICE_UNAVAILABLE
    );
    knob(&world, "s3_uploads", "auto").await;
    for n in 3..6 {
        let accepted = world.put(&format!("/objects/k{n}"), "x").await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    }
    assert_eq!(
        world.put("/objects/k6", "x").await.problem(),
        "journal-full"
    );
}

#[tokio::test]
async fn openai_api_at_limited_asks_no_first_provider() {
    let world = World::unreachable().await;
    let chat = || json!({"messages": [{"role": "user", "content": "hola"}]});
    let spared = "is spared for now";
    let detail = async || {
        let refused = world.post("/ai/chat", chat()).await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        refused.body["detail"].as_str().unwrap().to_owned()
    };
    assert!(!detail().await.contains(spared), "it is asked");
    pin(&world, "LIMITED").await;
    assert!(detail().await.contains(spared));
    knob(&world, "openai_api", "on").await;
    assert!(!detail().await.contains(spared), "the knob wins");
}

#[tokio::test]
async fn file_storage_at_partial_is_read_only() {
    let world = World::healthy().await;
    assert_ok(&world.put("/objects/a", "x").await);
    knob(&world, "file_storage", "partial").await;
    assert_eq!(world.get("/objects/a").await.text(), "x");
    assert_ok(&world.get("/objects").await);
    assert_off(&world.put("/objects/b", "x").await, "file_storage");
    let copy = json!({"from": "a", "to": "b"});
    assert_off(&world.post("/objects/copy", copy).await, "file_storage");
    let delete = world
        .send_json(http::Method::DELETE, "/objects/a", &Value::Null)
        .await;
    assert_off(&delete, "file_storage");
    knob(&world, "file_storage", "off").await;
    assert_off(&world.get("/objects/a").await, "file_storage");
}

#[tokio::test]
async fn strict_gating_applies_the_level_s_row_and_causal_gating_leaves_primitives_alone() {
    for gating in [Gating::Strict, Gating::Causal] {
        let mut plan = Plan::default();
        plan.rules.gating = gating;
        let world = World::planned(plan).await;
        let forced = world
            .post("/admin/breakers/s3/forced_open", json!({}))
            .await;
        assert_ok(&forced);
        let forced = world
            .post("/admin/breakers/redis/forced_open", json!({}))
            .await;
        assert_ok(&forced);
        world.level(Level::Limited).await;
        let set = world
            .post("/cache/set", json!({"key": "k", "value": "v"}))
            .await;
        match gating {
            Gating::Strict => assert_off(&set, "redis_cache"),
            Gating::Causal => assert_ne!(set.problem(), "feature-off", "{set:?}"),
        }
        let feature = world.get("/features/redis_cache").await;
        assert_eq!(
            feature.body["mode"],
            FeatureMode::Partial.as_str(),
            "its row reports"
        );
    }
}

#[tokio::test]
async fn a_write_that_may_wait_is_gated_as_any_write_unless_the_database_is_what_it_waits_for() {
    let mut plan = Plan::default();
    plan.rules.gating = Gating::Strict;
    let world = World::planned(plan).await;
    let deferred = || world.post("/db/deferred", json!({"statement": "s"}));
    // Past the gate it lacks its key.
    assert_eq!(deferred().await.problem(), "invalid-input");
    for (feature, mode) in [("core_application", "partial"), ("write_operations", "off")] {
        knob(&world, feature, mode).await;
        assert_off(&deferred().await, feature);
        knob(&world, feature, "auto").await;
    }
    pin(&world, "EMERGENCY").await;
    assert_off(&deferred().await, "core_application");
    assert_ok(&world.post("/admin/level/unpin", json!({})).await);
    let open = "/admin/breakers/database/forced_open";
    assert_ok(&world.post(open, json!({})).await);
    world.level(Level::Emergency).await;
    let write = world
        .post("/db/write", json!({"query": "create table t (a integer)"}))
        .await;
    assert_off(&write, "core_application");
    assert_eq!(deferred().await.problem(), "invalid-input", "it may wait");
    knob(&world, "write_operations", "off").await;
    assert_off(&deferred().await, "write_operations");
}
