//! Each check can fail: it is shown something doctored, and says so.

use std::time::Duration;

use mainstay_breaker::{Breaker, FailureKind, Moment, Rule, State, Transition};
use mainstay_degradation::{
    Alert, Effect, EndpointId, Event, FeatureMode, HeldBy, Level, LevelCause, Rules, Snapshot,
    Warning,
};
use mainstay_simulator::{Check, Figures, Health, INVARIANTS, Inspector, Known, Scenario, World};

/// Which test makes which check fail.
const SHOWN_BY: [(Check, fn()); 21] = [
    (
        Check::TargetIsBand,
        a_target_that_is_not_the_band_of_the_score,
    ),
    (
        Check::HeldBy,
        a_level_that_nothing_holds_or_that_is_held_wrongly,
    ),
    (
        Check::Rise,
        a_rise_before_the_dwell_by_two_or_without_its_margin,
    ),
    (Check::Fall, a_fall_without_a_reason),
    (Check::Forward, snapshots_that_go_back_or_skip_one),
    (Check::SameEffects, a_twin_that_decides_otherwise),
    (Check::HalfOpenPlaces, more_half_open_calls_than_places),
    (Check::OpenTime, an_open_time_out_of_its_bounds),
    (
        Check::StuckOpen,
        a_breaker_that_stays_open_and_a_level_that_stays_down,
    ),
    (Check::OpenedForNothing, a_breaker_that_opens_for_nothing),
    (Check::LateDetection, an_outage_that_nobody_notices),
    (
        Check::NotBack,
        a_breaker_that_stays_open_and_a_level_that_stays_down,
    ),
    (Check::Neutral, a_neutral_verdict_that_counts),
    (
        Check::ProbeSchedule,
        two_probes_at_once_too_far_ahead_or_in_the_past,
    ),
    (Check::ProbePace, too_many_probes_or_none),
    (Check::Monotone, a_worse_level_that_gives_more),
    (
        Check::GatesWithoutCause,
        a_feature_that_is_gated_without_a_cause,
    ),
    (Check::Causes, a_target_without_a_cause),
    (
        Check::Protection,
        a_dependency_that_is_held_back_too_little_too_much_or_for_nothing,
    ),
    (
        Check::Alerts,
        an_alert_that_is_raised_twice_taken_back_unraised_or_not_shown,
    ),
    (
        Check::Reload,
        a_reload_that_forgets_or_confirms_or_moves_a_probe,
    ),
];

const SECOND: Duration = Duration::from_secs(1);

/// An inspector that has seen one healthy snapshot.
struct Bench {
    inspector: Inspector,
    healthy: Snapshot,
    rules: Rules,
    now: Moment,
}

impl Bench {
    fn new() -> Self {
        let mut world = World::new(Scenario::quiet(), 1).unwrap();
        world.run(60 * SECOND);
        let (healthy, rules) = (world.snapshot(), world.rules().clone());
        let figures = rules.endpoints().map(|(_, rule)| Figures::of(&rule.name));
        let mut inspector = Inspector::new(rules.clone(), figures.collect(), healthy.level_since);
        inspector.snapshot(&healthy, None);
        let now = healthy.at;
        let bench = Self {
            inspector,
            healthy,
            rules,
            now,
        };
        bench.found_nothing();
        bench
    }

    fn found_nothing(&self) {
        assert_eq!(self.inspector.violations(), []);
    }

    fn found(&self, check: Check) {
        let found: Vec<Check> = self
            .inspector
            .violations()
            .iter()
            .map(|one| one.check)
            .collect();
        assert!(found.contains(&check), "{check:?} is not among {found:?}");
    }

    /// The next snapshot, doctored.
    fn show(&mut self, cause: Option<LevelCause>, doctor: impl FnOnce(&mut Snapshot)) {
        let mut snapshot = self.healthy.clone();
        snapshot.seq += 1;
        doctor(&mut snapshot);
        self.inspector.snapshot(&snapshot, cause);
        self.healthy.seq = snapshot.seq;
    }

    fn tick(&mut self, now: Moment) {
        let breakers = self
            .rules
            .endpoints()
            .map(|(_, rule)| breaker(&rule.name).snapshot(now));
        let breakers: Vec<_> = breakers.collect();
        self.inspector.tick(now, &breakers);
    }
}

