//! What the guard adds: around a future that is ready at once, and around a Redis GET beside the bare driver.
//!
//! Aim: under 5 µs.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_bench::quantile;
use mainstay_degradation::{Presence, Settings};
use mainstay_redis::{Command, Redis, Settings as RedisSettings, Target};
use mainstay_runtime::{
    Call, CallerId, Context, EndpointSpec, EngineBuilder, NoObserver, Secret, Verdict,
};
use serde_json::json;

const ROUNDS: usize = 20_000;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    guarded_nothing().await;
    guarded_get().await;
}

fn engine(data: &std::path::Path, only: &str) -> EngineBuilder {
    let mut settings = Settings::standard();
    for dependency in &mut settings.dependencies {
        if dependency.name != only {
            dependency.presence = Presence::Absent;
            dependency.endpoints.clear();
        }
    }
    EngineBuilder::new(settings.validate().unwrap(), data, Arc::new(NoObserver)).unwrap()
}

async fn guarded_nothing() {
    let data = tempfile::tempdir().unwrap();
    let mut engine = engine(data.path(), "redis");
    let spec = EndpointSpec {
        name: "redis".into(),
        breaker: mainstay_breaker::Settings::default(),
        limit: 50,
        call_deadline: Duration::from_millis(250),
    };
    let guard = engine.endpoint(spec).unwrap();
    let begun = Instant::now();
    for _ in 0..ROUNDS {
        let ctx = Context::new(CallerId(1), guard.now() + Duration::from_secs(2));
        let done = guard
            .call(
                Call::new("get", &ctx),
                |_: &()| Verdict::SUCCESS,
                |_| async { Ok(divan::black_box(1)) },
            )
            .await;
        assert!(done.is_ok());
    }
    let each = begun.elapsed() / ROUNDS as u32;
    println!(
        "guard around nothing     {:>8.2} µs",
        each.as_secs_f64() * 1e6
    );
}

async fn guarded_get() {
    let server = mainstay_testkit::Redis::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut engine = engine(data.path(), "redis");
    let settings = RedisSettings::new(Target::Server(Secret::new(server.url())));
    let ours = Redis::connect(settings, &mut engine).unwrap();
    let handle = engine.start().unwrap();
    let client = redis::Client::open(server.url()).unwrap();
    let mut bare = client.get_multiplexed_async_connection().await.unwrap();
    let ctx = || Context::new(CallerId(1), handle.clock().now() + Duration::from_secs(2));
    let set = Command::parse("set", &json!({"key": "k", "value": "v"})).unwrap();
    ours.run(&ctx(), set).await.unwrap();
    let get = Command::parse("get", &json!({"key": "k"})).unwrap();
    let (mut guarded, mut driver) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS / 4 {
        let begun = Instant::now();
        ours.run(&ctx(), get.clone()).await.unwrap();
        guarded.push(begun.elapsed());
        let begun = Instant::now();
        let _: String = redis::cmd("GET")
            .arg("k")
            .query_async(&mut bare)
            .await
            .unwrap();
        driver.push(begun.elapsed());
    }
    guarded.sort();
    driver.sort();
    let us = |all: &[Duration], share| quantile(all, share).as_secs_f64() * 1e6;
    println!(
        "guarded redis GET   p50 {:>8.1} µs  p99 {:>8.1} µs",
        us(&guarded, 0.5),
        us(&guarded, 0.99)
    );
    println!(
        "bare driver GET     p50 {:>8.1} µs  p99 {:>8.1} µs",
        us(&driver, 0.5),
        us(&driver, 0.99)
    );
    println!(
        "the adapter adds    p50 {:>8.1} µs  (ratio {:.2})",
        us(&guarded, 0.5) - us(&driver, 0.5),
        us(&guarded, 0.5) / us(&driver, 0.5)
    );
}
