//! Scenarios made by hand, with exact expectations.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::{Mode, Rule, State};
use mainstay_degradation::{
    FeatureMode, FeatureState, HeldBy, Level, Outage as OutageOver, Settings,
};
use mainstay_simulator::{
    Action, Condition, Figures, Outage, Reload, Report, Scenario, Traffic, World,
};

const ALL: [&str; 4] = ["database", "openai", "redis", "s3"];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Plays it and wants no violation.
fn play(scenario: Scenario, until: Duration) -> (World, Report) {
    let mut world = World::new(scenario, 3).unwrap();
    let report = world.run(until);
    let violations: Vec<String> = report.violations.iter().map(ToString::to_string).collect();
    assert!(violations.is_empty(), "{}", violations.join("\n"));
    (world, report)
}

fn changes(report: &Report, from: Duration) -> Vec<(Level, Level)> {
    let later = report.level_changes.iter().filter(|one| one.at >= from);
    later.map(|one| (one.from, one.to)).collect()
}

fn outage<'a>(report: &'a Report, endpoint: &str) -> &'a Outage {
    let found = report.outages.iter().find(|one| one.endpoint == endpoint);
    found.unwrap()
}

#[test]
fn a_quiet_world_is_optimal_after_its_first_probes_and_stays_so() {
    let (world, report) = play(Scenario::quiet(), seconds(3_600));
    assert_eq!(
        changes(&report, Duration::ZERO),
        [(Level::Emergency, Level::Optimal)]
    );
    assert!(report.level_changes[0].at <= millis(10));
    assert!(report.time_at[0] > seconds(3_599));
    assert_eq!(world.snapshot().score, 100.0);
}

#[test]
fn a_database_crash_is_an_emergency_at_once_and_is_left_step_by_step() {
    let scenario = Scenario::quiet().calls("database", 1, millis(20)).outage(
        "database",
        seconds(30),
        seconds(60),
        Condition::Refuses,
    );
    let (_, report) = play(scenario, seconds(180));
    use Level::{Degraded, Emergency, Limited, Minimal, Optimal};
    let expected = [
        (Optimal, Emergency),
        (Emergency, Minimal),
        (Minimal, Limited),
        (Limited, Degraded),
        (Degraded, Optimal),
    ];
    assert_eq!(changes(&report, seconds(30)), expected);
    let changes: Vec<Duration> = report.level_changes[1..].iter().map(|one| one.at).collect();
    assert!(
        changes[0] < millis(30_100),
        "three calls in a row: {changes:?}"
    );
    for pair in changes[1..].windows(2) {
        let dwelt = pair[1].saturating_sub(pair[0]);
        assert!(dwelt >= seconds(10) && dwelt <= seconds(11), "{changes:?}");
    }
    let outage = outage(&report, "database");
    assert!(outage.detected.unwrap() < millis(100), "{outage:?}");
    assert!(outage.recovered.unwrap() < seconds(3), "{outage:?}");
    assert_eq!(report.breaker_changes[0].rule, Some(Rule::Consecutive));
}

#[test]
fn with_everything_down_at_the_start_each_is_taken_up_when_it_appears() {
    let scenario = ALL.into_iter().zip([70, 40, 20, 10]).fold(
        Scenario::quiet(),
        |scenario, (endpoint, until)| {
            scenario.outage(endpoint, Duration::ZERO, seconds(until), Condition::Refuses)
        },
    );
    let mut world = World::new(scenario, 5).unwrap();
    world.run(seconds(2));
    let snapshot = world.snapshot();
    assert!(snapshot.first_round_over);
    assert_eq!(
        (snapshot.level, snapshot.causes.len()),
        (Level::Emergency, 4)
    );
    world.run(seconds(69));
    assert_eq!(world.snapshot().level, Level::Emergency);
    assert_eq!(world.breaker("redis").unwrap().state, State::Closed);
    let report = world.run(seconds(300));
    assert_eq!(world.snapshot().level, Level::Optimal);
    assert_eq!(report.violations, []);
    for endpoint in ["database", "redis", "s3"] {
        assert!(outage(&report, endpoint).recovered.unwrap() < seconds(4));
    }
}

