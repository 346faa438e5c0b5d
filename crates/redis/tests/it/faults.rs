//! Redis dies, freezes and loses answers while counts go on and are brought back: every count that was acknowledged is
//! there once, and the only doubt is one that the caller was told of.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::{join, join_all};
use mainstay_runtime::ErrorKind;
use mainstay_testkit::{Fault, FaultProxy, Redis, eventually};
use serde_json::json;

use crate::world::{World, classed, url};

const COUNTERS: usize = 400;
const CLIENTS: usize = 4;

/// What callers were told about one counter.
#[derive(Clone, Copy, Default)]
struct Told {
    counted: i64,
    /// Sent and not answered: it may count.
    unknown: i64,
}

struct Scene {
    server: Redis,
    proxy: FaultProxy,
    world: World,
    aside: World,
    told: RefCell<BTreeMap<usize, Told>>,
    over: Cell<bool>,
}

fn counter(at: usize) -> String {
    format!("counter:{at}")
}

impl Scene {
    /// A Redis that keeps what it has acknowledged over a crash.
    async fn new() -> Self {
        let server = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
        let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
        Self {
            world: World::new(classed(&url(proxy.addr()))),
            aside: World::of(&server),
            server,
            proxy,
            told: RefCell::default(),
            over: Cell::new(false),
        }
    }

    async fn count(&self, at: usize, by: i64) {
        let asked = self
            .world
            .run("incr", json!({"key": counter(at), "by": by}))
            .await;
        let mut told = self.told.borrow_mut();
        let told = told.entry(at).or_default();
        match asked {
            Ok(_) => told.counted += by,
            Err(error) if error.kind == ErrorKind::OutcomeUnknown => told.unknown += by,
            // Nothing has been counted, and the caller knows it.
            Err(error) => assert!(error.retryable, "{error}"),
        }
    }

    /// Owes Redis something on every counter.
    async fn count_everywhere_without_redis(&self) {
        self.proxy.set(Fault::RefuseConnections).await;
        self.world.until_open().await;
        for at in 0..COUNTERS {
            self.count(at, at as i64 % 5 + 1).await;
        }
        assert_eq!(self.world.redis.keys_to_reconcile(), COUNTERS);
    }

    /// Counts from several clients until it's over.
    async fn clients(&self) {
        let one = async |client: usize| {
            let mut at = client;
            while !self.over.get() {
                at = (at * 31 + 17) % COUNTERS;
                self.count(at, 1).await;
                self.pause(2).await;
            }
        };
        join_all((0..CLIENTS).map(one)).await;
    }

    async fn pause(&self, ms: u64) {
        self.world
            .redis
            .guard()
            .clock()
            .sleep(Duration::from_millis(ms))
            .await;
    }

    /// Waits until some more of what is owed has been settled.
    async fn until_some_are_settled(&self) {
        let before = self.world.redis.keys_to_reconcile();
        let what = "some counters to be settled";
        eventually(Duration::from_secs(20), what, async || {
            let now = self.world.redis.keys_to_reconcile();
            now == 0 || now + 20 < before
        })
        .await;
    }

    /// Faults while clients count, then peace; and the counters add up.
    async fn run(&self, faults: impl AsyncFnOnce()) {
        let chaos = async {
            faults().await;
            self.over.set(true);
        };
        join(self.clients(), chaos).await;
        self.world.until_settled().await;
        for (at, told) in self.told.take() {
            let (reply, _) = self.aside.ok("get", json!({"key": counter(at)})).await;
            let found: i64 = reply["value"]
                .as_str()
                .and_then(|text| text.parse().ok())
                .unwrap_or(0);
            let allowed = told.counted..=told.counted + told.unknown;
            assert!(
                allowed.contains(&found),
                "{}: {found}, not in {allowed:?}",
                counter(at)
            );
        }
        for kind in ["redis_refused", "redis_given_up"] {
            assert!(self.world.events(kind).is_empty(), "{kind}");
        }
    }
}

