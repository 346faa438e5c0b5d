//! Recordings of worlds, replayed as they were and otherwise.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::Settings as BreakerSettings;
use mainstay_degradation::recording::{Encoder, Entry, RecordingError, read};
use mainstay_degradation::{
    Alert, Criticality, Effect, Event, Gating, Input, Language, Level, Rules, Settings,
};
use mainstay_simulator::{
    Action, Condition, Fidelity, Figures, Reload, Report, Scenario, Story, Unplayed, WhatIf, World,
    replay,
};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn recorded(scenario: Scenario, seed: u64, length: Duration) -> (Vec<u8>, Report) {
    let mut world = World::new(scenario, seed).unwrap();
    world.record();
    let report = world.run(length);
    (world.recording(), report)
}

/// Redis refuses for half a minute under calls.
fn outage() -> Scenario {
    let calls = Duration::from_millis(100);
    Scenario::quiet().calls("redis", 1, calls).outage(
        "redis",
        seconds(60),
        seconds(90),
        Condition::Refuses,
    )
}

fn as_it_was(recording: &[u8]) -> Story {
    replay(recording, &WhatIf::default(), Language::English).unwrap()
}

fn under(recording: &[u8], rules: Rules) -> Story {
    let what_if = WhatIf {
        rules: Some(rules),
        ..WhatIf::default()
    };
    replay(recording, &what_if, Language::English).unwrap()
}

/// Other rules that would have made no other calls and no other probes.
fn exactly() -> Fidelity {
    Fidelity::Recomputed {
        unplayed: Vec::new(),
    }
}

fn estimated(endpoints: &[&str]) -> Fidelity {
    let endpoints = endpoints.iter().map(|name| (*name).to_owned());
    Fidelity::Estimated {
        endpoints: endpoints.collect(),
        unplayed: Vec::new(),
    }
}

fn changes(story: &Story) -> Vec<(Duration, Level)> {
    let spans = story.levels[1..].iter();
    spans.map(|span| (span.from, span.level)).collect()
}

#[test]
fn replayed_under_its_own_settings_every_recorded_decision_comes_out_again() {
    let length = seconds(200);
    for seed in 0..60 {
        let (recording, report) = recorded(Scenario::drawn(seed, length), seed, length);
        let story = as_it_was(&recording);
        assert_eq!(story.fidelity, Fidelity::Exact, "seed {seed}");
        let expected: Vec<_> = report
            .level_changes
            .iter()
            .map(|one| (one.at, one.to))
            .collect();
        assert_eq!(changes(&story), expected, "seed {seed}");
        let opened = report.breaker_changes.iter();
        let opened = opened.filter(|one| one.to == mainstay_breaker::State::Open);
        assert_eq!(story.summary.openings, opened.count(), "seed {seed}");
    }
}

#[test]
fn the_story_of_an_outage_says_when_what_and_why() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let story = as_it_was(&recording);
    let fell = story
        .happened
        .iter()
        .find(|one| one.kind == "level_changed")
        .unwrap();
    assert_eq!(fell.level, Level::Degraded);
    assert!(fell.at > seconds(60) && fell.at < seconds(61), "{fell:?}");
    assert!(fell.why.contains("redis"), "{fell:?}");
    assert!(story.happened.is_sorted_by_key(|one| one.at));
    assert_eq!(story.summary.time_at.iter().sum::<Duration>(), story.lasted);
    let [away] = story.summary.away[..] else {
        panic!("{:?}", story.summary.away);
    };
    assert_eq!(away.worst, Level::Degraded);
    assert!(away.detected.unwrap() < seconds(1));
    assert!(away.recovered.unwrap() < seconds(30), "{away:?}");
    let lane = story
        .lanes
        .iter()
        .find(|lane| lane.endpoint == "redis")
        .unwrap();
    assert!(lane.states.len() >= 4, "{lane:?}");
    let off = |feature: &str| {
        let found = story
            .summary
            .features_off
            .iter()
            .find(|one| one.0 == feature);
        found.map(|one| one.1)
    };
    assert!(off("realtime_updates").unwrap() > seconds(20));
    assert_eq!(off("openai_api"), None);
}