#[test]
fn a_hang_opens_the_breaker_without_any_traffic() {
    for endpoint in ALL {
        let scenario =
            Scenario::quiet().outage(endpoint, seconds(35), seconds(200), Condition::Hangs);
        let (_, report) = play(scenario, seconds(900));
        let outage = outage(&report, endpoint);
        let detected = outage.detected.unwrap();
        let bound = if endpoint == "openai" { 77 } else { 37 };
        assert!(detected < seconds(bound), "{outage:?}");
        assert!(outage.recovered.is_some(), "{outage:?}");
        let opened = report
            .breaker_changes
            .iter()
            .find(|one| one.to == State::Open);
        assert_eq!(opened.unwrap().rule, Some(Rule::Probes));
    }
}

#[test]
fn impatient_callers_don_t_hide_a_hang() {
    let mut scenario =
        Scenario::quiet().outage("database", seconds(32), seconds(60), Condition::Hangs);
    scenario.traffic.push(Traffic {
        endpoint: "database".into(),
        caller: 1,
        from: seconds(10),
        until: seconds(300),
        every: millis(300),
        burst: 1,
        patience: Some(millis(700)),
    });
    let (_, report) = play(scenario, seconds(200));
    let outage = outage(&report, "database");
    assert!(outage.detected.unwrap() < seconds(10), "{outage:?}");
}

#[test]
fn one_caller_s_slow_statements_take_the_database_from_nobody() {
    // Only this caller's calls are slow: its own endpoint's probes pass, so nothing opens on its timeouts alone.
    let mut scenario = Scenario::quiet();
    scenario.traffic.push(Traffic {
        endpoint: "database".into(),
        caller: 9,
        from: seconds(5),
        until: seconds(100),
        every: seconds(8),
        burst: 1,
        patience: None,
    });
    let scenario = scenario.outage(
        "database",
        seconds(4),
        seconds(9),
        Condition::Slow(seconds(20)),
    );
    let (_, report) = play(scenario, seconds(150));
    assert_eq!(report.breaker_changes, []);
}

#[test]
fn square_waves_of_any_period_never_make_the_level_rise_before_its_dwell() {
    let (from, until) = (seconds(40), seconds(640));
    for endpoint in ALL {
        for period in [
            500, 1_000, 2_000, 5_000, 9_000, 10_000, 11_000, 20_000, 21_000, 45_000, 60_000,
            120_000,
        ] {
            let scenario = Scenario::quiet()
                .calls(endpoint, 1, millis(150))
                .square_wave(endpoint, from, until, millis(period), Condition::Refuses);
            let (world, report) = play(scenario, seconds(1_500));
            assert_eq!(
                world.snapshot().level,
                Level::Optimal,
                "{endpoint} {period} ms"
            );
            let mut rises: Vec<Duration> = Vec::new();
            let mut falls = 0;
            for change in report.level_changes.iter().filter(|one| one.at >= from) {
                if change.to < change.from {
                    rises.push(change.at);
                } else {
                    falls += 1;
                }
            }
            let apart = rises
                .windows(2)
                .all(|pair| pair[1] - pair[0] >= seconds(10));
            assert!(apart, "{endpoint} {period} ms: {rises:?}");
            let waves = 600_000_u64.div_ceil(period);
            assert!(
                falls <= waves.min(61),
                "{endpoint} {period} ms: {falls} falls"
            );
        }
    }
}

#[test]
fn an_overloaded_server_is_left_alone_for_as_long_as_it_asked() {
    let hint = Condition::Overloaded {
        retry_after: Some(seconds(50)),
    };
    let scenario = Scenario::quiet().calls("redis", 1, millis(20)).outage(
        "redis",
        seconds(32),
        seconds(33),
        hint,
    );
    let (_, report) = play(scenario, seconds(200));
    let after = |state| {
        let found = report.breaker_changes.iter().find(|one| one.to == state);
        found.unwrap().at
    };
    assert!(after(State::Open) < millis(32_300));
    assert!(
        after(State::HalfOpen) >= seconds(82),
        "{:?}",
        report.breaker_changes
    );
    assert!(
        after(State::Closed) < seconds(95),
        "{:?}",
        report.breaker_changes
    );
}

