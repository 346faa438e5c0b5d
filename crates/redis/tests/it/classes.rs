//! Counters and sessions over an outage: what is answered meanwhile, and what Redis holds afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_runtime::{ErrorKind, Source};
use mainstay_testkit::{Fault, FaultProxy, Redis};
use serde_json::{Value, json};

use crate::world::{World, classed, url};

/// A Redis whose network can fail, an adapter behind that network, and one beside it.
struct Scene {
    server: Redis,
    proxy: FaultProxy,
    world: World,
    aside: World,
}

impl Scene {
    async fn new() -> Self {
        let server = Redis::start().await;
        let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
        let world = World::new(classed(&url(proxy.addr())));
        let aside = World::of(&server);
        Self {
            server,
            proxy,
            world,
            aside,
        }
    }

    async fn down(&self) {
        self.proxy.set(Fault::RefuseConnections).await;
        self.world.until_open().await;
    }

    async fn up(&self) {
        self.proxy.set(Fault::Pass).await;
        self.world.until_settled().await;
    }

    async fn memory_says(&self, operation: &str, body: Value) -> Value {
        let (reply, source) = self.world.ok(operation, body).await;
        assert_eq!(source, Source::Memory, "{operation}: {reply}");
        reply
    }

    /// What Redis holds, asked beside the adapter under test.
    async fn holds(&self, key: &str) -> Value {
        self.aside.ok("get", json!({"key": key})).await.0["value"].clone()
    }
}

fn set(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value})
}

fn key(key: &str) -> Value {
    json!({"key": key})
}

#[tokio::test]
async fn what_was_counted_meanwhile_is_added_to_what_others_counted() {
    let scene = Scene::new().await;
    scene
        .world
        .ok("incr", json!({"key": "counter:known", "by": 10}))
        .await;
    scene
        .aside
        .ok("incr", json!({"key": "counter:unknown", "by": 100}))
        .await;
    scene.down().await;
    let known = scene
        .memory_says("incr", json!({"key": "counter:known", "by": 2}))
        .await;
    assert_eq!(known, json!({"status": "counter", "value": 12}));
    for (by, delta) in [(1, 1), (4, 5)] {
        let unknown = scene
            .memory_says("incr", json!({"key": "counter:unknown", "by": by}))
            .await;
        assert_eq!(
            unknown,
            json!({"status": "delta", "delta": delta, "value": null})
        );
    }
    let read = scene.memory_says("get", key("counter:unknown")).await;
    assert_eq!(read, json!({"status": "delta", "delta": 5, "value": null}));
    scene
        .memory_says("incr", json!({"key": "counter:new", "by": -3}))
        .await;
    for counter in ["counter:known", "counter:unknown"] {
        scene
            .aside
            .ok("incr", json!({"key": counter, "by": 1000}))
            .await;
    }
    scene.up().await;
    assert_eq!(scene.holds("counter:known").await, "1012");
    assert_eq!(scene.holds("counter:unknown").await, "1105");
    assert_eq!(scene.holds("counter:new").await, "-3");
    let now = scene.world.ok("incr", key("counter:known")).await;
    assert_eq!(
        now,
        (json!({"status": "counter", "value": 1013}), Source::Primary)
    );
}

#[tokio::test]
async fn a_counter_that_ended_meanwhile_is_not_brought_back_to_life() {
    let scene = Scene::new().await;
    for (counter, ttl) in [("counter:ends", 3.0), ("counter:lives", 1000.0)] {
        scene.world.ok("incr", key(counter)).await;
        scene
            .world
            .ok("expire", json!({"key": counter, "ttl": ttl}))
            .await;
        scene.world.ok("incr", key(counter)).await;
    }
    scene.down().await;
    for counter in ["counter:ends", "counter:lives"] {
        let counted = scene.memory_says("incr", key(counter)).await;
        assert_eq!(counted, json!({"status": "counter", "value": 3}));
    }
    scene
        .world
        .redis
        .guard()
        .clock()
        .sleep(Duration::from_millis(3_100))
        .await;
    scene.aside.ok("delete", key("counter:lives")).await;
    scene.up().await;
    assert_eq!(scene.holds("counter:ends").await, Value::Null);
    assert_eq!(scene.holds("counter:lives").await, "1");
    let ttl = scene.aside.ok("ttl", key("counter:lives")).await.0;
    assert_eq!(
        ttl["status"], "expires",
        "it keeps the end it was known to have"
    );
}

