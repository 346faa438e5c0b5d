//! How well the recovery predictor forecasts "is it back yet?": Brier scores (0 is perfect) beside the best constant
//! known only afterwards, and the older heuristic in both readings of "since the failure".
//!
//! Every dependency suffers 2,000 simulated outages, each forecast from those before it only. `mixed` is one
//! dependency that suffers all four kinds.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark"
)]

#[path = "../../degradation/tests/it/forecasts.rs"]
mod forecasts;

use forecasts::{Kind, Random, SCHEDULES, Schedule, outages, play};

const OUTAGES: usize = 2_000;
const SEED: u64 = 1;

fn main() {
    println!("Brier scores, {OUTAGES} outages or more a row, seed {SEED}");
    for schedule in SCHEDULES {
        table(schedule);
    }
}

fn table(schedule: Schedule) {
    println!("\nasked: {}", schedule.name);
    println!(
        "{:<16} {:>8} {:>10} {:>9} {:>9} {:>12} {:>12}",
        "outages", "count", "forecasts", "ours", "constant", "heuristic 1", "heuristic 2"
    );
    for kind in Kind::ALL.into_iter().map(Some).chain([None]) {
        let mut random = Random::new(SEED);
        let outages = outages(kind, OUTAGES, &mut random);
        let scores = play(&outages, schedule, &mut random);
        let name = kind.map_or("mixed", name);
        println!(
            "{name:<16} {:>8} {:>10} {:>9.5} {:>9.5} {:>12.5} {:>12.5}",
            scores.outages,
            scores.forecasts,
            scores.ours,
            scores.base_rate,
            scores.heuristic_since_first,
            scores.heuristic_since_last
        );
    }
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::CrashRestart => "crash-restart",
        Kind::Flapping => "flapping",
        Kind::SlowDegradation => "slow degradation",
        Kind::LongMaintenance => "long maintenance",
    }
}
