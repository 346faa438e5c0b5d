//! Keys, scopes and rate limits.

use std::num::NonZeroU32;

use axum::body::Body;
use http::{Method, Request, StatusCode};
use mainstay_server::{Rate, RateSettings, Scope};

use crate::world::{Log, Plan, Reply, World};

/// One route behind each scope.
const GUARDED: [(&str, &str, Scope); 12] = [
    ("POST", "/db/read", Scope::DbRead),
    ("POST", "/db/write", Scope::DbWrite),
    ("POST", "/db/transaction", Scope::DbWrite),
    ("POST", "/cache/ping", Scope::Cache),
    ("GET", "/objects", Scope::Objects),
    ("PUT", "/objects/k", Scope::Objects),
    ("GET", "/journal", Scope::Objects),
    ("POST", "/ai/chat", Scope::Ai),
    ("GET", "/status", Scope::Status),
    ("GET", "/metrics", Scope::Metrics),
    ("POST", "/journal/flush", Scope::Admin),
    ("POST", "/admin/level/unpin", Scope::Admin),
];

async fn ask(world: &World, method: &str, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    world.send(request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn without_a_right_key_nothing_is_served_but_health_and_the_description() {
    let world = World::healthy().await;
    let wrong_secret = format!("{}x", &world.key[..world.key.len() - 1]);
    let unknown_id = world.key.replacen("mk_", "mk_00", 1);
    let keys = ["", "mk_", "nonsense", &wrong_secret, &unknown_id];
    for (method, path, _) in GUARDED {
        let reply = ask(&world, method, path, &[]).await;
        assert_eq!(reply.status, StatusCode::UNAUTHORIZED, "{path}");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"));
        for key in keys {
            let bearer = format!("Bearer {key}");
            for header in [("x-api-key", key), ("authorization", bearer.as_str())] {
                let reply = ask(&world, method, path, &[header]).await;
                let got = (reply.status.as_u16(), reply.problem());
                assert_eq!(got, (401, "unauthorized"), "{path}");
                assert!(key.is_empty() || !reply.text().contains(key), "{reply:?}");
            }
        }
    }
    let open = ["/livez", "/readyz", "/startupz", "/health", "/health/redis"];
    for path in open.into_iter().chain(["/openapi.json"]) {
        let reply = ask(&world, "GET", path, &[]).await;
        assert_eq!(reply.status, StatusCode::OK, "{path}");
    }
}

#[tokio::test]
async fn each_scope_opens_its_own_routes_and_admin_opens_all() {
    let world = World::healthy().await;
    for scope in Scope::ALL {
        let key = world.key_with(&[scope]);
        for (method, path, needed) in GUARDED {
            let reply = ask(&world, method, path, &[("x-api-key", &key)]).await;
            let may = scope == needed || scope == Scope::Admin;
            let refused = reply.status == StatusCode::FORBIDDEN;
            assert_eq!(!refused, may, "{scope} at {path}: {reply:?}");
            if refused {
                assert_eq!(reply.problem(), "forbidden");
                let detail = reply.body["detail"].as_str().unwrap_or_default();
                assert!(detail.contains(needed.as_str()), "{detail}");
            }
        }
    }
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_and_ends_when_it_is_revoked() {
    let world = World::healthy().await;
    let key = world.key_with(&[Scope::Status]);
    let bearer = format!("bearer {key}");
    for header in [("x-api-key", key.as_str()), ("authorization", &bearer)] {
        let reply = ask(&world, "GET", "/status", &[header]).await;
        assert_eq!(reply.status, StatusCode::OK);
    }
    let id = key.split('_').nth(1).unwrap();
    assert!(world.core.keys.revoke(id).unwrap());
    let reply = ask(&world, "GET", "/status", &[("x-api-key", &key)]).await;
    assert_eq!(reply.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_broken_key_file_is_logged_once_a_version_and_the_earlier_keys_stay() {
    let (log, _guard) = Log::start();
    let world = World::healthy().await;
    let path = world.folder.path().join("keys.json");
    let good = std::fs::read(&path).unwrap();
    let mut told = 0;
    for broken in ["[{", "no keys at all"] {
        std::fs::write(&path, broken).unwrap();
        for _ in 0..3 {
            assert_eq!(world.get("/status").await.status, StatusCode::OK);
        }
        told += 1;
        let lines = log.lines("mainstay_server::keys");
        assert_eq!(lines.len(), told, "{lines:?}");
    }
    std::fs::write(&path, "[]").unwrap();
    assert_eq!(world.get("/status").await.status, StatusCode::UNAUTHORIZED);
    std::fs::write(&path, good).unwrap();
    assert_eq!(world.get("/status").await.status, StatusCode::OK);
}

fn rate(per_minute: u32, burst: u32) -> Option<Rate> {
    Some(Rate {
        per_minute: NonZeroU32::new(per_minute)?,
        burst: NonZeroU32::new(burst)?,
    })
}

#[tokio::test]
async fn a_key_over_its_rate_gets_429_with_a_time_and_others_go_on() {
    let world = World::planned(Plan {
        rates: RateSettings {
            control: rate(6, 3),
            data: None,
        },
        ..Plan::default()
    })
    .await;
    for left in [2, 1, 0] {
        let reply = world.get("/admin/operator").await;
        assert_eq!(reply.status, StatusCode::OK);
        let limit = format!("\"control\";r={left};t=10");
        assert_eq!(reply.header("ratelimit"), Some(limit.as_str()));
        let policy = "\"control\";q=6;w=60";
        assert_eq!(reply.header("ratelimit-policy"), Some(policy));
    }
    let refused = world.get("/admin/operator").await;
    let got = (refused.status.as_u16(), refused.problem());
    assert_eq!(got, (429, "rate-limited"), "{refused:?}");
    let after: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=10).contains(&after), "{after}");
    assert_eq!(refused.body["retry_after"], after);
    assert_eq!(refused.body["retryable"], true);
    let limits = ["ratelimit", "ratelimit-policy"].map(|name| refused.header(name));
    let wanted = ["\"control\";r=0;t=10", "\"control\";q=6;w=60"].map(Some);
    assert_eq!(limits, wanted, "a refusal says it too");

    let data = world.request(Method::POST, "/cache/ping");
    let data = world.send(data.body(Body::empty()).unwrap()).await;
    assert_eq!(data.status, StatusCode::OK, "another class of routes");
    assert_eq!(data.header("ratelimit"), None, "without a limit");
    let other = world.key_with(&[Scope::Admin]);
    let reply = ask(&world, "GET", "/admin/operator", &[("x-api-key", &other)]).await;
    assert_eq!(reply.status, StatusCode::OK, "another key");
}

#[tokio::test]
async fn data_routes_have_a_rate_where_the_configuration_gives_one() {
    let world = World::planned(Plan {
        rates: RateSettings {
            control: None,
            data: rate(60, 1),
        },
        ..Plan::default()
    })
    .await;
    let first = world.get("/objects").await;
    assert_eq!(first.header("ratelimit"), Some("\"data\";r=0;t=1"));
    assert_eq!(world.get("/objects").await.problem(), "rate-limited");
    assert_eq!(world.get("/admin/operator").await.status, StatusCode::OK);
}
