//! `mainstay simulate`: a made-up outage, played by the real controller and the real breakers, and told like a recording.

mod policy;
mod scenarios;

use std::path::Path;
use std::process::ExitCode;

use mainstay_degradation::Language;
use mainstay_simulator::{Action, Check, Order, Scenario, Violation, WhatIf, World, replay};

use super::replay::show;
use super::{Failure, Surroundings};
use crate::cli::SimulateArguments;
use crate::config::{Config, load};
use crate::output::print;
use crate::story::Told;

pub(crate) use scenarios::Name;

/// One policy's world, told.
struct Played {
    told: Told,
    violations: Vec<Violation>,
    /// The policy is the one that every bound of an invariant is made for.
    standard: bool,
}

pub(super) fn run(
    around: &Surroundings,
    arguments: &SimulateArguments,
) -> Result<ExitCode, Failure> {
    let scenario = scenarios::scenario(arguments);
    let environment = || around.environment.iter().cloned();
    let in_force = load(None, environment())?;
    let whose = in_force.file.as_deref().map_or_else(
        || "the embedded defaults".to_owned(),
        |path| path.display().to_string(),
    );
    let what = format!("{} (seed {})", arguments.scenario.as_str(), arguments.seed);
    let name = format!("{what} with {whose}{}", until(&scenario));
    let one = play(&scenario, arguments, &in_force.config, name)?;
    let other = match &around.config {
        None => None,
        Some(path) => {
            let config = load(Some(path), environment())?.config;
            let name = format!("with {}{}", path.display(), until(&scenario));
            Some(play(&scenario, arguments, &config, name)?)
        }
    };
    let told = other.as_ref().map(|played| &played.told);
    show(around.screen, &arguments.story, &one.told, told)?;
    if other.is_some() {
        print(
            "\nEach policy was played in a world of its own, made of the same scenario and seed.",
        )?;
    }
    let broken = std::iter::once(&one).chain(&other).map(complain);
    let broken = broken.fold(false, |any, one| any | one);
    Ok(ExitCode::from(u8::from(broken)))
}

/// How long a policy is in force that a story names.
fn until(scenario: &Scenario) -> &'static str {
    let reloads = |order: &Order| matches!(order.action, Action::Reload(_));
    if scenario.orders.iter().any(reloads) {
        " until others are reloaded"
    } else {
        ""
    }
}

/// Plays the scenario under a configuration's policy.
fn play(
    scenario: &Scenario,
    arguments: &SimulateArguments,
    config: &Config,
    name: String,
) -> Result<Played, Failure> {
    let scenario = policy::under(config, scenario.clone());
    let world = World::new(scenario, arguments.seed);
    let mut world = world.map_err(|error| Failure::Usage(error.to_string()))?;
    world.record();
    let report = world.run(arguments.length);
    let story = replay(&world.recording(), &WhatIf::default(), Language::English)
        .map_err(|error| Failure::file(Path::new("simulation"), error))?;
    Ok(Played {
        told: Told { name, story },
        violations: report.violations,
        standard: policy::is_standard(config),
    })
}

/// Says what must never happen and did, each kind once; true if it is no matter of the policy.
fn complain(played: &Played) -> bool {
    let name = &played.told.name;
    let is_choice = |check: Check| !played.standard && check.depends_on_policy();
    let mut said = Vec::new();
    for violation in &played.violations {
        if said.contains(&violation.check) {
            continue;
        }
        said.push(violation.check);
        if is_choice(violation.check) {
            eprintln!("{name}: beyond what standard settings keep to: {violation}");
        } else {
            eprintln!("{name}: an invariant was broken: {violation}");
        }
    }
    said.into_iter().any(|check| !is_choice(check))
}
