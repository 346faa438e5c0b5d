//! The predictor alone: what it makes of a history, and how well it forecasts.

use std::time::Duration;

use mainstay_degradation::recovery::{KEPT, Outage, OutageHistory, Predictor, Recoveries};
use proptest::prelude::*;

use crate::forecasts::{Kind, Random, SCHEDULES, outages, play, recorded};
use crate::world::SECOND;

fn outage(lasted: f64) -> Outage {
    Outage {
        lasted: Duration::from_secs_f64(lasted),
        complete: true,
        worked: None,
    }
}

fn after(worked: Duration, lasted: f64) -> Outage {
    Outage {
        worked: Some(worked),
        ..outage(lasted)
    }
}

fn predictor(lasted: &[f64]) -> Predictor {
    let history: Vec<Outage> = lasted.iter().copied().map(outage).collect();
    Predictor::new(history.iter(), None)
}

fn back(predictor: &Predictor, seen_down: u64, elapsed: u64) -> f64 {
    predictor
        .back(seen_down as u32 * SECOND, elapsed as u32 * SECOND)
        .unwrap()
}

fn median(predictor: &Predictor, elapsed: u32) -> f64 {
    let prediction = predictor.predict(elapsed * SECOND, elapsed * SECOND);
    prediction.unwrap().median.as_secs_f64()
}

#[test]
fn forecasts_on_a_thousand_mixed_outages_beat_the_best_constant_and_the_older_heuristic() {
    for schedule in &SCHEDULES[1..] {
        let mut random = Random::new(20_260);
        let outages = outages(None, 1_200, &mut random);
        for kind in Kind::ALL {
            let own = outages.iter().filter(|one| one.kind == kind).count();
            assert!(own >= 60, "{kind:?}: {own}");
        }
        let scores = play(&outages, *schedule, &mut random);
        assert!(scores.outages >= 1_000 && scores.forecasts >= 1_000.0);
        let rivals = [
            scores.rate_so_far,
            scores.base_rate,
            scores.heuristic_since_first,
            scores.heuristic_since_last,
        ];
        for rival in rivals {
            assert!(scores.ours < 0.8 * rival, "{}: {scores:?}", schedule.name);
        }
    }
}

/// Asked by this schedule, the Brier score of ours is below this multiple of the base rate's so far.
type Claim = (Kind, usize, f64);

/// A thousand outages of one kind each. Where a constant is as good as anything that can be known, ours may cost a little:
/// what flaps and is asked for after ten seconds is back nine times in ten whenever it is asked, and what degrades slowly
/// is back within a minute about as often at any time.
const CLAIMS: [Claim; 7] = [
    (Kind::CrashRestart, 0, 0.96),
    (Kind::CrashRestart, 1, 0.96),
    (Kind::SlowDegradation, 1, 1.02),
    (Kind::SlowDegradation, 2, 0.94),
    (Kind::LongMaintenance, 1, 0.998),
    (Kind::LongMaintenance, 2, 0.985),
    (Kind::Flapping, 1, 1.05),
];

#[test]
fn forecasts_of_each_kind_of_outage_beat_the_base_rate_or_cost_no_more_than_stated() {
    for (kind, schedule, most) in CLAIMS {
        let mut random = Random::new(1);
        let outages = outages(Some(kind), 1_000, &mut random);
        let scores = play(&outages, SCHEDULES[schedule], &mut random);
        let ratio = scores.ours / scores.rate_so_far;
        assert!(ratio < most, "{kind:?}, {schedule}: {ratio} {scores:?}");
        for heuristic in [scores.heuristic_since_first, scores.heuristic_since_last] {
            assert!(scores.ours < 0.99 * heuristic, "{kind:?}: {scores:?}");
        }
    }
}

#[test]
fn forecasts_of_what_flaps_beat_the_base_rate_where_anything_can_be_known() {
    let mut random = Random::new(1);
    let outages = outages(Some(Kind::Flapping), 1_000, &mut random);
    let scores = play(&outages, SCHEDULES[0], &mut random);
    assert!(scores.ours < 0.98 * scores.rate_so_far, "{scores:?}");
}

