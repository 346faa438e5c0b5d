//! New settings in a running engine.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_runtime::breaker::State;
use mainstay_runtime::degradation::{Level, Presence, Settings};
use mainstay_runtime::{Action, CallError, Change, EngineSettings, ErrorKind};

use crate::world::{Ended, NAMES, Setup, World};

/// The settings that a world of this setup runs with.
pub(crate) fn settings(setup: &Setup) -> EngineSettings {
    EngineSettings {
        rules: setup.rules().validate().unwrap(),
        endpoints: NAMES.map(|name| setup.spec(name)).into(),
        exercise_share: Some(0.005),
    }
}

fn with(change: impl FnOnce(&mut Settings)) -> EngineSettings {
    let mut rules = Setup::default().rules();
    change(&mut rules);
    EngineSettings {
        rules: rules.validate().unwrap(),
        ..settings(&Setup::default())
    }
}

fn change(key: &str, old: &str, new: &str) -> Change {
    let [key, old, new] = [key, old, new].map(str::to_owned);
    Change { key, old, new }
}

#[tokio::test(start_paused = true)]
async fn what_changed_is_named_with_its_old_and_its_new_value() {
    let world = World::new().await;
    let mut new = with(|rules| {
        rules.level.dwell = Duration::from_secs(3);
        rules.dependencies[2].probes.heartbeat = Duration::from_secs(9);
        rules.cascade.remove(0);
        rules.tuning[1].retries = 1;
    });
    new.endpoints[2].limit = 7;
    new.endpoints[2].breaker.consecutive = NonZeroU32::new(2);
    new.endpoints[2].breaker.ramp = None;
    new.endpoints[3].call_deadline = Duration::from_secs(1);
    new.exercise_share = None;
    let changes = world.handle.reload(new.clone()).await.unwrap();
    let expected = [
        change("degradation.dwell", "10s", "3s"),
        change("degradation.probes.redis.heartbeat", "30s", "9s"),
        change("degradation.cascade.database.redis", "0.2", "0.0"),
        change("degradation.tuning.degraded.retries", "2", "1"),
        change("breakers.redis.fail_max", "5", "2"),
        change("breakers.redis.ramp", "5s", "off"),
        change("redis.limit", "50", "7"),
        change("s3.call_deadline", "5s", "1s"),
        change("fallbacks.exercise_share", "0.005", "off"),
    ];
    assert_eq!(changes, expected);
    assert_eq!(
        world.handle.reload(new).await.unwrap(),
        [],
        "the same again"
    );
}

#[tokio::test(start_paused = true)]
async fn breakers_limits_and_deadlines_are_in_force_at_once() {
    let world = World::new().await;
    let mut new = settings(&Setup::default());
    let redis = &mut new.endpoints[2];
    redis.breaker.consecutive = NonZeroU32::new(2);
    redis.limit = 3;
    redis.call_deadline = Duration::from_millis(20);
    world.handle.reload(new).await.unwrap();
    assert_eq!(world.guard("redis").limit(), 3);
    assert_eq!(
        world.guard("redis").call_deadline(),
        Duration::from_millis(20)
    );
    let begun = world.handle.clock().now();
    let ended = world.hang("redis", 1).await;
    assert!(
        matches!(ended, Err(CallError::Deadline { .. })),
        "{ended:?}"
    );
    let took = world.handle.clock().now().saturating_since(begun);
    assert!(took < Duration::from_millis(30), "{took:?}");
    let _ = world.hang("redis", 2).await;
    assert_eq!(
        world.state("redis"),
        State::Open,
        "two failures are enough now"
    );
}

#[tokio::test(start_paused = true)]
async fn the_controller_follows_the_new_rules() {
    let world = World::new().await;
    let new = with(|rules| {
        for level in &mut rules.tuning {
            level.request_deadline = Duration::from_secs(7);
        }
    });
    world.handle.reload(new).await.unwrap();
    let tuning = world.guard("database").tuning();
    assert_eq!(tuning.request_deadline, Duration::from_secs(7));
    let seen = world.handle.rules().settings().tuning[0].request_deadline;
    assert_eq!(seen, Duration::from_secs(7));
}

