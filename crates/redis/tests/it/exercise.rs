//! While all is well, memory is compared with Redis, and canaries are settled.

use std::time::Duration;

use mainstay_runtime::Exercised;
use mainstay_testkit::eventually;
use serde_json::json;

use crate::world::{World, classed};

#[tokio::test]
async fn a_read_shows_whether_memory_would_have_said_the_same() {
    let server = mainstay_testkit::Redis::start().await;
    let (ours, others) = (World::of(&server), World::of(&server));
    ours.exercise().await;
    let set = |value: &str| json!({"key": "k", "value": value});
    let get = || ours.run("get", json!({"key": "k"}));
    ours.run("set", set("one")).await.unwrap();
    eventually(Duration::from_secs(10), "memory agrees", async || {
        get().await.unwrap();
        ours.exercised("memory") == Some(Exercised::Agreed)
    })
    .await;
    // What somebody else has written is what memory can't know.
    others.run("set", set("two")).await.unwrap();
    get().await.unwrap();
    eventually(Duration::from_secs(5), "memory is found out", async || {
        ours.exercised("memory") == Some(Exercised::Differed)
    })
    .await;
    eventually(Duration::from_secs(5), "and has learnt", async || {
        get().await.unwrap();
        ours.exercised("memory") == Some(Exercised::Agreed)
    })
    .await;
}

/// Every key that Redis has.
async fn keys(server: &mainstay_testkit::Redis) -> Vec<String> {
    let client = redis::Client::open(server.url()).expect("it runs");
    let mut con = client
        .get_multiplexed_async_connection()
        .await
        .expect("it runs");
    redis::cmd("KEYS")
        .arg("*")
        .query_async(&mut con)
        .await
        .expect("an answer")
}

async fn until_canary(world: &World, ended: Exercised) {
    let what = format!("a canary that has {}", ended.as_str());
    eventually(Duration::from_secs(30), &what, async || {
        world.exercised("settlement") == Some(ended)
    })
    .await;
    eventually(Duration::from_secs(10), "nothing is owed", async || {
        world.redis.keys_to_reconcile() == 0
    })
    .await;
}

#[tokio::test]
async fn canaries_of_two_processes_are_settled_and_leave_nothing() {
    let server = mainstay_testkit::Redis::start().await;
    let (ours, others) = (World::new(classed(&server.url())), World::of(&server));
    ours.exercise().await;
    others.exercise().await;
    until_canary(&ours, Exercised::Agreed).await;
    until_canary(&others, Exercised::Agreed).await;
    eventually(
        Duration::from_secs(10),
        "markers are gone too",
        async || keys(&server).await.is_empty(),
    )
    .await;
    assert!(ours.reports().is_empty(), "no caller asked");
}

#[tokio::test]
async fn a_redis_that_refuses_to_settle_is_found_out_where_that_is_needed() {
    let user = ["--user", "app", "on", ">word", "~*", "+@all", "-eval"];
    let server = mainstay_testkit::Redis::start_with(&user).await;
    let url = format!("redis://app:word@127.0.0.1:{}/", server.port());
    let (counting, caching) = (World::new(classed(&url)), World::at(&url));
    counting.exercise().await;
    caching.exercise().await;
    until_canary(&counting, Exercised::Differed).await;
    until_canary(&caching, Exercised::Agreed).await;
    let guard = counting.redis.guard();
    assert_eq!(guard.snapshot().failures_in_row, 0, "Redis is well");
    assert_eq!(
        counting.events("redis_refused"),
        [] as [serde_json::Value; 0]
    );
}

#[tokio::test]
async fn a_redis_that_only_reads_is_well_for_those_who_read_and_the_way_back_is_known_to_be_closed()
{
    let replica = [
        "--replicaof",
        "127.0.0.1",
        "9",
        "--replica-serve-stale-data",
        "yes",
    ];
    let server = mainstay_testkit::Redis::start_with(&replica).await;
    let world = World::of(&server);
    world.exercise().await;
    until_canary(&world, Exercised::Failed).await;
    assert_eq!(world.redis.guard().snapshot().failures_in_row, 0);
}
