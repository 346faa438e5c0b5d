//! What other settings of breakers would have done, over recordings of every kind of trouble.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{Settings, State};
use mainstay_degradation::Language;
use mainstay_degradation::recording::{Entry, read};
use mainstay_simulator::{
    Condition, Fidelity, Figures, Scenario, Story, Unplayed, WhatIf, World, replay,
};

/// What another configuration changes of a breaker.
type Change = fn(&mut Settings);

const ENDPOINTS: [&str; 4] = ["database", "openai", "redis", "s3"];

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn recorded(scenario: Scenario, seed: u64, length: Duration) -> Vec<u8> {
    let mut world = World::new(scenario, seed).unwrap();
    world.record();
    world.run(length);
    world.recording()
}

/// Two callers of each endpoint, who call this often.
fn busy(every: Duration) -> Scenario {
    let all = ENDPOINTS.iter();
    all.fold(Scenario::quiet(), |scenario, whose| {
        scenario.calls(whose, 1, every).calls(whose, 2, every)
    })
}

/// Every kind of trouble under traffic, and what is drawn from seeds.
fn troubles() -> Vec<(String, Vec<u8>)> {
    let (from, until, length) = (seconds(60), seconds(120), seconds(240));
    let conditions = [
        Condition::Refuses,
        Condition::Hangs,
        Condition::Slow(Duration::from_millis(700)),
        Condition::Overloaded {
            retry_after: Some(seconds(12)),
        },
        Condition::Misconfigured,
        Condition::Flaky { percent: 33 },
        Condition::Flaky { percent: 60 },
        Condition::OnlyProbesPass,
    ];
    let mut all = Vec::new();
    for (every, whose) in [
        (500, "redis"),
        (40, "redis"),
        (100, "database"),
        (300, "s3"),
    ] {
        for condition in conditions {
            for seed in 0..2 {
                let scenario = busy(Duration::from_millis(every));
                let once = scenario.clone().outage(whose, from, until, condition);
                let name = format!(
                    "{whose} {} every {every} ms, seed {seed}",
                    condition.as_str()
                );
                all.push((name.clone(), recorded(once, seed, length)));
                let again = scenario.square_wave(whose, from, until, seconds(9), condition);
                all.push((format!("{name}, flapping"), recorded(again, seed, length)));
            }
        }
    }
    for seed in 0..60 {
        let length = seconds(200);
        let drawn = recorded(Scenario::drawn(seed, length), seed, length);
        all.push((format!("drawn, seed {seed}"), drawn));
    }
    // Where a reload changes breakers, stricter than the first ones is not stricter than the later ones.
    all.retain(|(_, recording)| !reloads_breakers(recording));
    all
}

fn reloads_breakers(recording: &[u8]) -> bool {
    let (_, mut entries) = read(recording).unwrap();
    entries.any(|entry| matches!(entry, Ok(Entry::Breakers(_))))
}

fn as_it_was(recording: &[u8]) -> Story {
    replay(recording, &WhatIf::default(), Language::English).unwrap()
}

/// With every breaker changed so.
fn with(recording: &[u8], change: impl Fn(&mut Settings)) -> Story {
    let (head, _) = read(recording).unwrap();
    let rules = head.controller.rules();
    let all = rules.endpoints().zip(&head.breakers);
    let breakers = all.map(|((_, rule), settings)| {
        let mut settings = *settings;
        change(&mut settings);
        (rule.name.clone(), settings)
    });
    let what_if = WhatIf {
        breakers: breakers.collect(),
        ..WhatIf::default()
    };
    replay(recording, &what_if, Language::English).unwrap()
}

fn same_story(one: &Story, other: &Story) -> bool {
    let decided = |story: &Story| {
        (
            story.levels.clone(),
            story.lanes.clone(),
            story.summary.clone(),
        )
    };
    decided(one) == decided(other)
}

/// When breakers opened that were closed, by endpoint.
fn openings(story: &Story) -> Vec<(&str, Duration)> {
    let lanes = story.lanes.iter();
    let openings = lanes.flat_map(|lane| {
        let pairs = lane.states.windows(2);
        let opened = pairs.filter(|pair| (pair[0].1, pair[1].1) == (State::Closed, State::Open));
        opened.map(|pair| (lane.endpoint.as_str(), pair[1].0))
    });
    openings.collect()
}

fn state_at(story: &Story, endpoint: &str, at: Duration) -> State {
    let lane = story.lanes.iter().find(|lane| lane.endpoint == endpoint);
    let states = lane.unwrap().states.iter();
    states.rev().find(|(from, _)| *from <= at).unwrap().1
}

#[test]
fn a_setting_that_never_comes_into_play_changes_nothing() {
    for (name, recording) in troubles() {
        let was = as_it_was(&recording);
        let check = |what: &str, change: Change| {
            let other = with(&recording, change);
            assert!(same_story(&was, &other), "{what}: {name}");
            other.fidelity
        };
        let ramp = check("ramp", |one| one.ramp = None);
        let Fidelity::Recomputed { unplayed } = ramp else {
            panic!("{name}: {ramp:?}");
        };
        assert!(
            unplayed.contains(&Unplayed::Ramp("redis".to_owned())),
            "{unplayed:?}"
        );
        check("places for probes", |one| one.half_open.probes += 1);
        // What doesn't come back again and again.
        if !name.contains("flapping") && !name.contains("drawn") && !name.contains("probes") {
            check("the longest open time", |one| one.max_open += 100);
            check("how long an opening is remembered", |one| {
                one.forget_after += 1;
            });
        }
    }
}

