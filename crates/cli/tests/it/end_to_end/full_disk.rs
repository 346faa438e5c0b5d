//! The whole program on a small disk: what is accepted is kept, what can't be kept is refused in so many words, and
//! what needs no disk goes on.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_testkit::{Postgres, Redis, S3, Signal, SmallDisk, eventually, pause};
use reqwest::Method;
use serde_json::json;

use super::server::{Reply, SOON, Server};
use crate::support::{borrowed, s3_settings};

/// Sizes of uploads: in the journal's rows, and as files beside them.
const SIZES: [usize; 6] = [900_000, 300_000, 100_000, 60_000, 30_000, 200];
const CLIENTS: usize = 8;
/// What stands on the disk beside our data.
const BALLAST: &str = "ballast";
/// How a refusal says why.
const FULL: &str = "too little free disk";

/// What was uploaded, and what was told of it.
#[derive(Default)]
struct Books {
    accepted: BTreeMap<String, usize>,
    refused: u64,
}

fn content(name: &str, size: usize) -> Vec<u8> {
    name.bytes().cycle().take(size).collect()
}

impl Books {
    async fn upload(&mut self, server: &Server, name: &str, size: usize) -> bool {
        let path = format!("/objects/up/{name}");
        let reply = server.put(&path, content(name, size)).await;
        if reply.status == 202 {
            self.accepted.insert(name.to_owned(), size);
            return true;
        }
        reply.is_refused_by_the_journal(&[FULL, "nothing was written"]);
        self.refused += 1;
        false
    }

    /// Uploads with many clients until none of the sizes is taken any more.
    async fn fill(&mut self, server: &Server) {
        let clients = (0..CLIENTS).map(async |client| {
            let mut books = Self::default();
            for size in SIZES {
                let mut number = 0;
                while books
                    .upload(server, &format!("{client}-{size}-{number}"), size)
                    .await
                {
                    number += 1;
                }
            }
            books
        });
        for books in join_all(clients).await {
            self.accepted.extend(books.accepted);
            self.refused += books.refused;
        }
    }

    /// What was accepted and no more is read from the journal.
    async fn check_journal(&self, server: &Server) {
        for (name, size) in &self.accepted {
            let read = server.get(&format!("/objects/up/{name}")).await;
            assert_eq!(
                (read.status.as_u16(), read.header("mainstay-source")),
                (200, Some("journal")),
                "{name}: {read:?}"
            );
            let whole = content(name, *size);
            assert!(
                read.body.as_str() == std::str::from_utf8(&whole).ok(),
                "{name}"
            );
        }
        let entries = server.get("/journal").await.body["entries"].as_u64();
        assert_eq!(entries, Some(self.accepted.len() as u64));
    }

    /// What was accepted and no more is in the store.
    fn check_store(&self, s3: &S3) {
        let names: BTreeSet<String> = s3.names("up").into_iter().collect();
        let accepted: BTreeSet<String> = self.accepted.keys().cloned().collect();
        assert_eq!(names, accepted);
        for (name, size) in &self.accepted {
            let there = s3.content(&format!("up/{name}"));
            assert!(there == Some(content(name, *size)), "{name}");
        }
    }
}

/// Everybody who asks hears that there is no room.
async fn says_that_it_is_full(server: &Server) {
    let status = server.get("/status").await;
    assert_eq!(status.body["journal"]["full"], "disk", "{status:?}");
    assert_eq!(status.body["journal"]["faulted"], false, "{status:?}");
    let why = server.get("/status/why").await;
    let warnings = why.body["warnings"].to_string();
    assert!(warnings.contains(FULL), "{why:?}");
    assert_eq!(server.feature("s3_uploads").await, "off");
    assert_eq!(server.metric("journal_full").await, 1.0);
}

async fn says_that_there_is_room(server: &Server) {
    let status = server.get("/status").await;
    assert_eq!(status.body["journal"]["full"], json!(null), "{status:?}");
    assert_eq!(server.metric("journal_full").await, 0.0);
}

async fn drained(server: &Server, s3: &S3) {
    s3.restart().await;
    server.breaker("s3", "closed").await;
    eventually(SOON, "the journal is empty", async || {
        server.get("/journal").await.body["entries"] == 0
    })
    .await;
}

