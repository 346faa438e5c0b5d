//! Outages as the controller remembers them, hands them over and judges by them.

use std::time::Duration;

use mainstay_breaker::Mode;
use mainstay_degradation::recovery::Predictor;
use mainstay_degradation::{
    Effect, EndpointSettings, Event, Input, Language, Outage, OutageHistory, Settings, Standing,
    Status,
};

use crate::world::{Behaviour, SECOND, World};

fn outage(world: &mut World, name: &str, seconds: u32) {
    world.behave(name, Behaviour::Refuses);
    world.calls(name, 5);
    world.run(seconds * SECOND);
    world.behave(name, Behaviour::Works);
    world.run(60 * SECOND);
}

fn past(name: &str, lasted: Duration, count: usize) -> OutageHistory {
    let mut history = OutageHistory::default();
    for _ in 0..count {
        history.push(
            name,
            Outage {
                lasted,
                complete: true,
                worked: Some(86_400 * SECOND),
            },
        );
    }
    history
}

#[test]
fn an_outage_is_remembered_when_it_is_over_with_the_time_it_had_worked_before() {
    let mut world = World::healthy();
    world.run(100 * SECOND);
    outage(&mut world, "redis", 5);
    outage(&mut world, "redis", 5);
    let history = world.controller.outages(world.now);
    let [first, second] = history.of("redis").collect::<Vec<_>>()[..] else {
        panic!("{history:?}");
    };
    assert!(
        first.complete && (5..=8).contains(&first.lasted.as_secs()),
        "{first:?}"
    );
    assert!(
        (100..=103).contains(&first.worked.unwrap().as_secs()),
        "{first:?}"
    );
    assert!(
        (57..=60).contains(&second.worked.unwrap().as_secs()),
        "{second:?}"
    );
    let recoveries = world.component("redis").recoveries.unwrap();
    assert_eq!((recoveries.count, recoveries.last), (2, second.lasted));
    assert_eq!(world.component("s3").recoveries, None);
    assert_eq!(history.of("s3").len(), 0);
}

#[test]
fn a_prediction_is_shown_while_it_is_down_and_only_then() {
    let mut world = World::healthy();
    assert_eq!(world.component("redis").prediction, None);
    world.tell(Input::History(past("redis", 100 * SECOND, 10)));
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(20 * SECOND);
    let prediction = world.component("redis").prediction.unwrap();
    assert_eq!(prediction.outages, 10);
    assert!(
        (50..=90).contains(&prediction.median.as_secs()),
        "{prediction:?}"
    );
    assert!(
        prediction.back < 0.1,
        "it is probed every second: {prediction:?}"
    );
    let words = prediction.words(Language::English);
    assert!(
        words.starts_with("probably back within ") && words.ends_with("(earlier outages: 10)"),
        "{words}"
    );
    world.behave("redis", Behaviour::Works);
    world.run(40 * SECOND);
    assert_eq!(world.component("redis").prediction, None);
}

#[test]
fn a_history_handed_back_comes_before_what_happened_since() {
    let mut world = World::healthy();
    outage(&mut world, "redis", 5);
    let mut earlier = past("redis", 300 * SECOND, 99);
    earlier.push("gone", *past("gone", SECOND, 1).of("gone").next().unwrap());
    world.tell(Input::History(earlier));
    let history = world.controller.outages(world.now);
    let lasted: Vec<u64> = history
        .of("redis")
        .map(|one| one.lasted.as_secs())
        .collect();
    assert_eq!((lasted.len(), lasted[0]), (100, 300));
    assert!(lasted[99] < 10, "{lasted:?}");
    assert_eq!(
        history.of("gone").len(),
        1,
        "what isn't configured now may be again"
    );
    assert_eq!(world.component("redis").recoveries.unwrap().count, 100);
}

/// S3 has worked for 102 s and been down for 30 s.
fn down() -> OutageHistory {
    let mut world = World::healthy();
    world.run(100 * SECOND);
    world.behave("s3", Behaviour::Refuses);
    world.calls("s3", 5);
    world.run(30 * SECOND);
    world.controller.outages(world.now)
}

/// The next process, which begins ten seconds later with S3 as it is then.
fn next(history: OutageHistory, s3: Behaviour) -> World {
    next_after(10 * SECOND, history, s3)
}

fn next_after(gap: Duration, mut history: OutageHistory, s3: Behaviour) -> World {
    for standing in history.standing.values_mut() {
        let (Standing::Works { lasts } | Standing::Down { lasts, .. }) = standing;
        *lasts += gap;
    }
    let rules = Settings::standard().validate().unwrap();
    let mut world = World::with(rules, Behaviour::Works);
    world.behave("s3", s3);
    world.tell(Input::History(history));
    world
}

