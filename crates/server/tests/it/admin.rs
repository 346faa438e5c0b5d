//! Operator commands: carried out, kept, audited; and no key anywhere it could be read.

use axum::body::Body;
use http::{Method, StatusCode};
use mainstay_server::Scope;
use serde_json::{Value, json};

use crate::world::{Log, World};

const COMMANDS: [(&str, &str); 6] = [
    ("/admin/breakers/redis/forced_open", "forced_open"),
    ("/admin/breakers/redis/reset", "reset"),
    ("/admin/breakers/redis/auto", "auto"),
    ("/admin/level/pin", "LIMITED"),
    ("/admin/level/unpin", "unpin"),
    ("/admin/features/recommendations", "recommendations"),
];

fn body(path: &str) -> Value {
    match path {
        "/admin/level/pin" => {
            json!({"level": "LIMITED", "reason": "because 42", "for_seconds": 60})
        }
        p if p.starts_with("/admin/features") => json!({"mode": "off", "reason": "because 42"}),
        _ => json!({"reason": "because 42"}),
    }
}

#[tokio::test]
async fn every_command_is_audited_with_who_what_and_why() {
    let (log, _guard) = Log::start();
    let world = World::healthy().await;
    for (path, says) in COMMANDS {
        let before = log.lines("audit").len();
        let reply = world.post(path, body(path)).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}: {reply:?}");
        let lines = log.lines("audit");
        assert_eq!(lines.len(), before + 1, "{path}");
        let line = lines.last().unwrap();
        assert_eq!(
            (&line["actor"], &line["reason"]),
            (&json!("root"), &json!("because 42"))
        );
        let message = line["message"].as_str().unwrap();
        assert!(message.contains(says), "{path}: {message}");
        let event = world.event("operator").await;
        assert!(
            event.message.starts_with("root ") && event.message.contains(says),
            "{event:?}"
        );
        assert_eq!(event.data["reason"], "because 42");
    }
    let path = "/journal/flush";
    assert_eq!(world.post(path, json!({})).await.status, StatusCode::OK);
    let line = log.lines("audit").pop().unwrap();
    assert_eq!(
        (&line["actor"], &line["command"]),
        (&json!("root"), &json!("flush"))
    );
}

#[tokio::test]
async fn a_command_that_is_refused_changes_nothing_and_is_not_audited_as_done() {
    let (log, _guard) = Log::start();
    let world = World::healthy().await;
    let before = world.get("/admin/operator").await.body;
    for (path, body) in [
        ("/admin/breakers/nothing/auto", json!({})),
        ("/admin/level/pin", json!({"level": "FINE"})),
        ("/admin/features/nothing", json!({"mode": "off"})),
    ] {
        assert!(world.post(path, body).await.status.is_client_error());
    }
    let narrow = world.key_with(&[Scope::Status, Scope::Objects]);
    for path in ["/admin/level/unpin", "/journal/flush", "/journal/1/discard"] {
        let request = axum::http::Request::builder()
            .method(Method::POST)
            .uri(path)
            .header("x-api-key", &narrow);
        let reply = world.send(request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::FORBIDDEN, "{path}");
    }
    assert_eq!(world.get("/admin/operator").await.body, before);
    assert_eq!(log.lines("audit"), Vec::<Value>::new());
}

#[tokio::test]
async fn what_is_set_by_hand_is_in_force_and_ends_by_itself() {
    let world = World::healthy().await;
    let forced = json!({"reason": "maintenance", "for_seconds": 1});
    world
        .post("/admin/breakers/redis/forced_open", forced)
        .await;
    let held = world.get("/admin/operator").await.body;
    assert_eq!(
        held["operator"]["modes"]["redis"]["value"], "forced_open",
        "{held}"
    );
    assert_eq!(held["operator"]["modes"]["redis"]["actor"], "root");
    let health = world.get("/health/redis").await.body;
    assert_eq!(
        (&health["breaker_state"], &health["status"]),
        (&json!("open"), &json!("down"))
    );
    world.event("mode_expired").await;
    let health = world.get("/health/redis").await.body;
    assert_eq!(health["breaker_state"], "closed", "{health}");
}

#[tokio::test]
async fn no_key_secret_or_content_reaches_a_log_or_a_problem() {
    let (log, _guard) = Log::start();
    let world = World::unreachable().await;
    let narrow = world.key_with(&[Scope::Cache]);
    let content = "CONTENT-OF-A-CALLER";
    let mut seen = String::new();
    for key in [world.key.as_str(), &narrow, "mk_00000000_wrongwrongwrong"] {
        for (path, body) in [
            ("/db/read", json!({"query": format!("select '{content}'")})),
            (
                "/db/write",
                json!({"query": "insert into t values ($1)", "params": [content]}),
            ),
            ("/cache/set", json!({"key": content, "value": content})),
            ("/cache/set", json!({"key": content, content: 1})),
            (
                "/ai/chat",
                json!({"messages": [{"role": "user", "content": content}]}),
            ),
            ("/admin/level/pin", json!({"level": "FINE"})),
        ] {
            let request = axum::http::Request::builder()
                .method(Method::POST)
                .uri(path)
                .header("x-api-key", key);
            let request = request.body(Body::from(body.to_string())).unwrap();
            let reply = world.send(request).await;
            seen.push_str(&format!("{:?}\n", reply.headers));
            // A problem may name the field that the caller made up; nothing else of the body.
            if reply.body["field"] != content {
                seen.push_str(reply.text());
            }
        }
        let request = axum::http::Request::builder()
            .method(Method::PUT)
            .uri("/objects/k")
            .header("authorization", format!("Bearer {key}"));
        let reply = world.send(request.body(Body::from(content)).unwrap()).await;
        seen.push_str(reply.text());
    }
    for path in [
        "/status",
        "/status/why",
        "/health",
        "/admin/operator",
        "/metrics",
        "/events?limit=1000",
    ] {
        let request = world
            .request(Method::GET, path)
            .header("accept", "application/json");
        seen.push_str(
            world
                .send(request.body(Body::empty()).unwrap())
                .await
                .text(),
        );
    }
    for (what, text) in [("the log", log.text()), ("replies", seen)] {
        for secret in [
            world.key.as_str(),
            &narrow,
            "wrongwrongwrong",
            "hunter2",
            content,
        ] {
            assert!(!text.contains(secret), "{secret} is in {what}:\n{text}");
        }
    }
    assert!(log.text().contains("answered"), "the log was collected");
}
