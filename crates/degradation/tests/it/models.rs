//! Windows, scores, trends and gates against naive models that keep everything and recompute everything.

use std::time::Duration;

use mainstay_breaker::{FailureKind, State};
use mainstay_degradation::features::{Gate, Knob};
use mainstay_degradation::health::{Evidence, Histogram, TrendLine, Window, score};
use mainstay_degradation::settings::{HealthRules, RecentError};
use mainstay_degradation::{
    Controller, Effect, EndpointId, EndpointView, FeatureMode, Gating, Input, Level, Moment,
    Observed, Presence, ProbeResult, Settings, Trend,
};
use proptest::prelude::*;

use crate::world::at;

#[derive(Debug, Clone)]
enum Seen {
    Calls { successes: u64, failures: u64 },
    Probe(Option<u64>),
    Epoch,
    Slide,
}

fn seen() -> impl Strategy<Value = (u64, Seen)> {
    let what = prop_oneof![
        4 => (0_u64..5, 0_u64..3).prop_map(|(successes, failures)| Seen::Calls { successes, failures }),
        4 => prop::option::of(1_u64..500).prop_map(Seen::Probe),
        1 => Just(Seen::Epoch),
        3 => Just(Seen::Slide),
    ];
    (0_u64..9_000, what)
}

/// Milliseconds, successes, failures, passes, misses, latencies.
type Sample = (u64, u64, u64, u64, u64, u64);

