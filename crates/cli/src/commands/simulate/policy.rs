//! A configuration's policy in a made-up world.
//!
//! The world has the dependencies and endpoints of its scenario, whatever the configuration connects.

use std::time::Duration;

use mainstay_openai::ProviderSettings;
use mainstay_simulator::{Figures, Scenario};

use crate::commands::replay::connected_as;
use crate::config::Config;

/// The scenario under the rules, breakers, limits and deadlines of a configuration.
pub(super) fn under(config: &Config, mut scenario: Scenario) -> Scenario {
    let seed = scenario.settings.seed;
    scenario.settings = connected_as(&scenario.settings, config.degradation.clone());
    // Chance is the scenario's, or another policy would meet another course of events.
    scenario.settings.seed = seed;
    for dependency in &scenario.settings.dependencies {
        for endpoint in &dependency.endpoints {
            let figures = figures(config, &dependency.name, &endpoint.name);
            scenario.figures.insert(endpoint.name.clone(), figures);
        }
    }
    scenario
}

/// Whether a world plays the same under it as under none.
pub(super) fn is_standard(config: &Config) -> bool {
    let quiet = Scenario::quiet();
    let played = under(config, quiet.clone());
    let mut figures = played.figures.iter();
    played.settings == quiet.settings && figures.all(|(name, one)| *one == Figures::of(name))
}

fn figures(config: &Config, dependency: &str, endpoint: &str) -> Figures {
    let standard = Figures::of(endpoint);
    let (limit, call_deadline) = match dependency {
        "database" => (config.database.limit, config.database.call_deadline),
        "openai" => (config.openai.limit, slowest_provider(config)),
        "redis" => (config.redis.limit, config.redis.call_deadline),
        "s3" => (config.s3.limit, config.s3.first_byte),
        _ => return standard,
    };
    Figures {
        breaker: config.breakers.of(dependency).unwrap_or(standard.breaker),
        limit: u32::try_from(limit).unwrap_or(u32::MAX),
        call_deadline,
        ..standard
    }
}

fn slowest_provider(config: &Config) -> Duration {
    let all = config.openai.providers.iter();
    let slowest = all.map(|one| one.deadline).max();
    slowest.unwrap_or(ProviderSettings::DEADLINE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::load;

    #[test]
    fn the_defaults_are_what_a_world_has_by_itself() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("empty.toml");
        std::fs::write(&file, "").expect("the file is written");
        let config = load(Some(&file), [])
            .expect("an empty file is sound")
            .config;
        assert!(is_standard(&config));
        let scenario = under(&config, Scenario::quiet());
        let names: Vec<_> = scenario.figures.keys().map(String::as_str).collect();
        assert_eq!(names, ["database", "openai", "redis", "s3"]);
        for (name, figures) in &scenario.figures {
            assert_eq!(*figures, Figures::of(name), "{name}");
        }
    }
}
