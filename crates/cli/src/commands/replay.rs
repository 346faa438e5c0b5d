//! `mainstay replay`: a recording told, as it was and as it would have been.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::ExitCode;

use mainstay_degradation::recording::{RecordingError, read};
use mainstay_degradation::{Language, Rules, Settings};
use mainstay_runtime::recordings;
use mainstay_simulator::{WhatIf, replay};

use super::{Failure, Surroundings};
use crate::cli::{ReplayArguments, StoryArguments};
use crate::config::Config;
use crate::output::{Screen, Text, print};
use crate::story::{Told, compare, svg, table};

pub(super) fn run(around: &Surroundings, arguments: &ReplayArguments) -> Result<ExitCode, Failure> {
    let Some(path) = &arguments.file else {
        return list(around);
    };
    let bytes = recordings::read(path).map_err(|error| Failure::file(path, error))?;
    tell(around, &arguments.story, &bytes, path)?;
    Ok(ExitCode::SUCCESS)
}

/// The recordings of the data directory.
fn list(around: &Surroundings) -> Result<ExitCode, Failure> {
    let data_dir = around.load()?.config.data_dir;
    let folder = recordings::folder(&data_dir);
    let found = recordings::list(&folder).map_err(|error| Failure::file(&folder, error))?;
    if found.is_empty() {
        print(&format!("no recordings in {}", folder.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    let rows = found.into_iter().map(|(path, size)| -> [Text; 2] {
        let size = format!("{:.1} KiB", size as f64 / 1024.0);
        [size.into(), path.display().to_string().into()]
    });
    print(&around.screen.table(["size", "recording"], rows.collect()))?;
    Ok(ExitCode::SUCCESS)
}

/// Tells a recording; with a configuration named, beside it what that one would have made of it.
fn tell(
    around: &Surroundings,
    arguments: &StoryArguments,
    bytes: &[u8],
    from: &Path,
) -> Result<(), Failure> {
    let failed = |error: RecordingError| Failure::file(from, error);
    let story = |name: String, what_if: &WhatIf| {
        let story = replay(bytes, what_if, Language::English).map_err(failed)?;
        Ok::<_, Failure>(Told { name, story })
    };
    let one = story("as recorded".to_owned(), &WhatIf::default())?;
    let other = match &around.config {
        None => None,
        Some(path) => {
            let what_if = what_if(bytes, &around.load()?.config).map_err(failed)?;
            Some(story(format!("with {}", path.display()), &what_if?)?)
        }
    };
    show(around.screen, arguments, &one, other.as_ref())
}

/// Shows one story, or the other one beside its figures.
pub(super) fn show(
    screen: Screen,
    arguments: &StoryArguments,
    one: &Told,
    other: Option<&Told>,
) -> Result<(), Failure> {
    print(&table(screen, other.unwrap_or(one), arguments.details))?;
    print(&format!("\n{}", compare(screen, one, other)))?;
    if let Some(path) = &arguments.svg {
        let pictured: Vec<_> = std::iter::once(one).chain(other).collect();
        std::fs::write(path, svg(&pictured)).map_err(|error| Failure::file(path, error))?;
        eprintln!("The picture is in {}.", path.display());
    }
    Ok(())
}

/// The rules and breakers of a configuration over what was connected when the recording was made.
fn what_if(bytes: &[u8], config: &Config) -> Result<Result<WhatIf, Failure>, RecordingError> {
    let (head, _) = read(bytes)?;
    let recorded = head.controller.rules();
    let settings = connected_as(recorded.settings(), config.degradation.clone());
    let rules = settings.validate().map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Failure::Usage(errors.join("\n"))
    });
    let breakers = breakers(recorded, &head.breakers, config);
    Ok(rules.map(|rules| WhatIf {
        rules: Some(rules),
        breakers,
    }))
}

/// A configuration's settings for the endpoints that are connected in `recorded`.
pub(super) fn connected_as(recorded: &Settings, mut settings: Settings) -> Settings {
    for dependency in &mut settings.dependencies {
        let mut all = recorded.dependencies.iter();
        if let Some(same) = all.find(|one| one.name == dependency.name) {
            dependency.presence = same.presence;
            dependency.endpoints.clone_from(&same.endpoints);
        }
    }
    settings
}

/// By endpoint. A half-open probe's lease follows from deadlines, which are no policy: it stays as it was.
fn breakers(
    rules: &Rules,
    recorded: &[mainstay_breaker::Settings],
    config: &Config,
) -> BTreeMap<String, mainstay_breaker::Settings> {
    let all = rules.endpoints().zip(recorded);
    let wanted = all.filter_map(|((_, endpoint), recorded)| {
        let dependency = &rules.dependency(endpoint.dependency).name;
        let mut settings = config.breakers.of(dependency)?;
        settings.half_open.lease = recorded.half_open.lease;
        Some((endpoint.name.clone(), settings))
    });
    wanted.collect()
}