fn breaker(name: &str) -> Breaker {
    Breaker::new(Figures::of(name).breaker, 1).unwrap()
}

fn opening(at: Moment, open: Duration) -> Transition {
    Transition {
        from: State::Closed,
        to: State::Open,
        at,
        generation: 1,
        rule: Some(Rule::Consecutive),
        kind: Some(FailureKind::Connect),
        retry_at: Some(at + open),
    }
}

/// EMERGENCY with everything well again: it may rise when its dwell is over.
fn falls_at(at: Moment) -> impl FnOnce(&mut Snapshot) {
    move |snapshot| {
        snapshot.at = at;
        snapshot.level = Level::Emergency;
        snapshot.level_since = at;
        let until = at + 10 * SECOND;
        snapshot.held_by = Some(HeldBy::Dwell { until });
    }
}

fn rises_to(level: Level, at: Moment) -> impl FnOnce(&mut Snapshot) {
    move |snapshot| {
        snapshot.at = at;
        snapshot.level = level;
        snapshot.level_since = at;
        let until = at + 10 * SECOND;
        snapshot.held_by = Some(HeldBy::Dwell { until });
    }
}

#[test]
fn every_invariant_has_checks_and_every_check_belongs_to_one_and_can_fail() {
    for check in Check::ALL {
        let named = INVARIANTS.iter().any(|(_, checks)| checks.contains(&check));
        assert!(named, "{check:?} belongs to no invariant");
        let shown = SHOWN_BY.iter().find(|(shown, _)| *shown == check);
        let (_, fails) = shown.unwrap();
        fails();
    }
    assert!(INVARIANTS.iter().all(|(_, checks)| !checks.is_empty()));
}

#[test]
fn a_target_that_is_not_the_band_of_the_score() {
    let mut bench = Bench::new();
    bench.show(None, |snapshot| snapshot.score = 55.0);
    bench.found(Check::TargetIsBand);
}

#[test]
fn a_level_that_nothing_holds_or_that_is_held_wrongly() {
    let cases: [fn(&mut Snapshot); 5] = [
        |one| (one.score, one.target) = (75.0, Level::Degraded),
        |one| one.held_by = Some(HeldBy::Pin { until: None }),
        |one| {
            (one.score, one.target) = (75.0, Level::Degraded);
            one.held_by = Some(HeldBy::Confirming { count: 3, of: 3 });
        },
        |one| {
            one.level = Level::Degraded;
            one.held_by = Some(HeldBy::Margin { needed: 92.0 });
        },
        |one| {
            one.level = Level::Degraded;
            let until = one.level_since + 10 * SECOND;
            one.held_by = Some(HeldBy::Dwell { until });
        },
    ];
    for doctor in cases {
        let mut bench = Bench::new();
        bench.show(None, doctor);
        bench.found(Check::HeldBy);
    }
}

#[test]
fn a_rise_before_the_dwell_by_two_or_without_its_margin() {
    let cases = [
        (Level::Minimal, 9 * SECOND, 100.0, true),
        (Level::Limited, 11 * SECOND, 100.0, true),
        (Level::Minimal, 11 * SECOND, 41.0, true),
        (Level::Minimal, 10 * SECOND, 42.0, false),
    ];
    for (to, after, score, wrong) in cases {
        let mut bench = Bench::new();
        let at = bench.now;
        bench.show(None, falls_at(at));
        bench.show(None, move |snapshot| {
            rises_to(to, at + after)(snapshot);
            snapshot.score = score;
        });
        let found = bench.inspector.violations();
        let rises = found.iter().any(|one| one.check == Check::Rise);
        assert_eq!(rises, wrong, "{to} after {after:?} at {score}: {found:?}");
    }
}

#[test]
fn a_fall_without_a_reason() {
    let reasons = [
        None,
        Some(LevelCause::Confirmed),
        Some(LevelCause::Opened(EndpointId(0))),
        Some(LevelCause::Recovered),
    ];
    for cause in reasons {
        let mut bench = Bench::new();
        let at = bench.now;
        bench.show(cause, |snapshot| {
            falls_at(at)(snapshot);
            (snapshot.score, snapshot.target) = (39.0, Level::Emergency);
            snapshot.held_by = None;
        });
        bench.found(Check::Fall);
    }
}