#[test]
fn every_time_away_counts_from_the_first_failure_since_all_was_well() {
    let mut flapping = Scenario::quiet().square_wave(
        "redis",
        seconds(60),
        seconds(1_800),
        seconds(8),
        Condition::Refuses,
    );
    for caller in 1..=2 {
        flapping = flapping.calls("redis", caller, Duration::from_millis(500));
    }
    let (recording, _) = recorded(flapping, 2, seconds(1_900));
    let away = as_it_was(&recording).summary.away;
    assert!(away.len() > 5, "{away:?}");
    for one in &away {
        assert!(one.detected.unwrap() < seconds(5), "{one:?}");
    }
}

#[test]
fn what_was_found_between_two_ticks_was_not_found_at_once() {
    for condition in [Condition::OnlyProbesPass, Condition::Refuses] {
        for seed in 0..10 {
            let calls = Duration::from_millis(50);
            let from = Duration::from_millis(60_250);
            let scenario = Scenario::quiet().calls("redis", 1, calls);
            let scenario = scenario.calls("redis", 2, calls);
            let scenario = scenario.outage("redis", from, seconds(90), condition);
            let (recording, _) = recorded(scenario, seed, seconds(100));
            let away = as_it_was(&recording).summary.away[0];
            // Somebody calls, and fails, within 75 ms.
            let least = away.from - from - Duration::from_millis(75);
            let took = away.detected.unwrap();
            assert!(took >= least, "{condition:?}, seed {seed}: {away:?}");
            assert!(!took.is_zero(), "{condition:?}, seed {seed}: {away:?}");
            let second = away.from - seconds(60);
            assert!(took <= second, "{condition:?}, seed {seed}: {away:?}");
        }
    }
}

#[test]
fn what_fails_now_and_then_is_not_the_beginning_of_another_dependencys_outage() {
    let calls = Duration::from_millis(100);
    let scenario = Scenario::quiet()
        .calls("redis", 1, calls)
        .phase("redis", seconds(30), Condition::Flaky { percent: 5 })
        .calls("database", 1, calls)
        .outage("database", seconds(120), seconds(150), Condition::Refuses);
    let (recording, _) = recorded(scenario, 1, seconds(240));
    let away = as_it_was(&recording).summary.away;
    let [away] = away[..] else {
        panic!("{away:?}");
    };
    assert!(away.from > seconds(120), "{away:?}");
    assert!(away.detected.unwrap() < seconds(2), "{away:?}");
    // Nor is it the end of it: the database is well from 150 s on.
    let back = away.from + away.lasted.unwrap();
    let recovered = back - away.recovered.unwrap();
    assert!(recovered <= seconds(151), "{away:?}");
}

#[test]
fn a_shorter_dwell_would_have_been_back_sooner_and_a_longer_one_later() {
    let scenario = Scenario::quiet()
        .calls("database", 1, Duration::from_millis(50))
        .outage("database", seconds(60), seconds(90), Condition::Refuses);
    let (recording, _) = recorded(scenario, 1, seconds(400));
    let with_dwell = |dwell| {
        let mut settings = Settings::standard();
        settings.level.dwell = dwell;
        under(&recording, settings.validate().unwrap())
    };
    let was = as_it_was(&recording);
    let (sooner, later) = (with_dwell(seconds(3)), with_dwell(seconds(30)));
    assert_eq!(sooner.fidelity, exactly());
    let recovery = |story: &Story| story.summary.away[0].recovered.unwrap();
    assert!(recovery(&sooner) + seconds(20) < recovery(&was));
    assert!(recovery(&was) + seconds(50) < recovery(&later));
    assert_eq!(sooner.summary.openings, was.summary.openings);
}

