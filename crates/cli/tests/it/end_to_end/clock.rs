//! A wall clock that is set back and forth while work waits.

use std::time::Duration;

use mainstay_testkit::{Postgres, Redis, S3, eventually, pause};
use reqwest::Method;
use serde_json::{Value, json};

use super::server::{Reply, SOON, Server};
use crate::support::{borrowed, s3_settings};

const FILE: &str = "[database.deferred.statements]\nadd = \"insert into added (id) values ($1)\"\n";
const DAY: i64 = 86_400;
/// Longer than anything is kept.
const LONG: i64 = 400 * DAY;

struct World {
    server: Server,
    postgres: Postgres,
    redis: Redis,
    s3: S3,
    /// The journal's id of the first upload.
    first: Value,
}

impl World {
    async fn start() -> Self {
        let (postgres, redis, s3) = (
            Postgres::start().await,
            Redis::start().await,
            S3::start().await,
        );
        let mut settings = s3_settings(&s3);
        settings.push(("DATABASE_URL", postgres.url()));
        settings.push(("REDIS_URL", redis.url()));
        let server = Server::launch_on(FILE, &borrowed(&settings), |_| ());
        server.ready().await;
        let world = Self {
            server,
            postgres,
            redis,
            s3,
            first: Value::Null,
        };
        eventually(SOON, "the table is made", async || {
            let table = json!({"query": "create table if not exists added (id bigint)"});
            world.server.post("/db/write", table).await.status == 200
        })
        .await;
        world
    }

    async fn read(&self) -> Reply {
        let query = json!({"query": "select count(*) as rows from added"});
        self.server.post("/db/read", query).await
    }

    /// A read from what is kept, the first of this outage: the controller is told of it at once, and of the journal.
    async fn check_read(&self) {
        let read = self.read().await;
        assert_eq!(read.header("mainstay-source"), Some("cache"), "{read:?}");
        let age = read.body["age_ms"].as_u64();
        assert!(age.is_some_and(|age| age < 300_000), "{read:?}");
    }

    async fn all_down(&self) {
        self.postgres.kill().await;
        self.redis.kill().await;
        self.s3.kill().await;
        for name in ["database", "redis", "s3"] {
            self.server.breaker(name, "open").await;
        }
    }

    async fn all_up(&self) {
        self.postgres.restart().await;
        self.redis.restart().await;
        self.s3.restart().await;
    }

    async fn upload(&self, content: &str, once: &str) -> Reply {
        let path = format!("/objects/{once}");
        let request = self.server.request(Method::PUT, &path);
        let request = request.header("idempotency-key", once);
        self.server.send(request.body(content.to_owned())).await
    }

    async fn add(&self, id: u64) -> Reply {
        let request = self.server.request(Method::POST, "/db/deferred");
        let request = request.header("idempotency-key", format!("add-{id}"));
        let body = json!({"statement": "add", "params": [id]});
        self.server.send(request.json(&body)).await
    }

    /// What must hold whatever the clock shows: nothing is older than this test, nothing known is forgotten.
    async fn check(&self, accepted: usize) {
        let again = self.upload("content 0", "upload-0").await;
        assert_eq!(again.status, 202, "{again:?}");
        assert_eq!(again.body["journal_id"], self.first, "{again:?}");
        let other = self.upload("other", "upload-0").await;
        assert_eq!(other.status, 422, "{other:?}");
        assert_eq!(self.add(0).await.body["state"], "waiting");
        let journal = self.server.get("/journal").await;
        let oldest = journal.body["oldest_seconds"].as_u64().expect("an age");
        assert!(oldest < 300, "{journal:?}");
        assert!((0.0..300.0).contains(&self.server.metric("journal_oldest_seconds").await));
        // What later work on its key replaces needs no place of its own.
        let kept = items(&journal).into_iter().filter(|i| i["key"] != "newest");
        let ids: Vec<u64> = kept
            .filter_map(|i| i["id"].as_str()?.parse().ok())
            .collect();
        assert!(ids.is_sorted() && ids.len() == accepted, "{journal:?}");
    }