#[test]
fn snapshots_that_go_back_or_skip_one() {
    let cases: [fn(&mut Snapshot); 4] = [
        |one| one.seq -= 1,
        |one| one.seq += 1,
        |one| one.at = Moment::default(),
        |one| one.level_since = one.at,
    ];
    for doctor in cases {
        let mut bench = Bench::new();
        bench.show(None, doctor);
        bench.found(Check::Forward);
    }
}

#[test]
fn a_twin_that_decides_otherwise() {
    let mut bench = Bench::new();
    let now = bench.now;
    let drain = |share| [Effect::Drain { share }];
    bench.inspector.effects(now, &drain(1.0), &drain(1.0));
    bench.found_nothing();
    bench.inspector.effects(now, &drain(1.0), &drain(0.5));
    bench.found(Check::SameEffects);
}

#[test]
fn more_half_open_calls_than_places() {
    let mut bench = Bench::new();
    let now = bench.now;
    bench.inspector.place_taken(now, 0, 1);
    bench.inspector.given_back(0, 1);
    bench.inspector.place_taken(now, 0, 2);
    // The lease of a hung one is over.
    bench.inspector.place_taken(now + 6 * SECOND, 0, 3);
    bench.found_nothing();
    bench.inspector.place_taken(now + 7 * SECOND, 0, 4);
    bench.found(Check::HalfOpenPlaces);
}

#[test]
fn an_open_time_out_of_its_bounds() {
    for open in [SECOND, 361 * SECOND] {
        let mut bench = Bench::new();
        let now = bench.now;
        bench.inspector.condition(now, 0, Health::Ill);
        bench
            .inspector
            .transition(now, 0, &opening(now, 30 * SECOND));
        bench.found_nothing();
        bench.inspector.transition(now, 0, &opening(now, open));
        bench.found(Check::OpenTime);
    }
}

#[test]
fn a_breaker_that_opens_for_nothing() {
    let mut bench = Bench::new();
    let now = bench.now;
    bench
        .inspector
        .transition(now, 0, &opening(now, 30 * SECOND));
    bench.found(Check::OpenedForNothing);
}

#[test]
fn a_breaker_that_stays_open_and_a_level_that_stays_down() {
    let mut bench = Bench::new();
    let now = bench.now;
    let open = breaker("database");
    open.trip(Rule::Probes, FailureKind::Connect, now);
    let mut snapshots = vec![open.snapshot(now)];
    snapshots.extend(["openai", "redis", "s3"].map(|name| breaker(name).snapshot(now)));
    bench.inspector.tick(now + 5 * SECOND, &snapshots);
    bench.found(Check::StuckOpen);

    let mut bench = Bench::new();
    bench.show(None, falls_at(now));
    bench.tick(now + 30 * SECOND);
    let early = |one: &mainstay_simulator::Violation| one.check == Check::NotBack;
    assert!(!bench.inspector.violations().iter().any(early));
    bench.tick(now + 300 * SECOND);
    bench.found(Check::NotBack);
}

#[test]
fn an_answer_that_comes_late_excuses_a_low_level_for_a_window_and_one_in_time_does_not() {
    let not_back = |took: Duration, tick: Duration| {
        let mut bench = Bench::new();
        let now = bench.now;
        bench.show(None, falls_at(now));
        bench.inspector.took(now + 30 * SECOND, 1, took);
        bench.tick(now + tick);
        let mut all = bench.inspector.violations().iter();
        all.any(|one| one.check == Check::NotBack)
    };
    assert!(not_back(3 * SECOND, 100 * SECOND));
    assert!(!not_back(11 * SECOND, 100 * SECOND));
    assert!(not_back(11 * SECOND, 140 * SECOND));
}

#[test]
fn an_outage_that_nobody_notices() {
    let mut bench = Bench::new();
    let now = bench.now;
    bench.inspector.condition(now, 0, Health::Ill);
    bench.tick(now + 60 * SECOND);
    bench.found(Check::LateDetection);
}

#[test]
fn a_neutral_verdict_that_counts() {
    let mut bench = Bench::new();
    let now = bench.now;
    let before = breaker("redis").snapshot(now);
    let mut after = before;
    after.totals.neutral += 1;
    bench.inspector.neutral(now, 2, &before, &after);
    bench.found_nothing();
    after.failures_in_row += 1;
    bench.inspector.neutral(now, 2, &before, &after);
    bench.found(Check::Neutral);
}