#[test]
fn strict_gating_would_have_switched_off_more() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let strict = Settings {
        gating: Gating::Strict,
        ..Settings::standard()
    };
    let (was, strict) = (
        as_it_was(&recording),
        under(&recording, strict.validate().unwrap()),
    );
    assert!(strict.summary.features_off.len() > was.summary.features_off.len());
    assert_eq!(changes(&was), changes(&strict));
}

#[test]
fn rules_that_name_the_same_in_another_order_decide_the_same() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let mut turned = Settings::standard();
    turned.dependencies.reverse();
    turned.features.reverse();
    let turned = under(&recording, turned.validate().unwrap());
    assert_eq!(turned.fidelity, exactly());
    assert_eq!(changes(&turned), changes(&as_it_was(&recording)));
}

#[test]
fn other_breaker_settings_are_estimated_and_say_so() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let with = |fail_max, reset: u64| {
        let mut settings = Figures::of("redis").breaker;
        settings.consecutive = NonZeroU32::new(fail_max);
        settings.reset_timeout = seconds(reset);
        let breakers = [("redis".to_owned(), settings)].into();
        let what_if = WhatIf {
            breakers,
            ..WhatIf::default()
        };
        replay(&recording, &what_if, Language::English).unwrap()
    };
    let was = as_it_was(&recording);
    assert_eq!(with(5, 20).fidelity, Fidelity::Exact, "the settings it had");
    let other = with(4, 20);
    assert_eq!(other.fidelity, estimated(&["redis"]));
    assert_eq!(other.summary.away.len(), was.summary.away.len());
    let (ours, theirs) = (other.summary.away[0], was.summary.away[0]);
    let apart = ours.from.abs_diff(theirs.from);
    assert!(apart <= seconds(1), "{ours:?} {theirs:?}");
    assert!(ours.lasted.unwrap().abs_diff(theirs.lasted.unwrap()) < seconds(10));
    // It would never have opened on calls, and the probes take their time.
    let deaf = with(60_000, 20);
    assert!(
        deaf.summary.away[0].from >= theirs.from,
        "{:?}",
        deaf.summary.away
    );
}

/// The database's figures where every call takes 140 ms and one is slow `after` so many.
fn slow_after(after: u64) -> Figures {
    let mut figures = Figures::of("database");
    figures.breaker.slow.as_mut().unwrap().after = Duration::from_millis(after);
    let takes = Duration::from_millis(140);
    figures.latency = (takes, takes);
    figures
}

/// A scenario with that database, under calls.
fn slow_database(after: u64) -> Scenario {
    let mut scenario = Scenario::quiet().calls("database", 1, Duration::from_millis(100));
    let figures = [("database".to_owned(), slow_after(after))];
    scenario.figures.extend(figures);
    scenario
}

/// How often the database's breaker opened, and how often one would have whose calls are slow `after` so many ms.
fn openings(scenario: Scenario, after: u64) -> (usize, usize) {
    let (recording, _) = recorded(scenario, 1, seconds(300));
    let what_if = WhatIf {
        breakers: [("database".to_owned(), slow_after(after).breaker)].into(),
        ..WhatIf::default()
    };
    let story = replay(&recording, &what_if, Language::English).unwrap();
    assert_eq!(story.fidelity, estimated(&["database"]));
    let was = as_it_was(&recording).summary.openings;
    (was, story.summary.openings)
}

#[test]
fn what_another_threshold_calls_slow_is_counted_by_how_long_it_took() {
    let (was, other) = openings(slow_database(500), 50);
    assert!(was == 0 && other > 0, "{was} {other}");
    let (was, other) = openings(slow_database(50), 500);
    assert!(was > 0 && other == 0, "{was} {other}");
    let reload = Reload {
        settings: Settings::standard(),
        figures: [("database".to_owned(), slow_after(50))].into(),
    };
    let reload = Action::Reload(Box::new(reload));
    let scenario = slow_database(500).order(seconds(60), reload, None);
    let (was, other) = openings(scenario, 500);
    assert!(was > 0 && other == 0, "{was} {other}");
}

