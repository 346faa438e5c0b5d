//! How well the recovery predictor forecasts "is it back yet?": Brier scores (0 is perfect) beside the base rate
//! so far, the best constant in hindsight, and the older heuristic in both readings of "since the failure".
//!
//! What flaps and is asked for after ten seconds or more is back nine times in ten, whenever it is asked: there, nothing
//! can beat the constant, and what has to be learned costs a little.
//!
//! Every dependency suffers 2,000 simulated outages, each forecast from those before it only. `mixed` is one
//! dependency that suffers all four kinds. `recorded` are outages of a Redis that was killed and restarted under a server;
//! recordings named as arguments are told apart by dependency: `cargo bench --bench predictor -- FILE.rec.gz …`.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a benchmark"
)]

#[path = "../../degradation/tests/it/forecasts.rs"]
mod forecasts;

use std::path::Path;

use forecasts::{Kind, Random, SCHEDULES, Schedule, Scores, Simulated, outages, play, recorded};
use mainstay_degradation::recording::{Entry, read};
use mainstay_runtime::recordings;

const OUTAGES: usize = 2_000;
const SEED: u64 = 1;

fn main() {
    let mut recorded = vec![("recorded".to_owned(), recorded())];
    // Cargo adds `--bench`.
    let named = std::env::args()
        .skip(1)
        .filter(|one| !one.starts_with("--"));
    named.for_each(|path| recorded.extend(recorded_in(Path::new(&path))));
    println!("Brier scores, {OUTAGES} simulated outages or more a row, seed {SEED}");
    for schedule in SCHEDULES {
        table(schedule, &recorded);
    }
}

/// By dependency, what a recording has seen whole.
fn recorded_in(path: &Path) -> Vec<(String, Vec<Simulated>)> {
    let bytes = recordings::read(path).expect("a recording");
    let (head, entries) = read(&bytes).expect("a recording");
    let (mut controller, mut last, mut effects) = (head.controller, head.at, Vec::new());
    for entry in entries {
        if let Ok(Entry::Input { at, input }) = entry {
            controller.handle(at, input, &mut effects);
            effects.clear();
            last = at;
        }
    }
    let seen = controller.outages(last).dependencies.into_iter();
    let whole = seen.map(|(name, outages)| {
        let whole = outages.into_iter().filter(|one| one.complete);
        let whole = whole.filter_map(|one| {
            let worked = one.worked?.as_secs_f64();
            Some(Simulated::seen(worked, one.lasted.as_secs_f64()))
        });
        (name, whole.collect::<Vec<_>>())
    });
    let whole: Vec<_> = whole.filter(|(_, outages)| !outages.is_empty()).collect();
    for (name, outages) in &whole {
        println!("# {name} in {}", path.display());
        outages
            .iter()
            .for_each(|one| println!("{:.1} {:.1}", one.worked, one.lasted));
    }
    whole
}

fn table(schedule: Schedule, recorded: &[(String, Vec<Simulated>)]) {
    println!("\nasked: {}", schedule.name);
    println!(
        "{:<16} {:>8} {:>10} {:>9} {:>9} {:>9} {:>12} {:>12}",
        "outages",
        "count",
        "forecasts",
        "ours",
        "base rate",
        "hindsight",
        "heuristic 1",
        "heuristic 2"
    );
    for kind in Kind::ALL.into_iter().map(Some).chain([None]) {
        let mut random = Random::new(SEED);
        let outages = outages(kind, OUTAGES, &mut random);
        let scores = play(&outages, schedule, &mut random);
        row(kind.map_or("mixed", name), &scores);
    }
    for (name, outages) in recorded {
        row(name, &play(outages, schedule, &mut Random::new(SEED)));
    }
}

fn row(name: &str, scores: &Scores) {
    println!(
        "{name:<16} {:>8} {:>10} {:>9.5} {:>9.5} {:>9.5} {:>12.5} {:>12.5}",
        scores.outages,
        scores.forecasts,
        scores.ours,
        scores.rate_so_far,
        scores.base_rate,
        scores.heuristic_since_first,
        scores.heuristic_since_last
    );
}

fn name(kind: Kind) -> &'static str {
    match kind {
        Kind::CrashRestart => "crash-restart",
        Kind::Flapping => "flapping",
        Kind::SlowDegradation => "slow degradation",
        Kind::LongMaintenance => "long maintenance",
    }
}