#[test]
fn two_probes_at_once_too_far_ahead_or_in_the_past() {
    for (first, second) in [(0, 0), (2_000, 9_000)] {
        let mut bench = Bench::new();
        let now = bench.now;
        let at = |millis| now + Duration::from_millis(millis);
        bench.inspector.probe_asked(now, EndpointId(0), at(first));
        bench.inspector.probe_asked(now, EndpointId(0), at(second));
        bench.found(Check::ProbeSchedule);
    }
    let mut bench = Bench::new();
    let now = bench.now;
    bench.inspector.probe_asked(now, EndpointId(0), now);
    bench.inspector.probe_ended(0);
    bench
        .inspector
        .probe_asked(now + SECOND, EndpointId(0), now + SECOND);
    bench.found_nothing();
    bench.inspector.probe_ended(0);
    bench
        .inspector
        .probe_asked(now + SECOND, EndpointId(0), now);
    bench.found(Check::ProbeSchedule);
}

#[test]
fn too_many_probes_or_none() {
    let mut bench = Bench::new();
    let now = bench.now;
    (0..8).for_each(|_| bench.inspector.probe_began(now, 0));
    bench.found_nothing();
    bench.inspector.probe_began(now, 0);
    bench.found(Check::ProbePace);

    // Long after anything happened.
    let mut bench = Bench::new();
    let calm = now + 3_600 * SECOND;
    bench.inspector.probe_began(calm, 0);
    bench.inspector.probe_began(calm + 30 * SECOND, 0);
    bench.found_nothing();
    bench.inspector.probe_began(calm + 59 * SECOND, 0);
    bench.found(Check::ProbePace);

    let mut bench = Bench::new();
    (0..4).for_each(|index| bench.inspector.probe_began(now, index));
    bench.tick(now + 30 * SECOND);
    bench.found_nothing();
    bench.tick(now + 60 * SECOND);
    bench.found(Check::ProbePace);
}

#[test]
fn a_worse_level_that_gives_more() {
    let mut bench = Bench::new();
    bench.show(None, |snapshot| {
        snapshot.pin = Some(mainstay_degradation::Pin {
            level: Level::Limited,
            until: None,
        });
        snapshot.level = Level::Limited;
        snapshot.features[2].mode = FeatureMode::Off;
    });
    bench.show(None, |snapshot| {
        snapshot.pin = Some(mainstay_degradation::Pin {
            level: Level::Minimal,
            until: None,
        });
        snapshot.level = Level::Minimal;
        snapshot.features[2].mode = FeatureMode::On;
    });
    bench.found(Check::Monotone);
}

#[test]
fn a_feature_that_is_gated_without_a_cause() {
    let mut bench = Bench::new();
    bench.show(None, |snapshot| {
        snapshot.features[2].mode = FeatureMode::Off
    });
    bench.found(Check::GatesWithoutCause);
}

#[test]
fn a_level_held_by_its_dwell_alone_gates_nothing() {
    let mut bench = Bench::new();
    let now = bench.now;
    bench.show(None, falls_at(now));
    let gated = |one: &mainstay_simulator::Violation| one.check == Check::GatesWithoutCause;
    assert!(!bench.inspector.violations().iter().any(gated));
    bench.show(None, |snapshot| {
        falls_at(now)(snapshot);
        snapshot.features[2].mode = FeatureMode::Partial;
    });
    bench.found(Check::GatesWithoutCause);
}

#[test]
fn a_target_without_a_cause() {
    let mut bench = Bench::new();
    bench.show(None, |snapshot| {
        (snapshot.score, snapshot.target) = (75.0, Level::Degraded);
        snapshot.level = Level::Degraded;
    });
    bench.found(Check::Causes);
}

