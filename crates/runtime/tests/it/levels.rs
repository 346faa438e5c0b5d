//! From probes and calls to a level, and what the level changes.

use std::time::Duration;

use mainstay_runtime::Action;
use mainstay_runtime::breaker::State;
use mainstay_runtime::degradation::level::band;
use mainstay_runtime::degradation::{FeatureMode, Level};

use crate::world::{DOWN, Finds, NAMES, Setup, World};

#[tokio::test(start_paused = true)]
async fn with_everything_hung_at_the_start_it_is_an_emergency_after_a_second() {
    let world = Setup::all(Finds::Hangs).start();
    world.pass(990).await;
    assert!(!world.handle.is_started());
    world.pass(20).await;
    assert!(world.handle.is_started());
    let snapshot = world.handle.snapshot();
    assert_eq!(
        (snapshot.level, snapshot.target),
        (Level::Emergency, Level::Emergency)
    );
    assert_eq!(snapshot.causes.len(), 4);
}

#[tokio::test(start_paused = true)]
async fn with_everything_down_at_the_start_it_recovers_by_itself() {
    let world = World::from(Setup::all(DOWN)).await;
    assert_eq!(world.level(), Level::Emergency);
    for name in NAMES {
        world.find(name, Finds::Up);
    }
    world.until(120, || world.level() == Level::Optimal).await;
}

#[tokio::test(start_paused = true)]
async fn with_everything_up_it_is_optimal_at_once() {
    let world = Setup::default().start();
    world.pass(1).await;
    assert!(world.handle.is_started());
    assert_eq!(world.level(), Level::Optimal);
}

#[tokio::test(start_paused = true)]
async fn a_breaker_that_opens_drops_the_level_at_once_and_everything_follows() {
    let world = World::new().await;
    world.find("database", DOWN);
    world.open("database").await;
    world.pass(1).await;
    assert_eq!(world.level(), Level::Emergency);
    let mode = world.handle.feature("write_operations").unwrap().mode;
    assert_eq!(mode, FeatureMode::Off);
    assert_eq!(
        world.handle.feature("rate_limiting").unwrap().mode,
        FeatureMode::On
    );
    let tuning = world.guard("redis").tuning();
    assert_eq!((tuning.retries, tuning.ttl), (0, Duration::from_secs(60)));
    assert_eq!(tuning.request_deadline, Duration::from_secs(30));
    assert_eq!(
        world.guard("database").limit(),
        4,
        "20 × 0.2: the live cause"
    );
    assert_eq!(world.guard("openai").limit(), 16, "not a cause");
    let redis = world.guard("redis").limit();
    assert!(
        (40..50).contains(&redis),
        "{redis}: only the cascade's share less"
    );
    assert!((*world.handle.drain_share().borrow() - 0.1).abs() < 1e-9);
}

#[tokio::test(start_paused = true)]
async fn each_level_has_its_own_tuning() {
    let world = World::new().await;
    for (level, retries, ttl, deadline) in [
        (Level::Optimal, 3, 3600, 2),
        (Level::Degraded, 2, 1800, 3),
        (Level::Limited, 1, 900, 5),
        (Level::Minimal, 0, 300, 10),
        (Level::Emergency, 0, 60, 30),
    ] {
        world.command(Action::Pin(level)).await.unwrap();
        let tuning = world.guard("database").tuning();
        let seconds = (tuning.ttl.as_secs(), tuning.request_deadline.as_secs());
        assert_eq!(
            (tuning.retries, seconds),
            (retries, (ttl, deadline)),
            "{level}"
        );
    }
}

#[tokio::test(start_paused = true)]
async fn after_closing_the_limit_grows_back_in_steps() {
    let world = World::new().await;
    world.open("s3").await;
    world.find("s3", Finds::Up);
    world.until(60, || world.state("s3") == State::Closed).await;
    world.pass(1).await;
    assert!(world.guard("s3").limit() <= 8);
    world.pass(3_600).await;
    let half = world.guard("s3").limit();
    assert!((9..=16).contains(&half), "{half}");
    world.until(120, || world.guard("s3").limit() == 32).await;
}

/// Invariant 5, over a random history.
#[tokio::test(start_paused = true)]
async fn the_target_is_always_the_band_of_the_score() {
    let world = World::new().await;
    let mut random = 1_u64;
    let mut levels = Vec::new();
    for _ in 0..400 {
        random = random
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        let name = NAMES[(random >> 33) as usize % 4];
        match (random >> 40) % 5 {
            0 => world.find(name, DOWN),
            1 => world.find(name, Finds::Hangs),
            2 | 3 => world.find(name, Finds::Up),
            _ => drop(world.fail(name).await),
        }
        world.pass((random >> 50) % 4_000).await;
        let snapshot = world.handle.snapshot();
        let rules = world.handle.rules();
        let target = band(&rules.settings().level, snapshot.score);
        assert_eq!(snapshot.target, target);
        assert!(snapshot.level == snapshot.target || snapshot.held_by.is_some());
        levels.push(snapshot.level);
    }
    levels.sort_unstable();
    levels.dedup();
    assert!(
        levels.len() >= 3,
        "the history is worth something: {levels:?}"
    );
}