#[test]
fn without_a_hint_probes_close_an_overloaded_breaker_early() {
    let what = Condition::Overloaded { retry_after: None };
    let scenario = Scenario::quiet().calls("redis", 1, millis(20)).outage(
        "redis",
        seconds(32),
        seconds(36),
        what,
    );
    let (_, report) = play(scenario, seconds(120));
    assert!(outage(&report, "redis").recovered.unwrap() < seconds(3));
}

#[test]
fn a_breaker_forced_open_opens_at_once_and_comes_back_when_its_time_is_over() {
    let action = Action::Mode {
        endpoint: "redis".into(),
        mode: Mode::ForcedOpen,
    };
    let scenario = Scenario::quiet().calls("redis", 1, millis(50)).order(
        seconds(20),
        action,
        Some(seconds(15)),
    );
    let mut world = World::new(scenario, 1).unwrap();
    world.run(seconds(30));
    assert_eq!(world.breaker("redis").unwrap().mode, Mode::ForcedOpen);
    assert_eq!(world.snapshot().level, Level::Degraded);
    let report = world.run(seconds(120));
    let redis: Vec<(Duration, State)> = report
        .breaker_changes
        .iter()
        .map(|one| (one.at, one.to))
        .collect();
    assert_eq!(
        redis,
        [(seconds(20), State::Open), (seconds(35), State::Closed)]
    );
    use Level::{Degraded, Optimal};
    assert_eq!(
        changes(&report, seconds(1)),
        [(Optimal, Degraded), (Degraded, Optimal)]
    );
    assert_eq!(report.level_changes[1].at, seconds(20));
    assert!(report.calls.rejected > 200);
    assert_eq!(report.violations, []);
}

#[test]
fn a_pin_holds_through_an_outage_and_lets_the_level_follow_at_its_end() {
    let scenario = Scenario::quiet()
        .calls("database", 1, millis(100))
        .outage("database", seconds(20), seconds(90), Condition::Refuses)
        .order(seconds(10), Action::Pin(Level::Limited), Some(seconds(40)));
    let mut world = World::new(scenario, 1).unwrap();
    world.run(seconds(40));
    let snapshot = world.snapshot();
    assert_eq!(
        (snapshot.level, snapshot.target),
        (Level::Limited, Level::Emergency)
    );
    assert!(matches!(snapshot.held_by, Some(HeldBy::Pin { .. })));
    world.run(seconds(51));
    assert_eq!(world.snapshot().level, Level::Emergency);
    let report = world.run(seconds(300));
    assert_eq!(world.snapshot().level, Level::Optimal);
    assert_eq!(report.violations, []);
}

#[test]
fn a_knob_switches_one_feature_until_its_time_is_over() {
    let knob = Action::Knob {
        feature: "recommendations".into(),
        mode: Some(FeatureMode::Off),
    };
    let mut world = World::new(
        Scenario::quiet().order(seconds(5), knob, Some(seconds(10))),
        1,
    )
    .unwrap();
    let id = world.rules().feature_id("recommendations").unwrap();
    world.run(seconds(6));
    assert_eq!(world.snapshot().feature(id).mode, FeatureMode::Off);
    world.run(seconds(16));
    assert_eq!(world.snapshot().feature(id).mode, FeatureMode::On);
}

#[test]
fn a_probe_that_passes_while_calls_fail_does_not_defeat_the_growing_open_time() {
    let scenario = Scenario::quiet().calls("redis", 1, millis(50)).outage(
        "redis",
        seconds(40),
        seconds(400),
        Condition::OnlyProbesPass,
    );
    let (_, report) = play(scenario, seconds(400));
    let opened: Vec<Duration> = report
        .breaker_changes
        .iter()
        .filter(|one| one.to == State::Open)
        .map(|one| one.at)
        .collect();
    assert!((3..=8).contains(&opened.len()), "{opened:?}");
}

