//! Calls that are streams.

use std::time::Duration;

use mainstay_runtime::breaker::{FailureKind, State};
use mainstay_runtime::{CallError, Running, Verdict};

use crate::world::{Finds, Setup, World};

/// Redis half-open, with nobody but the test to try it.
async fn half_open() -> World {
    let world = World::from(Setup {
        without_probe: Some("redis"),
        ..Setup::default()
    })
    .await;
    world.open("redis").await;
    world.pass(20_000).await;
    world
}

async fn begin(world: &World) -> Running {
    world
        .guard("redis")
        .begin(world.call(1, 60_000))
        .await
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_content_is_the_verdict_in_half_open() {
    let world = half_open().await;
    let (mut one, mut two) = (begin(&world).await, begin(&world).await);
    one.first_content();
    assert_eq!(world.state("redis"), State::HalfOpen);
    two.first_content();
    assert_eq!(world.state("redis"), State::Closed);
    one.settle(Verdict::failure(FailureKind::Connect));
    two.timed_out();
    let snapshot = world.guard("redis").snapshot();
    assert_eq!(
        (snapshot.state, snapshot.failures_in_row),
        (State::Closed, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn half_open_has_no_more_streams_than_probes() {
    let world = half_open().await;
    let (one, _two) = (begin(&world).await, begin(&world).await);
    let third = world.guard("redis").begin(world.call(1, 1_000)).await;
    let Err(CallError::Rejected(rejection)) = third else {
        panic!("a third was let through");
    };
    assert_eq!(rejection.state, State::HalfOpen);
    assert_eq!(rejection.retry_after, Some(Duration::from_secs(1)));
    drop(one);
    assert!(
        world
            .guard("redis")
            .begin(world.call(1, 1_000))
            .await
            .is_ok()
    );
    assert_eq!(
        world.state("redis"),
        State::HalfOpen,
        "a drop is no verdict"
    );
}

#[tokio::test(start_paused = true)]
async fn a_hung_stream_loses_its_place_in_half_open_with_its_lease() {
    let world = half_open().await;
    let (_one, _two) = (begin(&world).await, begin(&world).await);
    world.pass(1_250).await;
    begin(&world).await.first_content();
    begin(&world).await.first_content();
    assert_eq!(world.state("redis"), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn a_timeout_in_half_open_reopens_whoever_the_caller_is() {
    let world = World::new().await;
    for _ in 0..3 {
        let _ = world.hang("redis", 1).await;
    }
    world.open("redis").await;
    world.find("redis", Finds::Nothing);
    world
        .until(21, || world.state("redis") == State::HalfOpen)
        .await;
    begin(&world).await.timed_out();
    assert_eq!(world.state("redis"), State::Open);
}

#[tokio::test(start_paused = true)]
async fn closed_the_first_content_is_no_verdict_and_the_end_is() {
    let world = World::new().await;
    let mut running = begin(&world).await;
    running.first_content();
    running.settle(Verdict::failure(FailureKind::Protocol));
    running.settle(Verdict::SUCCESS);
    let snapshot = world.guard("redis").snapshot();
    assert_eq!((snapshot.failures_in_row, snapshot.window.calls), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_dropped_is_neutral_and_gives_its_place_back() {
    let world = World::from(Setup {
        limit: Some(1),
        ..Setup::default()
    })
    .await;
    drop(begin(&world).await);
    drop(begin(&world).await);
    let snapshot = world.guard("redis").snapshot();
    assert_eq!((snapshot.totals.neutral, snapshot.window.calls), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_in_a_stream_is_a_timeout() {
    let world = World::new().await;
    let mut running = begin(&world).await;
    let until = world.handle.clock().now() + Duration::from_millis(250);
    assert!(
        running
            .run(until, std::future::pending::<()>())
            .await
            .is_err()
    );
    running.timed_out();
    let snapshot = world.guard("redis").snapshot();
    assert_eq!(snapshot.last_failure.unwrap().kind, FailureKind::Timeout);
    assert_eq!((snapshot.totals.failures, snapshot.totals.slow), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn time_spent_waiting_for_the_caller_is_not_the_dependencys() {
    let world = World::new().await;
    let mut running = begin(&world).await;
    running.pause();
    world.pass(10_000).await;
    let until = world.handle.clock().now() + Duration::from_secs(1);
    running.run(until, world.pass(50)).await.unwrap();
    running.pause();
    world.pass(10_000).await;
    drop(running);
    assert_eq!(world.guard("redis").snapshot().totals.slow, 0);
}

#[tokio::test(start_paused = true)]
async fn a_stream_whose_caller_is_waited_for_holds_no_place() {
    let world = World::from(Setup {
        limit: Some(1),
        ..Setup::default()
    })
    .await;
    let mut slow = begin(&world).await;
    slow.pause();
    let mut other = begin(&world).await;
    // What was begun goes on above the limit, and doesn't give back a place that it never took.
    slow.resume();
    slow.settle(Verdict::SUCCESS);
    drop(slow);
    let third = world.guard("redis").begin(world.call(1, 50)).await;
    assert!(matches!(third, Err(CallError::Busy { .. })));
    other.settle(Verdict::SUCCESS);
    drop(other);
    begin(&world).await.settle(Verdict::SUCCESS);
}
