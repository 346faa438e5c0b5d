//! Many drawn worlds, none of which may show a violation. `MAINSTAY_SEEDS` sets how many.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_simulator::{Report, Scenario, World};

const LENGTH: Duration = Duration::from_secs(300);
/// Twenty seconds of two cores, with this crate and what it drives optimised.
const SEEDS: u64 = 10_000;

fn play(seed: u64) -> Report {
    let mut world = World::new(Scenario::drawn(seed, LENGTH), seed).unwrap();
    world.run(LENGTH)
}

fn seeds() -> u64 {
    std::env::var("MAINSTAY_SEEDS").map_or(SEEDS, |text| {
        text.parse().expect("MAINSTAY_SEEDS must be a whole number")
    })
}

#[test]
fn no_drawn_world_shows_a_violation() {
    let (next, count) = (AtomicU64::new(0), seeds());
    let found = Mutex::new(Vec::new());
    let search = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= count {
                return;
            }
            if let Some(first) = play(seed).violations.first() {
                found.lock().unwrap().push((seed, first.to_string()));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(search)));
    });
    let mut found = found.into_inner().unwrap();
    found.sort();
    let first: Vec<String> = found
        .iter()
        .take(20)
        .map(|(seed, violation)| format!("seed {seed}: {violation}"))
        .collect();
    assert!(
        found.is_empty(),
        "{} of {count} worlds:\n{}",
        found.len(),
        first.join("\n")
    );
}

/// Worlds beyond the default number that showed a violation, and what it was.
const REMEMBERED: &[u64] = &[
    // A breaker stayed half-open, or open, for the pause after a probe that could not have closed it.
    124_220, 204_995, 217_108, 488_721, 526_309, 595_774, 656_812, 714_944,
    // After a reload an outage was noticed no sooner than by the schedule before.
    449_703,
    // Settings were read anew in the first round, with two down already: EMERGENCY shed nothing, and rightly so.
    30_295, 222_352, 768_576, 810_692,
    // Settings were read anew before what an earlier run remembered was told.
    518_918,
    // What was asked before a repair was answered long after it, and pulled the score down for another window.
    35_196, 123_863, 365_778, 374_559, 426_403, 506_442,
    // A pin came and went between two ticks, and what it had left was taken for a late return.
    847_716,
];

#[test]
fn worlds_that_once_showed_a_violation_show_none_any_more() {
    for seed in REMEMBERED {
        let violations = play(*seed).violations;
        assert!(violations.is_empty(), "seed {seed}: {}", violations[0]);
    }
}

#[test]
fn the_same_seed_gives_the_same_trace_byte_for_byte() {
    for seed in 0..20 {
        let (one, two) = (play(seed), play(seed));
        assert_eq!(one.trace.as_str(), two.trace.as_str());
        assert_eq!(one, two);
    }
    assert_ne!(play(1).trace.hash(), play(2).trace.hash());
}

#[test]
fn drawn_worlds_show_every_level_and_every_kind_of_change() {
    let reports: Vec<Report> = (0..60).map(play).collect();
    let mut time_at = [Duration::ZERO; 5];
    for report in &reports {
        for (sum, one) in time_at.iter_mut().zip(report.time_at) {
            *sum += one;
        }
    }
    let minutes = time_at.map(|time| time.as_secs() / 60);
    assert!(minutes.iter().all(|minutes| *minutes > 0), "{minutes:?}");
    let outages = || reports.iter().flat_map(|report| &report.outages);
    assert!(
        outages()
            .filter(|outage| outage.recovered.is_some())
            .count()
            > 20
    );
    assert!(outages().any(|outage| outage.detected.is_none()));
    let rejected: u64 = reports.iter().map(|report| report.calls.rejected).sum();
    let failed: u64 = reports.iter().map(|report| report.calls.failed).sum();
    assert!(rejected > 0 && failed > 0);
}