#[test]
fn forecasts_of_recorded_outages_beat_the_base_rate_and_the_older_heuristic() {
    let outages = recorded();
    assert!(outages.len() >= 38, "{}", outages.len());
    for (schedule, most) in [(0, 0.96), (1, 0.98)] {
        // They are few: asked in four ways, chance says little.
        let ways = (1..=4).map(|seed| play(&outages, SCHEDULES[schedule], &mut Random::new(seed)));
        let (mut ours, mut base, mut heuristic) = (0.0, 0.0, 0.0);
        for scores in ways {
            ours += scores.ours;
            base += scores.rate_so_far;
            heuristic += scores
                .heuristic_since_first
                .min(scores.heuristic_since_last);
        }
        assert!(ours < most * base, "{schedule}: {ours} {base}");
        assert!(ours < 0.9 * heuristic, "{schedule}: {ours} {heuristic}");
    }
}

#[test]
fn without_any_history_half_of_all_outages_are_over_after_a_minute_and_old_ones_last_longer() {
    let nothing = predictor(&[]);
    assert!(!nothing.has_history());
    assert!((median(&nothing, 0) - 60.0).abs() < 2.0);
    assert!(median(&nothing, 600) > 500.0);
    assert_eq!(back(&nothing, 30, 30), 0.0, "it has just been seen down");
    assert!(back(&nothing, 0, 30) > 0.2);
}

#[test]
fn outages_of_about_ten_seconds_let_expect_one_of_about_ten_seconds() {
    let known = predictor(&[9.0, 11.0, 10.0, 8.0, 12.0, 10.0]);
    assert!(
        (9.0..=11.0).contains(&median(&known, 0)),
        "{}",
        median(&known, 0)
    );
    assert!(back(&known, 0, 5) < 0.1);
    assert!(back(&known, 5, 20) > 0.8);
    let prediction = known.predict(Duration::ZERO, Duration::ZERO).unwrap();
    assert!(prediction.p90 < 45 * SECOND, "{prediction:?}");
    assert_eq!(prediction.outages, 6);
}

#[test]
fn what_has_outlasted_the_short_outages_is_taken_for_a_long_one() {
    let known = predictor(&[5.0, 3600.0, 6.0, 5.0, 3500.0, 4.0]);
    assert!(median(&known, 0) < 10.0);
    assert!(median(&known, 60) > 1_800.0);
    assert!(back(&known, 60, 120) < 0.1);
}

#[test]
fn what_failed_again_soon_is_judged_by_outages_that_came_soon() {
    let day = 86_400 * SECOND;
    let mut history = Vec::new();
    for _ in 0..5 {
        history.push(after(day, 3_600.0));
        history.push(after(10 * SECOND, 4.0));
    }
    let flapping = Predictor::new(history.iter(), Some(8 * SECOND));
    let fresh = Predictor::new(history.iter(), Some(2 * day));
    assert!(median(&flapping, 0) < 6.0);
    assert!(median(&fresh, 0) > 1_000.0);
}

#[test]
fn newer_outages_weigh_more() {
    let of = |first: f64, then: f64| [[first; 50], [then; 50]].concat();
    let longer = predictor(&of(10.0, 100.0));
    let shorter = predictor(&of(100.0, 10.0));
    assert!(back(&longer, 0, 30) < 0.45);
    assert!(back(&shorter, 0, 30) > 0.55);
}

#[test]
fn nothing_is_expected_within_milliseconds_of_an_outage_of_seconds() {
    let known = predictor(&[10.0; 6]);
    let soon = Duration::from_millis(200);
    assert!(known.back(Duration::ZERO, soon).unwrap() < 0.01);
    let quick = predictor(&[0.1; 40]);
    let prediction = quick.predict(Duration::ZERO, Duration::ZERO).unwrap();
    assert!(
        (0.05..0.2).contains(&prediction.median.as_secs_f64()),
        "{prediction:?}"
    );
}

#[test]
fn an_outage_that_was_not_seen_whole_only_makes_longer_ones_likelier() {
    let mut history = vec![outage(10.0); 3];
    let before = Predictor::new(history.iter(), None);
    history.push(Outage {
        complete: false,
        ..outage(300.0)
    });
    let with = Predictor::new(history.iter(), None);
    assert!(back(&with, 0, 60) < back(&before, 0, 60) - 0.1);
    assert!(median(&with, 20) > median(&before, 20));
}

