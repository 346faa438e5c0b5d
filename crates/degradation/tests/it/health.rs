//! The score of a component, and what one that is down does to others.

use std::time::Duration;

use mainstay_breaker::{Breaker, FailureKind, Moment, Outcome, State};
use mainstay_degradation::cascade::{Standing, effects, totals};
use mainstay_degradation::health::{Evidence, TrendLine, Window, score};
use mainstay_degradation::level::Tally;
use mainstay_degradation::{
    Criticality, EndpointView, HealthRules, Histogram, Impact, Level, Machine, Presence,
    RecentError, Settings, Trend,
};
use proptest::prelude::*;

use crate::world::{Behaviour, SECOND, World, at};

const FINE: Evidence = Evidence {
    success_rate: 1.0,
    p95: Some(Duration::from_millis(100)),
    breaker: State::Closed,
    availability: 100.0,
    last_failure_age: None,
};

#[test]
fn every_part_of_the_score_counts_as_described() {
    let second = Duration::from_secs;
    let rules = HealthRules {
        recent_error: Some(RecentError {
            points: 20.0,
            fade: second(60),
        }),
        ..HealthRules::with_p95(Duration::from_millis(100))
    };
    let millis = |p95| Some(Duration::from_millis(p95));
    let cases = [
        (FINE, 100.0),
        (
            Evidence {
                success_rate: 0.25,
                ..FINE
            },
            25.0,
        ),
        (Evidence { p95: None, ..FINE }, 100.0),
        (
            Evidence {
                p95: millis(150),
                ..FINE
            },
            90.0,
        ),
        (
            Evidence {
                p95: millis(250),
                ..FINE
            },
            70.0,
        ),
        (
            Evidence {
                p95: millis(9_000),
                ..FINE
            },
            60.0,
        ),
        (
            Evidence {
                breaker: State::Open,
                ..FINE
            },
            50.0,
        ),
        (
            Evidence {
                breaker: State::HalfOpen,
                ..FINE
            },
            90.0,
        ),
        (
            Evidence {
                availability: 50.0,
                ..FINE
            },
            90.0,
        ),
        (
            Evidence {
                availability: 0.0,
                ..FINE
            },
            80.0,
        ),
        (
            Evidence {
                last_failure_age: Some(second(0)),
                ..FINE
            },
            80.0,
        ),
        (
            Evidence {
                last_failure_age: Some(second(45)),
                ..FINE
            },
            95.0,
        ),
        (
            Evidence {
                last_failure_age: Some(second(90)),
                ..FINE
            },
            100.0,
        ),
        (
            Evidence {
                success_rate: 0.1,
                breaker: State::Open,
                ..FINE
            },
            0.0,
        ),
    ];
    for (evidence, expected) in cases {
        let found = score(&rules, &evidence);
        assert!((found - expected).abs() < 1e-9, "{evidence:?}: {found}");
    }
}

#[test]
fn an_impact_grows_with_severity_and_with_the_failures_of_who_suffers() {
    let rules = Settings::standard().validate().unwrap();
    let fine = Standing {
        score: 100.0,
        down: false,
        failing: false,
        failures_in_row: 0,
    };
    let [database, redis, s3] =
        ["database", "redis", "s3"].map(|name| rules.dependency_id(name).unwrap());
    let mut standings = vec![fine; 4];
    assert!(effects(&rules, &standings).is_empty());
    standings[database.index()] = Standing {
        score: 50.0,
        down: true,
        ..fine
    };
    standings[redis.index()].failures_in_row = 5;
    let taken = totals(&effects(&rules, &standings), 4);
    assert_eq!((taken[redis.index()], taken[s3.index()]), (0.1, 0.05));
    standings[redis.index()].failing = true;
    let taken = totals(&effects(&rules, &standings), 4);
    assert!((taken[redis.index()] - 0.15).abs() < 1e-9);
    standings[redis.index()].failures_in_row = 60_000;
    assert_eq!(totals(&effects(&rules, &standings), 4)[redis.index()], 1.0);
}

fn standing() -> impl Strategy<Value = Standing> {
    let figures = (0.0..=100.0, any::<bool>(), any::<bool>(), 0_u32..200);
    figures.prop_map(|(score, down, failing, failures_in_row)| Standing {
        score,
        down,
        failing,
        failures_in_row,
    })
}

proptest! {
    /// The naive model fills a table of who takes how much from whom, and adds its columns up.
    #[test]
    fn what_outages_take_is_what_a_naive_table_says(
        standings in prop::collection::vec(standing(), 4),
        shares in prop::collection::vec((0_usize..4, 1_usize..4, 0.0..=1.0), 0..6),
        absent in 0_usize..8,
    ) {
        let mut settings = Settings::standard();
        if let Some(one) = settings.dependencies.get_mut(absent) {
            one.presence = Presence::Absent;
        }
        let names: Vec<String> = settings.dependencies.iter().map(|one| one.name.clone()).collect();
        settings.cascade = shares
            .iter()
            .map(|(from, step, share)| Impact {
                from: names[*from].clone(),
                to: names[(from + step) % 4].clone(),
                share: *share,
            })
            .collect();
        let taken = totals(&effects(&settings.validate().unwrap(), &standings), 4);
        for (to, sufferer) in standings.iter().enumerate() {
            let mut sum = 0.0;
            for (from, step, share) in &shares {
                let cause = &standings[*from];
                if (from + step) % 4 != to || to == absent || !cause.down {
                    continue;
                }
                let mut impact = share * (100.0 - cause.score) / 100.0;
                if sufferer.failing {
                    impact += impact * f64::from(sufferer.failures_in_row) / 10.0;
                }
                sum += impact.min(1.0);
            }
            prop_assert!((taken[to] - sum.min(1.0)).abs() < 1e-9, "{} and not {}", taken[to], sum);
        }
    }
}

