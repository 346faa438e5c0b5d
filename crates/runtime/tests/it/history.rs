//! Outages are remembered across restarts.

use std::path::Path;
use std::time::Duration;

use mainstay_runtime::breaker::State;

use crate::world::{DOWN, Finds, Setup, World};

fn file(data: &Path) -> String {
    std::fs::read_to_string(data.join("outages.json")).unwrap_or_default()
}

/// S3 goes down and comes back.
async fn outage(world: &World) {
    world.find("s3", DOWN);
    world.until(60, || world.state("s3") == State::Open).await;
    world.pass(5_000).await;
    world.find("s3", Finds::Up);
    world.until(60, || world.state("s3") == State::Closed).await;
}

#[tokio::test(start_paused = true)]
async fn an_outage_is_written_down_when_it_is_over_and_known_to_the_next_process() {
    let world = World::new().await;
    world.pass(1_000).await;
    assert_eq!(file(world.data.path()), "", "nothing has happened");
    outage(&world).await;
    world
        .until(5, || file(world.data.path()).contains("s3"))
        .await;
    let before = world.handle.snapshot().components[3].recoveries.unwrap();
    assert_eq!(before.count, 1);
    // No shutdown: as after a crash.
    let (next, _) = Setup::default().start_in(world.data.path()).unwrap();
    next.clock().sleep(Duration::from_millis(50)).await;
    let after = next.snapshot().components[3].recoveries.unwrap();
    let difference = after.longest.abs_diff(before.longest);
    assert!(
        difference < Duration::from_millis(1),
        "{before:?} {after:?}"
    );
    assert_eq!(after.count, 1);
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_the_end_of_the_process_cuts_off_is_written_down_as_seen_so_far() {
    let world = World::new().await;
    world.pass(100_000).await;
    world.find("redis", DOWN);
    world
        .until(60, || world.state("redis") == State::Open)
        .await;
    world.pass(7_000).await;
    world.handle.shutdown(Duration::from_secs(5)).await;
    let text = file(world.data.path());
    assert!(
        text.contains("redis") && text.contains("\"complete\":false"),
        "{text}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_broken_file_is_set_aside_and_stops_nothing() {
    let world = World::new().await;
    std::fs::write(world.data.path().join("outages.json"), "{").unwrap();
    let (next, _) = Setup::default().start_in(world.data.path()).unwrap();
    next.clock().sleep(Duration::from_millis(50)).await;
    assert!(next.is_started());
    assert!(world.data.path().join("outages.json.unreadable").exists());
}