#[tokio::test]
async fn a_counter_that_redis_cant_add_to_keeps_its_value_and_an_event_says_so() {
    let scene = Scene::new().await;
    scene.down().await;
    for counter in [
        "counter:list",
        "counter:text",
        "counter:full",
        "counter:well",
    ] {
        scene.memory_says("incr", key(counter)).await;
    }
    scene.aside.ok("rpush", set("counter:list", "x")).await;
    scene.aside.ok("set", set("counter:text", "x")).await;
    scene
        .aside
        .ok("set", set("counter:full", &i64::MAX.to_string()))
        .await;
    scene.up().await;
    assert_eq!(scene.holds("counter:text").await, "x");
    assert_eq!(scene.holds("counter:full").await, i64::MAX.to_string());
    assert_eq!(
        scene.holds("counter:well").await,
        "1",
        "the others don't stand in its way"
    );
    let told: u64 = scene
        .world
        .events("redis_refused")
        .iter()
        .map(|event| event["count"].as_u64().expect("a count"))
        .sum();
    assert_eq!(told, 3);
}

#[tokio::test]
async fn a_counter_takes_nothing_but_differences_while_redis_is_down() {
    let scene = Scene::new().await;
    scene
        .world
        .ok("set", set("counter:a", "9223372036854775807"))
        .await;
    scene.down().await;
    for (operation, body) in [
        ("set", set("counter:a", "1")),
        ("delete", key("counter:a")),
        ("expire", json!({"key": "counter:a", "ttl": 1})),
        ("sadd", json!({"key": "counter:a", "member": "x"})),
    ] {
        let error = scene.world.run(operation, body).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{operation}");
        assert!(
            error.detail.contains("difference") && error.retry_after.is_some(),
            "{error:?}"
        );
    }
    let error = scene
        .world
        .run("incr", key("counter:a"))
        .await
        .expect_err("too large");
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert_eq!(scene.world.redis.keys_to_reconcile(), 0);
}

#[tokio::test]
async fn sessions_come_back_where_redis_has_none_or_the_one_last_seen() {
    let scene = Scene::new().await;
    for session in ["seen", "changed", "gone", "ended", "left"] {
        scene
            .world
            .ok("set", set(&format!("session:{session}"), "old"))
            .await;
    }
    scene.down().await;
    let read = scene.memory_says("get", key("session:seen")).await;
    assert_eq!(read, json!({"status": "hit", "value": "old"}));
    for session in ["seen", "changed", "gone", "new"] {
        let body = json!({"key": format!("session:{session}"), "value": "mine", "ttl": 1000});
        scene.memory_says("set", body).await;
    }
    scene
        .memory_says("set", set("session:seen", "mine at last"))
        .await;
    scene.memory_says("delete", key("session:ended")).await;
    let read = scene.memory_says("get", key("session:seen")).await;
    assert_eq!(read, json!({"status": "hit", "value": "mine at last"}));
    scene
        .aside
        .ok("set", set("session:changed", "theirs"))
        .await;
    scene.aside.ok("delete", key("session:gone")).await;
    scene.up().await;
    assert_eq!(scene.holds("session:seen").await, "mine at last");
    assert_eq!(
        scene.aside.ok("ttl", key("session:seen")).await.0["status"],
        "persistent"
    );
    assert_eq!(scene.holds("session:changed").await, "theirs");
    assert_eq!(scene.holds("session:gone").await, "mine");
    assert_eq!(
        scene.aside.ok("ttl", key("session:gone")).await.0["status"],
        "expires"
    );
    assert_eq!(scene.holds("session:new").await, "mine");
    assert_eq!(scene.holds("session:ended").await, Value::Null);
    assert_eq!(scene.holds("session:left").await, "old");
    let kept = json!({"class": "session", "prefix": "session:", "count": 1});
    assert_eq!(scene.world.events("redis_value_kept"), [kept]);
    // What was brought back is known in the next outage, too.
    scene.down().await;
    let read = scene.memory_says("get", key("session:seen")).await;
    assert_eq!(read, json!({"status": "hit", "value": "mine at last"}));
    let read = scene.memory_says("get", key("session:changed")).await;
    assert_eq!(read, json!({"status": "unknown"}));
}

