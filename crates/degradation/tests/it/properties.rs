//! Random histories against naive models. Invariants 1 (decisions take `now`: the same inputs give the same effects) and 5
//! (the target is the band of the score; the level differs from it only with a reason) are here.

use std::time::Duration;

use mainstay_degradation::level::{Ladder, Tally, band};
use mainstay_degradation::settings::LevelSettings;
use mainstay_degradation::{Controller, Criticality, FeatureMode, Gating, HeldBy, Level, Settings};
use proptest::prelude::*;

use crate::world::{Behaviour, SECOND, World, at};

#[derive(Debug, Clone)]
struct Part {
    criticality: Criticality,
    weight: f64,
    score: Option<f64>,
    down: bool,
}

fn criticality() -> impl Strategy<Value = Criticality> {
    use Criticality::{Critical, High, Low, Medium, None};
    prop::sample::select(vec![None, Low, Medium, High, Critical])
}

fn part() -> impl Strategy<Value = Part> {
    let score = prop::option::weighted(0.9, 0.0..=100.0_f64);
    (
        criticality(),
        0.01..1.0_f64,
        score,
        prop::bool::weighted(0.3),
    )
        .prop_map(|(criticality, weight, score, down)| Part {
            criticality,
            weight,
            score,
            down: down && score.is_some(),
        })
}

/// The table, read line by line.
fn naive_floor(parts: &[Part]) -> Level {
    let down = |wanted: &[Criticality]| {
        parts
            .iter()
            .filter(|part| part.down && wanted.contains(&part.criticality))
            .count()
    };
    use Criticality::{Critical, High, Low, Medium};
    let counted = down(&[Low, Medium, High, Critical]);
    let all = parts.iter().all(|part| part.down);
    if down(&[Critical]) > 0 || (counted > 0 && all) {
        Level::Emergency
    } else if counted >= 3 {
        Level::Minimal
    } else if down(&[High]) > 0 || counted == 2 {
        Level::Limited
    } else if counted == 1 {
        Level::Degraded
    } else {
        Level::Optimal
    }
}

fn naive_score(parts: &[Part]) -> f64 {
    let known: Vec<_> = parts
        .iter()
        .filter_map(|part| Some((part.weight, part.score?)))
        .collect();
    let weight: f64 = known.iter().map(|(weight, _)| weight).sum();
    let mean = if known.is_empty() {
        100.0
    } else {
        known
            .iter()
            .map(|(share, score)| share / weight * score)
            .sum()
    };
    let cap = [100.0, 89.0, 69.0, 59.0, 39.0][naive_floor(parts).index()];
    f64::min(mean, cap)
}

/// The rules of the level, with the whole history at hand.
fn naive_level(history: &[(Duration, f64, bool)]) -> Level {
    let edges = [90.0, 70.0, 60.0, 40.0];
    let target_of = |score: f64| Level::ALL[edges.iter().filter(|edge| score < **edge).count()];
    let mut level = Level::Optimal;
    let mut since = Duration::ZERO;
    let mut worse_in_a_row = 0;
    for (now, score, opened) in history {
        let target = target_of(*score);
        worse_in_a_row = if target > level {
            worse_in_a_row + 1
        } else {
            0
        };
        let next = if target > level && (*opened || worse_in_a_row == 3) {
            target
        } else if target < level
            && *score >= edges[level.index() - 1] + 2.0
            && *now - since >= 10 * SECOND
        {
            Level::ALL[level.index() - 1]
        } else {
            level
        };
        if next != level {
            (level, since, worse_in_a_row) = (next, *now, 0);
        }
    }
    level
}

