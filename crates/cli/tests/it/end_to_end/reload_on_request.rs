//! The configuration read anew because an operator asks for it.

use mainstay_testkit::eventually;
use serde_json::{Value, json};

use super::server::{SOON, Server};

const BEFORE: &str = "[breakers.redis]\nfail_max = 5\n";

fn write(server: &Server, file: &str) {
    let path = server.folder.path().join("mainstay.toml");
    std::fs::write(path, file).expect("the file is written");
}

async fn fail_max(server: &Server) -> Value {
    server.get("/health/redis").await.body["fail_max"].clone()
}

#[tokio::test]
async fn a_new_configuration_is_in_force_at_once_and_loses_no_breakers_state() {
    let server = Server::launch_with_file(BEFORE, &[]);
    server.ready().await;
    server.level("OPTIMAL").await;
    let forced = server
        .post("/admin/breakers/s3/forced_open", json!({}))
        .await;
    assert_eq!(forced.status, 200, "{forced:?}");

    write(
        &server,
        "[breakers.redis]\nfail_max = 7\n[server]\nlisten = \"127.0.0.1:1\"\ndb_read_get = true\n\
         [degradation]\nseed = 5\n",
    );
    let reply = server.post("/admin/reload", json!({})).await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(
        reply.body["changes"][0]["key"], "breakers.redis.fail_max",
        "{reply:?}"
    );
    assert_eq!(reply.body["changes"].as_array().map(Vec::len), Some(1));
    // The address comes from the environment here, and jitter goes on as it began.
    assert_eq!(
        reply.body["needs_restart"],
        json!(["degradation.seed", "server.db_read_get"])
    );
    eventually(SOON, "the new figure is published", async || {
        fail_max(&server).await == 7
    })
    .await;
    let s3 = server.get("/health/s3").await;
    assert_eq!(s3.body["breaker_state"], "open", "{s3:?}");

    write(&server, "[breakers.redis]\nfail_max = 7\n");
    let again = server.post("/admin/reload", json!({})).await;
    assert_eq!(again.body["changes"], json!([]), "{again:?}");
    assert_eq!(again.body["needs_restart"], json!([]));
}

#[tokio::test]
async fn a_file_with_a_mistake_changes_nothing_and_is_told_with_its_place() {
    let server = Server::launch_with_file(BEFORE, &[]);
    server.ready().await;
    write(&server, "[breakers.redis]\nfail_max = 7\nfail_mix = 1\n");
    let reply = server.post("/admin/reload", json!({})).await;
    let got = (reply.status.as_u16(), reply.problem());
    assert_eq!(got, (422, "invalid-configuration"), "{reply:?}");
    let mistake = &reply.body["errors"][0];
    let file = mistake["file"].as_str().unwrap_or_default();
    assert!(file.ends_with("mainstay.toml"), "{mistake}");
    assert_eq!(
        (&mistake["line"], &mistake["key"]),
        (&json!(3), &json!("breakers.redis.fail_mix"))
    );
    assert_eq!(fail_max(&server).await, 5);
    write(
        &server,
        "[s3]\nbucket = \"b\"\n[breakers.redis]\nfail_max = 7\n",
    );
    let refused = server.post("/admin/reload", json!({})).await;
    assert_eq!(
        refused.status, 422,
        "what is connected changes with a restart only: {refused:?}"
    );
    assert_eq!(fail_max(&server).await, 5);
}