proptest! {
    #[test]
    fn a_window_is_what_a_list_of_all_samples_gives(steps in prop::collection::vec(seen(), 1..80)) {
        let (mut window, mut samples) = (Window::default(), Vec::<Sample>::new());
        let (mut now, mut last_failure) = (100_000_u64, None);
        for (pause, what) in steps {
            now += pause;
            match what {
                Seen::Calls { successes, failures } => {
                    let mut latency = Histogram::new();
                    (0..successes + failures).for_each(|_| latency.record(Duration::from_millis(3)));
                    window.add_calls(at(now), successes, failures, latency);
                    samples.push((now, successes, failures, 0, 0, successes + failures));
                    last_failure = if failures > 0 { Some(at(now)) } else { last_failure };
                }
                Seen::Probe(latency) => {
                    window.add_probe(at(now), latency.map(Duration::from_millis));
                    let passed = u64::from(latency.is_some());
                    samples.push((now, 0, 0, passed, 1 - passed, passed));
                    last_failure = if latency.is_none() { Some(at(now)) } else { last_failure };
                }
                Seen::Epoch => {
                    window.start_epoch();
                    samples.clear();
                    last_failure = None;
                }
                Seen::Slide => {
                    window.slide(at(now), Duration::from_secs(60));
                    // Whole seconds leave, as soon as their beginning is a minute ago.
                    samples.retain(|sample| sample.0 / 1_000 * 1_000 + 60_000 >= now);
                }
            }
            let sum = |part: fn(&Sample) -> u64| samples.iter().map(part).sum::<u64>();
            let (passes, misses) = (sum(|one| one.3), sum(|one| one.4));
            prop_assert_eq!(window.verdicts(), (sum(|one| one.1) + passes, sum(|one| one.2) + misses));
            prop_assert_eq!(window.latency().count(), sum(|one| one.5));
            let share = (passes + misses > 0).then(|| 100.0 * passes as f64 / (passes + misses) as f64);
            prop_assert_eq!(window.availability(), share);
            prop_assert_eq!(window.last_failure(), last_failure);
        }
    }

    #[test]
    fn a_component_s_score_is_the_described_sum(
        good in 0_u32..50, bad in 0_u32..50,
        p95 in prop::option::of(0_u64..2_000),
        breaker in prop::sample::select(vec![State::Closed, State::Open, State::HalfOpen]),
        availability in 0.0..=100.0_f64,
        age in prop::option::of(0_u64..120),
        redis in any::<bool>(),
    ) {
        let success_rate = if good + bad == 0 { 1.0 } else { f64::from(good) / f64::from(good + bad) };
        let mut rules = HealthRules::with_p95(Duration::from_millis(100));
        if redis {
            rules.latency_cap = 30.0;
            rules.recent_error = Some(RecentError { points: 20.0, fade: Duration::from_secs(60) });
        }
        let evidence = Evidence {
            success_rate,
            p95: p95.map(Duration::from_millis),
            breaker,
            availability,
            last_failure_age: age.map(Duration::from_secs),
        };
        let slow = p95.map_or(0.0, |p95| (p95 as f64 - 100.0) / 100.0 * 20.0);
        let slow = slow.max(0.0).min(if redis { 30.0 } else { 40.0 });
        let state = match breaker { State::Open => 50.0, State::HalfOpen => 10.0, State::Closed => 0.0 };
        let recent = match age {
            Some(age) if redis && age < 60 => 20.0 * (60 - age) as f64 / 60.0,
            _ => 0.0,
        };
        let naive = 100.0 * success_rate - slow - state - (100.0 - availability) / 5.0 - recent;
        let naive = naive.clamp(0.0, 100.0);
        prop_assert!((score(&rules, &evidence) - naive).abs() < 1e-9);
    }

    #[test]
    fn a_trend_is_the_slope_of_the_last_five_minutes(
        steps in prop::collection::vec((1_u64..40, 0.0..=100.0_f64), 2..60),
    ) {
        let rules = HealthRules::with_p95(Duration::from_secs(1));
        let (mut line, mut samples) = (TrendLine::default(), Vec::<(f64, f64)>::new());
        let mut now = 0;
        for (pause, value) in steps {
            now += pause;
            line.sample(at(now * 1_000), &rules, value);
            let last = samples.last().map_or(-100.0, |one| one.0);
            if now as f64 - last < rules.trend_step.as_secs_f64() {
                continue;
            }
            samples.push((now as f64, value));
            samples.retain(|(when, _)| now as f64 - when <= 300.0);
        }
        let count = samples.len() as f64;
        let sum = |part: fn(&(f64, f64)) -> f64| samples.iter().map(part).sum::<f64>();
        let (x, y, xx, xy) = (sum(|one| one.0), sum(|one| one.1), sum(|one| one.0 * one.0), sum(|one| one.0 * one.1));
        let spread = count * xx - x * x;
        let slope = if spread.abs() < 1e-9 { 0.0 } else { (count * xy - x * y) / spread };
        let change = slope * (samples[samples.len() - 1].0 - samples[0].0);
        prop_assume!((change.abs() - 5.0).abs() > 1e-6);
        let expected = match change {
            up if up > 5.0 => Trend::Improving,
            down if down < -5.0 => Trend::Declining,
            _ => Trend::Stable,
        };
        prop_assert_eq!(line.trend(), expected);
    }

    #[test]
    fn a_gate_gives_what_the_description_reads(
        level in 0_usize..5, target in 0_usize..5,
        pinned in prop::bool::weighted(0.2), strict in prop::bool::weighted(0.2),
        causes in prop::collection::vec(any::<bool>(), 4), down in 0_u16..4,
        absent in prop::option::weighted(0.3, 1_usize..4),
        knob in prop::option::weighted(0.2, 0_usize..22),
    ) {
        let mut settings = Settings::standard();
        settings.gating = if strict { Gating::Strict } else { Gating::Causal };
        if let Some(absent) = absent {
            settings.dependencies[absent].presence = Presence::Absent;
        }
        let rules = settings.validate().unwrap();
        let (level, target) = (Level::ALL[level], Level::ALL[target]);
        let (id, _) = rules.features().nth(knob.unwrap_or(0)).unwrap();
        let knobs: Vec<Knob> = knob.map(|_| Knob { feature: id, mode: FeatureMode::Partial, until: None }).into_iter().collect();
        let gate = Gate { level, target, pinned, causes: &causes, down, knobs: &knobs };
        let names = ["database", "openai", "redis", "s3"];
        // What each one's being down forces, as an index of the level.
        let forces = [4, 2, 1, 1];
        for (feature, row) in rules.features() {
            let needs = |index: usize| row.requires.iter().any(|one| one == names[index]);
            let lower = level.min(target);
            let caused = (0..4).any(|index| needs(index) && causes[index]);
            let by_table = if pinned || strict {
                row.modes[level.index()]
            } else if caused || (lower >= Level::Minimal && down >= 2) {
                row.modes[lower.index()]
            } else {
                row.modes[0]
            };
            let missing = absent.filter(|index| needs(*index)).map(|index| row.modes[forces[index]]);
            let worst = missing.filter(|missing| missing.rank() > by_table.rank()).unwrap_or(by_table);
            let expected = if knobs.iter().any(|knob| knob.feature == feature) { FeatureMode::Partial } else { worst };
            prop_assert_eq!(gate.state(&rules, feature).mode, expected, "{}", row.name);
        }
    }

    #[test]
    fn inputs_made_of_any_bytes_do_no_harm(bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        told(&bytes);
    }

    #[test]
    fn inputs_of_any_figures_at_any_time_do_no_harm(inputs in prop::collection::vec((figure(), input()), 1..20)) {
        let mut bytes = Vec::new();
        for input in inputs {
            bytes.extend(postcard::to_allocvec(&input).unwrap());
        }
        told(&bytes);
    }
}