/// The recording of the same events with a reload at `at`: other rules, and other breakers if there are any.
fn reloaded(recording: &[u8], at: Duration, rules: Rules, breakers: &[BreakerSettings]) -> Vec<u8> {
    let (head, entries) = read(recording).unwrap();
    let begins = head.at + at;
    let (mut controller, mut effects) = (head.controller.clone(), Vec::new());
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&head, &mut bytes);
    let mut rules = Some(rules);
    for entry in entries {
        let Entry::Input { at, input } = entry.unwrap() else {
            continue;
        };
        let reload = rules.take_if(|_| at >= begins);
        if reload.is_some() && !breakers.is_empty() {
            encoder.breakers(breakers, &mut bytes);
        }
        let reload = reload.map(|rules| Input::Settings(Box::new(rules)));
        for input in reload.into_iter().chain([input]) {
            encoder.input(at, &input, &mut bytes);
            effects.clear();
            controller.handle(at, input, &mut effects);
            encoder.effects(&effects, &mut bytes);
        }
    }
    encoder.flush(&mut bytes);
    bytes
}

fn with_redis(criticality: Criticality) -> Rules {
    let mut settings = Settings::standard();
    settings.dependency_mut("redis").unwrap().criticality = criticality;
    settings.validate().unwrap()
}

#[test]
fn the_policy_from_before_a_reload_tells_what_would_have_been_without_it() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let before = with_redis(Criticality::Medium);
    let critical = with_redis(Criticality::Critical);
    let recording = reloaded(&recording, seconds(70), critical.clone(), &[]);
    let was = as_it_was(&recording);
    assert_eq!(was.fidelity, Fidelity::Exact);
    assert_eq!(was.summary.away[0].worst, Level::Emergency);

    let without = under(&recording, before);
    assert_eq!(without.fidelity, exactly());
    assert_eq!(without.summary.away[0].worst, Level::Degraded);
    let sooner = under(&recording, critical);
    assert_eq!(sooner.fidelity, exactly());
    assert!(sooner.summary.away[0].from < seconds(61));
    assert_eq!(sooner.levels[2].level, Level::Emergency);
    assert!(sooner.levels[2].from < seconds(61), "{:?}", sooner.levels);
}

#[test]
fn a_reload_that_changes_no_rule_leaves_the_replay_exact() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let rules = with_redis(Criticality::Medium);
    let recording = reloaded(&recording, seconds(70), rules.clone(), &[]);
    assert_eq!(under(&recording, rules).fidelity, Fidelity::Exact);
}

#[test]
fn breakers_that_only_a_reload_made_others_are_estimated_too() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let rules = with_redis(Criticality::Medium);
    let names = ["database", "openai", "redis", "s3"];
    let mut patient = names.map(|name| Figures::of(name).breaker);
    patient[2].consecutive = NonZeroU32::new(50);
    // A lease follows from a deadline, which no estimate depends on.
    patient[3].half_open.lease += seconds(1);
    let recording = reloaded(&recording, seconds(30), rules, &patient);
    let breakers = names.map(|name| (name.to_owned(), Figures::of(name).breaker));
    let what_if = WhatIf {
        breakers: breakers.into(),
        ..WhatIf::default()
    };
    let story = replay(&recording, &what_if, Language::English).unwrap();
    assert_eq!(story.fidelity, estimated(&["redis"]));
}

