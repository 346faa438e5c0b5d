//! While all is well, memory is compared with Redis.

use std::time::Duration;

use mainstay_runtime::Exercised;
use mainstay_testkit::eventually;
use serde_json::json;

use crate::world::World;

#[tokio::test]
async fn a_read_shows_whether_memory_would_have_said_the_same() {
    let server = mainstay_testkit::Redis::start().await;
    let (ours, others) = (World::of(&server), World::of(&server));
    ours.exercise_every_read().await;
    let set = |value: &str| json!({"key": "k", "value": value});
    let get = || ours.run("get", json!({"key": "k"}));
    ours.run("set", set("one")).await.unwrap();
    eventually(Duration::from_secs(10), "memory agrees", async || {
        get().await.unwrap();
        ours.exercised() == Some(Exercised::Agreed)
    })
    .await;
    // What somebody else has written is what memory can't know.
    others.run("set", set("two")).await.unwrap();
    get().await.unwrap();
    eventually(Duration::from_secs(5), "memory is found out", async || {
        ours.exercised() == Some(Exercised::Differed)
    })
    .await;
    eventually(Duration::from_secs(5), "and has learnt", async || {
        get().await.unwrap();
        ours.exercised() == Some(Exercised::Agreed)
    })
    .await;
}
