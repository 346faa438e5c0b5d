//! The configuration read again by SIGHUP: nothing is lost, a mistake changes nothing.

use mainstay_testkit::{Signal, eventually, eventually_some, free_port};
use serde_json::Value;

use super::server::{SOON, Server};

async fn breaker_of_redis(server: &Server) -> Value {
    let status = server.get("/status").await;
    let components = status.body["components"].as_array().expect("components");
    let redis = components.iter().find(|one| one["service"] == "redis");
    redis.expect("redis")["endpoints"][0].clone()
}

/// The breaker once its state is published with this figure.
async fn with_fail_max(server: &Server, fail_max: u32) -> Value {
    eventually_some(SOON, "the new figure is published", async || {
        let breaker = breaker_of_redis(server).await;
        (breaker["fail_max"] == fail_max).then_some(breaker)
    })
    .await
}

/// Writes the file, sends the signal, and gives the new lines of the log up to the one with `word`.
async fn reload(server: &Server, file: &str, word: &str) -> Vec<String> {
    std::fs::write(server.folder.path().join("mainstay.toml"), file).expect("the file is written");
    let before = server.program.stderr().len();
    let new = || server.program.stderr().split_off(before);
    server.program.signal(Signal::HUP);
    eventually(SOON, word, async || {
        new().iter().any(|line| line.contains(word))
    })
    .await;
    new()
}

fn line<'a>(log: &'a [String], word: &str) -> &'a str {
    let found = log.iter().find(|line| line.contains(word));
    found.unwrap_or_else(|| panic!("{word} in {log:#?}"))
}

#[tokio::test]
async fn a_changed_file_is_taken_without_losing_what_breakers_know() {
    let redis = format!("redis://127.0.0.1:{}", free_port());
    let server = Server::launch_with_file(
        "[breakers.redis]\nfail_max = 5\n",
        &[
            ("REDIS_URL", &redis),
            ("BREAKERS_REDIS_RESET_TIMEOUT", "1h"),
        ],
    );
    server.ready().await;
    server.breaker("redis", "open").await;
    let before = breaker_of_redis(&server).await;
    assert_eq!(before["fail_max"], 5);

    let file = "data_dir = \"./elsewhere\"\n[breakers.redis]\nfail_max = 7\n[redis]\nlimit = 9\n[log]\nlevel = \"debug\"\n";
    let log = reload(&server, file, "the configuration is reloaded").await;
    let changed = line(&log, "breakers.redis.fail_max");
    assert!(changed.contains("a setting has changed"), "{changed}");
    assert!(changed.contains("mainstay.toml:3"), "{changed}");
    assert!(line(&log, "redis.limit").contains("a setting has changed"));
    let waiting = line(&log, "data_dir");
    assert!(waiting.contains("with a restart only"), "{waiting}");
    let after = with_fail_max(&server, 7).await;
    for kept in ["state", "opened_by", "failures_in_row", "reopenings"] {
        assert_eq!(before[kept], after[kept], "{kept}");
    }

    let again = reload(&server, file, "the configuration is reloaded").await;
    let engine = line(&again, "the engine has its settings");
    assert!(
        engine.contains("\"in_force\":0"),
        "the debug level holds: {engine}"
    );
    line(&again, "data_dir");
    let changed = again
        .iter()
        .any(|line| line.contains("a setting has changed"));
    assert!(!changed, "{again:#?}");
}

#[tokio::test]
async fn a_file_with_mistakes_changes_nothing_and_each_is_named() {
    let server = Server::launch_with_file("[breakers.redis]\nfail_max = 5\n", &[]);
    server.ready().await;
    let file = "[breakers.redis]\nfail_max = 7\n[redis]\nlimit = 0\nlimits = 3\n";
    let log = reload(&server, file, "nothing has changed").await;
    let range = line(&log, "redis.limit\"");
    for words in ["mainstay.toml", "\"line\":4", "from 1 to 10000"] {
        assert!(range.contains(words), "{words} in {range}");
    }
    let unknown = line(&log, "redis.limits");
    assert!(unknown.contains("did you mean redis.limit?"), "{unknown}");
    assert_eq!(breaker_of_redis(&server).await["fail_max"], 5);
    let mended = reload(&server, "[breakers.redis]\nfail_max = 6\n", "is reloaded").await;
    line(&mended, "breakers.redis.fail_max");
    with_fail_max(&server, 6).await;
}

#[tokio::test]
async fn a_file_that_is_gone_changes_nothing() {
    let server = Server::launch_with_file("[breakers.redis]\nfail_max = 7\n", &[]);
    server.ready().await;
    let file = server.folder.path().join("mainstay.toml");
    std::fs::remove_file(&file).expect("it was there");
    let before = server.program.stderr().len();
    server.program.signal(Signal::HUP);
    eventually(SOON, "it is refused", async || {
        let log = server.program.stderr().split_off(before);
        log.iter().any(|line| line.contains("nothing has changed"))
    })
    .await;
    let log = server.program.stderr().split_off(before);
    assert!(
        line(&log, "mainstay.toml").contains("can't be read"),
        "{log:#?}"
    );
    assert_eq!(breaker_of_redis(&server).await["fail_max"], 7);
}
