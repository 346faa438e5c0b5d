//! Redis dies, freezes, vanishes and comes back: who answers, with what, how fast, and what is true afterwards.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_runtime::breaker::{FailureKind, State};
use mainstay_runtime::{ErrorKind, Source, Status};
use mainstay_testkit::{Fault, FaultProxy, Redis, eventually};
use serde_json::{Value, json};

use crate::world::{World, classed, settings, url};

/// One call's deadline, and what a busy test machine adds. A request that knew no such deadline would take two seconds.
const ONE_CALL: Duration = Duration::from_millis(250 + 1_250);
/// What half of the answers take at most that ask nobody.
const AT_ONCE: Duration = Duration::from_millis(100);
const SOON: Duration = Duration::from_secs(30);

fn key(key: &str) -> Value {
    json!({"key": key})
}

fn pair(key: &str, value: &str) -> Value {
    json!({"key": key, "value": value})
}

fn hit(value: &str) -> Value {
    json!({"status": "hit", "value": value})
}

fn status(word: &str) -> Value {
    json!({"status": word})
}

fn from_memory(value: Value) -> (Value, Source) {
    (value, Source::Memory)
}

async fn proxied() -> (Redis, FaultProxy, World) {
    let server = Redis::start().await;
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
    let world = World::behind(&proxy);
    (server, proxy, world)
}

/// What must hold in every outage: known values with their age, honest ignorance, volatile writes, bounded time.
async fn memory_stands_in(world: &World) {
    assert_eq!(
        world.ok_within(ONE_CALL, "get", key("mirrored")).await,
        from_memory(hit("1"))
    );
    let aged = world
        .run("get", key("mirrored"))
        .await
        .expect("answered from memory");
    assert!(aged.age.is_some(), "what Redis said has an age");
    assert_eq!(
        world.ok_within(ONE_CALL, "get", key("never seen")).await,
        from_memory(status("unknown"))
    );
    assert_eq!(
        world.ok_within(ONE_CALL, "set", pair("new", "2")).await,
        from_memory(status("stored"))
    );
    assert_eq!(
        world.ok_within(ONE_CALL, "get", key("new")).await,
        from_memory(hit("2"))
    );
    world.until_open().await;
    let mut took = Vec::new();
    for _ in 0..20 {
        let began = world.now();
        assert_eq!(
            world.ok("get", key("mirrored")).await,
            from_memory(hit("1"))
        );
        let pushed = world.ok("rpush", pair("list", "x")).await;
        assert_eq!(pushed, from_memory(status("applied")));
        took.push(world.now().saturating_since(began) / 2);
    }
    took.sort();
    assert!(took[10] <= AT_ONCE, "{took:?}");
}

async fn fill(world: &World) {
    assert_eq!(
        world.ok("set", pair("mirrored", "1")).await,
        (status("stored"), Source::Primary)
    );
    assert_eq!(
        world.ok("get", key("mirrored")).await,
        (hit("1"), Source::Primary)
    );
}

/// Redis answers by itself and has forgotten what memory changed.
async fn redis_takes_over(world: &World) {
    world.until_primary().await;
    assert_eq!(
        world.ok("get", key("new")).await,
        (status("absent"), Source::Primary)
    );
    let what = "the written keys to be deleted in Redis";
    eventually(SOON, what, async || world.redis.keys_to_reconcile() == 0).await;
    eventually(SOON, "the breaker to close", async || {
        let _ = world.run("ping", json!({})).await;
        world.redis.guard().state() == State::Closed
    })
    .await;
    assert_eq!(
        world.ok("set", pair("new", "3")).await,
        (status("stored"), Source::Primary)
    );
    assert_eq!(
        world.ok("get", key("new")).await,
        (hit("3"), Source::Primary)
    );
}

#[tokio::test]
async fn memory_stands_in_for_a_killed_redis_until_it_is_restarted() {
    let server = Redis::start().await;
    let world = World::of(&server);
    fill(&world).await;
    server.kill().await;
    memory_stands_in(&world).await;
    server.restart().await;
    redis_takes_over(&world).await;
}

#[tokio::test]
async fn memory_stands_in_for_a_frozen_redis_until_it_continues() {
    let server = Redis::start().await;
    let world = World::of(&server);
    fill(&world).await;
    server.stop().await;
    memory_stands_in(&world).await;
    server.cont();
    redis_takes_over(&world).await;
}

#[tokio::test]
async fn memory_stands_in_through_every_fault_of_the_network() {
    for fault in [
        Fault::RefuseConnections,
        Fault::Blackhole,
        Fault::Reset,
        Fault::CutRequestAfter(5),
    ] {
        let (_server, proxy, world) = proxied().await;
        fill(&world).await;
        proxy.set(fault).await;
        memory_stands_in(&world).await;
        proxy.set(Fault::Pass).await;
        redis_takes_over(&world).await;
    }
}

