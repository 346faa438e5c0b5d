//! A recording of real servers, told again.

use std::fs;

use mainstay_testkit::{Postgres, Redis, Signal};
use serde_json::json;

use super::server::{SOON, Server};
use crate::support::run;

/// A server whose Redis and then PostgreSQL died and came back, and has ended since.
async fn after_two_outages() -> Server {
    let (redis, postgres) = (Redis::start().await, Postgres::start().await);
    let (redis_url, postgres_url) = (redis.url(), postgres.url());
    let settings = [
        ("REDIS_URL", redis_url.as_str()),
        ("DATABASE_URL", &postgres_url),
    ];
    let server = Server::start(&settings).await;
    server.level("OPTIMAL").await;
    server
        .post("/cache/set", json!({"key": "k", "value": "v"}))
        .await;
    redis.kill().await;
    for _ in 0..6 {
        server.post("/cache/get", json!({"key": "k"})).await;
    }
    server.level("DEGRADED").await;
    redis.restart().await;
    server.breaker("redis", "closed").await;
    postgres.kill().await;
    server.level("EMERGENCY").await;
    postgres.restart().await;
    server.level("OPTIMAL").await;
    server.program.signal(Signal::TERM);
    assert!(server.program.wait(SOON).await.success());
    server
}

#[tokio::test]
async fn a_recording_of_real_servers_gives_the_recorded_decisions_exactly() {
    let server = after_two_outages().await;
    let folder = server.folder.path();
    let listed = run(folder, &["replay"]);
    assert_eq!(listed.code, Some(0), "{listed:?}");
    let path = listed
        .out
        .split_whitespace()
        .find(|word| word.ends_with(".rec.gz"))
        .expect("a recording");
    let told = run(folder, &["replay", path, "--svg", "it.svg"]);
    assert_eq!(told.code, Some(0), "{told:?}");
    for words in [
        "every decision came out as it was recorded",
        "redis is down",
        "redis is back after",
        "database is down",
        "→ EMERGENCY",
        "→ OPTIMAL",
    ] {
        assert!(told.out.contains(words), "{words} in\n{}", told.out);
    }
    let picture = fs::read_to_string(folder.join("it.svg")).expect("the picture");
    assert!(picture.contains("database open"), "{picture}");

    // What a more patient policy would have done with the same events.
    let as_recorded = |probes: &str| {
        let same = ["database", "openai", "redis", "s3"].map(|name| {
            let breaker = format!("[breakers.{name}]\nreset_timeout = \"2s\"\n");
            format!("{breaker}[degradation.probes.{name}]\n{probes}\n")
        });
        format!("[degradation]\ndwell = \"20s\"\n{}", same.concat())
    };
    let file = as_recorded("heartbeat = \"2s\"\nfailing = [\"1s\"]");
    fs::write(folder.join("patient.toml"), file).expect("the file is written");
    let other = run(folder, &["--config", "patient.toml", "replay", path]);
    assert!(other.out.contains("computed exactly"), "{}", other.out);
    assert!(other.out.contains("WITH PATIENT.TOML"), "{}", other.out);

    // Other probes would have found other things, which nobody recorded.
    fs::write(folder.join("rare.toml"), as_recorded("")).expect("the file is written");
    let other = run(folder, &["--config", "rare.toml", "replay", path]);
    assert!(other.out.contains("computed in part"), "{}", other.out);
    let key = "degradation.probes.redis";
    assert!(other.out.contains(key), "{}", other.out);
}
