//! What goes down, how far the level falls, and how it climbs back.

use std::time::Duration;

use mainstay_breaker::{Mode, Rule, State};
use mainstay_degradation::{
    CauseKind, Command, EndpointSettings, Event, HeldBy, Language, Level, LevelCause, Machine,
    Moment, Need, Settings, Status,
};

use crate::world::{Behaviour, SECOND, World};

#[test]
fn a_dead_database_is_emergency_on_the_call_that_opens_its_breaker() {
    let mut world = World::healthy();
    world.calls("database", 50);
    world.run(SECOND);
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 2);
    assert_eq!(world.snapshot().level, Level::Optimal);
    world.call("database");
    let snapshot = world.snapshot();
    assert_eq!(
        (snapshot.level, snapshot.target),
        (Level::Emergency, Level::Emergency)
    );
    assert!(
        snapshot.score <= 39.0,
        "the cap bends the score itself: {}",
        snapshot.score
    );
    assert_eq!(snapshot.held_by, None);
    let cause = snapshot.causes[0];
    assert!(matches!(
        cause.kind,
        CauseKind::Down {
            rule: Some(Rule::Consecutive),
            ..
        }
    ));
    let database = world.component("database");
    assert_eq!(
        (database.status, database.breaker),
        (Status::Down, State::Open)
    );
    assert!(database.is_live_cause && database.limit_factor == 0.2);
    let why = world.events.iter().find_map(|(_, event)| match event {
        Event::LevelChanged { cause, .. } => Some(*cause),
        _ => None,
    });
    assert_eq!(why, Some(LevelCause::Opened(world.endpoint("database"))));
    assert_eq!(world.drain, Some(0.1));
    assert_eq!(world.retuning.as_ref().unwrap().tuning.retries, 0);
}

#[test]
fn a_database_that_returns_is_climbed_back_one_level_each_ten_seconds() {
    let mut world = World::healthy();
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.run(10 * SECOND);
    world.behave("database", Behaviour::Works);
    let returned = world.now;
    world.run(Duration::from_secs(50));
    assert_eq!(world.breaker("database").state(), State::Closed);
    let closed = world.component("database");
    assert_eq!(
        (closed.status, closed.score),
        (Status::Healthy, 100.0),
        "a new epoch"
    );
    let levels = world.levels(returned);
    let steps: Vec<_> = levels.iter().filter(|(at, ..)| *at > 0.0).collect();
    let names: Vec<_> = steps.iter().map(|(_, from, to)| (*from, *to)).collect();
    use Level::{Degraded, Emergency, Limited, Minimal, Optimal};
    assert_eq!(
        names,
        [
            (Emergency, Minimal),
            (Minimal, Limited),
            (Limited, Degraded),
            (Degraded, Optimal)
        ]
    );
    assert!(
        steps[0].0 < 2.5,
        "probes close the breaker without traffic: {}",
        steps[0].0
    );
    for pair in steps.windows(2) {
        let apart = pair[1].0 - pair[0].0;
        assert!((10.0..11.1).contains(&apart), "{apart}");
    }
    assert!(
        world
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::Recovered { .. }))
    );
}

#[test]
fn while_it_climbs_the_level_says_what_holds_it() {
    let mut world = World::healthy();
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.run(10 * SECOND);
    let database = world.component("database").id;
    let found = world.snapshot().next_up.needs.clone();
    let [Need::Retried { dependency, by }] = found[..] else {
        panic!("{found:?}");
    };
    assert!(dependency == database && by > world.now);
    world.behave("database", Behaviour::Works);
    world.run_until_level(Level::Minimal, 5 * SECOND);
    let snapshot = world.snapshot();
    assert_eq!(snapshot.target, Level::Optimal);
    assert!(matches!(snapshot.held_by, Some(HeldBy::Dwell { .. })));
    assert!(
        snapshot.causes.is_empty(),
        "a level held by dwell has no cause"
    );
    assert!(matches!(snapshot.next_up.needs[..], [Need::Wait { .. }]));
}

#[test]
fn a_flapping_database_never_climbs_faster_than_it_may() {
    let mut world = World::healthy();
    for _ in 0..6 {
        world.behave("database", Behaviour::Refuses);
        world.calls("database", 3);
        assert_eq!(world.snapshot().level, Level::Emergency);
        world.run(4 * SECOND);
        world.behave("database", Behaviour::Works);
        world.run(9 * SECOND);
        assert!(world.snapshot().level >= Level::Minimal);
    }
}

