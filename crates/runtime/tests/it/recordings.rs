//! What is recorded, replays to the same decisions.

use std::time::Duration;

use mainstay_runtime::breaker::State;
use mainstay_runtime::degradation::Input;
use mainstay_runtime::degradation::recording::{Bounds, Decided, Entry, digest, read};
use mainstay_runtime::recordings;
use mainstay_runtime::{EndpointSpec, EngineSettings};
use tokio::runtime::Builder;

use crate::world::{DOWN, Finds, NAMES, Setup, World};

async fn recorded() -> World {
    let setup = Setup {
        prepare: Some(Box::new(|engine, _| engine.record(64 << 20))),
        ..Setup::default()
    };
    World::from(setup).await
}

/// Replays a recording and gives how many decisions it holds; fails where they aren't those that were made.
fn replay(bytes: &[u8]) -> (usize, usize) {
    let (head, entries) = read(bytes).unwrap();
    let mut controller = head.controller;
    let (mut effects, mut ticks, mut decisions) = (Vec::new(), 0, 0);
    for entry in entries {
        match entry.unwrap() {
            Entry::Input { at, input } => {
                effects.clear();
                ticks += 1;
                controller.handle(at, input, &mut effects);
            }
            Entry::Decided(decided) => {
                decisions += 1;
                assert_eq!(Some(decided), Decided::by(&effects));
            }
            Entry::Done(done) => assert_eq!(Some(done), digest(&effects)),
            Entry::Breakers(_) | Entry::Bounds(_) => {}
        }
    }
    (ticks, decisions)
}

#[tokio::test(start_paused = true)]
async fn a_recorded_outage_replays_to_the_decisions_that_were_made() {
    let world = recorded().await;
    for _ in 0..40 {
        world.succeed("database").await.unwrap();
        world.pass(500).await;
    }
    world.find("redis", DOWN);
    world
        .until(60, || world.state("redis") == State::Open)
        .await;
    world.pass(5_000).await;
    world.find("redis", Finds::Up);
    world
        .until(60, || world.state("redis") == State::Closed)
        .await;
    world.pass(30_000).await;
    world.end().await;
    let folder = recordings::folder(world.data.path());
    let files = recordings::list(&folder).unwrap();
    assert_eq!(files.len(), 1);
    let (inputs, decisions) = replay(&recordings::read(&files[0].0).unwrap());
    assert!(inputs > 60 && decisions > 5, "{inputs} {decisions}");
    assert_eq!(world.handle.dropped_recording(), 0);
}

#[tokio::test(start_paused = true)]
async fn ten_idle_minutes_take_little_room() {
    let world = recorded().await;
    // All of it fits in the queue, however long the writer's thread is kept waiting: its clock isn't the paused one.
    world.pass(600_000).await;
    world.end().await;
    let files = recordings::list(&recordings::folder(world.data.path())).unwrap();
    let unpacked = recordings::read(&files[0].0).unwrap();
    let (inputs, _) = replay(&unpacked);
    assert!(inputs >= 600, "{inputs}");
    assert!(
        files[0].1 < 20_000,
        "{} bytes of {}",
        files[0].1,
        unpacked.len()
    );
}

#[tokio::test(start_paused = true)]
async fn after_a_purge_another_recording_begins_that_stands_by_itself() {
    let world = recorded().await;
    world.pass(30_000).await;
    let before = world.handle.clock().now();
    world.handle.purge_recordings().await.unwrap();
    world.pass(20_000).await;
    world.end().await;
    let files = recordings::list(&recordings::folder(world.data.path())).unwrap();
    assert_eq!(files.len(), 1);
    let bytes = recordings::read(&files[0].0).unwrap();
    assert!(read(&bytes).unwrap().0.at >= before);
    assert!(replay(&bytes).0 >= 18);
    assert_eq!(world.handle.dropped_recording(), 0);
}

