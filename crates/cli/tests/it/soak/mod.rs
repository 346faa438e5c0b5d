//! The program under constant load for a long time, while its real dependencies fail at random: its memory and its file
//! descriptors stay as they were, and in the end nothing it has accepted is lost, done twice or out of order.
//!
//! `MAINSTAY_SOAK_SECONDS` makes it as long as a night allows, `MAINSTAY_SOAK_SEED` different. What grows slowly shows in
//! a long run only: a short one, as every test run has it, compares what was accepted and doesn't look at the trend.

mod client;
mod faults;
mod gauge;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::{eventually, pause};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::end_to_end::server::Server;
use client::{Client, Ledger, Target};
use faults::Dependencies;
use gauge::Gauge;

/// How long it takes when nothing else is said.
const SHORT: u64 = 15;
/// From here on the trend is looked at.
const LONG: u64 = 150;
const CLIENTS: usize = 6;
/// Rows asked for at once.
const CHUNK: usize = 500;
/// Longest time for everything accepted to arrive.
const SETTLE: Duration = Duration::from_secs(240);

const FILE: &str = "[database.deferred.statements]\nadd = \"insert into added (id) values ($1)\"\n\
                    [redis.classes]\ncounter = [\"count:\"]\n";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_and_faults_nothing_is_lost_and_nothing_grows() {
    let length = number("MAINSTAY_SOAK_SECONDS").unwrap_or(SHORT);
    let seed = number("MAINSTAY_SOAK_SEED").unwrap_or(1);
    println!("{length} s from seed {seed}");
    let dependencies = Dependencies::start(seed).await;
    let server = started(&dependencies).await;
    let target = Arc::new(Target::new(server.url("")));
    let (stop, clients) = load(&target, seed);
    let mut gauge = Gauge::of(server.program.pid());
    let faults = dependencies.fail_for(Duration::from_secs(length));
    let tally = tokio::select! {
        tally = faults => tally,
        () = gauge.watch() => unreachable!("it watches until it is dropped"),
    };
    stop.send_replace(true);
    let ledgers = ended(clients).await;
    settled(&server).await;
    for ledger in &ledgers {
        compare_objects(&dependencies, ledger);
    }
    compare_rows(&server, &ledgers).await;
    compare_counters(&server, &ledgers).await;
    println!("faults: {tally:?}");
    println!("answers: {:?}", answers(&ledgers));
    println!("{}", gauge.report());
    let accepted: u64 = ledgers.iter().map(|ledger| ledger.accepted).sum();
    assert!(
        accepted > length / 3,
        "only {accepted} were accepted for later"
    );
    if length >= LONG {
        gauge.is_flat();
    }
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

async fn started(dependencies: &Dependencies) -> Server {
    let mut settings = dependencies.settings();
    settings.extend([
        ("JOURNAL_MIN_FREE_DISK", "0B".to_owned()),
        ("LOG_LEVEL", "error".to_owned()),
    ]);
    let settings: Vec<_> = settings.iter().map(|(n, v)| (*n, v.as_str())).collect();
    let server = Server::launch_with_file(FILE, &settings);
    server.ready().await;
    let soon = Duration::from_secs(60);
    eventually(soon, "the table is made", async || {
        let table = json!({"query": "create table if not exists added (seq bigserial, id text)"});
        server.post("/db/write", table).await.status == 200
    })
    .await;
    server
}

fn load(target: &Arc<Target>, seed: u64) -> (watch::Sender<bool>, Vec<JoinHandle<Ledger>>) {
    let stop = watch::Sender::new(false);
    let client = |number| {
        let client = Client::new(number, seed, Arc::clone(target));
        tokio::spawn(client.run(stop.subscribe()))
    };
    let clients = (0..CLIENTS).map(client).collect();
    (stop, clients)
}

async fn ended(clients: Vec<JoinHandle<Ledger>>) -> Vec<Ledger> {
    let mut ledgers = Vec::new();
    for client in clients {
        ledgers.push(client.await.expect("no client has found anything wrong"));
    }
    ledgers
}

/// Waits until everything accepted has arrived.
async fn settled(server: &Server) {
    for name in ["database", "redis", "s3", "openai"] {
        server.breaker(name, "closed").await;
    }
    eventually(SETTLE, "the journal to be empty", async || {
        let journal = server.get("/journal").await;
        assert_eq!(journal.body["set_aside"], 0, "{journal:?}");
        journal.body["entries"] == 0
    })
    .await;
}

fn compare_objects(dependencies: &Dependencies, ledger: &Ledger) {
    for (key, possible) in &ledger.objects {
        let there = dependencies.s3.content(key);
        let there = there.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        assert!(
            possible.contains(&there),
            "`{key}` is {there:?} in the store, and should be one of {possible:?}"
        );
    }
}

/// Deferred writes: each that was acknowledged is there, once, and in its client's order; none is there that was refused.
async fn compare_rows(server: &Server, ledgers: &[Ledger]) {
    let read = async |query: &str, params: Value| {
        let body = json!({"query": query, "params": params});
        let reply = server.post("/db/read", body).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.body["data"].clone()
    };
    let query = "select id, count(*) as times from added group by id having count(*) > 1";
    assert_eq!(read(query, json!([])).await, json!([]), "done twice");
    for ledger in ledgers {
        // Chunks that share a row: what is in order in each is in order.
        for from in (0..ledger.rows.len()).step_by(CHUNK - 1) {
            let chunk = &ledger.rows[from..ledger.rows.len().min(from + CHUNK)];
            let query = "select id from added where id = any($1) order by seq";
            let found = read(query, json!([chunk])).await;
            let wanted: Vec<_> = chunk.iter().map(|id| json!({"id": id})).collect();
            assert_eq!(found, json!(wanted), "lost, or out of order");
        }
    }
    let least: usize = ledgers.iter().map(|ledger| ledger.rows.len()).sum();
    let unsure: usize = ledgers.iter().map(|ledger| ledger.perhaps_rows).sum();
    let all = read("select count(*) as there from added", json!([])).await;
    let all = all[0]["there"].as_u64().expect("a count") as usize;
    assert!(
        (least..=least + unsure).contains(&all),
        "{all} rows, where {least} were acknowledged and {unsure} not answered"
    );
}

/// Counters: what was acknowledged counts, what was not answered may.
async fn compare_counters(server: &Server, ledgers: &[Ledger]) {
    for ledger in ledgers {
        let (least, most) = (ledger.counted, ledger.counted + ledger.perhaps_counted);
        let body = json!({"key": ledger.counter});
        let mut found = None;
        let soon = Duration::from_secs(30);
        eventually(soon, "the counter to be whole", async || {
            let reply = server.post("/cache/get", body.clone()).await;
            found = reply.body["data"]["value"]
                .as_str()
                .and_then(|v| v.parse::<u64>().ok());
            reply.body["source"] == "primary" && found.unwrap_or(0) >= least
        })
        .await;
        let found = found.unwrap_or(0);
        assert!(found <= most, "{found} was counted, {most} times at most");
    }
}

fn answers(ledgers: &[Ledger]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for (what, times) in ledgers.iter().flat_map(|ledger| &ledger.answers) {
        *all.entry(what.clone()).or_default() += times;
    }
    all
}

/// Between two things of one client.
async fn rest() {
    pause(Duration::from_millis(40)).await;
}