#[test]
fn what_has_lasted_for_half_a_year_is_beyond_prediction() {
    let known = predictor(&[10.0]);
    let away = 200 * 86_400 * SECOND;
    assert_eq!(known.predict(away, away), None);
    assert_eq!(known.back(away, away), None);
}

#[test]
fn the_newest_outages_of_each_are_kept() {
    let mut history = OutageHistory::default();
    let older = 50;
    let all = 1..=KEPT as u64 + older;
    all.clone()
        .for_each(|lasted| history.push("redis", outage(lasted as f64)));
    history.push("s3", outage(1.0));
    let kept: Vec<_> = history
        .of("redis")
        .map(|one| one.lasted.as_secs())
        .collect();
    assert_eq!(kept, all.skip(older as usize).collect::<Vec<_>>());
    assert_eq!(kept.len(), KEPT);
    assert_eq!(
        (history.of("s3").len(), history.of("database").len()),
        (1, 0)
    );
}

#[test]
fn recoveries_count_only_what_was_seen_whole() {
    assert_eq!(Recoveries::of(&[]), None);
    let mut history: Vec<_> = (1..=10)
        .rev()
        .map(|lasted| outage(f64::from(lasted)))
        .collect();
    history.push(Outage {
        complete: false,
        ..outage(500.0)
    });
    let figures = Recoveries::of(&history).unwrap();
    let expected = Recoveries {
        count: 10,
        median: 5 * SECOND,
        p90: 9 * SECOND,
        longest: 10 * SECOND,
        last: SECOND,
    };
    assert_eq!(figures, expected);
}

#[test]
fn a_predictor_is_read_only_from_a_whole_table_of_shares() {
    let read = |points: usize, share: f64| {
        let mut table = vec![0.5; points];
        table[0] = share;
        let bytes = postcard::to_allocvec(&(table, 3_u32)).unwrap();
        postcard::from_bytes::<Predictor>(&bytes).is_ok()
    };
    assert!(read(105, 1.0) && read(105, 0.0));
    assert!(!read(104, 0.5) && !read(106, 0.5));
    for wrong in [1.5, -0.5, f64::NAN] {
        assert!(!read(105, wrong), "{wrong}");
    }
}

/// The weight of an outage that came after `other`, for one that came after `worked`.
fn naive_weight(worked: Option<Duration>, other: Option<Duration>) -> f64 {
    let (Some(worked), Some(other)) = (worked, other) else {
        return 0.5;
    };
    let apart = (worked.as_secs_f64() / other.as_secs_f64()).ln() / 1.5;
    0.1 + 0.9 * (-0.5 * apart * apart).exp()
}

#[test]
fn at_the_points_of_its_table_a_predictor_is_the_mixture_that_is_described() {
    let unfinished = Outage {
        complete: false,
        ..after(500 * SECOND, 90.0)
    };
    let history = [
        after(1_000 * SECOND, 10.0),
        outage(40.0),
        unfinished,
        after(20 * SECOND, 3.0),
    ];
    for worked in [None, Some(100 * SECOND)] {
        let predictor = Predictor::new(history.iter(), worked);
        let prior = |t: f64| 1.0 / (1.0 + t / 60.0);
        let width = 0.4 * 4.0_f64.powf(-0.2);
        for t in [0.5, 2.0, 8.0, 64.0, 1_024.0] {
            let (mut sum, mut total) = (0.5 * prior(t), 0.5);
            for (age, one) in history.iter().rev().enumerate() {
                let weight = naive_weight(worked, one.worked) * 1.01_f64.powi(-(age as i32));
                let lasted = one.lasted.as_secs_f64();
                let share = if one.complete {
                    1.0 / (1.0 + (t / lasted).powf(1.0 / width))
                } else {
                    (prior(t) / prior(lasted)).min(1.0)
                };
                sum += weight * share;
                total += weight;
            }
            let back = predictor.back(Duration::ZERO, Duration::from_secs_f64(t));
            let naive = 1.0 - sum / total;
            assert!(
                (back.unwrap() - naive).abs() < 1e-6,
                "{t}: {back:?} {naive}"
            );
        }
    }
}