#[tokio::test]
async fn a_value_from_before_the_outage_is_never_read_after_it() {
    let (server, proxy, world) = proxied().await;
    let aside = World::of(&server);
    world.ok("set", pair("read", "old")).await;
    world.ok("set", pair("left alone", "old")).await;
    world.ok("set", pair("untouched", "old")).await;
    proxy.set(Fault::RefuseConnections).await;
    world.ok("set", pair("read", "new")).await;
    world.ok("delete", key("left alone")).await;
    world.until_open().await;
    proxy.set(Fault::Pass).await;
    eventually(SOON, "Redis to answer again", async || {
        let (reply, source) = world.ok("get", key("read")).await;
        match source {
            Source::Primary => assert_eq!(reply, status("absent")),
            _ => assert_eq!(reply, hit("new")),
        }
        source == Source::Primary
    })
    .await;
    // Nobody asks for the other one through the adapter, and it goes all the same.
    eventually(SOON, "the other key to be deleted", async || {
        aside.ok("get", key("left alone")).await.0 == status("absent")
    })
    .await;
    assert_eq!(aside.ok("get", key("untouched")).await.0, hit("old"));
}

#[tokio::test]
async fn a_command_that_may_have_been_carried_out_is_outcome_unknown_and_not_applied_to_memory() {
    let server = Redis::start().await;
    let world = World::of(&server);
    world.ok("set", pair("n", "1")).await;
    server.stop().await;
    for (operation, body) in [
        ("incr", key("n")),
        ("rpush", pair("l", "x")),
        ("lpop", key("l")),
        ("set", json!({"key": "c", "value": "x", "if": "absent"})),
    ] {
        let error = world
            .run(operation, body)
            .await
            .expect_err("sent and not answered");
        assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "{operation}");
        assert!(!error.retryable, "repeating it may do it twice");
    }
    assert_eq!(world.redis.keys_to_reconcile(), 0);
    assert_eq!(
        world.ok("get", key("n")).await,
        from_memory(status("unknown"))
    );
    server.cont();
    world.until_primary().await;
}

#[tokio::test]
async fn a_late_answer_is_never_read_as_the_next_commands() {
    let (server, proxy, _) = proxied().await;
    let mut one_connection = settings(&url(proxy.addr()));
    one_connection.pool_size = 1;
    let world = World::new(one_connection);
    World::of(&server).ok("set", pair("a", "A")).await;
    World::of(&server).ok("set", pair("b", "B")).await;
    assert_eq!(world.ok("get", key("a")).await, (hit("A"), Source::Primary));
    for _ in 0..5 {
        proxy.set(Fault::Delay(Duration::from_millis(60))).await;
        // Once by its deadline, once because its caller goes away.
        let short = Duration::from_millis(20);
        let _ = world.run_within(short, "get", key("a")).await;
        let _ = tokio::time::timeout(short, world.run("get", key("a"))).await;
        proxy.set(Fault::Pass).await;
        eventually(SOON, "an answer of Redis", async || {
            let (reply, source) = world.ok("get", key("b")).await;
            assert!(
                reply == hit("B") || source == Source::Memory,
                "{reply} from {source}"
            );
            source == Source::Primary
        })
        .await;
    }
}

#[tokio::test]
async fn a_full_redis_is_overloaded_and_memory_takes_the_writes() {
    let server =
        Redis::start_with(&["--maxmemory", "64kb", "--maxmemory-policy", "noeviction"]).await;
    let world = World::of(&server);
    assert_eq!(
        world.ok("set", pair("k", "v")).await,
        from_memory(status("stored"))
    );
    let reports = world.reports();
    assert_eq!(reports[0].error, Some(FailureKind::Overload));
    // The next read goes to Redis, which is asked to forget the key first.
    assert_eq!(
        world.ok("get", key("k")).await,
        (status("absent"), Source::Primary)
    );
}

#[tokio::test]
async fn a_wrong_password_opens_the_breaker_and_check_says_what_to_do() {
    let server = Redis::start_with(&["--requirepass", "right"]).await;
    let wrong = World::at(&format!("redis://:wrong@127.0.0.1:{}/", server.port()));
    assert_eq!(
        wrong.ok("get", key("k")).await,
        from_memory(status("unknown"))
    );
    assert_eq!(wrong.reports()[0].error, Some(FailureKind::Config));
    let error = wrong.redis.check().await.expect_err("a wrong password");
    assert!(error.detail.contains("password"), "{error}");
    wrong.until_open().await;
    let none = World::at(&format!("redis://127.0.0.1:{}/", server.port()));
    assert!(none.redis.check().await.is_err());
    let right = World::of(&server);
    assert_eq!(
        right.ok("ping", json!({})).await,
        (status("pong"), Source::Primary)
    );
    assert!(
        right
            .redis
            .check()
            .await
            .expect("it answers")
            .starts_with("Redis ")
    );
}

