//! What features may do, and why.

use std::time::Duration;

use mainstay_degradation::{FeatureMode, FeatureReason, Gating, Level, Presence, Settings};

use crate::world::{Behaviour, SECOND, World};

fn mode(world: &World, name: &str) -> FeatureMode {
    world.feature(name).mode
}

fn kill(world: &mut World, names: &[&str]) {
    for name in names {
        world.behave(name, Behaviour::Refuses);
        world.calls(name, 5);
    }
    world.run(2 * SECOND);
}

fn strict() -> World {
    let mut world = World::new(Settings {
        gating: Gating::Strict,
        ..Settings::standard()
    });
    world.run(2 * SECOND);
    world
}

#[test]
fn causal_a_dead_s3_does_not_switch_off_realtime_updates() {
    let mut world = World::healthy();
    kill(&mut world, &["s3"]);
    assert_eq!(world.snapshot().level, Level::Degraded);
    assert_eq!(mode(&world, "realtime_updates"), FeatureMode::On);
    assert_eq!(world.feature("realtime_updates").cell, FeatureMode::Off);
    assert_eq!(mode(&world, "s3_uploads"), FeatureMode::Queued);
    let s3 = world.component("s3").id;
    assert_eq!(world.feature("s3_uploads").reason, FeatureReason::Cause(s3));
}

#[test]
fn strict_the_same_dead_s3_does() {
    let mut world = strict();
    kill(&mut world, &["s3"]);
    assert_eq!(mode(&world, "realtime_updates"), FeatureMode::Off);
    assert_eq!(
        world.feature("realtime_updates").reason,
        FeatureReason::Strict
    );
}

#[test]
fn causal_a_database_blip_does_not_switch_off_a_healthy_cache() {
    let mut world = World::healthy();
    kill(&mut world, &["database"]);
    assert_eq!(world.snapshot().level, Level::Emergency);
    assert_eq!(mode(&world, "redis_cache"), FeatureMode::On);
    assert_eq!(mode(&world, "write_operations"), FeatureMode::Off);
    assert_eq!(mode(&world, "core_application"), FeatureMode::Partial);
    assert_eq!(mode(&world, "health_check"), FeatureMode::On);
}

#[test]
fn causal_real_trouble_sheds_what_the_table_says() {
    let mut world = World::healthy();
    kill(&mut world, &["database", "s3"]);
    assert_eq!(mode(&world, "redis_cache"), FeatureMode::Off);
    assert_eq!(
        world.feature("redis_cache").reason,
        FeatureReason::ManyDown(2)
    );
    assert_eq!(mode(&world, "rate_limiting"), FeatureMode::On);
}

#[test]
fn a_level_held_only_by_dwell_gates_nothing() {
    let mut world = World::healthy();
    kill(&mut world, &["database"]);
    world.behave("database", Behaviour::Works);
    world.run_until_level(Level::Minimal, 10 * SECOND);
    assert_eq!(world.snapshot().target, Level::Optimal);
    for state in &world.snapshot().features {
        assert_eq!(state.mode, FeatureMode::On);
        assert_eq!(state.reason, FeatureReason::Unaffected);
    }
    assert_eq!(world.component("database").limit_factor, 1.0);
}

#[test]
fn a_cause_that_remains_gates_by_the_target_and_not_by_the_level_held_above_it() {
    let mut world = World::healthy();
    kill(&mut world, &["database", "redis"]);
    world.behave("database", Behaviour::Works);
    world.run_until_level(Level::Minimal, 10 * SECOND);
    assert_eq!(
        world.snapshot().target,
        Level::Degraded,
        "redis is still down"
    );
    assert_eq!(mode(&world, "redis_cache"), FeatureMode::Fallback);
    assert_eq!(mode(&world, "write_operations"), FeatureMode::On);
}

#[test]
fn an_absent_dependency_counts_as_down_for_its_features_only() {
    let mut settings = Settings::standard();
    let openai = settings.dependency_mut("openai").unwrap();
    openai.presence = Presence::Absent;
    openai.endpoints.clear();
    let id = mainstay_degradation::DependencyId(1);
    let mut world = World::new(settings);
    world.run(Duration::from_millis(100));
    assert_eq!(world.snapshot().level, Level::Optimal);
    assert_eq!(mode(&world, "openai_api"), FeatureMode::Limited);
    assert_eq!(
        world.feature("openai_api").reason,
        FeatureReason::Absent(id)
    );
    assert_eq!(
        mode(&world, "ai_enhancement"),
        FeatureMode::On,
        "its rules work without a model"
    );
    assert_eq!(
        world.feature("ai_enhancement").reason,
        FeatureReason::Absent(id)
    );
    assert_eq!(mode(&world, "redis_cache"), FeatureMode::On);
}

#[test]
fn an_unknown_feature_is_no_feature() {
    let rules = Settings::standard().validate().unwrap();
    assert_eq!(rules.feature_id("teleportation"), None);
    assert!(rules.feature_id("redis_cache").is_some());
}

#[test]
fn every_mode_has_its_word_and_gives_less_than_those_before_it() {
    let modes = [
        ("on", 0),
        ("fallback", 1),
        ("queued", 1),
        ("local", 1),
        ("limited", 1),
        ("partial", 2),
        ("off", 3),
    ];
    for (mode, (word, rank)) in FeatureMode::ALL.into_iter().zip(modes) {
        assert_eq!((mode.as_str(), mode.rank()), (word, rank));
        assert_eq!(mode.to_string(), word);
        assert_eq!(word.parse(), Ok(mode));
    }
    let unknown = "ON".parse::<FeatureMode>().unwrap_err();
    assert!(unknown.to_string().contains("partial or off"));
}
