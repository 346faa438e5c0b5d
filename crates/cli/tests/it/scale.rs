//! The program on a data folder that a long outage has filled: how soon it serves, what it needs, how fast it drains.
//!
//! Prints figures and asserts none of them: the machine may be busy. `MAINSTAY_SCALE_ENTRIES` says how many uploads wait.

#![expect(
    clippy::disallowed_methods,
    reason = "it measures how long things take"
)]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, stream};
use mainstay_testkit::{S3, S3Mode, Signal, eventually, pause};
use object_store::aws::{AmazonS3, AmazonS3Builder};
use object_store::{ObjectStore, ObjectStoreExt, PutMode, path};
use tokio::time::Instant;

use crate::end_to_end::server::{SOON, Server};
use crate::support::{borrowed, s3_settings};

/// Uploads waiting when nothing else is said.
const FEW: u64 = 20_000;
/// Direct uploads that tell the store's own rate, and how many are under way at a time: as many as of a drain.
const DIRECT: usize = 500;
const PARALLEL: usize = 8;
/// A store at a distance answers this much later. It sets the pace then, and not the processors that all of us share.
const SLOW: S3Mode = S3Mode::Slow { ms: 20 };

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_long_queue_is_opened_listed_and_drained() {
    let waiting =
        std::env::var("MAINSTAY_SCALE_ENTRIES").map_or(FEW, |n| n.parse().expect("a number"));
    let s3 = S3::start().await;
    let own = own_rate(&s3, "near").await;
    s3.set(SLOW).await;
    let own_slow = own_rate(&s3, "far").await;
    let mut server = with_one_upload(&s3).await;
    server.program.signal(Signal::TERM);
    assert!(server.program.wait(SOON).await.success());
    multiply(
        &server
            .folder
            .path()
            .join("mainstay-data/journal/journal.db"),
        waiting,
    );

    let watch = tokio::spawn(first_answers(server.url("")));
    server.start_again().await;
    let (lives, ready) = watch.await.expect("it has watched");
    println!("{waiting} uploads wait: lives after {lives:?}, ready after {ready:?}");
    for path in ["/journal?limit=1000", "/journal?limit=1"] {
        shows(&server, path).await;
    }
    let stats = server.get("/journal?limit=1000").await;
    assert_eq!(
        (
            &stats.body["entries"],
            stats.body["items"].as_array().map(Vec::len)
        ),
        (&waiting.into(), Some(1000))
    );
    println!("memory: {}", memory(server.program.pid()));

    s3.restart().await;
    // A list needs the store; what waits is laid over it while the drain runs.
    server.breaker("s3", "closed").await;
    shows(&server, "/objects?prefix=2026/&limit=1000").await;
    let drained = drain_rate(&server, waiting).await;
    says("drain", drained, own);
    println!("memory: {}", memory(server.program.pid()));
    s3.set(SLOW).await;
    eventually(SOON, "the drain takes all its places", async || {
        s3.under_way("2026/").await == PARALLEL
    })
    .await;
    says(
        "the same from a store that takes 20 ms to answer",
        drain_rate(&server, waiting).await,
        own_slow,
    );
    assert_eq!(
        s3.content("2026/0000002.pdf").as_deref(),
        Some(&b"an invoice"[..])
    );
}

/// Prints how long a page takes.
async fn shows(server: &Server, path: &str) {
    let reply = server.get(path).await;
    println!("GET {path}: {} in {:?}", reply.status, reply.took);
    assert!(reply.status.is_success(), "{reply:?}");
}

fn says(what: &str, drained: f64, own: f64) {
    let share = drained / own;
    println!(
        "{what}: {drained:.0} uploads a second, the store alone takes {own:.0}: {share:.2} of it"
    );
}

