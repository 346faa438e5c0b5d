//! A recording of real servers, told again.

use std::fs;

use mainstay_runtime::recordings;
use mainstay_testkit::{Postgres, Redis, Signal};
use serde_json::json;

use super::server::{KEY, SOON, Server};
use crate::crash::rows::connect;
use crate::support::run;

/// What callers send, nobody else's to read.
const CACHE_KEY: &str = "cart:ana-7f3a91";
const VALUE: &str = "four-apples-55d1c0";
const QUERY: &str = "SELECT $1 AS witness_e8b2d4";
const PARAMETER: &str = "ana-born-1971-03-02";
const PASSWORD: &str = "swordfish-c1d7a0";

/// Calls that succeed or fail, whatever their dependencies do.
async fn calls(server: &Server) {
    let (key, value) = (CACHE_KEY, VALUE);
    server
        .post("/cache/set", json!({"key": key, "value": value}))
        .await;
    server.post("/cache/incr", json!({"key": key})).await;
    let params = [PARAMETER];
    for path in ["/db/read", "/db/write"] {
        for query in [QUERY, "SELECT missing_e8b2d4 FROM nowhere_e8b2d4"] {
            let body = json!({"query": query, "params": params});
            server.post(path, body).await;
        }
    }
}

/// A server whose Redis and then PostgreSQL died and came back, and has ended since.
async fn after_two_outages() -> Server {
    let (redis, postgres) = (Redis::start().await, Postgres::start().await);
    let superuser = connect(&postgres.superuser_url()).await;
    let secret = format!("ALTER ROLE mainstay PASSWORD '{PASSWORD}'");
    superuser.batch_execute(&secret).await.expect("a password");
    let (redis_url, postgres_url) = (redis.url(), postgres.url());
    let postgres_url = postgres_url.replace("mainstay:mainstay@", &format!("mainstay:{PASSWORD}@"));
    assert!(postgres_url.contains(PASSWORD), "{postgres_url}");
    let settings = [
        ("REDIS_URL", redis_url.as_str()),
        ("DATABASE_URL", &postgres_url),
    ];
    let server = Server::start(&settings).await;
    server.level("OPTIMAL").await;
    calls(&server).await;
    redis.kill().await;
    for _ in 0..6 {
        server.post("/cache/get", json!({"key": CACHE_KEY})).await;
    }
    calls(&server).await;
    server.level("DEGRADED").await;
    redis.restart().await;
    server.breaker("redis", "closed").await;
    postgres.kill().await;
    server.level("EMERGENCY").await;
    calls(&server).await;
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
    let with = |name: &str, dwell: &str, probes: &str, calls: &str| {
        let same = ["database", "openai", "redis", "s3"].map(|name| {
            let breaker = format!("[breakers.{name}]\nreset_timeout = \"2s\"\n");
            format!("{breaker}[degradation.probes.{name}]\n{probes}\n")
        });
        let file = format!(
            "[degradation]\ndwell = \"{dwell}\"\n{}{calls}",
            same.concat()
        );
        fs::write(folder.join(name), file).expect("the file is written");
        run(folder, &["--config", name, "replay", path]).out
    };
    let probes = "heartbeat = \"2s\"\nfailing = [\"1s\"]";
    let other = with("patient.toml", "20s", probes, "");
    assert!(other.contains("computed exactly"), "{other}");
    assert!(other.contains("WITH PATIENT.TOML"), "{other}");

    // Other probes would have found other things, which nobody recorded.
    let other = with("rare.toml", "20s", "", "");
    assert!(other.contains("computed in part"), "{other}");
    assert!(other.contains("degradation.probes.redis"), "{other}");

    // Breakers go with the recorded ones until their settings act otherwise: stricter ones open no later.
    let estimate = |redis: &str| {
        let all = ["database", "openai", "redis", "s3"].map(|name| {
            let more = if name == "redis" { redis } else { "" };
            format!("[breakers.{name}]\nreset_timeout = \"2s\"\n{more}\n")
        });
        fs::write(folder.join("estimate.toml"), all.concat()).expect("the file is written");
        run(folder, &["--config", "estimate.toml", "replay", path]).out
    };
    let opened = |out: &str| {
        let found = out
            .lines()
            .find(|line| line.contains("breaker of redis: closed → open"));
        let time = found.and_then(|line| line.split_whitespace().next());
        time.expect("redis died").to_owned()
    };
    let recorded = opened(&told.out);
    for stricter in [
        "fail_max = 4",
        "fail_max = 1",
        "slow.after = \"5ms\"",
        "rate.min_calls = 2",
    ] {
        let other = estimate(stricter);
        assert!(other.contains("an estimate"), "{stricter}: {other}");
        assert!(opened(&other) <= recorded, "{stricter}: {other}");
    }
    for idle in ["forget_after = 6", "max_open = 11", "half_open.probes = 3"] {
        assert_eq!(opened(&estimate(idle)), recorded, "{idle}");
    }

    // Nor did anybody record the calls that other limits and deadlines would have refused or broken off.
    let calls = "[database]\ncall_deadline = \"50ms\"\nlimit = 1\n";
    let other = with("narrow.toml", "1s", probes, calls);
    assert!(other.contains("computed in part"), "{other}");
    let keys = "; database.limit, database.call_deadline would have made other calls";
    assert!(other.contains(keys), "{other}");
}

#[tokio::test]
async fn a_recording_holds_names_and_nothing_that_is_secret_or_was_sent() {
    let server = after_two_outages().await;
    let data = server.folder.path().join("mainstay-data");
    let found = recordings::list(&recordings::folder(&data)).expect("the folder is there");
    let [(path, _)] = &found[..] else {
        panic!("{found:?}");
    };
    let unpacked = recordings::read(path).expect("it can be unpacked");
    let holds = |word: &str| {
        let mut windows = unpacked.windows(word.len());
        windows.any(|window| window == word.as_bytes())
    };
    // Where the names aren't found, nothing else would be.
    for name in ["database", "redis", "realtime_updates"] {
        assert!(holds(name), "{name}");
    }
    let (_, key) = KEY.rsplit_once('_').expect("the part nobody knows");
    let queries = ["witness_e8b2d4", "missing_e8b2d4", "nowhere_e8b2d4"];
    let mut secret = vec![key, PASSWORD, "127.0.0.1", CACHE_KEY, VALUE, PARAMETER];
    secret.extend(queries);
    for word in secret {
        assert!(!holds(word), "{word} is in {}", path.display());
    }
}
