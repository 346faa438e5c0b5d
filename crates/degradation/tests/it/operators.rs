//! Pins and knobs.

use mainstay_degradation::{
    Command, Event, FeatureId, FeatureMode, FeatureReason, HeldBy, Level, LevelCause,
};

use crate::world::{Behaviour, SECOND, World};

#[test]
fn a_pin_sets_the_level_and_nothing_else() {
    let mut world = World::healthy();
    world.command(Command::Pin {
        level: Level::Limited,
        until: None,
    });
    let snapshot = world.snapshot();
    assert_eq!(
        (snapshot.level, snapshot.target, snapshot.score),
        (Level::Limited, Level::Optimal, 100.0)
    );
    assert_eq!(snapshot.held_by, Some(HeldBy::Pin { until: None }));
    assert_eq!(world.feature("openai_api").mode, FeatureMode::Limited);
    assert_eq!(world.feature("openai_api").reason, FeatureReason::Pinned);
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.run(10 * SECOND);
    assert_eq!(world.snapshot().level, Level::Limited);
    assert_eq!(world.snapshot().target, Level::Emergency);
    world.command(Command::Unpin);
    assert_eq!(
        world.snapshot().level,
        Level::Emergency,
        "nothing else held it"
    );
}

#[test]
fn a_pin_ends_by_itself_and_the_level_climbs_step_by_step() {
    let mut world = World::healthy();
    let until = Some(world.now + 20 * SECOND);
    world.command(Command::Pin {
        level: Level::Minimal,
        until,
    });
    world.run(19 * SECOND);
    assert_eq!(world.snapshot().level, Level::Minimal);
    world.run(2 * SECOND);
    assert_eq!(world.snapshot().level, Level::Limited);
    let causes: Vec<_> = world
        .events
        .iter()
        .filter_map(|(_, event)| match event {
            Event::LevelChanged { cause, .. } => Some(*cause),
            _ => None,
        })
        .collect();
    assert_eq!(causes, [LevelCause::Pinned, LevelCause::Unpinned]);
    let ended = world
        .events
        .iter()
        .any(|(_, event)| *event == Event::Unpinned { expired: true });
    assert!(ended);
    world.run_until_level(Level::Optimal, 25 * SECOND);
}

#[test]
fn a_pin_holds_from_the_start_too() {
    let mut world = World::new(mainstay_degradation::Settings::standard());
    world.command(Command::Pin {
        level: Level::Degraded,
        until: None,
    });
    world.run(2 * SECOND);
    assert_eq!(world.snapshot().level, Level::Degraded);
}

#[test]
fn a_knob_switches_any_feature_until_it_ends() {
    let mut world = World::healthy();
    let feature = world.feature("recommendations").id;
    let until = Some(world.now + 5 * SECOND);
    world.command(Command::Knob {
        feature,
        mode: FeatureMode::Off,
        until,
    });
    assert_eq!(world.feature("recommendations").mode, FeatureMode::Off);
    assert_eq!(
        world.feature("recommendations").reason,
        FeatureReason::Knob { until }
    );
    assert_eq!(world.snapshot().level, Level::Optimal);
    world.run(7 * SECOND);
    assert_eq!(world.feature("recommendations").mode, FeatureMode::On);
    let cleared = Event::KnobCleared {
        feature,
        expired: true,
    };
    assert!(world.events.iter().any(|(_, event)| *event == cleared));
}

#[test]
fn a_knob_replaces_the_one_before_and_is_taken_back() {
    let mut world = World::healthy();
    let feature = world.feature("redis_cache").id;
    for mode in [FeatureMode::Off, FeatureMode::Fallback] {
        world.command(Command::Knob {
            feature,
            mode,
            until: None,
        });
    }
    assert_eq!(world.feature("redis_cache").mode, FeatureMode::Fallback);
    world.command(Command::Unknob { feature });
    assert_eq!(world.feature("redis_cache").mode, FeatureMode::On);
}

#[test]
fn a_knob_for_a_feature_that_is_not_there_is_refused() {
    let mut world = World::healthy();
    let index = u16::try_from(world.snapshot().features.len()).unwrap();
    world.command(Command::Knob {
        feature: FeatureId(index),
        mode: FeatureMode::Off,
        until: None,
    });
    let what = "feature";
    let refused = Event::Refused { what, index };
    assert!(world.events.iter().any(|(_, event)| *event == refused));
}