fn client(s3: &S3) -> Arc<AmazonS3> {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let store = AmazonS3Builder::new()
        .with_endpoint(s3.endpoint())
        .with_allow_http(true)
        .with_bucket_name(s3.bucket())
        .with_region(s3.region())
        .with_access_key_id(s3.access_key())
        .with_secret_access_key(s3.secret_key())
        .build();
    Arc::new(store.expect("the settings are whole"))
}

/// Uploads a second that the store takes without Mainstay, of the drain's kind: new objects, each looked at afterwards.
async fn own_rate(s3: &S3, folder: &str) -> f64 {
    let (store, began) = (client(s3), Instant::now());
    let uploads = (0..DIRECT).map(|number| {
        let (store, key) = (
            Arc::clone(&store),
            path::Path::from(format!("{folder}/{number}")),
        );
        async move {
            let put = store.put_opts(&key, "an invoice".into(), PutMode::Create.into());
            put.await.expect("it is stored");
            store.head(&key).await.expect("it is there")
        }
    });
    stream::iter(uploads)
        .buffer_unordered(PARALLEL)
        .count()
        .await;
    DIRECT as f64 / began.elapsed().as_secs_f64()
}

/// A server whose store has gone, with one accepted upload.
async fn with_one_upload(s3: &S3) -> Server {
    let mut settings = s3_settings(s3);
    settings.push(("JOURNAL_MIN_FREE_DISK", "0B".to_owned()));
    let server = Server::start(&borrowed(&settings)).await;
    s3.kill().await;
    server.breaker("s3", "open").await;
    let accepted = server.put("/objects/2026/0000001.pdf", "an invoice").await;
    assert_eq!(accepted.status, 202, "{accepted:?}");
    server
}

/// Has the one entry wait that many times, each under a key of its own.
fn multiply(database: &Path, times: u64) {
    let database = rusqlite::Connection::open(database).expect("it opens");
    let script = format!(
        "PRAGMA synchronous = OFF;
         BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {times})
         INSERT INTO entries (queue, key, kind, meta, accepted_at_ms, body_len, body_blake3)
         SELECT queue, printf('2026/%07d.pdf', i), kind, meta, accepted_at_ms, body_len, body_blake3
         FROM n, entries WHERE key = '2026/0000001.pdf';
         INSERT INTO bodies SELECT e.id, b.body FROM bodies b, entries e WHERE e.id <> b.entry;
         COMMIT;"
    );
    database
        .execute_batch(&script)
        .expect("the rows are written");
}

/// How long it takes from now until it says that it lives, and that it is ready.
async fn first_answers(url: String) -> (Duration, Duration) {
    let (began, client) = (Instant::now(), reqwest::Client::new());
    let answers = async |path: &str| {
        while !client
            .get(format!("{url}{path}"))
            .send()
            .await
            .is_ok_and(|r| r.status().is_success())
        {
            pause(Duration::from_millis(5)).await;
        }
        began.elapsed()
    };
    (answers("/livez").await, answers("/readyz").await)
}

/// Uploads a second that the drain carries out, over a part of what waits.
async fn drain_rate(server: &Server, waiting: u64) -> f64 {
    let left = async || {
        server.get("/journal?limit=1").await.body["entries"]
            .as_u64()
            .expect("a number")
    };
    // The first ones are probes, and then there are places for few.
    let before = left().await;
    eventually(SOON, "the drain runs", async || left().await + 200 < before).await;
    let (first, began) = (left().await, Instant::now());
    let part = (waiting / 40).clamp(500, 5_000);
    let mut last = first;
    eventually(SOON, "a part is drained", async || {
        last = left().await;
        last + part <= first
    })
    .await;
    (first - last) as f64 / began.elapsed().as_secs_f64()
}

/// What is resident now, and what was at most.
fn memory(pid: u32) -> String {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let lines = status
        .lines()
        .filter(|l| l.starts_with("VmRSS") || l.starts_with("VmHWM"));
    lines
        .map(|l| l.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect::<Vec<_>>()
        .join(", ")
}