#[tokio::test(start_paused = true)]
async fn nothing_that_is_known_is_lost() {
    let world = World::new().await;
    world.find("s3", crate::world::DOWN);
    world.open("s3").await;
    for _ in 0..3 {
        world.succeed("redis").await.unwrap();
    }
    let _ = world.fail("redis").await;
    world.command(Action::Pin(Level::Limited)).await.unwrap();
    world.pass(2_000).await;
    let seen = || {
        let redis = world.guard("redis").snapshot();
        let snapshot = world.handle.snapshot();
        (
            (
                redis.totals,
                redis.window,
                redis.failures_in_row,
                redis.last_failure,
            ),
            world.guard("s3").snapshot().retry_at,
            (snapshot.level, snapshot.score, snapshot.causes.len()),
            world.handle.operator_state().pin.clone(),
            snapshot.components[3].down_since,
        )
    };
    let before = seen();
    let mut new = with(|rules| rules.level.margin = 3.0);
    for spec in &mut new.endpoints {
        spec.breaker.reset_timeout = Duration::from_secs(77);
        spec.limit += 1;
    }
    assert!(!world.handle.reload(new).await.unwrap().is_empty());
    assert_eq!(seen(), before);
    assert_eq!(world.state("s3"), State::Open);
}

#[tokio::test(start_paused = true)]
async fn what_makes_no_sense_or_needs_a_restart_changes_nothing() {
    let world = World::new().await;
    let good = || settings(&Setup::default());
    let mut no_room = good();
    no_room.endpoints[0].limit = 9;
    no_room.endpoints[1].limit = 0;
    let mut senseless = good();
    senseless.endpoints[0].limit = 9;
    senseless.endpoints[3].breaker.jitter = 7.0;
    let mut missing = good();
    missing.endpoints.remove(1);
    let mut unknown = good();
    unknown.endpoints[1].name = "openai/backup".to_owned();
    let gone = with(|rules| {
        rules.dependencies[0].weight = 0.8;
        rules.dependencies[1].weight = 0.0;
        rules.dependencies[1].presence = Presence::Absent;
        rules.dependencies[1].endpoints.clear();
    });
    for (bad, names) in [
        (no_room, "openai"),
        (senseless, "s3"),
        (missing, "openai"),
        (unknown, "openai"),
        (gone, "openai"),
    ] {
        let error = world.handle.reload(bad).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::InvalidInput, "{error}");
        assert!(error.field.unwrap_or_default().starts_with(names));
    }
    assert_eq!(world.guard("database").limit(), 20);
    assert_eq!(world.handle.reload(good()).await.unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn calls_under_way_go_on_and_none_is_refused_while_settings_change() {
    let world = Arc::new(World::new().await);
    let done = Arc::new(AtomicUsize::new(0));
    let mut callers = Vec::new();
    for _ in 0..20 {
        let (world, done) = (Arc::clone(&world), Arc::clone(&done));
        callers.push(tokio::spawn(async move {
            for _ in 0..50 {
                let clock = world.handle.clock();
                let work = |_| async move {
                    clock.sleep(Duration::from_millis(7)).await;
                    Ok(())
                };
                let call = world.call(1, 60_000);
                let guard = world.guard("redis");
                let ended: Ended = guard.call(call, crate::world::classify, work).await;
                ended.unwrap();
                done.fetch_add(1, Ordering::Relaxed);
            }
        }));
    }
    let mut reloads = 0;
    while done.load(Ordering::Relaxed) < 1_000 {
        let mut new = settings(&Setup::default());
        new.endpoints[2].limit = 10 + reloads % 30;
        new.endpoints[2].breaker.window.buckets = 1 + (reloads % 20) as u32;
        world.handle.reload(new).await.unwrap();
        reloads += 1;
        world.pass(3).await;
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(reloads > 50, "{reloads}");
    let totals = world.guard("redis").snapshot().totals;
    assert_eq!(
        (totals.successes, totals.failures, totals.rejected),
        (Some(1_000), 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_pool_hears_of_its_new_size() {
    let told = Arc::new(AtomicUsize::new(0));
    let hears = Arc::clone(&told);
    let setup = Setup {
        prepare: Some(Box::new(move |engine, guards| {
            engine.on_limit(&guards[2], move |size| hears.store(size, Ordering::Relaxed));
        })),
        ..Setup::default()
    };
    let world = World::from(setup).await;
    let mut new = settings(&Setup::default());
    new.endpoints[2].limit = 12;
    world.handle.reload(new).await.unwrap();
    assert_eq!(told.load(Ordering::Relaxed), 12);
}
