//! Fallbacks: whether one is in use, exercises while all is well, and what the controller hears of both.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_runtime::breaker::Mode;
use mainstay_runtime::degradation::{Journal, Level};
use mainstay_runtime::{Action, Exercised, Guard, Report, Source, Status};

use crate::world::{DOWN, Prepare, Setup, World};

fn declaring(share: Option<f64>) -> Setup {
    let prepare: Prepare = Box::new(move |engine, guards| {
        engine.fallback(&guards[0], &Source::Cache);
        engine.fallback(&guards[2], &Source::Memory);
        engine.exercise_share(share);
    });
    Setup {
        prepare: Some(prepare),
        ..Setup::default()
    }
}

async fn world(share: f64) -> World {
    World::from(declaring(Some(share))).await
}

fn report(guard: &Guard, status: Status, source: Source) {
    guard.report(&Report {
        operation: "read",
        status,
        source: Some(source),
        error: None,
        elapsed: Duration::ZERO,
    });
}

fn kinds(world: &World) -> Vec<&'static str> {
    let events = world.handle.events().recent(1_000);
    events.iter().map(|event| event.kind).collect()
}

fn alerts(world: &World) -> Vec<String> {
    let events = world.handle.events().recent(1_000);
    let raised = events.iter().filter(|event| event.kind == "alert_raised");
    raised.map(|event| event.message.clone()).collect()
}

/// Offers `count` reads and gives how many were made again.
async fn offered(world: &World, count: usize) -> usize {
    let made = Arc::new(AtomicUsize::new(0));
    for _ in 0..count {
        let made = Arc::clone(&made);
        world
            .guard("redis")
            .exercise(&Source::Memory, || async move {
                made.fetch_add(1, Ordering::Relaxed);
                Some(Exercised::Agreed)
            });
        world.pass(1).await;
    }
    made.load(Ordering::Relaxed)
}

