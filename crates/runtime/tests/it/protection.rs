//! What one dependency's outage leaves of another's places, and who gets them.

use std::time::Duration;

use mainstay_runtime::breaker::State;
use mainstay_runtime::degradation::DependencyId;
use mainstay_runtime::{Call, CallError, EndpointLimit, Running};

use crate::world::{DOWN, Ended, Finds, Setup, World, classify};

fn limits(world: &World, name: &str) -> EndpointLimit {
    let all = world.handle.limits();
    all.into_iter().find(|one| one.endpoint == name).unwrap()
}

fn id(world: &World, name: &str) -> DependencyId {
    world.handle.rules().dependency_id(name).unwrap()
}

/// A call to the database in the place of another dependency.
fn instead_of(world: &World, name: &str) -> Call {
    Call {
        instead_of: Some(id(world, name)),
        ..world.call(1, 60_000)
    }
}

/// As many calls in Redis's place as the database takes at once.
async fn fill(world: &World) -> Vec<Running> {
    let mut running = Vec::new();
    let guard = world.guard("database");
    while let Ok(one) = guard.begin(instead_of(world, "redis")).await {
        running.push(one);
        assert!(running.len() <= 20, "there is an end to them");
    }
    running
}

/// Redis answers nothing any more, and its health shows it.
async fn lose_redis(world: &World) {
    world.find("redis", DOWN);
    world.open("redis").await;
    world
        .until(90, || limits(world, "database").now == 14)
        .await;
}

#[tokio::test(start_paused = true)]
async fn while_redis_is_down_the_database_takes_less_and_still_less_in_its_place() {
    let world = World::new().await;
    let usual = limits(&world, "database");
    assert_eq!((usual.usual, usual.now), (20, 20));
    assert_eq!((usual.instead_usual, usual.instead_now), (10, 10));
    assert!(!world.guard("database").is_threatened());
    lose_redis(&world).await;
    let less = limits(&world, "database");
    assert_eq!((less.usual, less.now), (20, 14), "30 % less");
    assert_eq!((less.instead_usual, less.instead_now), (10, 7), "the same");
    assert!(world.guard("database").is_threatened());
    let others = ["redis", "openai", "s3"];
    let threatened = others.map(|name| world.guard(name).is_threatened());
    assert_eq!(threatened, [false; 3]);

    world.find("redis", Finds::Up);
    let back = || world.state("redis") == State::Closed;
    world.until(60, back).await;
    let whole = || limits(&world, "database") == usual;
    world.until(60, whole).await;
    assert!(!world.guard("database").is_threatened());
}

#[tokio::test(start_paused = true)]
async fn calls_in_anothers_place_are_refused_at_once_and_leave_room_for_the_dependencys_own() {
    let world = World::new().await;
    lose_redis(&world).await;
    let running = fill(&world).await;
    assert_eq!(running.len(), 7);
    let begun = world.handle.clock().now();
    let guard = world.guard("database");
    let refused: Ended = guard
        .call(instead_of(&world, "redis"), classify, |_| async { Ok(()) })
        .await;
    let Err(CallError::Busy { retry_after }) = refused else {
        panic!("{refused:?}");
    };
    assert!(retry_after > Duration::ZERO);
    assert_eq!(world.handle.clock().now(), begun, "it waits for nothing");
    let own = Call {
        instead_of: Some(id(&world, "database")),
        ..world.call(1, 60_000)
    };
    for call in [world.call(1, 60_000), own] {
        let done: Ended = guard.call(call, classify, |_| async { Ok(()) }).await;
        assert_eq!(done, Ok(()));
    }
    let seen = limits(&world, "database");
    assert_eq!((seen.instead_admitted, seen.instead_refused), (7, 2));
    drop(running);
    let done: Ended = guard
        .call(instead_of(&world, "redis"), classify, |_| async { Ok(()) })
        .await;
    assert_eq!(done, Ok(()), "its place came back");
}

#[tokio::test(start_paused = true)]
async fn a_reader_in_no_hurry_holds_no_place_in_anothers_stead() {
    let world = World::new().await;
    let mut running = fill(&world).await;
    assert_eq!(running.len(), 10, "half of them, with nothing down");
    running[0].pause();
    let guard = world.guard("database");
    let next = guard.begin(instead_of(&world, "redis")).await;
    assert!(next.is_ok());
    running[0].resume();
    drop(next);
    running.pop();
    running.push(guard.begin(instead_of(&world, "redis")).await.unwrap());
    running[0].pause();
    running[0].resume();
    let full = guard.begin(instead_of(&world, "redis")).await;
    assert!(full.is_err(), "it took its place again");
}

/// Nobody's work in particular fills the database.
async fn fill_with_own(world: &World) -> Vec<Running> {
    let mut running = Vec::new();
    for _ in 0..20 {
        let begun = world.guard("database").begin(world.call(1, 60_000)).await;
        running.push(begun.unwrap());
    }
    running
}

#[tokio::test(start_paused = true)]
async fn in_anothers_place_nobody_waits_behind_the_dependencys_own_work_nor_before_it() {
    let world = World::new().await;
    let mut running = fill_with_own(&world).await;
    let guard = world.guard("database");
    let begun = world.handle.clock().now();
    for _ in 0..11 {
        let refused: Ended = guard
            .call(instead_of(&world, "redis"), classify, |_| async { Ok(()) })
            .await;
        assert!(
            matches!(refused, Err(CallError::Busy { .. })),
            "{refused:?}"
        );
        let stream = guard.begin(instead_of(&world, "redis")).await;
        assert!(matches!(stream, Err(CallError::Busy { .. })), "{stream:?}");
    }
    assert_eq!(world.handle.clock().now(), begun, "they wait for nothing");
    let seen = limits(&world, "database");
    assert_eq!((seen.instead_admitted, seen.instead_refused), (0, 22));
    running.pop();
    let done: Ended = guard
        .call(instead_of(&world, "redis"), classify, |_| async { Ok(()) })
        .await;
    assert_eq!(
        done,
        Ok(()),
        "none of those that were refused holds a share"
    );
}

#[tokio::test(start_paused = true)]
async fn in_anothers_place_nobody_is_told_to_wait_for_what_is_down() {
    let world = World::new().await;
    let _running = fill(&world).await;
    world.find("database", DOWN);
    world.open("database").await;
    let guard = world.guard("database");
    let refused: Ended = guard
        .call(instead_of(&world, "redis"), classify, |_| async { Ok(()) })
        .await;
    assert!(
        matches!(refused, Err(CallError::Rejected(_))),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn half_of_the_places_is_rounded_down_so_that_the_only_one_is_for_its_own_work() {
    for (limit, most) in [(1, 0), (2, 1), (3, 1), (5, 2)] {
        let world = World::from(Setup {
            limit: Some(limit),
            ..Setup::default()
        })
        .await;
        let seen = limits(&world, "database");
        assert_eq!((seen.instead_usual, seen.instead_now), (most, most));
        assert_eq!(fill(&world).await.len(), most, "of {limit}");
    }
}
