//! `POST /admin/reload`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use axum::body::Body;
use futures_util::FutureExt;
use http::{Method, StatusCode};
use mainstay_runtime::{Change, Error, ErrorKind};
use mainstay_server::{Mistake, Reload, ReloadError, Reloaded, Scope};
use serde_json::json;
use tokio::sync::Notify;

use crate::world::{Log, Plan, World};

async fn world(
    outcome: impl Fn() -> Result<Reloaded, ReloadError> + Send + Sync + 'static,
) -> World {
    World::planned(Plan {
        reload: Some(Reload::new(move || std::future::ready(outcome()))),
        ..Plan::default()
    })
    .await
}

#[tokio::test]
async fn what_changed_is_listed_and_audited() {
    let (log, _guard) = Log::start();
    let world = world(|| {
        Ok(Reloaded {
            changes: vec![Change {
                key: "breakers.redis.fail_max".to_owned(),
                old: "5".to_owned(),
                new: "7".to_owned(),
            }],
            needs_restart: vec!["server.listen".to_owned()],
        })
    })
    .await;
    let reply = world.post("/admin/reload", json!({})).await;
    assert_eq!(reply.status, StatusCode::OK, "{reply:?}");
    let change = json!({"key": "breakers.redis.fail_max", "old": "5", "new": "7"});
    assert_eq!(
        reply.body,
        json!({"success": true, "changes": [change], "needs_restart": ["server.listen"]})
    );
    let line = log.lines("audit").pop().unwrap();
    assert_eq!(
        (&line["actor"], &line["changed"]),
        (&json!("root"), &json!(1))
    );
    let event = world.event("operator").await;
    assert_eq!(event.data["changed"], json!(["breakers.redis.fail_max"]));
}

#[tokio::test]
async fn a_bad_file_is_a_problem_that_names_file_line_and_key() {
    let world = world(|| {
        Err(ReloadError::Mistakes(vec![Mistake {
            file: Some("/etc/mainstay.toml".to_owned()),
            line: Some(7),
            key: "breakers.redis.fail_max".to_owned(),
            detail: "must be 1 to 1000".to_owned(),
            ..Mistake::default()
        }]))
    })
    .await;
    let reply = world.post("/admin/reload", json!({})).await;
    let got = (reply.status.as_u16(), reply.problem());
    assert_eq!(got, (422, "invalid-configuration"), "{reply:?}");
    let mistake = json!({
        "file": "/etc/mainstay.toml", "line": 7, "key": "breakers.redis.fail_max",
        "detail": "must be 1 to 1000"
    });
    assert_eq!(reply.body["errors"], json!([mistake]));
}

#[tokio::test]
async fn what_the_engine_refuses_is_a_problem_too() {
    let world = world(|| {
        let error = Error::invalid(
            "openai/second",
            "is new: what is connected changes with a restart only",
        );
        Err(ReloadError::Refused(error))
    })
    .await;
    let reply = world.post("/admin/reload", json!({})).await;
    assert_eq!(reply.status, StatusCode::UNPROCESSABLE_ENTITY);
    assert_eq!(reply.body["errors"][0]["key"], "openai/second", "{reply:?}");
}

#[tokio::test]
async fn only_an_admin_may_and_where_nobody_reads_files_it_says_so() {
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    let world = world(move || {
        count.fetch_add(1, Ordering::Relaxed);
        Ok(Reloaded::default())
    })
    .await;
    let all: Vec<_> = Scope::ALL
        .into_iter()
        .filter(|s| *s != Scope::Admin)
        .collect();
    let request = axum::http::Request::builder()
        .method(Method::POST)
        .uri("/admin/reload")
        .header("x-api-key", world.key_with(&all));
    let reply = world.send(request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::FORBIDDEN);
    assert_eq!(asked.load(Ordering::Relaxed), 0);

    let without = World::healthy().await;
    let reply = without.post("/admin/reload", json!({})).await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem()),
        (501, "unsupported")
    );
}

#[tokio::test]
async fn a_reload_whose_caller_leaves_is_audited_all_the_same() {
    let goes_on = Arc::new(Notify::new());
    let waits = Arc::clone(&goes_on);
    let reload = Reload::new(move || {
        let waits = Arc::clone(&waits);
        async move {
            waits.notified().await;
            Ok(Reloaded::default())
        }
    });
    let world = World::planned(Plan {
        reload: Some(reload),
        ..Plan::default()
    })
    .await;
    {
        let mut leaves = Box::pin(world.post("/admin/reload", json!({})));
        for _ in 0..100 {
            assert!((&mut leaves).now_or_never().is_none());
            tokio::task::yield_now().await;
        }
    }
    goes_on.notify_one();
    let event = world.event("operator").await;
    assert_eq!(event.data["actor"], "root");
}

#[tokio::test]
async fn an_engine_that_hears_nothing_is_no_mistake_of_the_configuration() {
    let unheard = || Error::new(ErrorKind::Unavailable, "the server is shutting down");
    let world = world(move || Err(ReloadError::Refused(unheard()))).await;
    let reply = world.post("/admin/reload", json!({})).await;
    assert_eq!(reply.status, StatusCode::SERVICE_UNAVAILABLE, "{reply:?}");
    assert_eq!(reply.body["retryable"], true, "{reply:?}");
}
