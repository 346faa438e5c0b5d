//! Real calls to an open breaker's endpoint, for callers who have nobody else to ask.

use std::time::Duration;

use mainstay_runtime::breaker::{FailureKind, State};
use mainstay_runtime::{Action, CallError, Moment, Verdict};

use crate::world::{Ended, Setup, World, classify};

/// The model provider open, with nobody but the test to try it.
async fn open() -> (World, Moment) {
    let world = World::from(Setup {
        without_probe: Some("openai"),
        ..Setup::default()
    })
    .await;
    world.open("openai").await;
    let now = world.handle.clock().now();
    (world, now)
}

async fn try_with(world: &World, ends: Result<(), FailureKind>) -> Ended {
    let call = world.call(1, 60_000).trial();
    let guard = world.guard("openai");
    guard.call(call, classify, |_| async move { ends }).await
}

async fn fail(world: &World) -> Ended {
    try_with(world, Err(FailureKind::Internal)).await
}

fn was_made(ended: &Ended) -> bool {
    !matches!(ended, Err(CallError::Rejected(_)))
}

#[tokio::test(start_paused = true)]
async fn trials_of_what_keeps_failing_are_paced_as_its_probes_are() {
    let (world, opened) = open().await;
    let mut made = Vec::new();
    for _ in 0..200 {
        world.pass(1_000).await;
        if was_made(&fail(&world).await) {
            let after = world.handle.clock().now().saturating_since(opened);
            made.push(after.as_secs());
        }
    }
    // After 10 and 20 s; at 60 s the open time is over, which leads to half-open and back; from then on every 40 s, and
    // at 180 s the second open time is over.
    assert_eq!(made, [10, 30, 60, 100, 140, 180]);
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_fails_leaves_the_breaker_as_it_was() {
    let (world, _) = open().await;
    let before = world.guard("openai").snapshot();
    world.pass(10_000).await;
    assert!(was_made(&fail(&world).await));
    let after = world.guard("openai").snapshot();
    assert_eq!(
        (
            after.state,
            after.retry_at,
            after.reopenings,
            after.generation
        ),
        (
            State::Open,
            before.retry_at,
            before.reopenings,
            before.generation
        )
    );
    assert!(
        !was_made(&world.succeed("openai").await),
        "others are refused"
    );
}

#[tokio::test(start_paused = true)]
async fn a_trial_that_succeeds_opens_the_half_open_door_and_counts_there() {
    let (world, _) = open().await;
    world.pass(10_000).await;
    try_with(&world, Ok(())).await.unwrap();
    assert_eq!(world.state("openai"), State::HalfOpen);
    world.succeed("openai").await.unwrap();
    assert_eq!(world.state("openai"), State::Closed);
}

#[tokio::test(start_paused = true)]
async fn one_trial_at_a_time_and_one_that_is_left_is_over() {
    let (world, _) = open().await;
    world.pass(10_000).await;
    let guard = world.guard("openai");
    let first = guard.begin(world.call(1, 60_000).trial()).await.unwrap();
    assert_eq!(guard.trial_at(), None);
    world.pass(25_000).await;
    assert!(!was_made(&fail(&world).await), "the first is still running");
    drop(first);
    let due = guard.trial_at().unwrap();
    assert_eq!(
        due,
        guard.now() + Duration::from_secs(20),
        "paced from its end"
    );
    assert_eq!(world.state("openai"), State::Open);
}

#[tokio::test(start_paused = true)]
async fn the_first_content_of_a_stream_ends_its_trial() {
    let (world, _) = open().await;
    world.pass(10_000).await;
    let guard = world.guard("openai");
    let mut stream = guard.begin(world.call(1, 60_000).trial()).await.unwrap();
    stream.first_content();
    assert_eq!(world.state("openai"), State::HalfOpen);
    stream.settle(Verdict::failure(FailureKind::Protocol));
    assert_eq!(world.state("openai"), State::HalfOpen, "settled already");
}

#[tokio::test(start_paused = true)]
async fn no_trial_comes_before_the_time_that_a_server_has_asked_for() {
    let (world, _) = open().await;
    world.pass(10_000).await;
    let guard = world.guard("openai");
    let busy = |_: &FailureKind| Verdict::overload(Some(Duration::from_secs(300)));
    let call = world.call(1, 60_000).trial();
    let kind = FailureKind::Overload;
    let _ = guard
        .call(call, busy, |_| async move { Err::<(), _>(kind) })
        .await;
    let asked = guard.now() + Duration::from_secs(300);
    assert_eq!(guard.trial_at(), Some(asked));
    assert_eq!(
        guard.snapshot().retry_at,
        Some(asked),
        "half-open waits for it, too"
    );
    world.pass(299_000).await;
    assert!(!was_made(&fail(&world).await));
    world.pass(1_000).await;
    assert!(was_made(&fail(&world).await));
}

#[tokio::test(start_paused = true)]
async fn what_an_operator_has_forced_open_is_not_tried() {
    let (world, _) = open().await;
    let endpoint = "openai".to_owned();
    let mode = mainstay_runtime::breaker::Mode::ForcedOpen;
    world
        .command(Action::Mode { endpoint, mode })
        .await
        .unwrap();
    world.pass(30_000).await;
    assert_eq!(world.guard("openai").trial_at(), None);
    assert!(!was_made(&fail(&world).await));
}

#[tokio::test(start_paused = true)]
async fn a_later_outage_begins_its_pauses_anew() {
    let (world, _) = open().await;
    for pause in [10_000, 20_000] {
        world.pass(pause).await;
        assert!(was_made(&fail(&world).await));
    }
    world.pass(30_000).await;
    world.succeed("openai").await.unwrap();
    world.succeed("openai").await.unwrap();
    world.pass(301_000).await;
    world.open("openai").await;
    let guard = world.guard("openai");
    assert_eq!(
        guard.trial_at(),
        Some(guard.now() + Duration::from_secs(10))
    );
}
