//! Redis killed, and what used it comes to the database: it takes less, identical reads once, and all comes back.

use std::collections::BTreeSet;

use mainstay_testkit::{Postgres, Redis, eventually, eventually_some};
use reqwest::Method;
use serde_json::{Value, json};

use super::server::{Reply, SOON, Server};

const IN_FLIGHT: &str = "in_flight_limit{endpoint=\"database\",calls=\"all\"}";
const INSTEAD_OF: &str = "in_flight_limit{endpoint=\"database\",calls=\"instead_of\"}";
const SHARE: &str = "protection_share{from=\"redis\",to=\"database\"}";
const JOINED: &str = "single_flight_joined_total{dependency=\"database\"}";

/// Different at each call: two clocks may be read in the same microsecond.
const EACH_ITS_OWN: &str = "select gen_random_uuid()::text as id, pg_sleep(1)::text";

async fn read(server: &Server, query: &str, instead_of: Option<&str>) -> Reply {
    let mut request = server.request(Method::POST, "/db/read");
    if let Some(name) = instead_of {
        request = request.header("mainstay-instead-of", name);
    }
    server.send(request.json(&json!({"query": query}))).await
}

/// How many of four identical reads got the answer of another one, and how many answers there were.
async fn four(server: &Server) -> (f64, usize) {
    let before = server.metric(JOINED).await;
    let all = (0..4).map(|_| read(server, EACH_ITS_OWN, None));
    let replies = futures_util::future::join_all(all).await;
    let distinct: BTreeSet<_> = replies
        .iter()
        .map(|reply| reply.body["data"][0]["id"].to_string())
        .collect();
    (server.metric(JOINED).await - before, distinct.len())
}

/// The database is as far protected as it can be: Redis has lost all its health.
async fn protected(server: &Server) -> Value {
    eventually_some(SOON, "the database is protected", async || {
        let status = server.get("/status").await;
        let protection = status.body["protection"].as_array()?.first()?.clone();
        (protection["limits"][0]["now"] == 14).then_some(protection)
    })
    .await
}

#[tokio::test]
async fn while_redis_is_down_the_database_takes_less_and_reads_once_and_afterwards_all_is_back() {
    let (postgres, redis) = tokio::join!(Postgres::start(), Redis::start());
    let server = Server::start(&[
        ("DATABASE_URL", &postgres.url()),
        ("REDIS_URL", &redis.url()),
        // A busy machine's slow reads must not hold the database back as well.
        ("DEGRADATION_HEALTH_DATABASE_P95_THRESHOLD", "30s"),
        ("BREAKERS_DATABASE_SLOW", "off"),
    ])
    .await;
    server.level("OPTIMAL").await;
    assert_eq!(four(&server).await, (3.0, 1), "cold");
    assert_eq!(four(&server).await.0, 0.0, "all is well");
    let limits = [
        server.metric(IN_FLIGHT).await,
        server.metric(INSTEAD_OF).await,
    ];
    assert_eq!(limits, [20.0, 10.0]);
    assert_eq!(server.get("/status").await.body["protection"], json!([]));

    redis.kill().await;
    server.breaker("redis", "open").await;
    let protection = protected(&server).await;
    let limit = json!({"endpoint": "database", "usual": 20, "now": 14, "instead_of_usual": 10, "instead_of_now": 7});
    let expected = json!({"from": "redis", "to": "database", "share": 0.3, "limits": [limit], "single_flight": true});
    assert_eq!(protection, expected);
    let limits = [
        server.metric(IN_FLIGHT).await,
        server.metric(INSTEAD_OF).await,
    ];
    assert_eq!(limits, [14.0, 7.0]);
    assert!((server.metric(SHARE).await - 0.3).abs() < 1e-9);
    let why = server.get("/status/why").await;
    let told = "database is protected meanwhile: 14 calls in flight instead of 20, 7 instead of 10 of them in another's \
                place, identical reads once";
    let warnings = why.body["warnings"].as_array().expect("warnings");
    assert!(warnings.contains(&json!(told)), "{warnings:?}");

    assert_eq!(four(&server).await, (3.0, 1), "of four who ask the same");
    in_redis_place(&server).await;

    redis.restart().await;
    server.breaker("redis", "closed").await;
    eventually(SOON, "the database is protected no more", async || {
        server.metric(IN_FLIGHT).await == 20.0 && server.metric(SHARE).await == 0.0
    })
    .await;
    assert_eq!(server.metric(INSTEAD_OF).await, 10.0);
    assert_eq!(server.get("/status").await.body["protection"], json!([]));
    assert_eq!(four(&server).await.0, 0.0, "all is well again");
}

/// A program that has lost its cache reads everything from the database, and says so. Short enough not to make the
/// database itself unwell.
async fn in_redis_place(server: &Server) {
    const REFUSED: &str = "instead_of_calls_total{endpoint=\"database\",status=\"refused\"}";
    let crowd = (0..30).map(async |n| {
        let query = format!("select {n} as n, pg_sleep(1)::text");
        read(server, &query, Some("redis")).await
    });
    let own = async {
        eventually(SOON, "the crowd is there", async || {
            server.metric(REFUSED).await >= 1.0
        })
        .await;
        read(server, "select 'own' as whose", None).await
    };
    let (crowd, own) = tokio::join!(futures_util::future::join_all(crowd), own);
    let (refused, admitted): (Vec<_>, Vec<_>) =
        crowd.iter().partition(|one| one.problem() == "busy");
    // Those that come when the first have ended get their places.
    assert!(refused.len() >= 10, "{} were refused", refused.len());
    assert_eq!(server.metric(REFUSED).await, refused.len() as f64);
    assert!(admitted.len() >= 7 && admitted.iter().any(|one| one.status == 200));
    for one in refused {
        assert_eq!(one.status.as_u16(), 503, "{one:?}");
        assert!(one.header("retry-after").is_some(), "{one:?}");
    }
    assert_eq!(own.body["data"], json!([{"whose": "own"}]), "{own:?}");
}

#[tokio::test]
async fn a_read_in_the_place_of_nobody_known_is_told_who_there_is() {
    let server = Server::start(&[]).await;
    let reply = read(&server, "select 1", Some("memcached")).await;
    assert_eq!(
        (reply.status.as_u16(), reply.problem()),
        (400, "invalid-input")
    );
    assert_eq!(reply.body["field"], "Mainstay-Instead-Of");
    let detail = reply.body["detail"].as_str().unwrap_or_default();
    assert!(detail.contains("redis"), "{detail}");
    let known = read(&server, "select 1", Some("redis")).await;
    assert_eq!(known.status.as_u16(), 200, "{known:?}");
}