proptest! {
    #[test]
    fn the_score_is_the_capped_mean_and_the_target_its_band(parts in prop::collection::vec(part(), 1..8)) {
        let settings = LevelSettings::default();
        let mut tally = Tally::default();
        for part in &parts {
            tally.add(part.criticality, part.weight, part.score, part.down);
        }
        let score = tally.score(&settings, 100.0);
        prop_assert!((score - naive_score(&parts)).abs() < 1e-9);
        prop_assert_eq!(tally.floor(), naive_floor(&parts));
        prop_assert!(band(&settings, score) >= naive_floor(&parts));
    }

    #[test]
    fn the_level_follows_as_the_naive_model_does(
        steps in prop::collection::vec((0_u64..4_000, prop_oneof![0.0..=100.0_f64, prop::sample::select(vec![39.9, 40.0, 42.0, 60.0, 62.0, 70.0, 72.0, 90.0, 91.0, 91.9, 92.0, 100.0])], prop::bool::weighted(0.1)), 1..80),
    ) {
        let settings = LevelSettings::default();
        let start = at(0);
        let mut ladder = Ladder::new(start);
        ladder.jump(start, Level::Optimal);
        let mut history = Vec::new();
        let mut now = Duration::ZERO;
        for (pause, score, opened) in steps {
            now += Duration::from_millis(pause);
            history.push((now, score, opened));
            ladder.evaluate(start + now, score, &settings, opened);
            prop_assert_eq!(ladder.level(), naive_level(&history), "{:?}", history);
            let target = band(&settings, score);
            prop_assert_eq!(ladder.held_by().is_some(), ladder.level() != target);
        }
    }

    #[test]
    fn the_same_inputs_give_the_same_effects(
        seed in any::<u64>(),
        steps in prop::collection::vec((0_usize..4, 0_usize..4, 0_u64..8_000, 0_usize..8), 1..25),
    ) {
        let settings = Settings { seed, ..Settings::standard() };
        let rules = settings.validate().unwrap();
        let start = at(1_000_000);
        let mut world = World::with(rules.clone(), Behaviour::Works);
        let names = ["database", "openai", "redis", "s3"];
        let behaviours = [Behaviour::Works, Behaviour::Refuses, Behaviour::Hangs, Behaviour::OnlyProbesPass];
        for (which, how, pause, calls) in steps {
            world.behave(names[which], behaviours[how]);
            world.calls(names[which], calls);
            world.run(Duration::from_millis(pause));
        }
        let mut again = Controller::new(rules, start);
        for (now, input, expected) in &world.log {
            let mut effects = Vec::new();
            again.handle(*now, input.clone(), &mut effects);
            prop_assert_eq!(&effects, expected);
        }
    }

    #[test]
    fn a_feature_has_the_mode_that_the_naive_gate_gives(
        down in prop::collection::vec(any::<bool>(), 4),
        strict in any::<bool>(),
    ) {
        let gating = if strict { Gating::Strict } else { Gating::Causal };
        let mut world = World::new(Settings { gating, ..Settings::standard() });
        world.run(2 * SECOND);
        let names = ["database", "openai", "redis", "s3"];
        for (name, _) in names.iter().zip(&down).filter(|(_, down)| **down) {
            world.behave(name, Behaviour::Refuses);
            world.calls(name, 5);
        }
        world.run(2 * SECOND);
        let level = world.snapshot().level;
        let many = down.iter().filter(|down| **down).count() >= 2 && level >= Level::Minimal;
        for (id, row) in world.controller.rules().features() {
            let caused = names.iter().zip(&down).any(|(name, down)| *down && row.requires.iter().any(|needed| needed == name));
            let applies = strict || many || caused;
            let expected = if applies { row.modes[level.index()] } else { FeatureMode::On };
            prop_assert_eq!(world.snapshot().feature(id).mode, expected, "{} at {}", row.name, level);
        }
    }
}

#[test]
fn a_score_of_91_stays_degraded_by_the_margin_and_92_rises() {
    let settings = LevelSettings::default();
    let mut ladder = Ladder::new(at(0));
    ladder.jump(at(0), Level::Degraded);
    ladder.evaluate(at(60_000), 91.0, &settings, false);
    assert_eq!(ladder.level(), Level::Degraded);
    assert_eq!(ladder.held_by(), Some(HeldBy::Margin { needed: 92.0 }));
    ladder.evaluate(at(61_000), 92.0, &settings, false);
    assert_eq!(ladder.level(), Level::Optimal);
}