fn same_settings() -> Action {
    Action::Reload(Box::new(Reload {
        settings: Settings::standard(),
        figures: BTreeMap::new(),
    }))
}

#[test]
fn until_the_first_round_is_over_nothing_is_shed_whoever_is_down_already() {
    let scenario = Scenario::quiet()
        .phase("database", Duration::ZERO, Condition::Refuses)
        .phase("redis", Duration::ZERO, Condition::Refuses)
        .phase("s3", Duration::ZERO, Condition::Hangs)
        .order(millis(500), same_settings(), None);
    let (mut world, _) = play(scenario, millis(900));
    let snapshot = world.snapshot();
    let down = snapshot.components.iter();
    let down = down.filter(|one| one.down_since.is_some()).count();
    assert_eq!((down, snapshot.first_round_over), (2, false));
    let all_on = |one: &FeatureState| one.mode == FeatureMode::On;
    assert!(snapshot.features.iter().all(all_on));
    assert!(world.run(seconds(2)).violations.is_empty());
    assert!(!world.snapshot().features.iter().all(all_on));
}

#[test]
fn a_reload_at_the_very_start_comes_after_what_an_earlier_run_remembered() {
    let mut scenario = Scenario::quiet().order(Duration::ZERO, same_settings(), None);
    let outage = OutageOver {
        lasted: seconds(7),
        complete: true,
        worked: None,
    };
    scenario.history.push("redis", outage);
    let (world, _) = play(scenario, seconds(2));
    let redis = world.rules().dependency_id("redis").unwrap();
    let recoveries = world.snapshot().component(redis).recoveries;
    assert_eq!(recoveries.map(|one| one.last), Some(seconds(7)));
}

#[test]
fn what_was_asked_before_a_repair_and_is_answered_late_weighs_for_a_window_and_no_longer() {
    let mut scenario = Scenario::quiet();
    scenario.settings.level.dwell = Duration::ZERO;
    let mut figures = Figures::of("openai");
    figures.call_deadline = seconds(60);
    figures.breaker.slow = None;
    scenario.figures.insert("openai".to_owned(), figures);
    scenario.traffic.push(Traffic {
        endpoint: "openai".to_owned(),
        caller: 1,
        from: seconds(56),
        until: millis(57_900),
        every: seconds(1),
        burst: 4,
        patience: None,
    });
    let slow = Condition::Slow(seconds(40));
    let scenario = scenario.outage("openai", seconds(55), seconds(59), slow);
    let (_, report) = play(scenario, seconds(300));
    let (down, up) = (
        (Level::Optimal, Level::Degraded),
        (Level::Degraded, Level::Optimal),
    );
    assert_eq!(changes(&report, seconds(55)), [down, up]);
    let back = report.level_changes.last().unwrap().at;
    assert!(back < seconds(55 + 5 + 40 + 60), "{back:?}");
}

#[test]
fn names_that_are_not_there_are_refused() {
    let world = |scenario| World::new(scenario, 1).unwrap_err().to_string();
    let unknown = Scenario::quiet().phase("mongo", seconds(1), Condition::Well);
    assert_eq!(
        world(unknown),
        "there is no endpoint mongo: there are database, openai, redis, s3"
    );
    let unknown = Scenario::quiet().calls("mongo", 1, seconds(1));
    assert_eq!(
        world(unknown),
        "there is no endpoint mongo: there are database, openai, redis, s3"
    );
    let knob = Action::Knob {
        feature: "teleport".into(),
        mode: None,
    };
    let unknown = Scenario::quiet().order(seconds(1), knob, None);
    assert_eq!(world(unknown), "there is no feature teleport");
    let mut unweighted = Scenario::quiet();
    unweighted.settings.dependencies[0].weight = 0.0;
    assert!(world(unweighted).contains("weight"));
}
