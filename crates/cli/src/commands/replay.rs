//! `mainstay replay`: a recording told, as it was and as it would have been.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use mainstay_degradation::recording::{RecordingError, read};
use mainstay_degradation::{Language, Presence, Rules, Settings};
use mainstay_runtime::recordings;
use mainstay_simulator::{WhatIf, replay};

use super::{Failure, Surroundings};
use crate::cli::{ReplayArguments, StoryArguments};
use crate::config::{Config, Loaded, Origin};
use crate::output::{Screen, Text, print};
use crate::story::{Told, compare, svg, table};

pub(super) fn run(around: &Surroundings, arguments: &ReplayArguments) -> Result<ExitCode, Failure> {
    let Some(path) = &arguments.file else {
        return list(around);
    };
    let bytes = recordings::read(path).map_err(|error| unreadable(path, error))?;
    tell(around, &arguments.story, &bytes, path)?;
    Ok(ExitCode::SUCCESS)
}

const NO_RECORDING: &str = "this is no recording: one is a file that ends in .rec.gz, as the server writes it while it runs \
                            (record = true) into recordings/ of its data directory; `mainstay replay` without a file lists them";

/// Why a file can't be read; of one that can't be unpacked, what it should have been.
fn unreadable(path: &Path, error: io::Error) -> Failure {
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData => {
            Failure::file(path, NO_RECORDING)
        }
        _ => Failure::file(path, error),
    }
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
    let failed = |error: RecordingError| match error {
        RecordingError::NotARecording => Failure::file(from, NO_RECORDING),
        error => Failure::file(from, error),
    };
    let story = |name: String, what_if: &WhatIf| {
        let story = replay(bytes, what_if, Language::English).map_err(failed)?;
        Ok::<_, Failure>(Told { name, story })
    };
    let one = story("as recorded".to_owned(), &WhatIf::default())?;
    let other = match &around.config {
        None => None,
        Some(path) => {
            let what_if = what_if(bytes, &around.load()?).map_err(failed)?;
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
fn what_if(bytes: &[u8], loaded: &Loaded) -> Result<Result<WhatIf, Failure>, RecordingError> {
    let ((head, _), config) = (read(bytes)?, &loaded.config);
    let recorded = head.controller.rules();
    let settings = connected_as(recorded.settings(), config.degradation.clone());
    let rules = settings.validate().map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Failure::Usage(errors.join("\n"))
    });
    let breakers = breakers(recorded, &head.breakers, config);
    let untold = untold(recorded, loaded);
    Ok(rules.map(|rules| WhatIf {
        rules: Some(rules),
        breakers,
        limits: limits(recorded, config),
        deadlines: deadlines(recorded, config),
        untold,
    }))
}

/// Deadlines that no endpoint has.
const UNTOLD: [&str; 5] = [
    "openai.first_content",
    "openai.idle",
    "openai.stream_deadline",
    "openai.total_deadline",
    "s3.first_byte",
];

/// Those of them that somebody has set for what was connected.
fn untold(rules: &Rules, loaded: &Loaded) -> BTreeSet<String> {
    let connected = |key: &str| {
        let name = key.split('.').next()?;
        let dependency = rules.dependency(rules.dependency_id(name)?);
        (dependency.presence != Presence::Absent).then_some(())
    };
    let set = loaded.entries.iter().filter(|entry| {
        let key = entry.key.as_str();
        entry.origin != Origin::Default && UNTOLD.contains(&key) && connected(key).is_some()
    });
    set.map(|entry| entry.key.clone()).collect()
}

/// By endpoint.
fn limits(rules: &Rules, config: &Config) -> BTreeMap<String, u32> {
    let all = rules.endpoints().filter_map(|(_, endpoint)| {
        let limit = match rules.dependency(endpoint.dependency).name.as_str() {
            "database" => config.database.limit,
            "openai" => config.openai.limit,
            "redis" => config.redis.limit,
            "s3" => config.s3.limit,
            _ => return None,
        };
        let limit = u32::try_from(limit).unwrap_or(u32::MAX);
        Some((endpoint.name.clone(), limit))
    });
    all.collect()
}

/// By endpoint. A provider that the configuration doesn't name stays as it was, as what is connected does.
fn deadlines(rules: &Rules, config: &Config) -> BTreeMap<String, Duration> {
    let provider = |endpoint: &str| {
        let mut all = config.openai.providers.iter();
        let found = all.find(|one| endpoint.strip_prefix("openai/") == Some(&one.name));
        found.map(|one| one.deadline)
    };
    let all = rules.endpoints().filter_map(|(_, endpoint)| {
        let deadline = match rules.dependency(endpoint.dependency).name.as_str() {
            "database" => config.database.call_deadline,
            "openai" => provider(&endpoint.name)?,
            "redis" => config.redis.call_deadline,
            "s3" => config.s3.idle,
            _ => return None,
        };
        Some((endpoint.name.clone(), deadline))
    });
    all.collect()
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
