//! What operators set by hand: in force at once, audited, and still there after a restart.

use serde_json::json;

use super::server::Server;

#[tokio::test]
async fn a_forced_breaker_a_pin_and_a_knob_survive_a_restart() {
    let mut server = Server::start(&[]).await;
    server.level("OPTIMAL").await;
    let forced = server
        .post(
            "/admin/breakers/redis/forced_open",
            json!({"reason": "maintenance", "for_seconds": 3600}),
        )
        .await;
    assert_eq!(forced.status, 200, "{forced:?}");
    server.breaker("redis", "open").await;
    let pinned = server
        .post(
            "/admin/level/pin",
            json!({"level": "LIMITED", "reason": "drill"}),
        )
        .await;
    assert_eq!(pinned.status, 200, "{pinned:?}");
    server.level("LIMITED").await;
    server
        .post(
            "/admin/features/recommendations",
            json!({"mode": "off", "reason": "too slow"}),
        )
        .await;

    server.restart().await;
    let status = server.level("LIMITED").await;
    assert!(status.body["held_by"].as_str().is_some(), "{status:?}");
    assert_eq!(
        status.body["operator"]["modes"]["redis"]["reason"],
        "maintenance"
    );
    server.breaker("redis", "open").await;
    assert_eq!(server.feature("recommendations").await, "off");

    server.post("/admin/breakers/redis/auto", json!({})).await;
    server.post("/admin/level/unpin", json!({})).await;
    server
        .post("/admin/features/recommendations", json!({"mode": "auto"}))
        .await;
    server.level("OPTIMAL").await;
    let events = server
        .send(
            server
                .request(reqwest::Method::GET, "/events")
                .header("accept", "application/json"),
        )
        .await;
    let audited = events
        .body
        .as_array()
        .is_some_and(|all| all.iter().any(|e| e["kind"] == "operator"));
    assert!(audited, "{events:?}");
}

#[tokio::test]
async fn unknown_endpoints_levels_modes_and_features_are_named() {
    let server = Server::start(&[]).await;
    let cases = [
        ("/admin/breakers/nothing/auto", json!({}), 404, "id"),
        ("/admin/breakers/redis/broken", json!({}), 400, "mode"),
        ("/admin/level/pin", json!({"level": "FINE"}), 400, "level"),
        (
            "/admin/features/nothing",
            json!({"mode": "off"}),
            404,
            "name",
        ),
        (
            "/admin/features/redis_cache",
            json!({"mode": "half"}),
            400,
            "mode",
        ),
        (
            "/admin/level/pin",
            json!({"level": "LIMITED", "for_seconds": 0}),
            400,
            "for_seconds",
        ),
    ];
    for (path, body, status, field) in cases {
        let reply = server.post(path, body).await;
        assert_eq!(
            (reply.status.as_u16(), reply.body["field"].as_str()),
            (status, Some(field)),
            "{path}: {reply:?}"
        );
    }
}
