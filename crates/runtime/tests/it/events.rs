//! Events, handlers of level changes, and the end.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_runtime::degradation::Level;
use mainstay_runtime::{Action, Delivery, ErrorKind};

use crate::world::{Finds, World};

#[tokio::test(start_paused = true)]
async fn a_reader_hears_what_happens_in_order_and_can_come_back() {
    let world = World::new().await;
    let events = world.handle.events();
    let mut live = events.subscribe(None);
    world.open("database").await;
    world.pass(1).await;
    let mut heard = Vec::new();
    while heard.last() != Some(&"level_changed") {
        match events.next(&mut live).await {
            Some(Delivery::Event(event)) => heard.push(event.kind),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(heard[0], "breaker_changed");
    let all = events.recent(usize::MAX);
    let mut again = events.subscribe(Some(all[1].id));
    let next = events.next(&mut again).await;
    assert_eq!(next, Some(Delivery::Event(all[2].clone())));
}

#[tokio::test(start_paused = true)]
async fn handlers_that_fail_panic_or_hang_stop_nothing() {
    let world = World::new().await;
    let told = Arc::new(AtomicUsize::new(0));
    let counts = Arc::clone(&told);
    world
        .handle
        .on_level_change(|_| -> std::future::Ready<_> { panic!("as told") });
    world
        .handle
        .on_level_change(|_| async { panic!("as told") });
    world
        .handle
        .on_level_change(|_| async { Err("as told".to_owned()) });
    world.handle.on_level_change(|_| std::future::pending());
    world.handle.on_level_change(move |change| {
        assert!(!change.cause.is_empty());
        counts.fetch_add(1, Ordering::Relaxed);
        async { Ok(()) }
    });
    world.command(Action::Pin(Level::Limited)).await.unwrap();
    world.pass(1).await;
    assert_eq!(told.load(Ordering::Relaxed), 1, "beside the one that hangs");
    world.command(Action::Pin(Level::Minimal)).await.unwrap();
    world.pass(10_001).await;
    assert_eq!(told.load(Ordering::Relaxed), 2, "after its ten seconds");
    assert_eq!(world.level(), Level::Minimal);
}

#[tokio::test(start_paused = true)]
async fn changes_that_handlers_are_too_slow_for_are_counted() {
    let world = World::new().await;
    world.handle.on_level_change(|_| std::future::pending());
    // One is being handled, 64 wait.
    for n in 0..70 {
        let level = [Level::Limited, Level::Minimal][n % 2];
        world.command(Action::Pin(level)).await.unwrap();
    }
    assert_eq!(world.handle.dropped_changes(), 5);
}

#[tokio::test(start_paused = true)]
async fn shutting_down_ends_every_task() {
    let world = World::new().await;
    let (stopping, ended) = (world.handle.stopping(), Arc::new(AtomicUsize::new(0)));
    let ends = Arc::clone(&ended);
    world.handle.spawn(async move {
        stopping.cancelled().await;
        ends.fetch_add(1, Ordering::Relaxed);
    });
    world.find("database", Finds::Hangs);
    world.guard("database").probe_now();
    world.pass(10).await;
    let begun = world.handle.clock().now();
    world.handle.shutdown(Duration::from_secs(5)).await;
    assert_eq!(world.handle.clock().now(), begun, "nothing is waited for");
    assert_eq!(ended.load(Ordering::Relaxed), 1);
    let error = world.command(Action::Unpin).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let (checks, seq) = (world.probes["redis"].checks(), world.handle.snapshot().seq);
    world.pass(120_000).await;
    assert_eq!(
        (world.probes["redis"].checks(), world.handle.snapshot().seq),
        (checks, seq)
    );
}

#[tokio::test(start_paused = true)]
async fn shutting_down_leaves_behind_what_does_not_end() {
    let world = World::new().await;
    world.handle.spawn(std::future::pending());
    let begun = world.handle.clock().now();
    world.handle.shutdown(Duration::from_secs(5)).await;
    let took = world.handle.clock().now().saturating_since(begun);
    assert_eq!(took.as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn what_an_adapter_announces_is_an_event_among_the_others() {
    let world = World::new().await;
    let data = serde_json::json!({"count": 2});
    let message = "two things happened";
    world
        .guard("redis")
        .announce("told", message.into(), data.clone());
    let events = world.handle.events().recent(usize::MAX);
    let told = events.last().expect("it was told");
    assert_eq!(
        (told.kind, told.message.as_str(), &told.data),
        ("told", message, &data)
    );
}
