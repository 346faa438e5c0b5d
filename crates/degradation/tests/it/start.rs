//! The first second: nothing is known, and nothing is assumed.

use std::time::Duration;

use mainstay_degradation::{CauseKind, Event, Input, Level, Need, Presence, Settings, Status};

use crate::world::{Behaviour, SECOND, World};

#[test]
fn with_all_healthy_it_is_optimal_at_the_first_round() {
    let mut world = World::new(Settings::standard());
    world.run(Duration::from_millis(50));
    let snapshot = world.snapshot();
    assert_eq!((snapshot.level, snapshot.score), (Level::Optimal, 100.0));
    assert!(snapshot.first_round_over && snapshot.causes.is_empty());
    let over = |event: &Event| {
        matches!(
            event,
            Event::FirstRoundOver {
                level: Level::Optimal,
                ..
            }
        )
    };
    assert!(world.events.iter().any(|(_, event)| over(event)));
    assert!(
        world.levels(world.now).is_empty(),
        "a start is no change of level"
    );
}

#[test]
fn before_the_first_round_is_over_nothing_is_claimed() {
    let mut world = World::new(Settings::standard());
    world.tell(Input::Tick {
        observed: Vec::new(),
    });
    let snapshot = world.snapshot();
    assert_eq!((snapshot.level, snapshot.score), (Level::Emergency, 0.0));
    assert!(!snapshot.first_round_over);
    assert_eq!(snapshot.next_up.needs, [Need::FirstRound]);
    assert_eq!(world.component("redis").status, Status::Unknown);
}

#[test]
fn with_everything_down_it_is_emergency_after_the_first_round_and_says_why() {
    for (behaviour, wait) in [(Behaviour::Refuses, 50), (Behaviour::Hangs, 1_050)] {
        let rules = Settings::standard().validate().unwrap();
        let mut world = World::with(rules, behaviour);
        world.run(Duration::from_millis(wait));
        let snapshot = world.snapshot();
        assert!(snapshot.first_round_over, "{behaviour:?}");
        assert_eq!(snapshot.level, Level::Emergency);
        assert_eq!(snapshot.causes.len(), 4);
        for cause in &snapshot.causes {
            assert!(matches!(cause.kind, CauseKind::NeverAnswered { .. }));
        }
        for name in ["database", "redis", "s3", "openai"] {
            assert_eq!(world.component(name).status, Status::Down);
        }
    }
}

#[test]
fn only_the_database_down_at_the_start_is_emergency_too() {
    let mut world = World::new(Settings::standard());
    world.behave("database", Behaviour::Refuses);
    world.run(Duration::from_millis(50));
    assert_eq!(world.snapshot().level, Level::Emergency);
    assert!(world.snapshot().score <= 39.0);
}

#[test]
fn each_dependency_that_appears_is_taken_up() {
    let rules = Settings::standard().validate().unwrap();
    let mut world = World::with(rules, Behaviour::Refuses);
    world.run(5 * SECOND);
    let before = world.component("database").score;
    assert_eq!(before, 0.0);
    for name in ["database", "redis", "s3", "openai"] {
        world.behave(name, Behaviour::Works);
        world.run(Duration::from_secs(65));
        assert_eq!(world.component(name).status, Status::Healthy, "{name}");
    }
    world.run_until_level(Level::Optimal, Duration::from_secs(60));
}

#[test]
fn an_absent_dependency_has_no_weight_and_forces_nothing() {
    let mut settings = Settings::standard();
    let openai = settings.dependency_mut("openai").unwrap();
    openai.presence = Presence::Absent;
    openai.endpoints.clear();
    let mut world = World::new(settings);
    world.behave("redis", Behaviour::Refuses);
    world.run(Duration::from_millis(50));
    assert_eq!(world.component("openai").status, Status::Absent);
    let mean = 100.0 * (0.50 + 0.05) / (0.50 + 0.15 + 0.05);
    assert!(
        (world.snapshot().score - mean).abs() < 1e-9,
        "redis alone weighs 15 of 70"
    );
    assert_eq!(world.snapshot().level, Level::Degraded);
}

#[test]
fn what_has_no_probe_stays_unknown_until_its_first_call() {
    let mut settings = Settings::standard();
    settings.dependency_mut("s3").unwrap().endpoints[0].probed = false;
    let mut world = World::new(settings);
    world.run(3 * SECOND);
    assert_eq!(world.component("s3").status, Status::Unknown);
    assert_eq!(world.snapshot().level, Level::Optimal);
    world.call("s3");
    world.run(2 * SECOND);
    assert_eq!(world.component("s3").status, Status::Healthy);
}

#[test]
fn without_any_dependency_nothing_can_be_wrong() {
    let mut settings = Settings::standard();
    for dependency in &mut settings.dependencies {
        dependency.presence = Presence::Absent;
        dependency.endpoints.clear();
    }
    let mut world = World::new(settings);
    world.run(SECOND);
    assert_eq!(world.snapshot().level, Level::Optimal);
}