#[test]
fn what_is_down_forces_what_the_table_says() {
    let cases: [(&[&str], Level); 7] = [
        (&["s3"], Level::Degraded),
        (&["redis"], Level::Degraded),
        (&["openai"], Level::Limited),
        (&["redis", "s3"], Level::Limited),
        (&["openai", "redis", "s3"], Level::Minimal),
        (&["database"], Level::Emergency),
        (&["database", "redis", "s3", "openai"], Level::Emergency),
    ];
    for (names, level) in cases {
        let mut world = World::healthy();
        for name in names {
            world.behave(name, Behaviour::Refuses);
            world.calls(name, 5);
        }
        world.run(5 * SECOND);
        assert_eq!(world.snapshot().level, level, "{names:?}");
        assert_eq!(world.snapshot().causes.len(), names.len());
    }
}

#[test]
fn half_open_still_counts_as_down() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    let breaker = world.endpoint("redis");
    let transition = world.breaker("redis").half_open_early(world.now);
    world.transition(breaker, transition);
    assert_eq!(world.component("redis").breaker, State::HalfOpen);
    assert_eq!(world.component("redis").status, Status::Down);
    assert_eq!(world.snapshot().target, Level::Degraded);
}

#[test]
fn a_fall_without_an_open_breaker_is_confirmed_three_times() {
    let mut world = World::healthy();
    world.run(SECOND);
    world.observe("database", |observed| observed.failures[4] = 1_000);
    world.run(SECOND);
    let held = |world: &World| (world.snapshot().level, world.snapshot().held_by);
    assert_eq!(world.component("database").state, Machine::Critical);
    let confirming = |count| (Level::Optimal, Some(HeldBy::Confirming { count, of: 3 }));
    assert_eq!(held(&world), confirming(1));
    world.run(SECOND);
    assert_eq!(held(&world), confirming(2));
    world.run(SECOND);
    assert_eq!(held(&world), (Level::Minimal, None));
    assert!(matches!(
        world.snapshot().causes[0].kind,
        CauseKind::Unwell { .. }
    ));
}

#[test]
fn a_dead_provider_with_a_healthy_sibling_costs_health_and_no_floor() {
    let mut settings = Settings::standard();
    settings.dependency_mut("openai").unwrap().endpoints = vec![
        EndpointSettings::main("openai/one"),
        EndpointSettings::main("openai/two"),
    ];
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    world.behave("openai/one", Behaviour::Refuses);
    world.calls("openai/one", 5);
    assert_eq!(world.breaker("openai/one").state(), State::Open);
    world.run(120 * SECOND);
    let openai = world.component("openai");
    assert_eq!(
        (openai.breaker, openai.status),
        (State::Closed, Status::Healthy)
    );
    assert_eq!(openai.score, 90.0, "half of its endpoints pass no probe");
    let names = world.snapshot().endpoints_of(openai.id).iter();
    let names = names.map(|one| &world.controller.rules().endpoint(one.id).name);
    assert_eq!(names.collect::<Vec<_>>(), ["openai/one", "openai/two"]);
    assert_eq!(world.snapshot().level, Level::Optimal);
    world.behave("openai/two", Behaviour::Refuses);
    world.calls("openai/two", 5);
    assert_eq!(world.component("openai").status, Status::Down);
    assert_eq!(world.snapshot().level, Level::Limited);
}

#[test]
fn a_live_replica_does_not_keep_the_database_up() {
    let mut settings = Settings::standard();
    settings.dependency_mut("database").unwrap().endpoints = vec![
        EndpointSettings::main("database"),
        EndpointSettings::helper("database/replica"),
    ];
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    world.behave("database/replica", Behaviour::Refuses);
    world.run(60 * SECOND);
    assert_eq!(
        world.breaker("database/replica").state(),
        State::Open,
        "three failed probes"
    );
    assert_eq!(world.component("database").status, Status::Healthy);
    assert_eq!(world.snapshot().level, Level::Optimal);
    world.behave("database/replica", Behaviour::Works);
    world.run(60 * SECOND);
    assert_eq!(world.breaker("database/replica").state(), State::Closed);
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    assert_eq!(world.component("database").breaker, State::Open);
    assert_eq!(world.snapshot().level, Level::Emergency);
}

#[test]
fn an_operator_who_forces_a_breaker_open_takes_the_dependency_down_and_shadow_does_not() {
    let mut world = World::healthy();
    let id = world.endpoint("redis");
    // A failure that has nothing to do with it.
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 1);
    world.behave("redis", Behaviour::Works);
    world.run(2 * SECOND);
    let transition = world.breaker("redis").set_mode(Mode::ForcedOpen, world.now);
    world.transition(id, transition);
    let snapshot = world.snapshot();
    assert_eq!(snapshot.level, Level::Degraded);
    let redis = world.component("redis").id;
    assert_eq!(snapshot.next_up.needs, [Need::Released(redis)]);
    let words = snapshot.causes[0].words(Language::English, world.controller.rules(), world.now);
    assert_eq!(words, "redis has been down for 0 s, opened by an operator");
    let transition = world.breaker("redis").set_mode(Mode::Auto, world.now);
    world.transition(id, transition);
    world.run_until_level(Level::Optimal, 15 * SECOND);
    let changes = world
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::ModeChanged { .. }));
    assert_eq!(changes.count(), 0, "both changes fell between two ticks");

    let mut world = World::healthy();
    world.breaker("redis").set_mode(Mode::Shadow, world.now);
    world.run(SECOND);
    assert!(
        world
            .events
            .iter()
            .any(|(_, event)| matches!(event, Event::ModeChanged { .. }))
    );
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 8);
    assert_eq!(world.component("redis").breaker, State::Open, "it reports");
    assert_ne!(
        world.component("redis").status,
        Status::Down,
        "and rejects nothing"
    );
}