#[tokio::test]
async fn a_session_whose_write_may_have_landed_comes_back_over_it() {
    let scene = Scene::new().await;
    scene.world.ok("set", set("session:a", "old")).await;
    // It arrives, and its answer is cut off.
    scene.proxy.set(Fault::CutAfter(1)).await;
    scene.memory_says("set", set("session:a", "sent")).await;
    assert_eq!(scene.holds("session:a").await, "sent");
    scene.down().await;
    scene.memory_says("set", set("session:a", "last")).await;
    scene.up().await;
    assert_eq!(scene.holds("session:a").await, "last");
    assert_eq!(scene.world.events("redis_value_kept"), [] as [Value; 0]);
}

#[tokio::test]
async fn what_memory_cant_know_of_a_session_is_refused() {
    let scene = Scene::new().await;
    scene.aside.ok("set", set("session:unseen", "x")).await;
    scene.world.ok("set", set("session:seen", "1")).await;
    scene.down().await;
    for (operation, body) in [
        ("delete", key("session:unseen")),
        ("incr", key("session:unseen")),
        ("expire", json!({"key": "session:unseen", "ttl": 1})),
        (
            "set",
            json!({"key": "session:unseen", "value": "y", "if": "absent"}),
        ),
        (
            "set",
            json!({"key": "session:unseen", "value": "y", "keep_ttl": true}),
        ),
        // Redis never said how long it lives.
        (
            "set",
            json!({"key": "session:seen", "value": "y", "keep_ttl": true}),
        ),
        ("incr", key("session:seen")),
        (
            "hset",
            json!({"key": "session:seen", "field": "f", "value": "v"}),
        ),
    ] {
        let error = scene.world.run(operation, body).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{operation}");
    }
    assert_eq!(scene.world.redis.keys_to_reconcile(), 0);
}

#[tokio::test]
async fn locks_and_queues_are_refused_with_the_reason() {
    let scene = Scene::new().await;
    scene.world.ok("set", set("lock:a", "1")).await;
    scene.world.ok("rpush", set("queue:a", "1")).await;
    scene.down().await;
    for (operation, body, reason) in [
        ("get", key("lock:a"), "protects nothing"),
        (
            "set",
            json!({"key": "lock:a", "value": "1", "if": "absent"}),
            "protects nothing",
        ),
        ("lpop", key("queue:a"), "lost or handled twice"),
        ("rpush", set("queue:a", "2"), "lost or handled twice"),
    ] {
        let error = scene.world.run(operation, body).await.expect_err("refused");
        assert_eq!(error.kind, ErrorKind::Unavailable, "{operation}");
        assert!(
            error.detail.contains(reason) && error.retry_after.is_some(),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn markers_that_nothing_can_ask_for_are_removed() {
    let scene = Scene::new().await;
    scene.down().await;
    for at in 0..300 {
        scene
            .memory_says("incr", key(&format!("counter:{at}")))
            .await;
    }
    scene.up().await;
    let client = redis::Client::open(scene.server.url()).expect("an address");
    let mut con = client
        .get_multiplexed_async_connection()
        .await
        .expect("it runs");
    mainstay_testkit::eventually(Duration::from_secs(5), "no marker to be left", async || {
        let found: Vec<String> = redis::cmd("KEYS")
            .arg("mainstay:*")
            .query_async(&mut con)
            .await
            .expect("an answer");
        found.is_empty()
    })
    .await;
}