fn seconds(duration: Option<Duration>) -> u64 {
    duration.unwrap().as_secs()
}

#[test]
fn how_each_stands_is_handed_over_and_not_counted_among_what_is_over() {
    let history = down();
    assert_eq!(history.of("s3").len(), 0);
    let Standing::Down {
        lasts,
        seen,
        worked,
        begun,
    } = history.standing["s3"]
    else {
        panic!("{history:?}");
    };
    assert_eq!((lasts, seen, begun), (30 * SECOND, 30 * SECOND, true));
    assert!((101..=103).contains(&seconds(worked)), "{worked:?}");
    let Standing::Works { lasts } = history.standing["redis"] else {
        panic!("{history:?}");
    };
    assert!((131..=133).contains(&lasts.as_secs()), "{lasts:?}");
}

#[test]
fn an_outage_that_outlives_the_process_is_one_outage_with_its_whole_length() {
    let mut world = next(down(), Behaviour::Refuses);
    let start = world.now;
    world.run(20 * SECOND);
    let since = world.component("s3").down_since.unwrap();
    assert_eq!(start.saturating_since(since), 40 * SECOND);
    let snapshot = world.snapshot();
    let words = snapshot.causes[0].words(Language::English, world.controller.rules(), world.now);
    assert!(words.starts_with("s3 has been down for 60 s"), "{words}");
    let history = world.controller.outages(world.now);
    assert_eq!(history.of("s3").len(), 0, "it isn't over");
    world.behave("s3", Behaviour::Works);
    world.run(30 * SECOND);
    let history = world.controller.outages(world.now);
    let [outage] = history.of("s3").collect::<Vec<_>>()[..] else {
        panic!("{history:?}");
    };
    assert!(outage.complete, "{outage:?}");
    assert!((60..=64).contains(&outage.lasted.as_secs()), "{outage:?}");
    assert!((101..=103).contains(&seconds(outage.worked)), "{outage:?}");
}

#[test]
fn outages_with_a_night_between_them_that_nobody_watched_are_two_of_which_neither_was_seen_whole() {
    let mut world = next_after(10 * 3_600 * SECOND, down(), Behaviour::Refuses);
    let start = world.now;
    world.run(20 * SECOND);
    assert_eq!(world.component("s3").down_since, Some(start));
    world.behave("s3", Behaviour::Works);
    world.run(30 * SECOND);
    let history = world.controller.outages(world.now);
    let [before, after] = history.of("s3").collect::<Vec<_>>()[..] else {
        panic!("{history:?}");
    };
    assert_eq!((before.complete, before.lasted), (false, 30 * SECOND));
    assert!((101..=103).contains(&seconds(before.worked)), "{before:?}");
    assert_eq!((after.complete, after.worked), (false, None));
    assert!((20..=24).contains(&after.lasted.as_secs()), "{after:?}");
    assert_eq!(world.component("s3").recoveries, None);
}

#[test]
fn an_outage_that_is_over_when_the_next_process_looks_lasted_longer_than_it_was_watched() {
    let mut world = next(down(), Behaviour::Works);
    world.run(5 * SECOND);
    let history = world.controller.outages(world.now);
    let [outage] = history.of("s3").collect::<Vec<_>>()[..] else {
        panic!("{history:?}");
    };
    assert_eq!((outage.complete, outage.lasted), (false, 30 * SECOND));
    let up = world.events.iter().find_map(|(_, event)| match event {
        Event::DependencyUp { outage, .. } => Some(outage.as_secs()),
        _ => None,
    });
    assert_eq!(up, Some(40), "at most so long");
    let standing = history.standing["s3"];
    assert!(
        matches!(standing, Standing::Works { lasts } if lasts <= 5 * SECOND),
        "{standing:?}"
    );
    assert_eq!(world.component("s3").recoveries, None);
}

#[test]
fn the_time_that_something_has_worked_goes_on_over_a_restart() {
    let mut history = down();
    history.standing.remove("s3");
    let mut world = next(history, Behaviour::Works);
    world.run(50 * SECOND);
    outage(&mut world, "redis", 5);
    let history = world.controller.outages(world.now);
    let redis = history.of("redis").next().unwrap();
    assert!(
        redis.complete && (190..=196).contains(&seconds(redis.worked)),
        "132 s, 10 s and 50 s: {redis:?}"
    );
}