    async fn check_memory_and_alerts(&self) {
        let ttl = self.server.post("/cache/ttl", json!({"key": "kept"})).await;
        let left = ttl.body["data"]["ttl"].as_f64();
        assert!(
            left.is_some_and(|left| (1.0..=600.0).contains(&left)),
            "{ttl:?}"
        );
        // The controller looks every second.
        pause(Duration::from_millis(2200)).await;
        let status = self.server.get("/status").await;
        let alerts = status.body["alerts"].to_string();
        assert!(!alerts.contains("journal_behind"), "{alerts}");
        let reads = self
            .server
            .post("/cache/get", json!({"key": "short"}))
            .await;
        assert_ne!(
            reads.body["data"]["status"], "hit",
            "its second is over: {reads:?}"
        );
    }
}

fn items(journal: &Reply) -> Vec<Value> {
    let items = journal.body["items"].as_array();
    items.cloned().unwrap_or_default()
}

#[tokio::test]
async fn a_wall_clock_that_jumps_loses_expires_and_reorders_nothing() {
    let mut world = World::start().await;
    assert_eq!(world.read().await.status, 200);
    world.all_down().await;
    let kept = json!({"key": "kept", "value": "v", "ttl": 600});
    assert_eq!(world.server.post("/cache/set", kept).await.status, 200);
    let mut accepted = 0;
    for (turn, off) in [0, -2 * DAY, LONG, -3600, 3600].into_iter().enumerate() {
        world.server.machine().wall_clock_is_off(off);
        let short = json!({"key": "short", "value": "v", "ttl": 1});
        assert_eq!(world.server.post("/cache/set", short).await.status, 200);
        let upload = world
            .upload(&format!("content {turn}"), &format!("upload-{turn}"))
            .await;
        assert_eq!(upload.status, 202, "{upload:?}");
        if turn == 0 {
            world.first = upload.body["journal_id"].clone();
        }
        let added = world.add(turn as u64).await;
        assert_eq!(added.status, 202, "{added:?}");
        let newest = world.server.put("/objects/newest", format!("{turn}")).await;
        assert_eq!(newest.status, 202, "{newest:?}");
        accepted += 2;
        world.check(accepted).await;
        if off == LONG {
            world.check_read().await;
        }
        world.check_memory_and_alerts().await;
    }
    // The next process finds a clock that lies before what was accepted.
    world.server.machine().wall_clock_is_off(-DAY);
    world.server.program.kill().await;
    world.server.start_again().await;
    for name in ["database", "s3"] {
        world.server.breaker(name, "open").await;
    }
    world.check(accepted).await;

    // Set right again: the store takes no request that is signed on another day.
    world.server.machine().wall_clock_is_off(0);
    world.all_up().await;
    eventually(SOON, "the journal is empty", async || {
        world.server.get("/journal").await.body["entries"] == 0
    })
    .await;
    let stored = |name: &str| {
        let content = world.s3.content(name);
        content.map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    };
    assert_eq!(stored("newest").as_deref(), Some("4"));
    for turn in 0..5 {
        let content = stored(&format!("upload-{turn}"));
        assert_eq!(content, Some(format!("content {turn}")));
    }
    let query = json!({"query": "select id, count(*) as times from added group by id order by id"});
    let found = world.server.post("/db/read", query).await;
    let rows = found.body["data"].as_array().expect("rows");
    assert_eq!(rows.len(), 5, "{found:?}");
    assert!(rows.iter().all(|row| row["times"] == 1), "{found:?}");
}

#[tokio::test]
async fn a_write_to_the_embedded_database_happens_once_whatever_the_wall_clock_shows() {
    let server = Server::launch_on("", &[], |_| ());
    server.ready().await;
    let table = json!({"query": "create table added (id integer)"});
    assert_eq!(server.post("/db/write", table).await.status, 200);
    for off in [0, LONG, -LONG] {
        server.machine().wall_clock_is_off(off);
        let request = server.request(Method::POST, "/db/write");
        let request = request.header("idempotency-key", "once");
        let insert = json!({"query": "insert into added values (1)"});
        let written = server.send(request.json(&insert)).await;
        let replayed = (off != 0).then_some("true");
        assert_eq!(
            written.header("idempotency-replayed"),
            replayed,
            "{written:?}"
        );
    }
    let count = json!({"query": "select count(*) as rows from added"});
    let found = server.post("/db/read", count).await;
    assert_eq!(found.body["data"][0]["rows"], 1, "{found:?}");
}