#[test]
fn a_dependency_that_is_held_back_too_little_too_much_or_for_nothing() {
    let doctored: [fn(&mut Snapshot); 6] = [
        |snapshot| snapshot.components[0].limit_factor = 0.7,
        |snapshot| snapshot.components[0].effective_score -= 1.0,
        // Down, and nobody is protected from it.
        |snapshot| down(snapshot, 50.0),
        // Protected from what works.
        |snapshot| protect(snapshot, 0.15),
        |snapshot| {
            down(snapshot, 50.0);
            protect(snapshot, 0.3);
        },
        |snapshot| {
            let swapped = Warning::Cascade {
                from: snapshot.components[3].id,
                to: snapshot.components[1].id,
                impact: 0.0,
            };
            snapshot.warnings.push(swapped);
        },
    ];
    for doctor in doctored {
        let mut bench = Bench::new();
        bench.show(None, doctor);
        bench.found(Check::Protection);
    }
    let mut bench = Bench::new();
    bench.show(None, |snapshot| {
        down(snapshot, 50.0);
        protect(snapshot, 0.15);
    });
    let found: Vec<_> = bench
        .inspector
        .violations()
        .iter()
        .map(|one| one.check)
        .collect();
    assert!(
        !found.contains(&Check::Protection),
        "0.3 × half of its health"
    );
}

/// Redis is down with this score.
fn down(snapshot: &mut Snapshot, score: f64) {
    let redis = &mut snapshot.components[REDIS];
    (redis.score, redis.effective_score) = (score, score);
    redis.down_since = Some(snapshot.at);
}

/// The database is held back by this share for Redis.
fn protect(snapshot: &mut Snapshot, impact: f64) {
    let (from, to) = (
        snapshot.components[REDIS].id,
        snapshot.components[DATABASE].id,
    );
    snapshot
        .warnings
        .push(Warning::Cascade { from, to, impact });
    let database = &mut snapshot.components[DATABASE];
    database.effective_score *= 1.0 - impact;
    database.limit_factor *= 1.0 - impact;
}

// In the order of the standard settings.
const DATABASE: usize = 0;
const REDIS: usize = 2;

#[test]
fn an_alert_that_is_raised_twice_taken_back_unraised_or_not_shown() {
    let raised = || Effect::Record(Event::AlertRaised(Alert::JournalFaulted));
    let over = || Effect::Record(Event::AlertOver(Alert::JournalFaulted));
    for wrong in [
        &[raised(), raised()][..],
        &[over()],
        &[raised(), over(), over()],
    ] {
        let mut bench = Bench::new();
        let now = bench.now;
        bench.inspector.effects(now, wrong, wrong);
        bench.found(Check::Alerts);
    }
    let mut bench = Bench::new();
    let mut snapshot = bench.healthy.clone();
    snapshot.seq += 1;
    let unseen = [raised(), Effect::Publish(Box::new(snapshot))];
    bench.inspector.effects(bench.now, &unseen, &unseen);
    bench.found(Check::Alerts);
}

#[test]
fn a_reload_that_forgets_or_confirms_or_moves_a_probe() {
    let cases: [fn(&mut Known); 10] = [
        |one| one.breakers[1].totals.failures += 1,
        |one| one.breakers[1].failures_in_row += 1,
        |one| one.breakers[1].window.calls += 1,
        |one| one.health_changes -= 1,
        |one| one.outages.dependencies.clear(),
        |one| one.snapshot.components[0].known = false,
        |one| one.snapshot.endpoints[0].view.generation += 1,
        |one| one.snapshot.level_since = one.snapshot.at,
        |one| one.snapshot.level = Level::Degraded,
        |one| one.snapshot.endpoints[0].next_probe_at = Some(one.snapshot.at + 100 * SECOND),
    ];
    for doctor in cases {
        let mut bench = Bench::new();
        let names = bench.rules.endpoints().map(|(_, rule)| rule.name.clone());
        let names: Vec<String> = names.collect();
        let mut outages = mainstay_degradation::OutageHistory::default();
        let outage = mainstay_degradation::Outage {
            lasted: SECOND,
            complete: true,
            worked: None,
        };
        outages.push("redis", outage);
        let before = Known {
            breakers: names
                .iter()
                .map(|name| breaker(name).snapshot(bench.now))
                .collect(),
            outages,
            health_changes: 1,
            snapshot: bench.healthy.clone(),
        };
        let mut after = before.clone();
        let figures = names.iter().map(|name| Figures::of(name)).collect();
        bench
            .inspector
            .reloads(bench.now, bench.rules.clone(), figures);
        bench.inspector.reloaded(bench.now, &before, &after);
        bench.found_nothing();
        doctor(&mut after);
        bench.inspector.reloaded(bench.now, &before, &after);
        bench.found(Check::Reload);
    }
}
