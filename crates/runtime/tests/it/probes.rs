//! Active probes, joined with the breakers.

use std::time::Duration;

use mainstay_runtime::breaker::{FailureKind, Rule, State};
use mainstay_runtime::{CallError, Verdict};

use crate::world::{DOWN, Finds, NAMES, Setup, World};

/// Redis, opened by nothing but its probes.
async fn opened_by_probes() -> World {
    let world = World::new().await;
    world.find("redis", DOWN);
    world
        .until(40, || world.state("redis") == State::Open)
        .await;
    assert_eq!(
        world.guard("redis").snapshot().opened_by,
        Some(Rule::Probes)
    );
    world
}

#[tokio::test(start_paused = true)]
async fn a_breaker_opens_and_closes_without_traffic_and_before_its_open_time_is_over() {
    let world = opened_by_probes().await;
    world.pass(2_000).await;
    assert_eq!(world.state("redis"), State::Open);
    world.find("redis", Finds::Up);
    let took = world
        .until(20, || world.state("redis") == State::Closed)
        .await;
    assert!(
        took < Duration::from_secs(4),
        "{took:?} of an open time of 20 s"
    );
    let kinds: Vec<_> = world
        .handle
        .events()
        .recent(99)
        .iter()
        .map(|e| e.kind)
        .collect();
    assert!(
        kinds.contains(&"probes_failed") && kinds.contains(&"probes_passed"),
        "{kinds:?}"
    );
    assert_eq!(
        world.guard("redis").snapshot().totals.successes,
        Some(2),
        "the probes"
    );
}

#[tokio::test(start_paused = true)]
async fn nobody_enters_half_open_before_the_servers_hint() {
    let world = World::new().await;
    let hint = Some(Duration::from_secs(90));
    for _ in 0..5 {
        let mut running = world
            .guard("redis")
            .begin(world.call(1, 1_000))
            .await
            .unwrap();
        running.settle(Verdict::overload(hint));
    }
    world.find("redis", DOWN);
    world.pass(5_000).await;
    world.find("redis", Finds::Up);
    world.pass(80_000).await;
    assert_eq!(world.state("redis"), State::Open);
    world
        .until(30, || world.state("redis") == State::Closed)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_probes_opened_stays_open_for_as_long_as_the_server_asked() {
    let world = World::new().await;
    world.find("redis", Finds::Asks(Duration::from_secs(90)));
    world
        .until(40, || world.state("redis") == State::Open)
        .await;
    world.find("redis", Finds::Up);
    world.pass(85_000).await;
    assert_eq!(world.state("redis"), State::Open, "of an open time of 20 s");
    world
        .until(30, || world.state("redis") == State::Closed)
        .await;
}

#[test]
fn an_engine_whose_probes_are_missing_does_not_start() {
    let data = tempfile::tempdir().unwrap();
    let rules = mainstay_runtime::degradation::Settings::standard();
    let rules = rules.validate().unwrap();
    let observer = std::sync::Arc::new(mainstay_runtime::NoObserver);
    let mut engine = mainstay_runtime::EngineBuilder::new(rules, data.path(), observer).unwrap();
    for name in NAMES {
        engine.endpoint(Setup::default().spec(name)).unwrap();
    }
    let error = engine.start().unwrap_err();
    assert!(error.detail.contains("has no probe"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn half_open_never_has_more_than_its_probes_the_active_one_included() {
    let world = World::new().await;
    world.open("redis").await;
    world.find("redis", Finds::Hangs);
    world
        .until(21, || world.state("redis") == State::HalfOpen)
        .await;
    let snapshot = world.guard("redis").snapshot();
    assert_eq!(snapshot.probes_in_flight, 1, "the active probe");
    let _one = world
        .guard("redis")
        .begin(world.call(1, 1_000))
        .await
        .unwrap();
    let two = world.guard("redis").begin(world.call(1, 1_000)).await;
    assert!(matches!(two, Err(CallError::Rejected(_))));
    assert_eq!(world.guard("redis").snapshot().probes_in_flight, 2);
}

#[tokio::test(start_paused = true)]
async fn an_active_probe_waits_for_a_place_in_half_open_and_counts_no_rejections() {
    let world = World::new().await;
    world.open("redis").await;
    // Probes enter half-open, find nothing out and leave the places free.
    world.find("redis", Finds::Nothing);
    world
        .until(21, || world.state("redis") == State::HalfOpen)
        .await;
    let begin = || async { world.guard("redis").begin(world.call(1, 9_000)).await };
    let held = [begin().await.unwrap(), begin().await.unwrap()];
    world.find("redis", Finds::Up);
    let seen = || {
        (
            world.probes["redis"].checks(),
            world.guard("redis").snapshot().totals,
        )
    };
    let before = seen();
    world.pass(1_000).await;
    assert_eq!(seen(), before);
    drop(held);
    world
        .until(2, || world.state("redis") == State::Closed)
        .await;
}

#[tokio::test(start_paused = true)]
async fn a_hung_probe_delays_no_other() {
    let world = Setup::default().with("database", Finds::Hangs).start();
    world.pass(1).await;
    assert_eq!(NAMES.map(|name| world.probes[name].checks()), [1; 4]);
    world.pass(1_010).await;
    let snapshot = world.handle.snapshot();
    let down: Vec<_> = snapshot
        .components
        .iter()
        .map(|c| c.down_since.is_some())
        .collect();
    assert_eq!(down, [true, false, false, false]);
}

#[tokio::test(start_paused = true)]
async fn a_round_probes_everything_once() {
    let world = Setup::default().start();
    world.pass(20_000).await;
    assert_eq!(NAMES.map(|name| world.probes[name].checks()), [1; 4]);
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_panics_has_failed_and_is_tried_again() {
    let world = World::new().await;
    world.find("s3", Finds::Panics);
    world.until(40, || world.state("s3") == State::Open).await;
    let kind = world.handle.snapshot().endpoints[3]
        .view
        .last_failure
        .unwrap()
        .kind;
    assert_eq!(kind, FailureKind::Internal);
    world.pass(2_000).await;
    world.find("s3", Finds::Up);
    world.until(5, || world.state("s3") == State::Closed).await;
}

#[tokio::test(start_paused = true)]
async fn a_probe_that_finds_nothing_out_is_no_pass() {
    let world = opened_by_probes().await;
    world.pass(2_000).await;
    world.find("redis", Finds::Nothing);
    let before = world.probes["redis"].checks();
    world.pass(14_000).await;
    assert_eq!(world.state("redis"), State::Open);
    assert!(
        world.probes["redis"].checks() > before + 50,
        "tried again soon"
    );
}