#[test]
fn the_outage_stops_counting_when_the_breaker_closes() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(30 * SECOND);
    assert_eq!(world.component("redis").state, Machine::Critical);
    assert_eq!(world.component("redis").trend, Trend::Declining);
    world.behave("redis", Behaviour::Works);
    world.run(4 * SECOND);
    let redis = world.component("redis");
    assert_eq!(
        (redis.success_rate, redis.availability, redis.score),
        (1.0, 100.0, 100.0)
    );
    let id = redis.id;
    let changes: Vec<_> = world
        .controller
        .health_changes(id)
        .map(|change| (change.from, change.to))
        .collect();
    assert_eq!(changes.first().unwrap().0, Machine::Healthy);
    assert_eq!(changes.last().unwrap().1, Machine::Healthy);
}

#[test]
fn a_view_shows_what_the_breaker_does() {
    let breaker = Breaker::new(mainstay_breaker::Settings::default(), 1).unwrap();
    let now = Moment::from_nanos(5);
    for _ in 0..5 {
        let permit = breaker.try_admit().unwrap();
        permit.settle(Outcome::Failure(FailureKind::Protocol), false, now);
    }
    let view = EndpointView::from(&breaker.snapshot(now));
    assert_eq!(
        (view.state, view.failures_in_row, view.fail_max),
        (State::Open, 5, Some(5))
    );
    assert_eq!(view.last_failure.unwrap().kind, FailureKind::Protocol);
    assert!(!view.is_usable() && view.retry_at.is_some());
}

#[test]
fn a_quantile_is_the_smallest_that_its_share_of_all_does_not_exceed() {
    let mut histogram = Histogram::new();
    // Below sixteen nanoseconds buckets are exact.
    (1..=4).for_each(|nanos| histogram.record(Duration::from_nanos(nanos)));
    for (share, nanos) in [
        (0.0, 1),
        (0.25, 1),
        (0.26, 2),
        (0.5, 2),
        (0.75, 3),
        (0.76, 4),
        (1.0, 4),
    ] {
        let quantile = histogram.quantile(share);
        assert_eq!(quantile, Some(Duration::from_nanos(nanos)), "{share}");
    }
}

#[test]
fn a_histogram_is_read_only_from_known_buckets_in_their_order() {
    let read = |counts: &[(u16, u32)]| {
        let bytes = postcard::to_allocvec(&counts.to_vec()).unwrap();
        postcard::from_bytes::<Histogram>(&bytes).is_ok()
    };
    assert!(read(&[]) && read(&[(0, 1)]) && read(&[(3, 1), (975, 7)]));
    for wrong in [
        [(3, 1), (3, 1)],
        [(4, 1), (3, 1)],
        [(3, 1), (976, 1)],
        [(3, 1), (4, 0)],
    ] {
        assert!(!read(&wrong), "{wrong:?}");
    }
}

#[test]
fn a_trend_is_a_change_beyond_five_points_within_five_minutes() {
    let rules = HealthRules::with_p95(SECOND);
    let trend = |samples: &[(u64, f64)]| {
        let mut line = TrendLine::default();
        for (second, score) in samples {
            line.sample(at(second * 1_000), &rules, *score);
        }
        line.trend()
    };
    assert_eq!(trend(&[(0, 50.0), (5, 55.0)]), Trend::Stable);
    assert_eq!(trend(&[(0, 50.0), (5, 45.0)]), Trend::Stable);
    assert_eq!(trend(&[(0, 50.0), (5, 55.1)]), Trend::Improving);
    assert_eq!(trend(&[(0, 50.0), (5, 44.9)]), Trend::Declining);
    assert_eq!(trend(&[(0, 50.0), (300, 60.0)]), Trend::Improving);
    assert_eq!(trend(&[(0, 50.0), (301, 60.0)]), Trend::Stable, "too old");
}

#[test]
fn calls_that_are_no_verdict_count_by_how_long_they_took() {
    let mut window = Window::default();
    let mut latency = Histogram::new();
    latency.record(SECOND);
    window.add_calls(at(0), 0, 0, latency);
    assert_eq!((window.latency().count(), window.verdicts()), (1, (0, 0)));
}

#[test]
fn what_forces_nothing_is_down_all_the_same() {
    let mut tally = Tally::default();
    tally.add(Criticality::High, 1.0, Some(100.0), false);
    assert!(!tally.any_down());
    tally.add(Criticality::None, 0.0, Some(0.0), true);
    assert_eq!((tally.any_down(), tally.down()), (true, 0));
    assert_eq!(tally.floor(), Level::Optimal);
}