#[test]
fn the_cause_of_a_change_of_level_names_the_failure_that_opened_the_breaker() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Hangs);
    world.run(60 * SECOND);
    assert!(world.component("redis").down_since.is_some());
    world.behave("redis", Behaviour::Works);
    world.run_until_level(Level::Optimal, 120 * SECOND);
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    let changed = |(_, event): &(_, Event)| match event {
        Event::LevelChanged { causes, .. } => causes.first().copied(),
        _ => None,
    };
    let cause = world.events.iter().rev().find_map(changed).unwrap();
    let words = cause.words(Language::English, world.controller.rules(), world.now);
    assert!(words.ends_with("(last failure: no connection)"), "{words}");
}

#[test]
fn a_dead_database_weighs_on_redis_and_s3_and_not_on_the_score() {
    let mut world = World::healthy();
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.run(70 * SECOND);
    let (redis, s3) = (world.component("redis"), world.component("s3"));
    assert_eq!((redis.score, redis.effective_score), (100.0, 80.0));
    assert_eq!((s3.score, s3.effective_score), (100.0, 90.0));
    assert!((redis.limit_factor - 0.8).abs() < 1e-9 && (s3.limit_factor - 0.9).abs() < 1e-9);
    assert_eq!(world.snapshot().warnings.len(), 2);
    assert_eq!(world.component("openai").effective_score, 100.0);
    assert_eq!(
        world.snapshot().score,
        39.0,
        "the mean of own scores is 50, the cap 39"
    );
}

/// Unpinned at this level, with so many of a hundred calls of the database failed.
fn unpinned(level: Level, failed: u32, settings: Settings) -> World {
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    world.command(Command::Pin { level, until: None });
    world.observe("database", |observed| {
        observed.successes = 99 - u64::from(failed);
        observed.failures[0] = failed;
    });
    world.run(SECOND);
    world.command(Command::Unpin);
    assert_eq!(world.snapshot().level, level);
    world
}

fn needs(world: &World, at: Moment) -> Vec<Need> {
    world.controller.snapshot(at).next_up.needs
}

#[test]
fn the_next_level_up_needs_its_margin_and_its_dwell_to_the_point() {
    let world = unpinned(Level::Degraded, 18, Settings::standard());
    let (score, since) = (world.snapshot().score, world.snapshot().level_since);
    let until = since + 10 * SECOND;
    assert!((90.0..92.0).contains(&score), "{score}");
    let more = Need::Score {
        at_least: 92.0,
        now: score,
    };
    let young = Need::Wait { until };
    assert_eq!(needs(&world, world.now), [more, young]);
    assert_eq!(
        needs(&world, until - Duration::from_nanos(1)),
        [more, young]
    );
    assert_eq!(needs(&world, until), [more], "old enough");
    let mut settings = Settings::standard();
    settings.level.margin = score - 90.0;
    let world = unpinned(Level::Degraded, 18, settings);
    assert_eq!(needs(&world, world.now), [young], "just enough");
}

#[test]
fn the_next_level_up_needs_nobody_back_whom_it_allows_to_be_down() {
    let mut world = World::healthy();
    world.behave("openai", Behaviour::Refuses);
    world.calls("openai", 5);
    let pin = Command::Pin {
        level: Level::Minimal,
        until: None,
    };
    world.command(pin);
    world.command(Command::Unpin);
    let found = needs(&world, world.now);
    assert!(matches!(found[..], [Need::Wait { .. }]), "{found:?}");
    for name in ["redis", "s3"] {
        world.behave(name, Behaviour::Refuses);
        world.calls(name, 5);
    }
    world.run(SECOND);
    assert_eq!(world.snapshot().level, Level::Minimal);
    let fewer = Need::Fewer {
        at_most: 2,
        down: 3,
    };
    assert_eq!(needs(&world, world.now), [fewer], "any of the three");
}

#[test]
fn each_publication_has_the_next_number() {
    let mut world = World::healthy();
    let first = world.snapshot().seq;
    for step in 1..5 {
        world.tell(mainstay_degradation::Input::Tick { observed: vec![] });
        assert_eq!(world.snapshot().seq, first + step);
    }
}