#[tokio::test]
async fn less_free_disk_than_the_bound_is_refused_until_there_is_room_again() {
    // The bound is the default one.
    let Some(disk) = SmallDisk::mount((256 + 24) << 20).await else {
        return println!("mounting isn't allowed here");
    };
    disk.fill(BALLAST, 8 << 20);
    let s3 = S3::start().await;
    let server = Server::launch_on_disk(disk, "", &borrowed(&s3_settings(&s3)));
    server.ready().await;
    s3.kill().await;
    server.breaker("s3", "open").await;
    says_that_there_is_room(&server).await;
    let mut books = Books::default();
    books.fill(&server).await;
    assert!(books.accepted.len() > 10, "{:?}", books.accepted);
    assert!(server.disk().free() > 254 << 20, "the disk itself has room");
    says_that_it_is_full(&server).await;
    books.check_journal(&server).await;

    std::fs::remove_file(server.disk().reach().join(BALLAST)).expect("it is there");
    assert!(books.upload(&server, "after", 300_000).await);
    says_that_there_is_room(&server).await;
    books.fill(&server).await;
    drained(&server, &s3).await;
    books.check_store(&s3);
    let stored = server.put("/objects/up/direct", "stored").await;
    assert_eq!(stored.status, 200, "{stored:?}");
}

/// All the dependencies, with what is on the full disk beside the journal: earlier results, and what is known of outages.
struct World {
    postgres: Postgres,
    redis: Redis,
    s3: S3,
    server: Server,
    books: Books,
}

const FILE: &str = "[database.deferred.statements]
set = \"update price set value = $1\"
";

const DISK: u64 = 20 << 20;
/// Read before the disk is full.
const EARLY: &str = "select value as early from price";

impl World {
    /// A server whose store is down and whose disk is full to the last byte; none where mounting isn't allowed.
    async fn full() -> Option<Self> {
        let disk = SmallDisk::mount(DISK).await?;
        let (postgres, redis) = (Postgres::start().await, Redis::start().await);
        let s3 = S3::start().await;
        let mut settings = s3_settings(&s3);
        settings.extend([
            ("DATABASE_URL", postgres.url()),
            ("REDIS_URL", redis.url()),
            ("JOURNAL_MIN_FREE_DISK", "0B".to_owned()),
        ]);
        let server = Server::launch_on_disk(disk, FILE, &borrowed(&settings));
        server.ready().await;
        for query in [
            "create table price (value bigint)",
            "insert into price values (7)",
        ] {
            let made = server.post("/db/write", json!({"query": query})).await;
            assert_eq!(made.status, 200, "{made:?}");
        }
        let read = json!({"query": EARLY});
        assert_eq!(server.post("/db/read", read).await.status, 200);
        let set = json!({"key": "greeting", "value": "hola"});
        assert_eq!(server.post("/cache/set", set).await.status, 200);
        s3.kill().await;
        server.breaker("s3", "open").await;
        let mut world = Self {
            postgres,
            redis,
            s3,
            server,
            books: Books::default(),
        };
        // Somebody else takes what is left in the middle of uploads; what those leave goes the same way.
        let others = async || {
            let disk = world.server.disk();
            eventually(SOON, "it fills", async || disk.free() < DISK / 2).await;
            disk.fill(BALLAST, u64::MAX);
        };
        tokio::join!(world.books.fill(&world.server), others());
        world.server.disk().fill("more-ballast", u64::MAX);
        world.books.fill(&world.server).await;
        assert_eq!(world.server.disk().free(), 0);
        assert!(!world.books.accepted.is_empty());
        Some(world)
    }

    /// The price, with a result of this size beside it.
    async fn price(&self, size: usize) -> Reply {
        let query = format!("select value, repeat('x', {size}) as wide from price");
        self.server.post("/db/read", json!({"query": query})).await
    }

