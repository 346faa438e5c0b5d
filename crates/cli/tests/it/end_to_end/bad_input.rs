//! Bad input: a problem that names the field, and no breaker is the worse for it.

use reqwest::Method;
use serde_json::{Value, json};

use super::server::Server;

async fn check(
    server: &Server,
    path: &str,
    body: Value,
    status: u16,
    kind: &str,
    field: Option<&str>,
) {
    let reply = server.post(path, body).await;
    let got = (
        reply.status.as_u16(),
        reply.problem(),
        reply.body["field"].as_str(),
    );
    assert_eq!(got, (status, kind, field), "{path}: {reply:?}");
    assert_eq!(
        reply.header("content-type"),
        Some("application/problem+json")
    );
    assert!(reply.body["request_id"].is_string() && reply.body["level"].is_string());
}

#[tokio::test]
async fn bad_input_names_the_field_and_counts_against_no_breaker() {
    let server = Server::start(&[]).await;
    server.level("OPTIMAL").await;
    for _ in 0..3 {
        let invalid = "invalid-input";
        check(
            &server,
            "/db/read",
            json!({"query": "select 1; select 2"}),
            400,
            invalid,
            Some("query"),
        )
        .await;
        check(
            &server,
            "/db/read",
            json!({"query": "create table x (a integer)"}),
            400,
            invalid,
            Some("query"),
        )
        .await;
        check(
            &server,
            "/db/read",
            json!({"query": "select $1", "params": []}),
            400,
            invalid,
            Some("params"),
        )
        .await;
        check(
            &server,
            "/db/read",
            json!({"sql": "select 1"}),
            400,
            invalid,
            Some("sql"),
        )
        .await;
        check(
            &server,
            "/db/write",
            json!({"query": "attach database 'x' as y"}),
            403,
            "forbidden",
            Some("query"),
        )
        .await;
        check(
            &server,
            "/cache/explode",
            json!({"key": "k"}),
            400,
            invalid,
            Some("operation"),
        )
        .await;
        check(
            &server,
            "/cache/set",
            json!({"key": "k", "value": "v", "ttl": -1}),
            400,
            invalid,
            Some("ttl"),
        )
        .await;
        check(
            &server,
            "/cache/get",
            json!({"key": "mainstay:x"}),
            400,
            invalid,
            Some("key"),
        )
        .await;
        check(
            &server,
            "/ai/pricing",
            json!({"cost": "-1"}),
            400,
            invalid,
            Some("cost"),
        )
        .await;
    }
    let traversal = server.put("/objects/..%2F..%2Fetc%2Fpasswd", "x").await;
    assert_eq!(
        (traversal.status.as_u16(), traversal.body["field"].as_str()),
        (400, Some("key")),
        "{traversal:?}"
    );
    let malformed = server
        .send(
            server
                .request(Method::POST, "/db/read")
                .body("{\"query\": NaN}"),
        )
        .await;
    assert_eq!(
        (malformed.status.as_u16(), malformed.problem()),
        (400, "malformed-input"),
        "{malformed:?}"
    );
    let bytes = server
        .send(
            server
                .request(Method::POST, "/db/read")
                .body(vec![0xff, 0xfe]),
        )
        .await;
    assert_eq!(
        (bytes.status.as_u16(), bytes.problem()),
        (400, "malformed-input")
    );
    let large = server
        .send(
            server
                .request(Method::POST, "/db/read")
                .body(vec![b' '; 2 << 20]),
        )
        .await;
    assert_eq!((large.status.as_u16(), large.problem()), (413, "too-large"));
    let feature = server.get("/features/nothing").await;
    assert_eq!(
        (feature.status.as_u16(), feature.problem()),
        (404, "not-found")
    );
    let nowhere = server.get("/nowhere").await;
    assert_eq!(
        (nowhere.status.as_u16(), nowhere.problem()),
        (404, "not-found")
    );
    let method = server
        .send(server.request(Method::DELETE, "/db/read"))
        .await;
    assert_eq!(
        (method.status.as_u16(), method.problem()),
        (405, "method-not-allowed")
    );

    let status = server.level("OPTIMAL").await;
    for component in status.body["components"].as_array().expect("components") {
        assert_eq!(component["fail_counter"], 0, "{component}");
    }
}

#[tokio::test]
async fn titles_follow_the_callers_language() {
    let server = Server::start(&[]).await;
    let request = server
        .request(Method::GET, "/features/nothing")
        .header("accept-language", "es-AR,es;q=0.9");
    assert_eq!(server.send(request).await.body["title"], "No encontrado");
    let why = server
        .request(Method::GET, "/status/why")
        .header("accept-language", "es");
    let summary = server.send(why).await.body["summary"].clone();
    assert!(
        summary.as_str().is_some_and(|s| s.contains("puntaje")),
        "{summary}"
    );
}

#[tokio::test]
async fn a_key_without_the_scope_is_refused() {
    let server = Server::start(&[]).await;
    let made = crate::support::run(
        server.folder.path(),
        &["key", "new", "--scopes", "cache", "--name", "shop"],
    );
    let at = made.out.find("mk_").expect("the key is shown");
    let key: String = made.out[at..]
        .chars()
        .take_while(|c| c.is_ascii_alphanumeric() || "_-".contains(*c))
        .collect();
    let client = reqwest::Client::new();
    let post = |path: &str, body: Value| {
        client
            .post(server.url(path))
            .bearer_auth(&key)
            .json(&body)
            .send()
    };
    assert_eq!(
        post("/cache/ping", json!({}))
            .await
            .expect("an answer")
            .status(),
        200
    );
    assert_eq!(
        post("/db/read", json!({"query": "select 1"}))
            .await
            .expect("an answer")
            .status(),
        403
    );
}