#[tokio::test(start_paused = true)]
async fn recordings_of_an_earlier_process_are_purged_where_nothing_is_recorded() {
    let world = World::new().await;
    let folder = recordings::folder(world.data.path());
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("2026-01-31T12-00-00Z-000.rec.gz"), "old").unwrap();
    world.handle.purge_recordings().await.unwrap();
    assert_eq!(recordings::list(&folder).unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn limits_and_deadlines_are_recorded_at_first_and_after_a_reload() {
    let setup = Setup {
        prepare: Some(Box::new(|engine, _| engine.record(64 << 20))),
        ..Setup::default()
    };
    let bounds = |endpoints: &[EndpointSpec]| {
        let bounds = endpoints.iter().map(|one| Bounds {
            limit: u32::try_from(one.limit).unwrap(),
            deadline: one.call_deadline,
        });
        bounds.collect::<Vec<_>>()
    };
    let mut endpoints = NAMES.map(|name| setup.spec(name));
    let before = bounds(&endpoints);
    endpoints[0].limit += 5;
    endpoints[2].call_deadline += Duration::from_millis(50);
    let after = bounds(&endpoints);
    let settings = EngineSettings {
        rules: setup.rules().validate().unwrap(),
        endpoints: endpoints.into(),
        exercise_share: Some(0.005),
    };
    let world = World::from(setup).await;
    world.pass(3_000).await;
    world.handle.reload(settings).await.unwrap();
    world.pass(3_000).await;
    world.end().await;
    let files = recordings::list(&recordings::folder(world.data.path())).unwrap();
    let bytes = recordings::read(&files[0].0).unwrap();
    let (_, entries) = read(&bytes).unwrap();
    let found = entries.filter_map(|entry| match entry.unwrap() {
        Entry::Bounds(bounds) => Some(bounds),
        _ => None,
    });
    assert_eq!(found.collect::<Vec<_>>(), [before, after]);
}

#[tokio::test(start_paused = true)]
async fn nothing_is_recorded_unless_asked_for() {
    let world = World::new().await;
    world.pass(20_000).await;
    world.end().await;
    let files = recordings::list(&recordings::folder(world.data.path())).unwrap();
    assert_eq!(files, []);
}

/// When redis is probed in a world with this seed, with a reload in between; its recording replays exactly.
async fn probes(seed: u64) -> Vec<Duration> {
    let setup = Setup {
        seed,
        prepare: Some(Box::new(|engine, _| engine.record(64 << 20))),
        ..Setup::default().with("redis", DOWN)
    };
    let mut rules = setup.rules();
    rules.level.dwell = Duration::from_secs(3);
    let settings = EngineSettings {
        rules: rules.validate().unwrap(),
        endpoints: NAMES.map(|name| setup.spec(name)).into(),
        exercise_share: Some(0.005),
    };
    let world = World::from(setup).await;
    world.pass(10_000).await;
    world.handle.reload(settings).await.unwrap();
    world.pass(10_000).await;
    world.end().await;
    let files = recordings::list(&recordings::folder(world.data.path())).unwrap();
    let bytes = recordings::read(&files[0].0).unwrap();
    replay(&bytes);
    let (head, entries) = read(&bytes).unwrap();
    let redis = head.controller.rules().endpoint_id("redis").unwrap();
    let begun = entries.filter_map(|entry| match entry.unwrap() {
        Entry::Input { input, .. } => match input {
            Input::Probe {
                endpoint, started, ..
            } if endpoint == redis => Some(started),
            _ => None,
        },
        _ => None,
    });
    begun.map(|at| at.saturating_since(head.at)).collect()
}

/// Those of two processes, each with a clock of its own, as far as both were recorded: virtual time passes faster than a
/// busy machine writes.
fn probes_of_two(seed: u64) -> (Vec<Duration>, Vec<Duration>) {
    let process = || {
        let mut runtime = Builder::new_current_thread();
        let runtime = runtime.enable_all().start_paused(true).build().unwrap();
        runtime.block_on(probes(seed))
    };
    let (mut one, mut other) = (process(), process());
    let both = one.len().min(other.len());
    assert!(both > 5, "{one:?} {other:?}");
    one.truncate(both);
    other.truncate(both);
    (one, other)
}

#[test]
fn processes_without_a_seed_of_their_own_probe_at_times_of_their_own() {
    let (one, other) = probes_of_two(0);
    assert_ne!(one, other);
}

#[test]
fn a_given_seed_gives_the_same_jitter_every_time() {
    let (one, other) = probes_of_two(7);
    assert_eq!(one, other);
}