#[test]
fn what_is_stricter_opens_no_later() {
    let changes: [(&str, Change); 6] = [
        ("fail_max 1", |one| one.consecutive = NonZeroU32::new(1)),
        ("fail_max 2", |one| one.consecutive = NonZeroU32::new(2)),
        ("fail_max one less", |one| {
            let most = one.consecutive.map_or(5, NonZeroU32::get);
            one.consecutive = NonZeroU32::new(most - 1);
        }),
        ("a fifth of slow.after", |one| {
            one.slow.as_mut().unwrap().after /= 5;
        }),
        ("half of the rate", |one| {
            one.rate.as_mut().unwrap().threshold /= 2.0;
        }),
        ("after fewer calls", |one| {
            one.rate.as_mut().unwrap().min_calls = 5;
            one.slow.as_mut().unwrap().min_calls = 5;
        }),
    ];
    for (name, recording) in troubles() {
        let was = as_it_was(&recording);
        for (what, change) in changes {
            let other = with(&recording, change);
            for (endpoint, at) in openings(&was) {
                let state = state_at(&other, endpoint, at);
                assert_ne!(state, State::Closed, "{what}, {endpoint} at {at:?}: {name}");
            }
            let first = |story: &Story| story.summary.away.first().map(|one| one.from);
            if let Some(left) = first(&was) {
                assert!(first(&other).unwrap() <= left, "{what}: {name}");
            }
        }
    }
}

#[test]
fn an_estimate_is_near_what_the_same_world_does_with_those_settings() {
    let conditions = [
        Condition::Refuses,
        Condition::Hangs,
        Condition::Misconfigured,
        Condition::OnlyProbesPass,
    ];
    let changes: [(&str, Change); 5] = [
        ("fail_max 2", |one| one.consecutive = NonZeroU32::new(2)),
        ("fail_max 12", |one| one.consecutive = NonZeroU32::new(12)),
        ("fail_max 30", |one| one.consecutive = NonZeroU32::new(30)),
        ("reset_timeout 7 s", |one| one.reset_timeout = seconds(7)),
        ("one success", |one| one.half_open.successes = 1),
    ];
    for condition in conditions {
        for (what, change) in changes {
            for seed in 0..3 {
                let scenario = busy(Duration::from_millis(100));
                let mut scenario = scenario.outage("redis", seconds(60), seconds(85), condition);
                let recording = recorded(scenario.clone(), seed, seconds(240));
                let other = with(&recording, change);
                for endpoint in ENDPOINTS {
                    let mut figures = Figures::of(endpoint);
                    change(&mut figures.breaker);
                    scenario.figures.insert(endpoint.to_owned(), figures);
                }
                let played = as_it_was(&recorded(scenario, seed, seconds(240)));
                let name = format!("{what}, {}, seed {seed}", condition.as_str());
                let (estimated, truth) = (openings(&other), openings(&played));
                let apart = estimated[0].1.abs_diff(truth[0].1);
                assert!(apart <= seconds(1), "{name}: {estimated:?} {truth:?}");
                let back = |story: &Story| {
                    let away = story.summary.away[0];
                    away.from + away.lasted.unwrap()
                };
                // Where probes lie, nobody knows when it was back.
                if condition == Condition::OnlyProbesPass {
                    continue;
                }
                let apart = back(&other).abs_diff(back(&played));
                assert!(
                    apart <= seconds(3),
                    "{name}: {:?} {:?}",
                    back(&other),
                    back(&played)
                );
            }
        }
    }
}

#[test]
fn calls_that_only_began_with_the_outage_are_supposed_to_go_on() {
    let mut scenario = busy(Duration::from_millis(100));
    for traffic in &mut scenario.traffic {
        traffic.from = seconds(59);
    }
    let scenario = scenario.outage("redis", seconds(60), seconds(85), Condition::Refuses);
    let recording = recorded(scenario, 1, seconds(120));
    let other = with(&recording, |one| one.consecutive = NonZeroU32::new(25));
    let was = as_it_was(&recording);
    let (was, other) = (openings(&was), openings(&other));
    let later = other[0].1 - was[0].1;
    assert!(later < seconds(2), "{was:?} {other:?}");
}

#[test]
fn no_bytes_do_harm_to_an_estimate() {
    let scenario = busy(Duration::from_millis(200));
    let scenario = scenario.outage("redis", seconds(10), seconds(25), Condition::Refuses);
    let whole = recorded(scenario, 1, seconds(50));
    let names = ENDPOINTS.map(str::to_owned);
    let breakers = names.map(|name| {
        let mut settings = Figures::of("redis").breaker;
        settings.consecutive = NonZeroU32::new(7);
        settings.half_open.successes = 3;
        (name, settings)
    });
    let what_if = WhatIf {
        breakers: breakers.into(),
        ..WhatIf::default()
    };
    let told = |bytes: &[u8]| replay(bytes, &what_if, Language::English);
    assert!(matches!(
        told(&whole).unwrap().fidelity,
        Fidelity::Estimated { .. }
    ));
    let mut read = 0;
    for at in (0..whole.len()).step_by(7) {
        for flipped in [1, 0x10, 0x80] {
            let mut bytes = whole.clone();
            bytes[at] ^= flipped;
            read += usize::from(told(&bytes).is_ok());
        }
    }
    assert!(read > 100, "{read}");
}
