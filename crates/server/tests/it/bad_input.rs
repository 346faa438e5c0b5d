//! Bad input: a problem that names the field, and no breaker is the worse for it.

use axum::body::Body;
use http::{Method, header};
use serde_json::{Value, json};

use crate::world::{Reply, World};

fn check(reply: &Reply, status: u16, kind: &str, field: Option<&str>, sent: &str) {
    let got = (
        reply.status.as_u16(),
        reply.problem(),
        reply.body["field"].as_str(),
    );
    assert_eq!(got, (status, kind, field), "{sent}: {reply:?}");
    let content_type = reply.header("content-type");
    assert_eq!(content_type, Some("application/problem+json"), "{sent}");
    for text in ["title", "detail", "request_id", "level"] {
        let text = reply.body[text].as_str();
        assert!(text.is_some_and(|t| !t.is_empty()), "{sent}: {reply:?}");
    }
    assert_eq!(reply.body["status"], status, "{sent}");
    assert_eq!(reply.body["retryable"], false, "{sent}");
}

const INVALID: &str = "invalid-input";

/// Path, body, status, kind, field.
fn json_cases() -> Vec<(&'static str, Value, u16, &'static str, Option<&'static str>)> {
    let invalid = |path, body, field| (path, body, 400, INVALID, Some(field));
    vec![
        invalid("/db/read", json!({"query": "select 1; select 2"}), "query"),
        invalid(
            "/db/read",
            json!({"query": "insert into t values (1)"}),
            "query",
        ),
        invalid(
            "/db/read",
            json!({"query": "select $1", "params": []}),
            "params",
        ),
        invalid(
            "/db/read",
            json!({"query": "select $1", "params": [1, 2]}),
            "params",
        ),
        invalid("/db/read", json!({"query": "selec 1"}), "query"),
        invalid("/db/read", json!({"query": ""}), "query"),
        invalid("/db/read", json!({"query": 1}), "query"),
        invalid(
            "/db/read",
            json!({"query": "select 1", "params": 7}),
            "params",
        ),
        invalid("/db/read", json!({"sql": "select 1"}), "sql"),
        invalid("/db/read", json!({}), "query"),
        (
            "/db/write",
            json!({"query": "begin"}),
            403,
            "forbidden",
            Some("query"),
        ),
        (
            "/db/write",
            json!({"query": "attach database 'x' as y"}),
            403,
            "forbidden",
            Some("query"),
        ),
        invalid("/db/transaction", json!({"operations": []}), "operations"),
        invalid(
            "/db/transaction",
            json!({"operations": [{"query": "select 1"}], "isolation": "chaos"}),
            "isolation",
        ),
        invalid("/cache/explode", json!({"key": "k"}), "operation"),
        invalid(
            "/cache/set",
            json!({"key": "k", "value": "v", "ttl": -1}),
            "ttl",
        ),
        invalid("/cache/expire", json!({"key": "k", "ttl": 0}), "ttl"),
        invalid("/cache/set", json!({"key": "k"}), "value"),
        invalid("/cache/get", json!({"key": ""}), "key"),
        invalid("/cache/get", json!({"key": "mainstay:x"}), "key"),
        invalid("/cache/get", json!({"key": "k", "colour": "red"}), "colour"),
        invalid(
            "/cache/zadd",
            json!({"key": "z", "members": [{"member": "m", "score": "NaN"}]}),
            "members[0].score",
        ),
        invalid("/objects/copy", json!({"from": "a", "to": "../b"}), "to"),
        invalid("/objects/copy", json!({"from": "a", "to": "a"}), "to"),
        invalid("/ai/chat", json!({"messages": []}), "messages"),
        invalid("/ai/embed", json!({"input": []}), "input"),
        invalid("/admin/level/pin", json!({"level": "FINE"}), "level"),
        invalid(
            "/admin/level/pin",
            json!({"level": "LIMITED", "for_seconds": 0}),
            "for_seconds",
        ),
        invalid(
            "/admin/level/pin",
            json!({"level": "LIMITED", "reason": "x".repeat(501)}),
            "reason",
        ),
        invalid("/admin/breakers/redis/ajar", json!({}), "mode"),
        (
            "/admin/breakers/nothing/auto",
            json!({}),
            404,
            "not-found",
            Some("id"),
        ),
        invalid(
            "/admin/features/redis_cache",
            json!({"mode": "maybe"}),
            "mode",
        ),
        (
            "/admin/features/nothing",
            json!({"mode": "off"}),
            404,
            "not-found",
            Some("name"),
        ),
        invalid("/journal/nothing/retry", json!({}), "id"),
    ]
}

