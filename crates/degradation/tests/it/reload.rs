//! New settings keep the state of what keeps its name.

use mainstay_breaker::State;
use mainstay_degradation::{
    Command, DependencySettings, Effect, Event, FeatureMode, HeldBy, Input, Level, Settings, Status,
};

use crate::world::{Behaviour, SECOND, World};

#[test]
fn an_outage_and_a_knob_survive_new_settings() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    let feature = world.feature("recommendations").id;
    world.command(Command::Knob {
        feature,
        mode: FeatureMode::Off,
        until: None,
    });
    let since = world.component("redis").down_since;
    let mut settings = Settings::standard();
    settings.features.reverse();
    settings.level.bands[0] = 92.0;
    settings.level.caps[0] = 91.0;
    let rules = settings.validate().unwrap();
    world.tell(Input::Settings(Box::new(rules)));
    let redis = world.component("redis");
    assert_eq!(
        (redis.status, redis.breaker, redis.down_since),
        (Status::Down, State::Open, since)
    );
    assert_eq!(world.snapshot().level, Level::Degraded);
    assert_ne!(world.feature("recommendations").id, feature);
    assert_eq!(world.feature("recommendations").mode, FeatureMode::Off);
    assert!(
        world
            .events
            .iter()
            .any(|(_, event)| *event == Event::SettingsChanged)
    );
}

#[test]
fn a_dependency_that_is_new_is_unknown_and_is_probed() {
    let mut world = World::healthy();
    let mut settings = Settings::standard();
    settings
        .dependencies
        .push(DependencySettings::other("billing"));
    world.tell(Input::Settings(Box::new(settings.validate().unwrap())));
    assert_eq!(world.component("billing").status, Status::Unknown);
    assert_eq!(world.component("redis").status, Status::Healthy);
    let (_, _, effects) = world.log.last().unwrap();
    let billing = world.endpoint("billing");
    assert!(effects.iter().any(|effect| {
        matches!(effect, mainstay_degradation::Effect::Probe { endpoint, .. } if *endpoint == billing)
    }));
}

#[test]
fn an_endpoint_that_loses_its_probe_is_probed_no_more() {
    let mut world = World::healthy();
    let mut settings = Settings::standard();
    settings.dependency_mut("s3").unwrap().endpoints[0].probed = false;
    world.tell(Input::Settings(Box::new(settings.validate().unwrap())));
    assert_eq!(world.component("s3").status, Status::Unknown);
    let changed = world.now;
    world.run(100 * SECOND);
    assert!(world.probes_of("s3", changed).is_empty());
    assert_eq!(world.probes_of("redis", changed).len(), 3);
}

#[test]
fn the_same_settings_once_more_confirm_nothing_and_ask_for_nothing() {
    let mut world = World::healthy();
    world.behave("openai", Behaviour::OnlyProbesPass);
    world.calls("openai", 3);
    world.run(SECOND);
    let confirming = |count| Some(HeldBy::Confirming { count, of: 3 });
    assert_eq!(world.snapshot().held_by, confirming(1));
    for _ in 0..5 {
        let rules = Settings::standard().validate().unwrap();
        world.tell(Input::Settings(Box::new(rules)));
        assert_eq!(world.snapshot().held_by, confirming(1));
        let (_, _, effects) = world.log.last().unwrap();
        let asks = |effect: &Effect| !matches!(effect, Effect::Record(_) | Effect::Publish(_));
        assert!(!effects.iter().any(asks), "{effects:?}");
    }
    world.run(SECOND);
    assert_eq!(world.snapshot().held_by, confirming(2));
}

#[test]
fn another_tuning_or_order_of_dependencies_is_told_though_level_and_limits_are_the_same() {
    let changes: [fn(&mut Settings); 2] = [
        |settings| settings.tuning[0].retries = 7,
        |settings| settings.dependencies.reverse(),
    ];
    for change in changes {
        let mut world = World::healthy();
        let mut settings = Settings::standard();
        change(&mut settings);
        let retries = settings.tuning[0].retries;
        world.tell(Input::Settings(Box::new(settings.validate().unwrap())));
        let (_, _, effects) = world.log.last().unwrap();
        let told = effects.iter().find_map(|effect| match effect {
            Effect::Retune(to) => Some(to.tuning.retries),
            _ => None,
        });
        assert_eq!(told, Some(retries));
    }
}

#[test]
fn a_shorter_heartbeat_holds_from_now_on_and_not_only_after_the_long_one() {
    let mut world = World::healthy();
    let mut settings = Settings::standard();
    settings.dependency_mut("redis").unwrap().probes.heartbeat = 2 * SECOND;
    world.tell(Input::Settings(Box::new(settings.validate().unwrap())));
    let changed = world.now;
    world.run(9 * SECOND);
    assert_eq!(world.probes_of("redis", changed).len(), 4);
    assert!(world.probes_of("s3", changed).is_empty());
}

#[test]
fn latency_that_is_watched_no_more_raises_no_alarm_for_ever() {
    let mut world = World::healthy();
    for _ in 0..3 {
        world.observe("database", |one| {
            one.calls += 30;
            one.successes += 30;
            (0..30).for_each(|_| one.latency.record(SECOND));
        });
        world.run(SECOND);
    }
    assert!(!world.snapshot().alerts.is_empty());
    let mut settings = Settings::standard();
    settings
        .dependency_mut("database")
        .unwrap()
        .health
        .latency_alert = false;
    world.tell(Input::Settings(Box::new(settings.validate().unwrap())));
    world.run(SECOND);
    assert_eq!(world.snapshot().alerts, []);
    let over = |(_, event): &(_, Event)| matches!(event, Event::AlertOver(_));
    assert_eq!(world.events.iter().filter(|one| over(one)).count(), 1);
}