    /// Gives the price that is in force when everything is back.
    async fn goes_on(&self) -> u64 {
        let server = &self.server;
        says_that_it_is_full(server).await;
        self.books.check_journal(server).await;
        for size in [1, 1_000_000, 2_000_000] {
            let read = self.price(size).await;
            assert_eq!(
                (read.status.as_u16(), &read.body["source"]),
                (200, &json!("primary")),
                "{read:?}"
            );
        }
        let set = json!({"query": "update price set value = 8"});
        assert_eq!(server.post("/db/write", set).await.status, 200);
        self.redis.kill().await;
        server.breaker("redis", "open").await;
        let known = server.post("/cache/get", json!({"key": "greeting"})).await;
        assert_eq!(
            (&known.body["data"]["value"], &known.body["source"]),
            (&json!("hola"), &json!("memory")),
            "{known:?}"
        );
        let kept = server
            .post("/cache/set", json!({"key": "other", "value": "1"}))
            .await;
        assert_eq!(kept.body["source"], "memory", "{kept:?}");
        self.postgres.kill().await;
        server.breaker("database", "open").await;
        let read = self.price(1_000_000).await;
        assert_eq!(
            (
                read.status.as_u16(),
                &read.body["source"],
                &read.body["data"][0]["value"]
            ),
            (200, &json!("cache"), &json!(7)),
            "{:?}",
            read.headers
        );
        let price = self.defers(9).await.unwrap_or(8);
        let pin = json!({"level": "LIMITED", "reason": "drill"});
        let pinned = server.post("/admin/level/pin", pin).await;
        assert!(pinned.status.is_server_error(), "{pinned:?}");
        let status = server.get("/status").await;
        assert_eq!(status.body["operator"]["pin"], json!(null), "{status:?}");
        for path in [
            "/livez",
            "/readyz",
            "/health",
            "/features",
            "/journal",
            "/metrics",
            "/openapi.json",
        ] {
            assert_eq!(server.get(path).await.status, 200, "{path}");
        }
        price
    }

    /// The price, if its change was accepted: a row may still fit where the log has room that is its own.
    async fn defers(&self, price: u64) -> Option<u64> {
        let request = self.server.request(Method::POST, "/db/deferred");
        let request = request.header("idempotency-key", format!("set-{price}"));
        let body = json!({"statement": "set", "params": [price]});
        let reply = self.server.send(request.json(&body)).await;
        if reply.status == 202 {
            return Some(price);
        }
        reply.is_refused_by_the_journal(&[FULL]);
        None
    }

    /// A disk that takes nothing is not covered with beginnings of recordings.
    async fn leaves_no_heap(&self) {
        let program = &self.server.program;
        let tried = program.line_with(SOON, "a recording can't be written on");
        tried.await.expect("it goes on");
        pause(Duration::from_secs(3)).await;
        let recordings = self.server.disk().reach().join("data/recordings");
        let files = std::fs::read_dir(recordings).expect("the folder").count();
        assert!(files < 3, "{files} recordings");
    }

    async fn ends_whole(mut self, price: u64) {
        self.postgres.restart().await;
        self.redis.restart().await;
        self.server.breaker("redis", "closed").await;
        self.server.breaker("database", "closed").await;
        drained(&self.server, &self.s3).await;
        eventually(SOON, "the price is the last one accepted", async || {
            self.price(1).await.body["data"][0]["value"] == price
        })
        .await;
        self.books.check_store(&self.s3);
        self.s3.kill().await;
        self.server.breaker("s3", "open").await;
        says_that_there_is_room(&self.server).await;
        assert!(self.books.upload(&self.server, "again", 300_000).await);
        drained(&self.server, &self.s3).await;
        self.books.check_store(&self.s3);
    }
}

#[tokio::test]
async fn on_a_full_disk_the_server_goes_on_and_accepts_again_when_there_is_room() {
    let Some(mut world) = World::full().await else {
        return println!("mounting isn't allowed here");
    };
    let price = world.goes_on().await;
    world.leaves_no_heap().await;
    std::fs::remove_file(world.server.disk().reach().join(BALLAST)).expect("it is there");
    assert!(world.books.upload(&world.server, "after", 300_000).await);
    world.ends_whole(price).await;
}

#[tokio::test]
async fn on_a_full_disk_the_server_starts_again_and_drains() {
    let Some(mut world) = World::full().await else {
        return println!("mounting isn't allowed here");
    };
    world.postgres.kill().await;
    for ends in [Signal::TERM, Signal::KILL] {
        world.server.program.signal(ends);
        world.server.program.wait(SOON).await;
        world.server.start_again().await;
        world.server.breaker("database", "open").await;
        let read = json!({"query": EARLY});
        let early = world.server.post("/db/read", read).await;
        assert_eq!(
            (&early.body["source"], &early.body["data"][0]["early"]),
            (&json!("cache"), &json!(7)),
            "{early:?}"
        );
        world.books.check_journal(&world.server).await;
    }
    world.books.fill(&world.server).await;
    assert!(world.server.disk().reach().join(BALLAST).exists());
    world.ends_whole(7).await;
}