#[tokio::test]
async fn bad_json_input_names_the_field_and_counts_against_no_breaker() {
    let world = World::healthy().await;
    let table = json!({"query": "create table t (a integer)"});
    assert_eq!(world.post("/db/write", table).await.status, 200);
    // More often than any breaker would stand.
    for _ in 0..6 {
        for (path, body, status, kind, field) in json_cases() {
            let sent = format!("{path} {body}");
            check(&world.post(path, body).await, status, kind, field, &sent);
        }
    }
    assert_unharmed(&world).await;
}

async fn raw(world: &World, path: &str, body: impl Into<Body>) -> Reply {
    let request = world.request(Method::POST, path);
    world.send(request.body(body.into()).unwrap()).await
}

#[tokio::test]
async fn what_is_not_json_is_refused_and_counts_against_no_breaker() {
    let world = World::healthy().await;
    let malformed = "malformed-input";
    for _ in 0..6 {
        for path in [
            "/db/read",
            "/db/write",
            "/cache/get",
            "/ai/chat",
            "/objects/copy",
        ] {
            let bodies = [&b"NaN"[..], b"{", b"\xff\xfe", b"{\"\xff\": 1}", b"nothing"];
            for body in bodies {
                let reply = raw(&world, path, body).await;
                check(&reply, 400, malformed, None, &format!("{path} {body:?}"));
            }
            let huge = vec![b' '; (1 << 20) + 1];
            let reply = raw(&world, path, huge).await;
            check(&reply, 413, "too-large", None, path);
            assert_eq!(reply.header("connection"), Some("close"));
        }
        for body in ["{\"query\": NaN}", "{\"query\": \"select 1\"} more"] {
            let reply = raw(&world, "/db/read", body).await;
            check(&reply, 400, malformed, None, body);
        }
        let text = world
            .request(Method::POST, "/db/read")
            .header(header::CONTENT_TYPE, "text/plain");
        let reply = world.send(text.body(Body::from("select 1")).unwrap()).await;
        check(&reply, 415, "unsupported-media-type", None, "text");
    }
    assert_unharmed(&world).await;
}

#[tokio::test]
async fn bad_paths_and_queries_are_refused_and_count_against_no_breaker() {
    let world = World::healthy().await;
    for _ in 0..6 {
        for key in [
            "..%2F..%2Fetc%2Fpasswd",
            "a/../../b",
            "a//b",
            "%00",
            "a/./b",
            "/",
        ] {
            let path = format!("/objects/{key}");
            check(
                &world.put(&path, "x").await,
                400,
                INVALID,
                Some("key"),
                &path,
            );
            check(&world.get(&path).await, 400, INVALID, Some("key"), &path);
        }
        let reply = world.get("/objects/%ff").await;
        check(&reply, 400, INVALID, Some("path"), "not UTF-8");
        for (path, field) in [
            ("/objects?limit=0", "limit"),
            ("/objects?limit=1001", "limit"),
            ("/objects?limit=many", "limit"),
            ("/objects?colour=red", "colour"),
            ("/events?limit=0", "limit"),
            ("/journal?after=x", "after"),
        ] {
            check(&world.get(path).await, 400, INVALID, Some(field), path);
        }
        let feature = world.get("/features/nothing").await;
        check(&feature, 404, "not-found", Some("name"), "a feature");
        assert_eq!(feature.body["feature"], "nothing");
        check(
            &world.get("/nowhere").await,
            404,
            "not-found",
            None,
            "a path",
        );
        let method = world
            .send_json(Method::DELETE, "/db/read", &json!({}))
            .await;
        check(&method, 405, "method-not-allowed", None, "a method");
    }
    assert!(!world.folder.path().join("etc").exists());
    assert_unharmed(&world).await;
}

/// No failure was counted, and every dependency answers.
async fn assert_unharmed(world: &World) {
    for (_, endpoint, breaker) in world.core.handle.breakers() {
        assert_eq!(breaker.failures_in_row, 0, "{endpoint}");
        assert_eq!(breaker.last_failure, None, "{endpoint}");
        assert_eq!(breaker.state.as_str(), "closed", "{endpoint}");
    }
    let metrics = world.get("/metrics").await;
    let counted = |l: &&str| l.starts_with("circuit_breaker_failures_total{");
    let failures: Vec<_> = metrics.text().lines().filter(counted).collect();
    assert!(failures.is_empty(), "{failures:?}");
    let read = world.post("/db/read", json!({"query": "select 1"})).await;
    assert_eq!(read.status, 200, "{read:?}");
}
