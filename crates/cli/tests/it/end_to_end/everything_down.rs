//! Starting while nothing answers, and taking up each dependency as it appears.

use std::time::Duration;

use mainstay_testkit::{ModelApi, Postgres, Redis, S3, eventually};
use serde_json::json;

use super::server::{SOON, Server};
use crate::support::serve;
use crate::support::{borrowed, s3_settings};

#[tokio::test]
async fn it_is_alive_before_its_dependencies_have_answered_and_ready_after_the_first_round() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    // Accepts connections (the kernel does) and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let silent = listener.local_addr().expect("an address");
    let (database, redis, web) = (
        format!("postgres://a:b@{silent}/c"),
        format!("redis://{silent}"),
        format!("http://{silent}/v1"),
    );
    let mut settings = vec![
        ("DATABASE_URL", database.as_str()),
        ("REDIS_URL", &redis),
        ("S3_ENDPOINT", &web),
        ("S3_BUCKET", "b"),
        ("S3_ACCESS_KEY_ID", "i"),
        ("S3_SECRET_ACCESS_KEY", "s"),
        ("OPENAI_BASE_URL", &web),
        ("OPENAI_MODEL", "m"),
        // Long enough to be seen, however busy the machine is.
        ("DEGRADATION_FIRST_ROUND", "6s"),
    ];
    let deadlines = ["DATABASE", "REDIS", "S3", "OPENAI"]
        .map(|name| format!("DEGRADATION_PROBES_{name}_DEADLINE"));
    settings.extend(deadlines.iter().map(|name| (name.as_str(), "20s")));
    let folder = tempfile::tempdir().expect("a folder");
    let (_program, address) = serve(folder.path(), &settings).await;
    let status = async |path: &str| {
        let reply = reqwest::get(format!("{address}{path}")).await;
        reply.expect("an answer").status().as_u16()
    };
    assert_eq!(status("/livez").await, 200);
    assert_eq!(status("/readyz").await, 503, "nothing has answered yet");
    eventually(SOON, "the first round is over", async || {
        status("/readyz").await == 200
    })
    .await;
    assert_eq!(status("/startupz").await, 200);
}

#[tokio::test]
async fn the_server_starts_with_everything_down_and_takes_up_what_appears() {
    let (postgres, redis, s3, api) = (
        Postgres::start().await,
        Redis::start().await,
        S3::start().await,
        ModelApi::start().await,
    );
    let mut settings = s3_settings(&s3);
    settings.extend([
        ("DATABASE_URL", postgres.url()),
        ("REDIS_URL", redis.url()),
        ("OPENAI_BASE_URL", api.base_url()),
        ("OPENAI_API_KEY", api.api_key().to_owned()),
        ("OPENAI_MODEL", ModelApi::CHAT_MODEL.to_owned()),
    ]);
    postgres.kill().await;
    redis.kill().await;
    s3.kill().await;
    api.kill().await;
    let server = Server::launch(&borrowed(&settings));
    eventually(Duration::from_secs(2), "the server is alive", async || {
        let reply = server.request(reqwest::Method::GET, "/livez").send().await;
        reply.is_ok_and(|r| r.status() == 200)
    })
    .await;
    server.ready().await;
    let started = server
        .send(server.request(reqwest::Method::GET, "/startupz"))
        .await;
    assert_eq!(
        (started.status.as_u16(), started.body["level"].as_str()),
        (200, Some("EMERGENCY"))
    );
    let why = server.get("/status/why").await;
    for name in ["database", "redis", "s3", "openai"] {
        assert!(
            why.body["causes"].to_string().contains(name),
            "{name} is named: {why:?}"
        );
    }
    let accepted = server.put("/objects/early.txt", "kept").await;
    assert_eq!(accepted.status, 202, "{accepted:?}");

    s3.restart().await;
    server.breaker("s3", "closed").await;
    redis.restart().await;
    server.breaker("redis", "closed").await;
    api.restart().await;
    postgres.restart().await;
    server.breaker("database", "closed").await;
    server.breaker("openai", "closed").await;
    assert_eq!(
        server
            .post("/db/read", json!({"query": "select 1 as one"}))
            .await
            .body["source"],
        "primary"
    );
    eventually(
        SOON,
        "what was accepted has reached the store",
        async || {
            server
                .get("/objects/early.txt")
                .await
                .header("mainstay-source")
                == Some("primary")
        },
    )
    .await;
    let whole = server.level("OPTIMAL").await;
    assert!(whole.body["score"].as_f64() >= Some(90.0), "{whole:?}");
}
