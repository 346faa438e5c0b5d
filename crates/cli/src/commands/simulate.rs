//! `mainstay simulate`: a made-up outage, played by the real controller and the real breakers, and told like a recording.

mod scenarios;

use std::path::Path;
use std::process::ExitCode;

use mainstay_simulator::{ScenarioError, World};

use super::{Failure, Surroundings, replay};
use crate::cli::SimulateArguments;

pub(crate) use scenarios::Name;

pub(super) fn run(
    around: &Surroundings,
    arguments: &SimulateArguments,
) -> Result<ExitCode, Failure> {
    let failed = |error: ScenarioError| Failure::Usage(error.to_string());
    let scenario = scenarios::scenario(arguments);
    let mut world = World::new(scenario, arguments.seed).map_err(failed)?;
    world.record();
    let report = world.run(arguments.length);
    let bytes = world.recording();
    let name = format!("{} (seed {})", arguments.scenario.as_str(), arguments.seed);
    replay::tell(
        around,
        &arguments.story,
        &bytes,
        &name,
        Path::new("simulation"),
    )?;
    if report.violations.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    for violation in &report.violations {
        eprintln!("an invariant was broken: {violation}");
    }
    Ok(ExitCode::from(1))
}
