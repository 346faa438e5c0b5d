//! The one retry layer.

use std::cell::RefCell;
use std::time::Duration;

use mainstay_runtime::breaker::{FailureKind, Mode, State};
use mainstay_runtime::degradation::Level;
use mainstay_runtime::{Action, Call, CallError, Moment, Verdict};

use crate::world::{Ended, Setup, World, classify};

/// Fails every attempt. Gives when each began, and how it ended.
async fn failing(world: &World, name: &str, call: Call) -> (Vec<Moment>, Ended) {
    let begun = RefCell::new(Vec::new());
    let clock = world.handle.clock();
    let attempt = |_| {
        begun.borrow_mut().push(clock.now());
        async { Err(FailureKind::Connect) }
    };
    let ended = world.guard(name).call(call, classify, attempt).await;
    (begun.into_inner(), ended)
}

#[tokio::test(start_paused = true)]
async fn only_what_is_idempotent_is_tried_again() {
    let world = World::new().await;
    let (once, ended) = failing(&world, "redis", world.call(1, 2_000)).await;
    assert_eq!(
        (once.len(), ended),
        (1, Err(CallError::Failed(FailureKind::Connect)))
    );
    let (attempts, _) = failing(&world, "redis", world.call(1, 2_000).idempotent()).await;
    assert_eq!(attempts.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn a_retry_that_succeeds_is_the_answer() {
    let world = World::new().await;
    let ended = world
        .guard("redis")
        .call(
            world.call(1, 2_000).idempotent(),
            classify,
            |attempt| async move {
                match attempt.number {
                    3 => Ok("there"),
                    _ => Err(FailureKind::Protocol),
                }
            },
        )
        .await;
    assert_eq!(ended, Ok("there"));
}

#[tokio::test(start_paused = true)]
async fn pauses_are_jittered_over_the_whole_of_a_doubling_ceiling() {
    let world = World::from(Setup {
        fail_max: Some(1_000),
        ..Setup::default()
    })
    .await;
    let mut shares = Vec::new();
    for _ in 0..20 {
        let (begun, _) = failing(&world, "s3", world.call(1, 60_000).idempotent()).await;
        for (pair, ceiling) in begun.windows(2).zip([50.0, 100.0, 200.0]) {
            let pause = pair[1].saturating_since(pair[0]).as_secs_f64() * 1e3;
            // The paused clock moves in whole milliseconds.
            assert!(pause <= ceiling + 1.0, "{pause} of {ceiling} ms");
            shares.push(pause / ceiling);
        }
        world.pass(61_000).await;
    }
    assert!(shares.iter().any(|share| *share < 0.25), "{shares:?}");
    assert!(shares.iter().any(|share| *share > 0.75), "{shares:?}");
}

#[tokio::test(start_paused = true)]
async fn retries_stay_within_the_total_deadline() {
    let world = World::new().await;
    let begun = world.handle.clock().now();
    let call = world.call(1, 600).idempotent();
    let ended: Ended = world
        .guard("redis")
        .call(call, classify, |_| std::future::pending())
        .await;
    assert_eq!(ended, Err(CallError::Deadline { sent: false }));
    let took = world.handle.clock().now().saturating_since(begun);
    assert!(took <= Duration::from_millis(600), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn retries_stay_within_the_budget() {
    let world = World::from(Setup {
        fail_max: Some(1_000),
        ..Setup::default()
    })
    .await;
    let mut attempts = 0;
    for _ in 0..10 {
        let (begun, _) = failing(&world, "redis", world.call(1, 2_000).idempotent()).await;
        attempts += begun.len();
    }
    assert_eq!(attempts, 10 + 3, "three a minute while calls are few");
}

#[tokio::test(start_paused = true)]
async fn what_the_breaker_refuses_earns_no_retries() {
    let world = World::from(Setup {
        fail_max: Some(1_000),
        ..Setup::default()
    })
    .await;
    let mode = |mode| Action::Mode {
        endpoint: "redis".to_owned(),
        mode,
    };
    world.command(mode(Mode::ForcedOpen)).await.unwrap();
    for _ in 0..100 {
        assert!(world.succeed("redis").await.is_err());
    }
    world.command(mode(Mode::Auto)).await.unwrap();
    let mut attempts = 0;
    for _ in 0..5 {
        let (begun, _) = failing(&world, "redis", world.call(1, 2_000).idempotent()).await;
        attempts += begun.len();
    }
    assert_eq!(attempts, 5 + 3);
}

#[tokio::test(start_paused = true)]
async fn the_level_says_how_often() {
    for (level, attempts) in [
        (Level::Optimal, 4),
        (Level::Degraded, 3),
        (Level::Limited, 2),
        (Level::Minimal, 1),
        (Level::Emergency, 1),
    ] {
        let world = World::new().await;
        world.command(Action::Pin(level)).await.unwrap();
        let (begun, _) = failing(&world, "redis", world.call(1, 60_000).idempotent()).await;
        assert_eq!(begun.len(), attempts, "{level}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opened_ends_the_retries_with_the_drivers_own_word() {
    let world = World::new().await;
    let (begun, ended) = failing(&world, "database", world.call(1, 60_000).idempotent()).await;
    assert_eq!(begun.len(), 3);
    assert_eq!(
        begun[2],
        world.handle.clock().now(),
        "without another pause"
    );
    assert_eq!(ended, Err(CallError::Failed(FailureKind::Connect)));
    assert_eq!(world.state("database"), State::Open);
}

#[tokio::test(start_paused = true)]
async fn refused_a_retry_the_caller_gets_the_drivers_word_on_the_attempt_before() {
    let world = World::new().await;
    let call = world.call(1, 2_000).idempotent();
    // While the first pauses, the second opens the breaker.
    let ((begun, ended), ()) = tokio::join!(failing(&world, "redis", call), world.open("redis"));
    assert_eq!(begun.len(), 1);
    assert_eq!(ended, Err(CallError::Failed(FailureKind::Connect)));
}

#[tokio::test(start_paused = true)]
async fn overload_is_not_answered_with_more_load() {
    let world = World::new().await;
    let tries = RefCell::new(0);
    let ended: Result<(), _> = world
        .guard("redis")
        .call(
            world.call(1, 2_000).idempotent(),
            |_: &()| Verdict::overload(None),
            |_| {
                *tries.borrow_mut() += 1;
                async { Err(()) }
            },
        )
        .await;
    assert_eq!((tries.into_inner(), ended), (1, Err(CallError::Failed(()))));
}
