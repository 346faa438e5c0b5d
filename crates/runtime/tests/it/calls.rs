//! One guarded call: admission, deadline, verdict, place.

use std::sync::Arc;
use std::time::Duration;

use mainstay_runtime::breaker::{FailureKind, Mode, Rule, State, Totals};
use mainstay_runtime::{Action, CallError, Verdict};

use crate::world::{DOWN, Ended, Finds, Setup, World, classify};

#[tokio::test(start_paused = true)]
async fn opens_on_the_very_failing_call_and_answers_at_once_afterwards() {
    let world = World::new().await;
    for _ in 0..2 {
        assert_eq!(
            world.fail("database").await,
            Err(CallError::Failed(FailureKind::Connect))
        );
        assert_eq!(world.state("database"), State::Closed);
    }
    let _ = world.fail("database").await;
    assert_eq!(world.state("database"), State::Open);
    let before = world.handle.clock().now();
    let Err(CallError::Rejected(rejection)) = world.hang("database", 1).await else {
        panic!("the driver was asked");
    };
    assert_eq!(rejection.retry_after, Some(Duration::from_secs(30)));
    assert_eq!(world.handle.clock().now(), before);
}

#[tokio::test(start_paused = true)]
async fn our_deadline_is_a_timeout_of_the_dependency() {
    let world = World::new().await;
    let begun = world.handle.clock().now();
    assert_eq!(
        world.hang("redis", 1).await,
        Err(CallError::Deadline { sent: false })
    );
    let took = world.handle.clock().now().saturating_since(begun);
    assert_eq!(took.as_millis(), 250);
    let snapshot = world.guard("redis").snapshot();
    assert_eq!(snapshot.last_failure.unwrap().kind, FailureKind::Timeout);
    assert_eq!((snapshot.totals.failures, snapshot.totals.slow), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_after_sending_says_so() {
    let world = World::new().await;
    let ended: Ended = world
        .guard("redis")
        .call(world.call(1, 1_000), classify, |attempt| async move {
            attempt.mark_sent();
            std::future::pending().await
        })
        .await;
    assert_eq!(ended, Err(CallError::Deadline { sent: true }));
}

#[tokio::test(start_paused = true)]
async fn a_deadline_that_has_passed_already_is_not_held_against_the_dependency() {
    let world = World::new().await;
    let ended: Ended = world
        .guard("redis")
        .call(world.call(1, 0), classify, |_| async { panic!("asked") })
        .await;
    assert_eq!(ended, Err(CallError::Deadline { sent: false }));
    assert_eq!(counted(&world, "redis"), Totals::default());
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_early_counts_nowhere() {
    let world = World::new().await;
    world.abandon("database", 400).await;
    let snapshot = world.guard("database").snapshot();
    assert_eq!((snapshot.window.calls, snapshot.totals.slow), (0, 0));
    assert_eq!(snapshot.totals.neutral, 1);
}

#[tokio::test(start_paused = true)]
async fn a_caller_that_leaves_after_slow_after_counts_as_slow_once() {
    let world = World::new().await;
    world.abandon("database", 600).await;
    let snapshot = world.guard("database").snapshot();
    let window = snapshot.window;
    assert_eq!((window.calls, window.slow, window.failures), (1, 1, 0));
    assert_eq!(snapshot.totals.slow, 1);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_still_runs_counts_as_slow_when_its_time_is_up() {
    let world = Arc::new(World::new().await);
    let runs = Arc::clone(&world);
    let running = tokio::spawn(async move { runs.hang("database", 1).await });
    world.pass(501).await;
    assert_eq!(world.guard("database").snapshot().window.slow, 1);
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_slow_call_that_fails_counts_once_for_each() {
    let world = World::new().await;
    let clock = world.handle.clock();
    let ended: Ended = world
        .guard("database")
        .call(world.call(1, 9_000), classify, |_| async move {
            clock.sleep(Duration::from_secs(1)).await;
            Err(FailureKind::Internal)
        })
        .await;
    assert!(ended.is_err());
    let window = world.guard("database").snapshot().window;
    assert_eq!((window.calls, window.slow, window.failures), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn a_hang_opens_the_breaker_although_callers_are_impatient() {
    let world = World::new().await;
    world.find("database", Finds::Hangs);
    let before = world.probes["database"].checks();
    for _ in 0..3 {
        assert_eq!(world.probes["database"].checks(), before);
        world.abandon("database", 600).await;
    }
    world.pass(1).await;
    assert_eq!(
        world.probes["database"].checks(),
        before + 1,
        "probed at once"
    );
    world
        .until(10, || world.state("database") == State::Open)
        .await;
    let snapshot = world.guard("database").snapshot();
    assert_eq!(snapshot.opened_by, Some(Rule::Probes));
    assert_eq!(snapshot.totals.failures, 0, "no call has failed");
}

#[tokio::test(start_paused = true)]
async fn an_answer_between_abandoned_calls_asks_for_no_probe() {
    let world = World::new().await;
    let before = world.probes["database"].checks();
    for _ in 0..4 {
        world.abandon("database", 600).await;
        world.succeed("database").await.unwrap();
    }
    world.pass(1).await;
    assert_eq!(world.probes["database"].checks(), before);
}

#[tokio::test(start_paused = true)]
async fn three_timeouts_of_one_caller_are_dropped_when_a_probe_passes() {
    let world = World::new().await;
    for _ in 0..3 {
        let _ = world.hang("database", 7).await;
    }
    world.pass(1_000).await;
    assert_eq!(world.state("database"), State::Closed);
    assert_eq!(world.guard("database").snapshot().failures_in_row, 2);
}

#[tokio::test(start_paused = true)]
async fn three_timeouts_of_one_caller_count_when_a_probe_fails_too() {
    let world = World::new().await;
    world.find("database", DOWN);
    for _ in 0..3 {
        let _ = world.hang("database", 7).await;
    }
    assert_eq!(
        world.state("database"),
        State::Closed,
        "not before the probe"
    );
    world.pass(1).await;
    let snapshot = world.guard("database").snapshot();
    assert_eq!(snapshot.state, State::Open);
    assert_eq!(snapshot.opened_by, Some(Rule::Consecutive));
}

#[tokio::test(start_paused = true)]
async fn timeouts_of_two_callers_open_at_once() {
    let world = World::new().await;
    for caller in [7, 7, 8] {
        let _ = world.hang("database", caller).await;
    }
    assert_eq!(world.state("database"), State::Open);
}

#[tokio::test(start_paused = true)]
async fn without_a_probe_no_timeout_waits_for_one() {
    let setup = Setup {
        without_probe: Some("database"),
        ..Setup::default()
    };
    let world = World::from(setup).await;
    for _ in 0..3 {
        let _ = world.hang("database", 7).await;
    }
    assert_eq!(world.state("database"), State::Open);
}

fn one_place() -> Setup {
    Setup {
        limit: Some(1),
        ..Setup::default()
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_place_before_the_deadline_it_is_busy_and_counts_nowhere() {
    let world = World::from(one_place()).await;
    let _held = world
        .guard("database")
        .begin(world.call(1, 60_000))
        .await
        .unwrap();
    let begun = world.handle.clock().now();
    let ended: Ended = world
        .guard("database")
        .call(world.call(1, 2_000), classify, |_| async { Ok(()) })
        .await;
    assert!(matches!(ended, Err(CallError::Busy { .. })), "{ended:?}");
    let waited = world.handle.clock().now().saturating_since(begun);
    assert_eq!(
        waited.as_millis(),
        1_500,
        "a later place would leave no fair time"
    );
    assert_eq!(counted(&world, "database"), Totals::default());
}

#[tokio::test(start_paused = true)]
async fn a_place_that_comes_back_is_taken_in_turn() {
    let world = Arc::new(World::from(one_place()).await);
    let held = world
        .guard("database")
        .begin(world.call(1, 60_000))
        .await
        .unwrap();
    let waits = Arc::clone(&world);
    let waiting = tokio::spawn(async move { waits.succeed("database").await });
    world.pass(1_000).await;
    assert!(!waiting.is_finished());
    drop(held);
    assert_eq!(waiting.await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_on_for_a_place_once_the_breaker_is_open() {
    let world = Arc::new(World::from(one_place()).await);
    let _held = world
        .guard("database")
        .begin(world.call(1, 60_000))
        .await
        .unwrap();
    let waits = Arc::clone(&world);
    let waiting = tokio::spawn(async move { waits.succeed("database").await });
    world.pass(10).await;
    let begun = world.handle.clock().now();
    let forced = Action::Mode {
        endpoint: "database".to_owned(),
        mode: Mode::ForcedOpen,
    };
    world.command(forced).await.unwrap();
    assert!(matches!(
        waiting.await.unwrap(),
        Err(CallError::Rejected(_))
    ));
    assert!(matches!(
        world.succeed("database").await,
        Err(CallError::Rejected(_))
    ));
    assert_eq!(world.handle.clock().now(), begun, "at once");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_panics_gives_its_place_back_and_counts_nowhere() {
    let world = Arc::new(World::from(one_place()).await);
    let runs = Arc::clone(&world);
    let ended = tokio::spawn(async move {
        let call = runs.call(1, 1_000);
        let guard = runs.guard("redis");
        let ended: Ended = guard
            .call(call, classify, |_| async { panic!("as told") })
            .await;
        ended
    });
    assert!(ended.await.is_err());
    let totals = counted(&world, "redis");
    assert_eq!((totals.failures, totals.neutral), (0, 1));
    assert_eq!(world.succeed("redis").await, Ok(()));
}

#[tokio::test(start_paused = true)]
async fn a_correct_no_comes_back_and_is_a_success() {
    let world = World::new().await;
    let _ = world.fail("database").await;
    let ended: Result<(), _> = world
        .guard("database")
        .call(
            world.call(1, 1_000),
            |_: &&str| Verdict::SUCCESS,
            |_| async { Err("no such table") },
        )
        .await;
    assert_eq!(ended, Err(CallError::Failed("no such table")));
    assert_eq!(world.guard("database").snapshot().failures_in_row, 0);
}

#[tokio::test(start_paused = true)]
async fn a_shadowed_breaker_refuses_nothing() {
    let world = World::new().await;
    let shadow = Action::Mode {
        endpoint: "database".to_owned(),
        mode: Mode::Shadow,
    };
    world.command(shadow).await.unwrap();
    world.open("database").await;
    assert!(!world.guard("database").is_open());
    assert_eq!(world.succeed("database").await, Ok(()));
}

fn counted(world: &World, name: &str) -> Totals {
    Totals {
        successes: None,
        ..world.guard(name).snapshot().totals
    }
}
