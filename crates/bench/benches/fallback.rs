//! An HTTP request answered from memory while Redis is down, beside the same request on a bare axum handler in this
//! process, in turn on kept-alive connections; and the server's memory when idle.
//!
//! Aim: under 1 ms p99 and within twice the bare handler; idle memory under 50 MB.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use axum::Json;
use mainstay_bench::quantile;
use mainstay_testkit::{Program, Redis, eventually, free_port};
use serde_json::{Value, json};

const ROUNDS: usize = 5_000;
const KEY: &str = "mk_bench0001_0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHI";

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let redis = Redis::start().await;
    let data = tempfile::tempdir().unwrap();
    let port = free_port();
    let server = start(&redis.url(), data.path(), port);
    let client = reqwest::Client::new();
    let base = format!("http://127.0.0.1:{port}");
    eventually(Duration::from_secs(20), "the server is ready", async || {
        client
            .get(format!("{base}/readyz"))
            .send()
            .await
            .is_ok_and(|r| r.status().is_success())
    })
    .await;
    println!("idle memory       {:>9.1} MB", memory(server.pid()));
    post(
        &client,
        &format!("{base}/cache/set"),
        json!({"key": "k", "value": "v"}),
    )
    .await;
    let get = format!("{base}/cache/get");
    let healthy = measure(&client, &get, 500).await;
    redis.kill().await;
    eventually(Duration::from_secs(20), "the breaker is open", async || {
        let reply = post(&client, &get, json!({"key": "k"})).await;
        reply["source"] == "memory" && reply["breaker_state"] == "open"
    })
    .await;
    let bare = bare_handler().await;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS / 100 {
        ours.extend(measure(&client, &get, 100).await);
        theirs.extend(measure(&client, &bare, 100).await);
    }
    report("healthy, redis", &healthy);
    report("open, from memory", &ours);
    report("bare axum handler", &theirs);
    let ratio = |share| at(&ours, share).as_secs_f64() / at(&theirs, share).as_secs_f64();
    println!(
        "ratio to bare     p50 {:>6.2}  p99 {:>6.2}",
        ratio(0.5),
        ratio(0.99)
    );
}

fn start(redis: &str, data: &std::path::Path, port: u16) -> Program {
    let mut command = Command::new(binary());
    command
        .arg("serve")
        .current_dir(data)
        .env("MAINSTAY_DATA_DIR", data.join("data"))
        .env("MAINSTAY_SERVER_LISTEN", format!("127.0.0.1:{port}"))
        .env("MAINSTAY_REDIS_URL", redis)
        .env("MAINSTAY_ADMIN_KEY", KEY);
    Program::start(command).unwrap()
}

/// The program of the same build: two folders above this benchmark's own file.
fn binary() -> PathBuf {
    let own = std::env::current_exe().unwrap();
    let beside = own.ancestors().nth(2).unwrap().join("mainstay");
    assert!(
        beside.exists(),
        "build it first: cargo build --release --bin mainstay"
    );
    beside
}

async fn bare_handler() -> String {
    let app = axum::Router::new().route(
        "/cache/get",
        axum::routing::post(|Json(body): Json<Value>| async move {
            Json(json!({"success": true, "data": {"status": "hit", "value": body["key"]}, "source": "memory"}))
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/cache/get", listener.local_addr().unwrap());
    // A thread of its own, as the server has a process of its own.
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let listener = tokio::net::TcpListener::from_std(listener.into_std().unwrap()).unwrap();
            axum::serve(listener, app).await.unwrap();
        });
    });
    url
}

async fn post(client: &reqwest::Client, url: &str, body: Value) -> Value {
    let sent = client
        .post(url)
        .header("x-api-key", KEY)
        .json(&body)
        .send()
        .await
        .unwrap();
    sent.json().await.unwrap()
}

async fn measure(client: &reqwest::Client, url: &str, rounds: usize) -> Vec<Duration> {
    let mut taken = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let begun = Instant::now();
        post(client, url, json!({"key": "k"})).await;
        taken.push(begun.elapsed());
    }
    taken
}

fn at(values: &[Duration], share: f64) -> Duration {
    let mut sorted = values.to_vec();
    sorted.sort();
    quantile(&sorted, share)
}

fn report(name: &str, values: &[Duration]) {
    let us = |share| at(values, share).as_secs_f64() * 1e6;
    println!(
        "{name:<17} p50 {:>6.0} µs  p99 {:>6.0} µs",
        us(0.5),
        us(0.99)
    );
}

fn memory(pid: u32) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}
