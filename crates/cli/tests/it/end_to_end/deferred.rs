//! Deferred writes of the running server, which is killed at any moment, as PostgreSQL is: each ends exactly once.

use std::collections::BTreeSet;
use std::time::Duration;

use mainstay_testkit::{Postgres, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use super::server::{Reply, SOON, Server};

const FILE: &str = "[database.deferred.statements]
add = \"insert into added (id) values ($1)\"
lose = \"insert into nowhere (id) values ($1)\"
";

async fn server(postgres: &Postgres) -> Server {
    server_with(postgres, &[]).await
}

async fn server_with(postgres: &Postgres, settings: &[(&str, &str)]) -> Server {
    let url = postgres.url();
    let settings = [&[("DATABASE_URL", url.as_str())], settings].concat();
    let server = Server::launch_with_file(FILE, &settings);
    server.ready().await;
    eventually(SOON, "the table is made", async || {
        let table = "create table if not exists added (id bigint)";
        let made = server.post("/db/write", json!({"query": table})).await;
        made.status == 200
    })
    .await;
    server
}

fn add(server: &Server, id: u64, body: Value) -> reqwest::RequestBuilder {
    let request = server.request(Method::POST, "/db/deferred");
    request
        .header("idempotency-key", format!("add-{id}"))
        .json(&body)
}

fn body(id: u64) -> Value {
    json!({"statement": "add", "params": [id]})
}

async fn fate(server: &Server, id: u64) -> Reply {
    server.get(&format!("/db/deferred/add-{id}")).await
}

async fn is_done(server: &Server, id: u64) -> bool {
    let fate = fate(server, id).await;
    fate.body["state"] == "done" && fate.body["rows_affected"] == 1
}

#[tokio::test]
async fn a_deferred_write_is_told_from_its_acceptance_to_its_end() {
    let postgres = Postgres::start().await;
    let server = server(&postgres).await;
    let at_once = server.send(add(&server, 0, body(0))).await;
    assert_eq!(
        (at_once.status.as_u16(), &at_once.body["source"]),
        (200, &json!("primary")),
        "{at_once:?}"
    );
    let again = server.send(add(&server, 0, body(0))).await;
    assert_eq!(
        again.header("idempotency-replayed"),
        Some("true"),
        "{again:?}"
    );
    let missing = server.post("/db/deferred", body(1)).await;
    assert_eq!(
        (missing.status.as_u16(), &missing.body["field"]),
        (400, &json!("Idempotency-Key")),
        "{missing:?}"
    );

    postgres.kill().await;
    server.breaker("database", "open").await;
    let accepted = server.send(add(&server, 1, body(1))).await;
    assert_eq!(
        (accepted.status.as_u16(), &accepted.body["state"]),
        (202, &json!("waiting")),
        "{accepted:?}"
    );
    assert_eq!(accepted.header("location"), Some("/db/deferred/add-1"));
    assert_eq!(accepted.header("mainstay-source"), Some("journal"));
    let other = server.send(add(&server, 1, body(2))).await;
    assert_eq!(
        (other.status.as_u16(), other.problem()),
        (422, "key-reused"),
        "{other:?}"
    );
    assert_eq!(fate(&server, 1).await.body["state"], "waiting");
    assert_eq!(
        fate(&server, 0).await.status,
        503,
        "only the database could tell"
    );

    let lose = json!({"statement": "lose", "params": [2]});
    assert_eq!(server.send(add(&server, 2, lose)).await.status, 202);

    postgres.restart().await;
    eventually(SOON, "it is done", async || is_done(&server, 1).await).await;
    eventually(SOON, "it is set aside", async || {
        fate(&server, 2).await.body["state"] == "set_aside"
    })
    .await;
    for (kind, field, value) in [
        ("deferred_done", "count", json!(1)),
        ("deferred_set_aside", "statement", json!("lose")),
    ] {
        eventually(SOON, "its end is an event", async || {
            let request = server.request(Method::GET, "/events?limit=1000");
            let list = request.header("accept", "application/json");
            let events = server.send(list).await.body;
            let mut events = events.as_array().expect("events").iter();
            events.any(|event| event["kind"] == kind && event["data"][field] == value)
        })
        .await;
        let logged = server.program.line_with(SOON, kind).await;
        logged.expect("its end is in the log");
    }
    let unknown = fate(&server, 77).await;
    assert_eq!(
        (unknown.status.as_u16(), unknown.problem()),
        (404, "not-found"),
        "{unknown:?}"
    );
}

#[tokio::test]
async fn strict_gating_lets_a_write_wait_for_the_very_database_whose_outage_shuts_writes_off() {
    let postgres = Postgres::start().await;
    let server = server_with(&postgres, &[("DEGRADATION_GATING", "strict")]).await;
    postgres.kill().await;
    server.level("EMERGENCY").await;
    let at_once = json!({"query": "insert into added (id) values (1)"});
    let refused = server.post("/db/write", at_once).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (503, "feature-off"),
        "{refused:?}"
    );
    let accepted = server.send(add(&server, 1, body(1))).await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    let pin = json!({"level": "EMERGENCY"});
    assert_eq!(server.post("/admin/level/pin", pin).await.status, 200);
    let pinned = server.send(add(&server, 2, body(2))).await;
    assert_eq!(
        pinned.problem(),
        "feature-off",
        "a person's word: {pinned:?}"
    );
    postgres.restart().await;
    eventually(SOON, "it is done", async || is_done(&server, 1).await).await;
}