#[test]
fn probes_tuning_and_cascades_are_named_as_not_replayed() {
    // Nobody calls: only probes find the outage.
    let idle = Scenario::quiet().outage("redis", seconds(60), seconds(120), Condition::Refuses);
    let (recording, _) = recorded(idle, 1, seconds(240));
    let was = as_it_was(&recording);
    let check = |change: fn(&mut Settings), unplayed: &[Unplayed]| {
        let mut settings = Settings::standard();
        change(&mut settings);
        let story = under(&recording, settings.validate().unwrap());
        let unplayed = unplayed.to_vec();
        assert_eq!(story.fidelity, Fidelity::Recomputed { unplayed });
        assert_eq!(story.summary.openings, was.summary.openings);
    };
    fn probes(settings: &mut Settings) {
        let redis = settings.dependency_mut("redis").unwrap();
        redis.probes.trip_after = 1;
        redis.probes.heartbeat = seconds(1);
    }
    fn tuning(settings: &mut Settings) {
        settings.tuning[1].limit = 0.1;
    }
    let redis = || Unplayed::Probes("redis".to_owned());
    check(probes, &[redis()]);
    check(tuning, &[Unplayed::Tuning]);
    check(
        |settings| settings.tuning[1].latency_alert_p95 = seconds(9),
        &[],
    );
    check(
        |settings| settings.cascade[0].share = 0.9,
        &[Unplayed::Cascade],
    );
    check(|settings| settings.cascade.reverse(), &[]);
    check(
        |settings| {
            probes(settings);
            tuning(settings);
        },
        &[redis(), Unplayed::Tuning],
    );
}

#[test]
fn other_limits_and_deadlines_are_named_as_not_replayed() {
    let names = ["database", "openai", "redis", "s3"];
    let was = names.map(|name| (name, Figures::of(name)));
    let what_if = || WhatIf {
        limits: was.map(|(name, one)| (name.to_owned(), one.limit)).into(),
        deadlines: was
            .map(|(name, one)| (name.to_owned(), one.call_deadline))
            .into(),
        ..WhatIf::default()
    };
    let check = |recording: &[u8], change: fn(&mut WhatIf), unplayed: &[Unplayed]| {
        let mut what_if = what_if();
        change(&mut what_if);
        let story = replay(recording, &what_if, Language::English).unwrap();
        let unplayed = unplayed.to_vec();
        assert_eq!(story.fidelity, Fidelity::Recomputed { unplayed });
    };
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let same = replay(&recording, &what_if(), Language::English).unwrap();
    assert_eq!(same.fidelity, Fidelity::Exact);
    let limit = || Unplayed::Limit("redis".to_owned());
    let deadline = || Unplayed::Deadline("s3".to_owned());
    fn one_call(what_if: &mut WhatIf) {
        what_if.limits.insert("redis".to_owned(), 1);
    }
    fn sooner(what_if: &mut WhatIf) {
        what_if.deadlines.insert("s3".to_owned(), seconds(1));
    }
    check(&recording, one_call, &[limit()]);
    check(&recording, sooner, &[deadline()]);
    check(
        &recording,
        |what_if| {
            what_if.untold.insert("openai.idle".to_owned());
            one_call(what_if);
            sooner(what_if);
        },
        &[
            limit(),
            deadline(),
            Unplayed::Untold("openai.idle".to_owned()),
        ],
    );

    // That they were others for a while is enough.
    let reload = Reload {
        settings: Settings::standard(),
        figures: [(
            "redis".to_owned(),
            Figures {
                limit: 9,
                ..was[2].1
            },
        )]
        .into(),
    };
    let reload = Action::Reload(Box::new(reload));
    let (recording, _) = recorded(outage().order(seconds(200), reload, None), 1, seconds(240));
    check(&recording, |_| {}, &[limit()]);

    // Of a recording without any, nobody knows.
    let rules = with_redis(Criticality::Medium);
    let recording = reloaded(&recording, seconds(70), rules, &[]);
    let all = names.map(|name| Unplayed::Limit(name.to_owned()));
    let all = all.into_iter();
    let all = all.chain(names.map(|name| Unplayed::Deadline(name.to_owned())));
    check(&recording, |_| {}, &all.collect::<Vec<_>>());
}

#[test]
fn what_a_reload_alone_made_different_is_named_as_not_replayed_too() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let mut settings = Settings::standard();
    settings.tuning[0].retries = 0;
    let fewer = settings.validate().unwrap();
    let recording = reloaded(&recording, seconds(70), fewer, &[]);
    let story = under(&recording, with_redis(Criticality::Medium));
    let unplayed = vec![Unplayed::Tuning];
    assert_eq!(story.fidelity, Fidelity::Recomputed { unplayed });
}