#[tokio::test]
async fn check_tells_when_counters_and_sessions_could_not_be_settled() {
    let user = ["--user", "app", "on", ">word", "~*", "+@all", "-eval"];
    let server = Redis::start_with(&user).await;
    let url = format!("redis://app:word@127.0.0.1:{}/", server.port());
    let caches_only = World::at(&url);
    assert!(caches_only.redis.check().await.is_ok());
    let all = World::new(classed(&url));
    let error = all.redis.check().await.expect_err("it may not run scripts");
    assert!(error.detail.contains("+eval"), "{error}");
}

#[tokio::test]
async fn what_does_not_speak_redis_is_a_protocol_failure() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
        .await
        .expect("a port");
    let addr = listener.local_addr().expect("its address");
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                use tokio::io::{AsyncReadExt, AsyncWriteExt};
                let mut request = [0; 256];
                while stream.read(&mut request).await.is_ok_and(|read| read > 0) {
                    let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
                }
            });
        }
    });
    let world = World::at(&url(addr));
    assert_eq!(
        world.ok("get", key("k")).await,
        from_memory(status("unknown"))
    );
    assert_eq!(world.reports()[0].error, Some(FailureKind::Protocol));
    let error = world.redis.check().await.expect_err("not Redis");
    assert!(error.detail.contains("not Redis"), "{error}");
}

#[tokio::test]
async fn tls_against_a_server_without_it_fails_within_the_deadline() {
    let server = Redis::start().await;
    let world = World::at(&format!("rediss://127.0.0.1:{}/", server.port()));
    // Redis waits for the rest of what it takes for a command, so nothing is said until the deadline.
    assert_eq!(
        world.ok_within(ONE_CALL, "get", key("k")).await,
        from_memory(status("unknown"))
    );
    assert!(matches!(
        world.reports()[0].error,
        Some(FailureKind::Connect | FailureKind::Timeout)
    ));
}

#[tokio::test]
async fn it_starts_without_redis_and_takes_it_up_when_it_appears() {
    let server = Redis::start().await;
    server.kill().await;
    let world = World::of(&server);
    assert_eq!(
        world.ok("set", pair("k", "v")).await,
        from_memory(status("stored"))
    );
    world.until_open().await;
    server.restart().await;
    world.until_primary().await;
    assert_eq!(
        world.ok("set", pair("k", "w")).await,
        (status("stored"), Source::Primary)
    );
}

#[tokio::test]
async fn connections_of_a_restarted_redis_are_replaced_before_they_fail_anybody() {
    let server = Redis::start().await;
    let world = World::of(&server);
    let gets = (0..30).map(|_| world.ok("get", key("k")));
    futures_util::future::join_all(gets).await;
    assert!(world.redis.pool_size() > 1);
    server.restart().await;
    world.until_primary().await;
    world.reports();
    for _ in 0..30 {
        assert_eq!(world.ok("get", key("k")).await.1, Source::Primary);
    }
    assert!(world.reports().iter().all(|report| report.error.is_none()));
}

#[tokio::test]
async fn more_written_keys_than_can_be_remembered_are_refused() {
    let server = Redis::start().await;
    server.kill().await;
    let mut few = settings(&server.url());
    few.touched_keys = 1;
    let world = World::new(few);
    world.ok("set", pair("one", "v")).await;
    world.ok("set", pair("one", "w")).await;
    let error = world
        .run("set", pair("two", "v"))
        .await
        .expect_err("refused");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.detail.contains("touched_keys"), "{error}");
    assert_eq!(
        world.ok("get", key("two")).await,
        from_memory(status("unknown"))
    );
}

#[tokio::test]
async fn every_operation_is_reported_once() {
    let server = Redis::start().await;
    let world = World::of(&server);
    world.ok("rpush", pair("k", "v")).await;
    let _ = world.run("incr", key("k")).await;
    server.kill().await;
    world.ok("get", key("k")).await;
    world.until_open().await;
    world.reports();
    let _ = world.run("lpop", key("unknown")).await;
    world.ok("get", key("k")).await;
    let seen: Vec<_> = world
        .reports()
        .iter()
        .map(|report| (report.operation, report.status))
        .collect();
    assert_eq!(
        seen,
        [("lpop", Status::Rejected), ("get", Status::Fallback)]
    );
}

#[tokio::test]
async fn a_correct_no_is_reported_as_success_and_opens_nothing() {
    let server = Redis::start().await;
    let world = World::of(&server);
    world.ok("rpush", pair("k", "v")).await;
    world.reports();
    for _ in 0..30 {
        let error = world
            .run("incr", key("k"))
            .await
            .expect_err("a list is no counter");
        assert_eq!(error.kind, ErrorKind::Conflict);
    }
    assert!(
        world
            .reports()
            .iter()
            .all(|report| report.status == Status::Success)
    );
    assert_eq!(world.redis.guard().state(), State::Closed);
}
