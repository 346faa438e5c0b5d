//! PostgreSQL killed, frozen and back.

use std::time::Duration;

use mainstay_testkit::{Postgres, eventually};
use serde_json::{Value, json};

use super::outage;
use super::server::{Reply, SOON, Server};

async fn read(server: &Server) -> Reply {
    server
        .post(
            "/db/read",
            json!({"query": "select name, price from products order by name"}),
        )
        .await
}

async fn with_products(postgres: &Postgres, more: &[(&str, &str)]) -> Server {
    let url = postgres.url();
    let mut settings = vec![("DATABASE_URL", url.as_str())];
    settings.extend(more);
    let server = Server::start(&settings).await;
    server.level("OPTIMAL").await;
    let table = "create table products (name text primary key, price numeric(12, 2))";
    let made = server.post("/db/write", json!({"query": table})).await;
    assert_eq!(made.status, 200, "{made:?}");
    let insert =
        json!({"query": "insert into products values ($1, $2)", "params": ["yerba", "1234.50"]});
    assert_eq!(
        server.post("/db/write", insert).await.body["rows_affected"],
        1
    );
    server
}

fn rows() -> Value {
    json!([{"name": "yerba", "price": "1234.50"}])
}

#[tokio::test]
async fn a_killed_database_gives_old_reads_with_their_age_and_refuses_writes() {
    let postgres = Postgres::start().await;
    let server = with_products(&postgres, &[]).await;
    let fresh = read(&server).await;
    assert_eq!(
        (&fresh.body["data"], &fresh.body["source"]),
        (&rows(), &json!("primary"))
    );

    postgres.kill().await;
    server.breaker("database", "open").await;
    let old = read(&server).await;
    assert_eq!(
        (&old.body["data"], &old.body["source"]),
        (&rows(), &json!("cache")),
        "{old:?}"
    );
    assert!(old.body["age_ms"].as_u64() > Some(0) && old.header("age").is_some());
    let write = json!({"query": "delete from products"});
    let refused = server.post("/db/write", write.clone()).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (503, "read-only"),
        "{refused:?}"
    );
    assert!(refused.header("retry-after").is_some() && refused.took < Duration::from_secs(2));
    let unseen = server
        .post("/db/read", json!({"query": "select 41 + 1"}))
        .await;
    assert_eq!(
        (unseen.status.as_u16(), unseen.problem()),
        (503, "unavailable"),
        "{unseen:?}"
    );
    assert_eq!(
        server.get("/health/database").await.body["write_mode"],
        "read-only"
    );
    outage::DATABASE.assert_down(&server).await;
    assert_eq!(server.metric("db_write_mode").await, 0.0);
    assert_eq!(
        server.get("/readyz").await.status,
        200,
        "degraded is still ready"
    );

    postgres.restart().await;
    server.breaker("database", "closed").await;
    eventually(SOON, "reads come from the database again", async || {
        read(&server).await.body["source"] == "primary"
    })
    .await;
    assert_eq!(
        read(&server).await.body["data"],
        rows(),
        "a refused write was never executed"
    );
    assert_eq!(
        server.post("/db/write", write).await.body["rows_affected"],
        1
    );
    outage::DATABASE.assert_back(&server).await;
    assert_eq!(server.metric("db_write_mode").await, 1.0);
}

#[tokio::test]
async fn old_reads_survive_a_restart_and_respect_the_age_the_caller_takes() {
    let postgres = Postgres::start().await;
    let mut server = with_products(&postgres, &[]).await;
    assert_eq!(read(&server).await.body["source"], "primary");
    postgres.kill().await;
    server.restart().await;
    let old = read(&server).await;
    assert_eq!(
        (&old.body["data"], &old.body["source"]),
        (&rows(), &json!("cache")),
        "{old:?}"
    );
    assert!(old.body["age_ms"].as_u64() > Some(0) && old.header("age").is_some());
    let aged = |max_age: u64| json!({"query": "select name, price from products order by name", "max_age": max_age});
    let taken = server.post("/db/read", aged(3600)).await;
    assert_eq!(taken.body["source"], "cache", "{taken:?}");
    let refused = server.post("/db/read", aged(0)).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (503, "unavailable"),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_frozen_database_answers_within_its_deadlines() {
    let postgres = Postgres::start().await;
    let server = with_products(&postgres, &[("DATABASE_CALL_DEADLINE", "1s")]).await;
    read(&server).await;

    postgres.stop().await;
    let first = read(&server).await;
    assert!(first.took < Duration::from_secs(4), "{:?}", first.took);
    server.breaker("database", "open").await;
    let old = read(&server).await;
    assert_eq!(old.body["source"], "cache");
    assert!(old.took < Duration::from_millis(900), "{:?}", old.took);
    outage::DATABASE.assert_down(&server).await;

    postgres.cont();
    outage::DATABASE.assert_back(&server).await;
    let fresh = read(&server).await;
    assert_eq!(
        (&fresh.body["data"], &fresh.body["source"]),
        (&rows(), &json!("primary")),
        "{fresh:?}"
    );
}

#[tokio::test]
async fn a_replica_takes_the_reads_of_a_dead_primary() {
    let (primary, replica) = (Postgres::start().await, Postgres::start().await);
    let url = replica.url();
    let server = with_products(&primary, &[("DATABASE_REPLICA_URL", &url)]).await;
    primary.kill().await;
    server.breaker("database", "open").await;
    let reply = server
        .post("/db/read", json!({"query": "select 1 as one"}))
        .await;
    assert_eq!(
        reply.header("mainstay-source"),
        Some("replica"),
        "{reply:?}"
    );
    server.level("EMERGENCY").await;
}