#[tokio::test]
async fn counts_add_up_when_answers_are_lost_in_the_middle_of_reconciliation() {
    let scene = Scene::new().await;
    scene.count_everywhere_without_redis().await;
    scene
        .run(async || {
            for bytes in [1, 30, 300, 1000] {
                // The commands arrive, and their answers are cut off.
                scene.proxy.set(Fault::CutAfter(bytes)).await;
                scene.pause(400).await;
                scene.proxy.set(Fault::Pass).await;
                scene.until_some_are_settled().await;
            }
        })
        .await;
    let client = redis::Client::open(scene.server.url()).expect("an address");
    let mut con = client
        .get_multiplexed_async_connection()
        .await
        .expect("it runs");
    let keys = redis::cmd("KEYS")
        .arg("mainstay:settled:*")
        .query_async(&mut con)
        .await;
    let markers: Vec<String> = keys.expect("an answer");
    assert!(
        !markers.is_empty(),
        "no settlement was sent twice: the faults missed it"
    );
}

#[tokio::test]
async fn counts_add_up_when_redis_is_killed_in_the_middle_of_reconciliation() {
    let scene = Scene::new().await;
    scene.count_everywhere_without_redis().await;
    scene
        .run(async || {
            scene.proxy.set(Fault::Pass).await;
            for _ in 0..3 {
                scene.until_some_are_settled().await;
                scene.server.kill().await;
                scene.pause(300).await;
                scene.server.restart().await;
            }
        })
        .await;
}

#[tokio::test]
async fn counts_add_up_when_redis_freezes_in_the_middle_of_reconciliation() {
    let scene = Scene::new().await;
    scene.count_everywhere_without_redis().await;
    scene
        .run(async || {
            scene.proxy.set(Fault::Pass).await;
            for _ in 0..3 {
                scene.until_some_are_settled().await;
                scene.server.stop().await;
                scene.pause(600).await;
                scene.server.cont();
            }
        })
        .await;
}

#[tokio::test]
async fn sessions_written_while_redis_dies_again_and_again_come_back_as_they_were_last_written() {
    let scene = Scene::new().await;
    let body = |at: usize, value: String| json!({"key": format!("session:{at}"), "value": value});
    for at in 0..COUNTERS {
        scene.world.ok("set", body(at, "before".into())).await;
    }
    scene.proxy.set(Fault::RefuseConnections).await;
    scene.world.until_open().await;
    for at in 0..COUNTERS {
        scene.world.ok("set", body(at, format!("first {at}"))).await;
    }
    for round in 0..3 {
        scene.proxy.set(Fault::CutAfter(200)).await;
        scene.pause(300).await;
        // Settlements are under way, and memory is still written to.
        for at in 0..COUNTERS {
            scene
                .world
                .ok("set", body(at, format!("round {round} {at}")))
                .await;
        }
        scene.proxy.set(Fault::Pass).await;
        scene.until_some_are_settled().await;
    }
    scene.world.until_settled().await;
    for at in 0..COUNTERS {
        let (reply, _) = scene
            .aside
            .ok("get", json!({"key": format!("session:{at}")}))
            .await;
        assert_eq!(reply["value"], format!("round 2 {at}"));
    }
    assert!(scene.world.events("redis_value_kept").is_empty());
}

#[tokio::test]
async fn what_was_written_meanwhile_is_read_back_until_and_after_it_is_settled() {
    let scene = Scene::new().await;
    scene.count_everywhere_without_redis().await;
    let session = json!({"key": "session:mine", "value": "written"});
    scene.world.ok("set", session).await;
    scene.proxy.set(Fault::Pass).await;
    // It's last in the order, so that it's read before, while and after the others are settled.
    let mut reads = 0;
    while scene.world.redis.keys_to_reconcile() > 0 || reads < 50 {
        let (reply, _) = scene.world.ok("get", json!({"key": "session:mine"})).await;
        assert_eq!(reply, json!({"status": "hit", "value": "written"}));
        reads += 1;
        scene.pause(5).await;
    }
}

#[tokio::test]
async fn large_sessions_are_settled_over_a_slow_network() {
    let scene = Scene::new().await;
    scene.proxy.set(Fault::RefuseConnections).await;
    scene.world.until_open().await;
    let large = |at: usize| at.to_string().repeat(50_000);
    for at in 10..40 {
        let body = json!({"key": format!("session:{at}"), "value": large(at)});
        scene.world.ok("set", body).await;
    }
    // A full batch takes longer than a call may: 3 MB in all, 1 MiB at a time, 250 ms each.
    scene.proxy.set(Fault::Throttle(2_000_000)).await;
    scene.world.until_settled().await;
    for at in 10..40 {
        let body = json!({"key": format!("session:{at}")});
        let (reply, _) = scene.aside.ok("get", body).await;
        assert_eq!(reply["value"], large(at), "session {at}");
    }
}