/// Numbers at their ends and in between.
fn figure() -> impl Strategy<Value = u64> {
    prop_oneof![
        Just(0),
        Just(1),
        Just(u64::MAX),
        0_u64..100_000_000_000,
        any::<u64>()
    ]
}

fn observed() -> impl Strategy<Value = (EndpointId, Observed)> {
    let bucket = 0..u16::try_from(Histogram::BUCKETS).unwrap();
    let latency = prop::collection::vec((bucket, any::<u32>()), 0..4);
    let states = vec![State::Closed, State::Open, State::HalfOpen];
    let breaker = (prop::sample::select(states), figure(), figure());
    let figures = (figure(), figure(), figure(), any::<u32>());
    (0_u16..6, figures, latency, breaker).prop_map(|(id, figures, counts, breaker)| {
        let mut latency = Histogram::new();
        counts
            .into_iter()
            .for_each(|(bucket, count)| latency.add(bucket, count));
        let (calls, successes, slow, failed) = figures;
        let (state, generation, moment) = breaker;
        let moment = Some(Moment::from_nanos(moment));
        let breaker = EndpointView {
            state,
            generation,
            opened_at: moment,
            retry_at: moment,
            hint_until: moment,
            failures_in_row: failed,
            ..EndpointView::default()
        };
        let observed = Observed {
            calls,
            successes,
            failures: [failed; 7],
            slow,
            latency,
            breaker,
        };
        (EndpointId(id), observed)
    })
}

fn input() -> impl Strategy<Value = Input> {
    let probe = |(id, started, nanos, passed)| {
        let latency = Duration::from_nanos(nanos);
        let result = if passed {
            ProbeResult::Passed { latency }
        } else {
            let kind = FailureKind::Timeout;
            ProbeResult::Failed { kind, latency }
        };
        Input::Probe {
            endpoint: EndpointId(id),
            started: Moment::from_nanos(started),
            result,
        }
    };
    prop_oneof![
        6 => prop::collection::vec(observed(), 0..6).prop_map(|observed| Input::Tick { observed }),
        3 => (0_u16..6, figure(), figure(), any::<bool>()).prop_map(probe),
        1 => (0_u16..6).prop_map(|id| Input::ProbeNow { endpoint: EndpointId(id) }),
    ]
}

/// Tells a controller whatever inputs these bytes hold.
fn told(bytes: &[u8]) {
    let rules = Settings::standard().validate().unwrap();
    let mut controller = Controller::new(rules, at(0));
    let (mut rest, mut effects) = (bytes, Vec::new());
    while !rest.is_empty() {
        let Ok(((nanos, input), left)) = postcard::take_from_bytes::<(u64, Input)>(rest) else {
            rest = &rest[1..];
            continue;
        };
        rest = left;
        let now = Moment::from_nanos(nanos);
        controller.handle(now, input, &mut effects);
        for effect in effects.drain(..) {
            if let Effect::Publish(snapshot) = effect {
                let settings = &controller.rules().settings().level;
                let band = mainstay_degradation::level::band(settings, snapshot.score);
                assert_eq!(snapshot.target, band);
            }
        }
    }
}