#[tokio::test(start_paused = true)]
async fn a_small_share_of_reads_is_made_again_and_noted() {
    let world = world(0.02).await;
    // What was never exercised comes first, whatever the share.
    world.pass(31_000).await;
    assert_eq!(offered(&world, 1).await, 1);
    let made = offered(&world, 2_000).await;
    assert!((20..=60).contains(&made), "{made} of 2000, expected 40");
    let fallbacks = world.handle.fallbacks();
    let memory = fallbacks.iter().find(|one| one.source == "memory").unwrap();
    assert_eq!(memory.dependency, "redis");
    assert_eq!(memory.last.unwrap().1, Exercised::Agreed);
    assert!(
        memory.exercised && memory.age < Duration::from_secs(2),
        "{memory:?}"
    );
    let cache = fallbacks.iter().find(|one| one.source == "cache").unwrap();
    assert_eq!((cache.dependency.as_str(), cache.last), ("database", None));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_never_has_anything_to_compare_keeps_no_other_from_its_turn() {
    let prepare: Prepare = Box::new(|engine, guards| {
        engine.fallback(&guards[0], &Source::Cache);
        engine.fallback(&guards[0], &Source::Replica);
        engine.exercise_share(Some(0.000_001));
    });
    let world = World::from(Setup {
        prepare: Some(prepare),
        ..Setup::default()
    })
    .await;
    world.pass(31_000).await;
    let database = world.guard("database");
    for _ in 0..3 {
        database.exercise(&Source::Cache, || async { None });
        database.exercise(&Source::Replica, || async { Some(Exercised::Agreed) });
        world.pass(1).await;
    }
    let results = world.handle.fallbacks().into_iter();
    let results: Vec<_> = results
        .map(|one| one.last.map(|(_, ended)| ended))
        .collect();
    assert_eq!(results, [None, Some(Exercised::Agreed)]);
}

#[tokio::test(start_paused = true)]
async fn the_same_seed_chooses_the_same_reads() {
    let mut chosen = Vec::new();
    for _ in 0..2 {
        let world = world(0.1).await;
        world.pass(31_000).await;
        let mut made = Vec::new();
        for _ in 0..100 {
            made.push(offered(&world, 1).await);
        }
        chosen.push(made);
    }
    assert_eq!(chosen[0], chosen[1]);
    assert!(chosen[0].contains(&1) && chosen[0].contains(&0));
}

#[tokio::test(start_paused = true)]
async fn nothing_is_exercised_while_anything_is_wrong_or_exercises_are_off() {
    let off = World::from(declaring(None)).await;
    off.pass(31_000).await;
    assert_eq!(offered(&off, 100).await, 0, "off");
    let world = world(1.0).await;
    world.pass(31_000).await;
    assert_eq!(offered(&world, 10).await, 10, "all is well");
    world.command(Action::Pin(Level::Limited)).await.unwrap();
    assert_eq!(offered(&world, 10).await, 0, "the level");
    world.command(Action::Unpin).await.unwrap();
    world.until(60, || world.level() == Level::Optimal).await;
    report(&world.guard("redis"), Status::Fallback, Source::Memory);
    assert_eq!(offered(&world, 10).await, 0, "the fallback is in use");
    report(&world.guard("redis"), Status::Success, Source::Primary);
    assert_eq!(offered(&world, 10).await, 10);
    world.find("redis", DOWN);
    world.open("redis").await;
    world.pass(10).await;
    assert_eq!(offered(&world, 10).await, 0, "the breaker");
}

#[tokio::test(start_paused = true)]
async fn one_exercise_runs_at_a_time_and_what_does_not_fit_is_left_out() {
    let world = world(1.0).await;
    world.pass(31_000).await;
    let running = Arc::new(AtomicUsize::new(0));
    let (most, made) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    for _ in 0..50 {
        let clock = world.handle.clock();
        let (running, most, made) = (Arc::clone(&running), Arc::clone(&most), Arc::clone(&made));
        world
            .guard("redis")
            .exercise(&Source::Memory, || async move {
                let now = running.fetch_add(1, Ordering::Relaxed) + 1;
                most.fetch_max(now, Ordering::Relaxed);
                clock.sleep(Duration::from_millis(100)).await;
                running.fetch_sub(1, Ordering::Relaxed);
                made.fetch_add(1, Ordering::Relaxed);
                Some(Exercised::Agreed)
            });
    }
    world.pass(5_000).await;
    assert_eq!(most.load(Ordering::Relaxed), 1);
    assert!(made.load(Ordering::Relaxed) <= 5, "{made:?} of 50");
}

#[tokio::test(start_paused = true)]
async fn one_that_hangs_has_failed_and_one_that_failed_has_not_worked() {
    let world = world(1.0).await;
    world.pass(31_000).await;
    world
        .guard("redis")
        .exercise(&Source::Memory, std::future::pending);
    world.pass(6_000).await;
    let memory = world.handle.fallbacks().pop().unwrap();
    assert_eq!(memory.last.unwrap().1, Exercised::Failed);
    assert!(memory.age > Duration::from_secs(30), "{memory:?}");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_in_use_for_long_is_told_and_taken_back() {
    let world = world(0.005).await;
    for _ in 0..16 {
        report(&world.guard("redis"), Status::Fallback, Source::Memory);
        world.pass(60_000).await;
    }
    let raised = alerts(&world);
    assert!(
        raised.iter().any(|words| words.contains("redis")),
        "{raised:?}"
    );
    let seen = world.handle.fallbacks().pop().unwrap();
    assert!(seen.in_use.unwrap() > Duration::from_secs(900), "{seen:?}");
    report(&world.guard("redis"), Status::Success, Source::Primary);
    world.pass(2_000).await;
    assert!(kinds(&world).contains(&"alert_over"), "{:?}", kinds(&world));
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_in_use_no_more_once_its_dependency_is_well_again_though_nobody_asks_it() {
    let world = world(0.005).await;
    world.pass(2_000).await;
    let in_use = || world.handle.fallbacks().pop().unwrap().in_use;
    let guard = world.guard("redis");
    let set = async |mode| {
        let endpoint = "redis".to_owned();
        let mode = Action::Mode { endpoint, mode };
        world.command(mode).await.unwrap();
    };
    set(Mode::ForcedOpen).await;
    world.pass(2_000).await;
    report(&guard, Status::Fallback, Source::Memory);
    world.pass(20_000).await;
    assert!(in_use().unwrap() >= Duration::from_secs(20));
    set(Mode::Auto).await;
    world.pass(60_000).await;
    assert_eq!(in_use(), None);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_nobody_tried_for_a_day_is_told() {
    let world = world(0.005).await;
    world.pass(23 * 3_600_000).await;
    world
        .guard("database")
        .exercise(&Source::Cache, || async { Some(Exercised::Agreed) });
    world.pass(3_601_000 + 31_000).await;
    let raised = alerts(&world);
    assert_eq!(raised.len(), 1, "{raised:?}");
    assert!(raised[0].contains("redis"), "{raised:?}");
}

#[tokio::test(start_paused = true)]
async fn when_fallbacks_worked_is_known_to_the_next_process() {
    let world = world(1.0).await;
    world.pass(31_000).await;
    assert_eq!(offered(&world, 1).await, 1);
    world.handle.shutdown(Duration::from_secs(5)).await;
    let before = world.handle.fallbacks().pop().unwrap();
    let (next, _) = declaring(Some(1.0)).start_in(world.data.path()).unwrap();
    let after = next.fallbacks().pop().unwrap();
    assert_eq!(after.last, before.last);
    assert!(after.age < Duration::from_secs(60), "{after:?}");
}

#[tokio::test(start_paused = true)]
async fn a_journal_that_is_behind_or_at_fault_is_told() {
    let (behind, faulted) = (
        Arc::new(AtomicUsize::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (oldest, fault) = (Arc::clone(&behind), Arc::clone(&faulted));
    let prepare: Prepare = Box::new(move |engine, _| {
        engine.journal(move || Journal {
            oldest: Some(Duration::from_secs(oldest.load(Ordering::Relaxed) as u64)),
            faulted: fault.load(Ordering::Relaxed),
        });
    });
    let world = World::from(Setup {
        prepare: Some(prepare),
        ..Setup::default()
    })
    .await;
    world.pass(40_000).await;
    assert_eq!(alerts(&world), Vec::<String>::new());
    behind.store(301, Ordering::Relaxed);
    world.pass(31_000).await;
    assert_eq!(alerts(&world).len(), 1, "{:?}", alerts(&world));
    faulted.store(true, Ordering::Relaxed);
    world.pass(1_100).await;
    assert_eq!(alerts(&world).len(), 2, "at once: {:?}", alerts(&world));
}

/// Counts canaries that end like this.
fn flying(share: Option<f64>, ended: Option<Exercised>) -> (Setup, Arc<AtomicUsize>) {
    let flown = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&flown);
    let prepare: Prepare = Box::new(move |engine, guards| {
        engine.canary(&guards[2], "journal", move || {
            count.fetch_add(1, Ordering::Relaxed);
            async move { ended }
        });
        engine.exercise_share(share);
    });
    let setup = Setup {
        prepare: Some(prepare),
        ..Setup::default()
    };
    (setup, flown)
}

#[tokio::test(start_paused = true)]
async fn a_canary_flies_soon_after_the_first_start_and_then_once_an_hour() {
    let (setup, flown) = flying(Some(0.005), Some(Exercised::Agreed));
    let world = World::from(setup).await;
    world.pass(20_000).await;
    assert_eq!(flown.load(Ordering::Relaxed), 1);
    let journal = world.handle.fallbacks().pop().unwrap();
    assert_eq!(journal.source, "journal");
    assert_eq!(journal.last.unwrap().1, Exercised::Agreed);
    assert!(journal.exercised && journal.in_use.is_none(), "{journal:?}");
    world.pass(3_500_000).await;
    assert_eq!(flown.load(Ordering::Relaxed), 1);
    world.pass(200_000).await;
    assert_eq!(flown.load(Ordering::Relaxed), 2);
}

#[tokio::test(start_paused = true)]
async fn a_canary_that_comes_back_changed_has_not_worked_and_is_told_after_a_day() {
    let (setup, flown) = flying(Some(0.005), Some(Exercised::Differed));
    let world = World::from(setup).await;
    world.pass(3_600_000).await;
    let often = flown.load(Ordering::Relaxed);
    assert!((10..=13).contains(&often), "every five minutes: {often}");
    world.pass(86_400_000).await;
    let raised = alerts(&world);
    assert!(
        raised.len() == 1 && raised[0].contains("redis"),
        "{raised:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn no_canary_flies_while_anything_is_wrong_or_exercises_are_off() {
    let (setup, flown) = flying(None, Some(Exercised::Agreed));
    let off = World::from(setup).await;
    off.pass(25 * 3_600_000).await;
    assert_eq!(flown.load(Ordering::Relaxed), 0);
    assert_eq!(alerts(&off), Vec::<String>::new(), "nobody asked for it");
    let (setup, flown) = flying(Some(0.005), Some(Exercised::Agreed));
    let world = World::from(setup).await;
    world.find("redis", DOWN);
    world.open("redis").await;
    world.pass(60_000).await;
    assert_eq!(flown.load(Ordering::Relaxed), 0);
}

#[tokio::test(start_paused = true)]
async fn a_fallback_that_nobody_has_needed_for_minutes_is_tried_again_though_no_caller_has_come() {
    let (setup, flown) = flying(Some(0.005), Some(Exercised::Agreed));
    let world = World::from(setup).await;
    report(&world.guard("redis"), Status::Fallback, Source::Memory);
    world.pass(60_000).await;
    assert_eq!(flown.load(Ordering::Relaxed), 0, "it is in use");
    world.pass(300_000).await;
    assert_eq!(flown.load(Ordering::Relaxed), 1);
}

#[tokio::test(start_paused = true)]
async fn canaries_that_find_out_nothing_fly_less_and_less_often() {
    let (setup, flown) = flying(Some(0.005), None);
    let world = World::from(setup).await;
    world.pass(120_000).await;
    let soon = flown.load(Ordering::Relaxed);
    assert!((2..=4).contains(&soon), "{soon}");
    world.pass(3_600_000).await;
    let later = flown.load(Ordering::Relaxed) - soon;
    assert!((11..=14).contains(&later), "every five minutes: {later}");
}

#[tokio::test(start_paused = true)]
async fn a_fallback_is_not_called_neglected_before_it_could_have_been_tried() {
    // Years old, and never tried.
    let data = tempfile::tempdir().unwrap();
    let file = serde_json::json!({
        "version": 1,
        "fallbacks": {"redis": {"journal": {"since": "2020-01-01T00:00:00Z"}}},
    });
    std::fs::write(data.path().join("fallbacks.json"), file.to_string()).unwrap();
    let (setup, _) = flying(Some(0.005), None);
    let (handle, probes) = setup.start_in(data.path()).unwrap();
    let world = World {
        handle,
        probes,
        data,
    };
    world.pass(550_000).await;
    assert_eq!(alerts(&world), Vec::<String>::new());
    world.pass(120_000).await;
    let raised = alerts(&world);
    assert!(
        raised.len() == 1 && raised[0].contains("redis"),
        "{raised:?}"
    );
}
