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
    world
        .until(5, || file(world.data.path()).contains("\"works\""))
        .await;
    let written = std::fs::metadata(world.data.path().join("outages.json")).unwrap();
    world.pass(100_000).await;
    let still = std::fs::metadata(world.data.path().join("outages.json")).unwrap();
    assert_eq!(
        still.modified().unwrap(),
        written.modified().unwrap(),
        "nothing has happened"
    );
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

/// What the file says of redis while it is down: since when, for how long it was seen, in ms.
fn down(data: &Path) -> Option<(i64, u64)> {
    let json: serde_json::Value = serde_json::from_str(&file(data)).ok()?;
    let down = &json["standing"]["redis"]["down"];
    Some((down["since"].as_i64()?, down["seen_ms"].as_u64()?))
}

#[tokio::test(start_paused = true)]
async fn an_outage_that_outlives_its_process_goes_on_in_the_next_one() {
    let world = World::new().await;
    let data = world.data.path();
    world.pass(100_000).await;
    world.find("redis", DOWN);
    world.until(60, || down(data).is_some()).await;
    world.pass(40_000).await;
    world
        .until(5, || down(data).is_some_and(|(_, seen)| seen > 20_000))
        .await;
    let (since, seen) = down(data).unwrap();
    // No shutdown: as after a crash. The wall clock stands still here: what virtual time has passed is taken back, and
    // an hour of watching.
    let hour = 3_600_000;
    let text = file(data)
        .replace(&since.to_string(), &(since - hour).to_string())
        .replace(
            &format!("\"seen_ms\":{seen}"),
            &format!("\"seen_ms\":{}", seen + hour.unsigned_abs()),
        );
    std::fs::write(data.join("outages.json"), text).unwrap();
    let setup = Setup::default().with("redis", DOWN);
    let (next, probes) = setup.start_in(data).unwrap();
    next.clock().sleep(Duration::from_secs(20)).await;
    let began = next.snapshot().components[2].down_since.unwrap();
    let began = next.clock().steady_of(began).as_millisecond();
    // Virtual time ran ahead of the wall clock in the process before.
    assert!((since - hour - began).abs() < 200_000, "{since} {began}");
    probes["redis"].set(Finds::Up);
    next.clock().sleep(Duration::from_secs(60)).await;
    let recoveries = next.snapshot().components[2].recoveries.unwrap();
    assert_eq!(recoveries.count, 1);
    assert!(
        recoveries.last > Duration::from_secs(3_400),
        "{recoveries:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_clean_end_writes_down_for_how_long_an_outage_was_seen() {
    let world = World::new().await;
    world.find("redis", DOWN);
    world
        .until(60, || world.state("redis") == State::Open)
        .await;
    world.pass(7_000).await;
    world.end().await;
    let (_, seen) = down(world.data.path()).unwrap();
    assert!((7_000..9_000).contains(&seen), "{seen}");
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
