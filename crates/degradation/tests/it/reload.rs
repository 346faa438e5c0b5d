//! New settings keep the state of what keeps its name.

use mainstay_breaker::State;
use mainstay_degradation::{
    Command, DependencySettings, Event, FeatureMode, Input, Level, Settings, Status,
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