#[test]
fn what_went_down_while_nobody_looked_is_known_to_have_worked_and_not_when_it_ended() {
    let mut history = down();
    let works = Standing::Works {
        lasts: 500 * SECOND,
    };
    history.standing.insert("s3".to_owned(), works);
    let mut world = next(history, Behaviour::Refuses);
    world.run(20 * SECOND);
    let standing = world.controller.outages(world.now).standing["s3"];
    assert!(
        matches!(standing, Standing::Down { begun: false, .. }),
        "{standing:?}"
    );
    world.behave("s3", Behaviour::Works);
    world.run(30 * SECOND);
    let history = world.controller.outages(world.now);
    let outage = history.of("s3").next().unwrap();
    assert!(!outage.complete, "{outage:?}");
    assert_eq!(seconds(outage.worked), 510, "{outage:?}");
}

#[test]
fn of_what_never_answered_nothing_is_predicted_unless_it_did_in_an_earlier_run() {
    let rules = Settings::standard().validate().unwrap();
    let mut world = World::with(rules, Behaviour::Refuses);
    world.run(10 * SECOND);
    assert_eq!(world.component("redis").prediction, None);
    world.tell(Input::History(past("redis", 60 * SECOND, 1)));
    assert!(world.component("redis").prediction.is_some());
    world.behave("redis", Behaviour::Works);
    world.run(60 * SECOND);
    let history = world.controller.outages(world.now);
    let newest = history.of("redis").next_back().unwrap();
    assert!(!newest.complete, "it began before the start: {newest:?}");
    assert_eq!(newest.worked, None);
    assert_eq!(world.component("redis").recoveries.unwrap().count, 1);
}

#[test]
fn what_an_operator_keeps_away_is_no_outage_of_its_own() {
    let mut world = World::healthy();
    let endpoint = world.endpoint("redis");
    let set = |world: &mut World, mode| {
        let transition = world.breaker("redis").set_mode(mode, world.now);
        world.transition(endpoint, transition);
        world.run(10 * SECOND);
    };
    set(&mut world, Mode::ForcedOpen);
    assert!(world.component("redis").down_since.is_some());
    assert_eq!(world.component("redis").prediction, None);
    assert_eq!(world.controller.outages(world.now).of("redis").len(), 0);
    set(&mut world, Mode::Auto);
    world.breaker("redis").reset(world.now);
    world.run(60 * SECOND);
    assert_eq!(world.component("redis").down_since, None);
    assert_eq!(world.controller.outages(world.now).of("redis").len(), 0);
}

#[test]
fn an_outage_that_an_operator_ended_was_not_seen_to_its_end() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(5 * SECOND);
    let reset = world.breaker("redis").reset(world.now);
    world.transition(world.endpoint("redis"), reset);
    let history = world.controller.outages(world.now);
    let outage = history.of("redis").next().unwrap();
    assert!(
        !outage.complete && outage.lasted == 5 * SECOND,
        "{outage:?}"
    );
    assert_eq!(world.component("redis").recoveries, None);
}

#[test]
fn an_outage_that_a_mode_covers_up_was_not_seen_to_its_end() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(5 * SECOND);
    let transition = world.breaker("redis").set_mode(Mode::Shadow, world.now);
    assert_eq!(transition, None, "it goes on deciding, and rejects nothing");
    world.run(2 * SECOND);
    assert_eq!(world.component("redis").down_since, None);
    let history = world.controller.outages(world.now);
    assert!(!history.of("redis").next().unwrap().complete);
}

#[test]
fn the_last_sign_of_any_endpoint_says_when_it_was_last_seen_down() {
    let mut settings = Settings::standard();
    let silent = EndpointSettings {
        probed: false,
        ..EndpointSettings::main("openai/second")
    };
    settings
        .dependency_mut("openai")
        .unwrap()
        .endpoints
        .push(silent);
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    world.tell(Input::History(past("openai", 20 * SECOND, 10)));
    for name in ["openai", "openai/second"] {
        world.behave(name, Behaviour::Refuses);
        world.calls(name, 5);
    }
    world.run(33 * SECOND);
    let start = world.now - 33 * SECOND;
    assert_eq!(world.probes_of("openai", start).len(), 2);
    let prediction = world.component("openai").prediction.unwrap();
    assert!(
        prediction.back < 0.3,
        "a probe failed a second ago: {prediction:?}"
    );
    world.run(10 * SECOND);
    let later = world.component("openai").prediction.unwrap();
    assert!(
        later.back > prediction.back,
        "nothing was seen since: {later:?}"
    );
}