/// Sends writes until the server dies under them, and tells which were acknowledged.
async fn sent_until_killed(
    server: &mut Server,
    ids: std::ops::Range<u64>,
    after: usize,
) -> BTreeSet<u64> {
    let mut acknowledged = BTreeSet::new();
    for id in ids {
        if acknowledged.len() == after {
            // One more is on its way when it dies: it may be accepted or not.
            let last = add(server, id, body(id)).send();
            let (last, ()) = tokio::join!(last, server.program.kill());
            if last.is_ok_and(|reply| reply.status().is_success()) {
                acknowledged.insert(id);
            }
            break;
        }
        let reply = server.send(add(server, id, body(id))).await;
        assert!(reply.status == 202 || reply.status == 200, "{reply:?}");
        acknowledged.insert(id);
    }
    server.start_again().await;
    acknowledged
}

#[tokio::test]
async fn killed_anywhere_between_journal_and_database_each_write_ends_once() {
    let postgres = Postgres::start().await;
    let mut server = server(&postgres).await;
    let mut acknowledged = BTreeSet::new();
    for round in 0..4_u64 {
        let first = round * 100;
        postgres.kill().await;
        acknowledged.extend(
            sent_until_killed(&mut server, first..first + 40, 20 + round as usize * 5).await,
        );
        postgres.restart().await;
        // Killed in the middle of the drain, now the one, now the other.
        eventually(SOON, "the drain is under way", async || {
            is_done(&server, first).await
        })
        .await;
        if round % 2 == 0 {
            postgres.kill().await;
            server.program.kill().await;
            server.start_again().await;
            postgres.restart().await;
        } else {
            server.program.kill().await;
            server.start_again().await;
        }
    }
    for id in &acknowledged {
        eventually(SOON, "an acknowledged write is done", async || {
            is_done(&server, *id).await
        })
        .await;
    }
    eventually(
        Duration::from_secs(20),
        "the journal is empty",
        async || server.get("/journal").await.body["entries"] == 0,
    )
    .await;
    let query = "select id, count(*) as times from added group by id order by id";
    let found = server.post("/db/read", json!({"query": query})).await;
    let rows = found.body["data"].as_array().expect("rows");
    assert!(rows.iter().all(|row| row["times"] == 1), "{found:?}");
    let ids: BTreeSet<u64> = rows.iter().filter_map(|row| row["id"].as_u64()).collect();
    assert!(
        ids.is_superset(&acknowledged),
        "nothing acknowledged is lost"
    );
    assert!(acknowledged.len() >= 80, "{}", acknowledged.len());
}
