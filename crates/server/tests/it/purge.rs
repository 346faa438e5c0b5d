//! `POST /admin/purge/{what}`.

use std::path::Path;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use mainstay_runtime::recordings;
use mainstay_server::Scope;
use mainstay_testkit::eventually;
use serde_json::json;

use crate::world::{Log, Plan, Reply, SOON, World};

async fn force_open(world: &World, dependency: &str) {
    let path = format!("/admin/breakers/{dependency}/forced_open");
    let forced = world.post(&path, json!({})).await;
    assert_eq!(forced.status, StatusCode::OK, "{forced:?}");
}

/// What answers while neither the database nor the object store may be asked.
async fn stand_ins(world: &World) -> [Reply; 3] {
    [
        world.post("/db/read", json!({"query": "select 7"})).await,
        world.get("/objects/a").await,
        world.get("/objects").await,
    ]
}

fn files(folder: &Path) -> usize {
    std::fs::read_dir(folder).unwrap().count()
}

#[tokio::test]
async fn purged_caches_answer_nothing_and_what_was_accepted_stays() {
    let (log, _guard) = Log::start();
    let world = World::healthy().await;
    assert_eq!(world.put("/objects/a", "x").await.status, StatusCode::OK);
    stand_ins(&world).await;
    force_open(&world, "database").await;
    force_open(&world, "s3").await;
    for reply in stand_ins(&world).await {
        assert_eq!(reply.header("mainstay-source"), Some("cache"), "{reply:?}");
    }
    let accepted = world.put("/objects/b", "accepted").await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");

    let reply = world.post("/admin/purge/caches", json!({})).await;
    let purged = ["database_results", "object_copies", "model_answers"];
    assert_eq!(
        (reply.status, &reply.body),
        (StatusCode::OK, &json!({"success": true, "purged": purged}))
    );
    for reply in stand_ins(&world).await {
        assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
    }
    assert_eq!(files(&world.folder.path().join("object-copies")), 0);
    assert_eq!(world.get("/objects/b").await.text(), "accepted");
    assert!(world.folder.path().join("objects/objects/a").exists());
    let line = log.lines("audit").pop().unwrap();
    assert_eq!(
        (&line["actor"], &line["what"], &line["done"]),
        (&json!("root"), &json!("caches"), &json!(true))
    );
    let event = world.event("operator").await;
    assert_eq!(event.message, "root purges the caches");
}

#[tokio::test]
async fn purged_recordings_are_gone_and_another_begins() {
    let world = World::planned(Plan {
        record: true,
        ..Plan::default()
    })
    .await;
    let folder = recordings::folder(world.folder.path());
    eventually(SOON, "one is being written", async || folder.exists()).await;
    let old = folder.join("2026-01-31T12-00-00Z-000.rec.gz");
    std::fs::write(&old, "old").unwrap();
    let reply = world.post("/admin/purge/recordings", json!({})).await;
    assert_eq!(
        (reply.status, &reply.body),
        (
            StatusCode::OK,
            &json!({"success": true, "purged": ["recordings"]})
        )
    );
    assert!(!old.exists());
    let event = world.event("operator").await;
    assert_eq!(event.data["purge"], "recordings");
    eventually(SOON, "another recording begins", async || {
        files(&folder) == 1
    })
    .await;
}

#[tokio::test]
async fn a_purge_needs_the_scope_admin_and_a_word_that_is_known() {
    let world = World::healthy().await;
    assert_eq!(world.put("/objects/a", "x").await.status, StatusCode::OK);
    let narrow = world.key_with(&[Scope::Status, Scope::Objects, Scope::DbRead]);
    for what in ["caches", "recordings"] {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("/admin/purge/{what}"))
            .header("x-api-key", &narrow);
        let reply = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{what}");
    }
    let unknown = world.post("/admin/purge/everything", json!({})).await;
    let got = (unknown.status.as_u16(), unknown.problem());
    assert_eq!(got, (400, "invalid-input"), "{unknown:?}");
    assert_eq!(unknown.body["field"], "what");
    let detail = unknown.body["detail"].as_str().unwrap();
    assert!(detail.contains("caches, recordings"), "{detail}");
    assert_eq!(files(&world.folder.path().join("object-copies")), 2);
}