#[test]
fn decisions_that_come_out_otherwise_are_noticed() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let (head, entries) = read(&recording).unwrap();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&head, &mut bytes);
    // Without the decisions that were recorded.
    for entry in entries {
        if let Entry::Input { at, input } = entry.unwrap() {
            encoder.input(at, &input, &mut bytes);
        }
    }
    encoder.flush(&mut bytes);
    assert!(matches!(
        as_it_was(&bytes).fidelity,
        Fidelity::Differs { .. }
    ));
}

/// The recording of the same events, with the effects of each input as `doctor` leaves them.
fn doctored(recording: &[u8], mut doctor: impl FnMut(&mut Vec<Effect>)) -> Vec<u8> {
    let (head, entries) = read(recording).unwrap();
    let mut controller = head.controller.clone();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&head, &mut bytes);
    for entry in entries {
        match entry.unwrap() {
            Entry::Input { at, input } => {
                let mut effects = Vec::new();
                encoder.input(at, &input, &mut bytes);
                controller.handle(at, input, &mut effects);
                doctor(&mut effects);
                encoder.effects(&effects, &mut bytes);
            }
            Entry::Bounds(bounds) => encoder.bounds(&bounds, &mut bytes),
            _ => {}
        }
    }
    encoder.flush(&mut bytes);
    bytes
}

#[test]
fn whatever_was_decided_otherwise_is_noticed_and_not_only_the_level() {
    let (recording, _) = recorded(outage(), 1, seconds(400));
    let as_they_were = doctored(&recording, |_| {});
    assert_eq!(as_they_were, recording);
    assert_eq!(as_it_was(&as_they_were).fidelity, Fidelity::Exact);
    let others: [fn(&mut Effect) -> bool; 6] = [
        |one| match one {
            Effect::Probe { at, .. } => {
                *at = *at + Duration::from_nanos(1);
                true
            }
            _ => false,
        },
        |one| match one {
            Effect::Retune(retuning) => {
                retuning.limits[1] *= 0.5;
                true
            }
            _ => false,
        },
        |one| match one {
            Effect::Drain { share } => {
                *share *= 0.5;
                true
            }
            _ => false,
        },
        |one| match one {
            Effect::HalfOpenEarly { endpoint } => {
                endpoint.0 += 1;
                true
            }
            _ => false,
        },
        |one| match one {
            Effect::Record(Event::Recovered { took }) => {
                *took += seconds(1);
                true
            }
            _ => false,
        },
        |one| match one {
            Effect::Alert(Alert::SlowRecovery { took }) => {
                *took += seconds(1);
                true
            }
            _ => false,
        },
    ];
    let long = Scenario::quiet()
        .calls("redis", 1, Duration::from_millis(100))
        .outage("redis", seconds(60), seconds(160), Condition::Refuses);
    let (recording, _) = recorded(long, 1, seconds(400));
    for (number, other) in others.iter().enumerate() {
        let mut left = true;
        let bytes = doctored(&recording, |effects| {
            let found = effects.iter_mut().any(|one| left && other(one));
            left &= !found;
        });
        assert!(!left, "there is no effect of kind {number}");
        let fidelity = as_it_was(&bytes).fidelity;
        assert!(
            matches!(fidelity, Fidelity::Differs { .. }),
            "{number}: {fidelity:?}"
        );
    }
}

#[test]
fn a_recording_that_is_cut_off_is_told_as_far_as_it_goes() {
    let (recording, _) = recorded(outage(), 1, seconds(240));
    let story = as_it_was(&recording[..recording.len() - 3]);
    assert_eq!(story.broken, Some(RecordingError::CutOff));
    assert_eq!(story.fidelity, Fidelity::Exact);
    assert!(story.lasted > seconds(200), "{:?}", story.lasted);
}