#[test]
fn an_outage_survives_new_settings_and_so_does_what_is_remembered() {
    let mut world = World::healthy();
    outage(&mut world, "redis", 5);
    let mut without = Settings::standard();
    without.dependency_mut("redis").unwrap().presence = mainstay_degradation::Presence::Absent;
    world.tell(Input::Settings(Box::new(without.validate().unwrap())));
    assert_eq!(world.component("redis").status, Status::Absent);
    world.tell(Input::Settings(Box::new(
        Settings::standard().validate().unwrap(),
    )));
    world.run(2 * SECOND);
    assert_eq!(world.component("redis").recoveries.unwrap().count, 1);
}

#[test]
fn the_likeliest_to_be_back_is_probed_first() {
    let mut world = World::healthy();
    world.tell(Input::History(past("redis", 3_600 * SECOND, 5)));
    world.tell(Input::History(past("s3", 5 * SECOND, 5)));
    for name in ["redis", "s3"] {
        world.behave(name, Behaviour::Refuses);
        world.calls(name, 5);
    }
    world.log.clear();
    // While its own outages say when: what has stayed away for much longer than ever before is as uncertain as others.
    world.run(12 * SECOND);
    let (redis, s3) = (world.endpoint("redis"), world.endpoint("s3"));
    let mut both = 0;
    for (_, _, effects) in &world.log {
        let probe = |effect: &Effect| match effect {
            Effect::Probe { endpoint, .. } => Some(*endpoint),
            _ => None,
        };
        let order: Vec<_> = effects
            .iter()
            .filter_map(probe)
            .filter(|one| *one == redis || *one == s3)
            .collect();
        if order.len() == 2 {
            both += 1;
            assert_eq!(order, [s3, redis]);
        }
    }
    assert!(both > 0, "they never came due together");
}

#[test]
fn of_three_too_the_likeliest_to_be_back_is_probed_first() {
    let mut settings = Settings::standard();
    let names = ["database", "redis", "s3"];
    for name in names {
        let probes = &mut settings.dependency_mut(name).unwrap().probes;
        // Further ahead than a probe is asked for by the result before it: the tick asks for all three.
        (probes.failing, probes.jitter) = (vec![3 * SECOND], 0.0);
    }
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    for (name, seconds) in names.into_iter().zip([60, 3_600, 5]) {
        world.tell(Input::History(past(name, seconds * SECOND, 5)));
        world.behave(name, Behaviour::Refuses);
        world.calls(name, 5);
    }
    world.run(2 * SECOND);
    world.log.clear();
    world.run(12 * SECOND);
    let [database, redis, s3] = names.map(|name| world.endpoint(name));
    let probe = |effect: &Effect| match effect {
        Effect::Probe { endpoint, .. } => Some(*endpoint),
        _ => None,
    };
    let orders = world.log.iter().map(|(_, _, effects)| {
        let order = effects.iter().filter_map(probe);
        order.collect::<Vec<_>>()
    });
    let orders: Vec<_> = orders.filter(|order| order.len() == 3).collect();
    assert!(!orders.is_empty(), "they never came due together");
    for order in orders {
        assert_eq!(order, [s3, database, redis]);
    }
}

/// Pauses between the probes of half a minute, in seconds.
fn pauses(world: &mut World) -> Vec<f64> {
    let start = world.now;
    world.run(30 * SECOND);
    let probes = world.probes_of("redis", start);
    probes.windows(2).map(|pair| pair[1] - pair[0]).collect()
}

#[test]
fn what_has_always_stayed_away_for_long_is_probed_in_the_later_half_of_its_jitter() {
    for (known, half) in [(true, 0.99..1.21), (false, 0.79..1.21)] {
        let mut world = World::healthy();
        if known {
            world.tell(Input::History(past("redis", 86_400 * SECOND, 50)));
        }
        world.behave("redis", Behaviour::Refuses);
        world.calls("redis", 5);
        // The first was planned before; the end of the open time has a probe of its own.
        let mut pauses = pauses(&mut world).split_off(1);
        pauses.truncate(15);
        assert!(
            pauses.iter().all(|one| half.contains(one)),
            "{known}: {pauses:?}"
        );
        let early = pauses.iter().filter(|one| **one < 0.97).count();
        assert_eq!(early > 0, !known, "{pauses:?}");
    }
}

#[test]
fn a_predictor_never_forbids_a_probe() {
    let hopeless = past("redis", 86_400 * SECOND, 50);
    let predictor = Predictor::new(hopeless.of("redis"), Some(86_400 * SECOND));
    assert!(predictor.back(Duration::ZERO, 60 * SECOND).unwrap() < 0.02);
    let mut world = World::healthy();
    world.tell(Input::History(hopeless));
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    let start = world.now;
    world.run(30 * SECOND);
    let probes = world.probes_of("redis", start);
    assert!(probes.len() >= 24, "{probes:?}");
}
