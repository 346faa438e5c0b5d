//! What a newcomer meets: no file, no key, nothing installed.

use mainstay_testkit::{Program, Signal, eventually, free_port};
use serde_json::json;

use super::server::{SOON, Server};
use crate::support;

#[tokio::test]
async fn the_first_start_shows_an_admin_key_once_and_serves_with_embedded_defaults() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let folder = tempfile::tempdir().expect("a folder");
    let port = free_port();
    let start = || {
        let mut command = support::mainstay(folder.path());
        command
            .arg("serve")
            .env("MAINSTAY_SERVER_LISTEN", format!("127.0.0.1:{port}"));
        Program::start(command).expect("the program starts")
    };
    let client = reqwest::Client::new();
    let url = |path: &str| format!("http://127.0.0.1:{port}{path}");
    let ready = async || {
        client
            .get(url("/readyz"))
            .send()
            .await
            .is_ok_and(|r| r.status() == 200)
    };

    let program = start();
    let line = program
        .line_with(SOON, "mk_")
        .await
        .expect("the key is shown");
    let at = line.find("mk_").expect("just found");
    let key: String = line[at..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
        .collect();
    eventually(SOON, "the server is ready", ready).await;
    let reply = client
        .get(url("/status"))
        .bearer_auth(&key)
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 200);
    assert_eq!(
        client
            .get(url("/status"))
            .send()
            .await
            .expect("an answer")
            .status(),
        401
    );
    let kept = std::fs::read_to_string(folder.path().join("mainstay-data/keys.json"))
        .expect("the key file");
    assert!(!kept.contains(&key), "only its hash is kept");
    program.signal(Signal::TERM);
    assert!(program.wait(SOON).await.success());

    let program = start();
    eventually(SOON, "the server is ready", ready).await;
    let reply = client
        .get(url("/status"))
        .bearer_auth(&key)
        .send()
        .await
        .expect("an answer");
    assert_eq!(reply.status(), 200, "the key works on");
    let said = [program.stdout(), program.stderr()].concat();
    assert!(
        said.iter().all(|l| !l.contains(&key)),
        "the key is shown once"
    );
}

#[tokio::test]
async fn every_embedded_default_serves_and_keeps_what_it_was_given() {
    let mut server = Server::start(&[]).await;
    server.level("OPTIMAL").await;
    let made = server
        .post(
            "/db/write",
            json!({"query": "create table t (a integer, b text)"}),
        )
        .await;
    assert_eq!(made.status, 200, "{made:?}");
    let both = json!({"operations": [
        {"query": "insert into t values ($1, $2)", "params": [1, "uno"]},
        {"query": "insert into t values ($1, $2)", "params": [2, "dos"]},
    ]});
    assert_eq!(
        server.post("/db/transaction", both).await.body["rows_affected"],
        2
    );
    assert_eq!(server.put("/objects/a/b.txt", "contents").await.status, 200);
    assert_eq!(
        server.post("/cache/incr", json!({"key": "n"})).await.body["data"]["value"],
        1
    );

    server.restart().await;
    let read = server
        .post(
            "/db/read",
            json!({"query": "select a, b from t order by a"}),
        )
        .await;
    assert_eq!(
        read.body["data"],
        json!([{"a": 1, "b": "uno"}, {"a": 2, "b": "dos"}]),
        "{read:?}"
    );
    assert_eq!(server.get("/objects/a/b.txt").await.body, json!("contents"));
    let data = server.folder.path().join("mainstay-data");
    let stored = std::fs::read_to_string(data.join("objects/a/b.txt"));
    assert_eq!(stored.expect("the object is a plain file"), "contents");
    let listed = server.get("/objects?prefix=a/").await;
    assert_eq!(listed.body["objects"][0]["key"], "a/b.txt", "{listed:?}");
}

#[tokio::test]
async fn the_api_description_holds_every_route() {
    let server = Server::start(&[]).await;
    let reply = server.get("/openapi.json").await;
    let paths = reply.body["paths"].as_object().expect("paths");
    for path in [
        "/livez",
        "/readyz",
        "/startupz",
        "/health",
        "/health/database",
        "/health/openai",
        "/health/redis",
        "/health/s3",
        "/status",
        "/status/why",
        "/features",
        "/features/{name}",
        "/features/matrix",
        "/events",
        "/metrics",
        "/db/read",
        "/db/write",
        "/db/transaction",
        "/cache/{operation}",
        "/objects/{key}",
        "/objects",
        "/objects/copy",
        "/ai/chat",
        "/ai/embed",
        "/ai/moderate",
        "/ai/enhance-ocr",
        "/ai/pricing",
        "/ai/analyze-invoice",
        "/journal",
        "/journal/flush",
        "/journal/{id}/retry",
        "/journal/{id}/discard",
        "/admin/breakers/{id}/{mode}",
        "/admin/level/pin",
        "/admin/level/unpin",
        "/admin/features/{name}",
    ] {
        assert!(paths.contains_key(path), "{path} is missing");
    }
}