#[test]
fn between_the_points_of_its_table_a_predictor_is_a_straight_line_and_is_read_backward_too() {
    for (known, longest) in [(predictor(&[0.1; 40]), 0.25), (predictor(&[10.0; 6]), 60.0)] {
        let back = |seconds: f64| {
            let elapsed = Duration::from_secs_f64(seconds);
            known.back(Duration::ZERO, elapsed).unwrap()
        };
        assert!((2.0 * back(0.125) - back(0.25)).abs() < 1e-6);
        let step = 0.25_f64.exp2();
        let (left, right) = (back(8.0), back(8.0 * step));
        for share in [0.25, 0.5] {
            let between = back(8.0 * step.powf(share));
            assert!((between - left - share * (right - left)).abs() < 1e-6);
        }
        let prediction = known.predict(Duration::ZERO, Duration::ZERO).unwrap();
        assert!(prediction.median.as_secs_f64() < longest);
        for (time, share) in [(prediction.median, 0.5), (prediction.p90, 0.9)] {
            assert!((back(time.as_secs_f64()) - share).abs() < 1e-6, "{share}");
        }
    }
}

/// The mixture as its description has it, without a table.
fn naive_outlasts(history: &[(f64, bool)], time: f64) -> f64 {
    let prior = |t: f64| 1.0 / (1.0 + t / 60.0);
    let width = 0.4 * (history.len().max(1) as f64).powf(-0.2);
    let (mut sum, mut total) = (0.5 * prior(time), 0.5);
    for (age, (lasted, complete)) in history.iter().rev().enumerate() {
        let weight = 0.5 * 1.01_f64.powi(-(age as i32));
        let share = if *complete {
            1.0 / (1.0 + (time / lasted).powf(1.0 / width))
        } else {
            (prior(time) / prior(*lasted)).min(1.0)
        };
        sum += weight * share;
        total += weight;
    }
    sum / total
}

proptest! {
    #[test]
    fn forecasts_are_those_of_the_naive_mixture(
        history in prop::collection::vec((0.5..20_000.0_f64, prop::bool::weighted(0.8)), 0..30),
        seen_down in 0.25..50_000.0_f64,
        longer in 1.0..8.0_f64,
    ) {
        let elapsed = seen_down * longer;
        let outages: Vec<Outage> = history.iter().map(|(lasted, complete)| Outage { complete: *complete, ..outage(*lasted) }).collect();
        let predictor = Predictor::new(outages.iter(), None);
        let naive = 1.0 - naive_outlasts(&history, elapsed) / naive_outlasts(&history, seen_down);
        let span = Duration::from_secs_f64;
        let ours = predictor.back(span(seen_down), span(elapsed)).unwrap();
        prop_assert!((ours - naive).abs() < 0.05, "{ours} {naive}");
        let later = predictor.back(span(seen_down), span(elapsed * 1.5)).unwrap();
        prop_assert!((0.0..=1.0).contains(&ours) && later >= ours);
        let prediction = predictor.predict(span(seen_down), span(elapsed)).unwrap();
        prop_assert!(prediction.median <= prediction.p90);
        let half = naive_outlasts(&history, elapsed + prediction.median.as_secs_f64()) / naive_outlasts(&history, elapsed);
        prop_assert!((half - 0.5).abs() < 0.05, "{half}");
    }

    #[test]
    fn figures_of_recoveries_are_those_of_a_sorted_list(lasted in prop::collection::vec(1_u32..100_000, 1..KEPT)) {
        let history: Vec<Outage> = lasted.iter().map(|one| outage(f64::from(*one))).collect();
        let figures = Recoveries::of(&history).unwrap();
        let within = |limit: Duration| lasted.iter().filter(|one| **one * SECOND <= limit).count();
        let below = |limit: Duration| lasted.iter().filter(|one| **one * SECOND < limit).count();
        prop_assert!(within(figures.median) * 2 >= lasted.len() && below(figures.median) * 2 < lasted.len());
        prop_assert!(within(figures.p90) * 10 >= lasted.len() * 9 && below(figures.p90) * 10 < lasted.len() * 9);
        prop_assert_eq!(within(figures.longest), lasted.len());
        prop_assert_eq!(figures.last, *lasted.last().unwrap() * SECOND);
    }
}
