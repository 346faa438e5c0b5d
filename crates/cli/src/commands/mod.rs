//! One file a command.

mod check;
mod client;
mod config;
mod journal;
mod key;
mod logging;
mod purge;
mod reload;
mod replay;
mod serve;
mod simulate;
mod status;

pub(crate) use simulate::Name as ScenarioName;

use std::fmt;
use std::path::Path;
use std::process::ExitCode;

use crate::cli::{Arguments, Command};
use crate::config::{ConfigErrors, Loaded, load};
use crate::output::Screen;

/// Holds the key that `mainstay status` uses; no setting.
pub(crate) const KEY_VARIABLE: &str = "MAINSTAY_KEY";

/// Why a command did not do what it was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the user asked for can't be: exit code 2.
    Usage(String),
    /// The configuration is wrong: exit code 2.
    Config(ConfigErrors),
    /// It could be, but it failed: exit code 1.
    Run(String),
    /// The running engine doesn't take it: exit code 2.
    Engine(mainstay_runtime::Error),
}

impl Failure {
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Config(_) | Self::Engine(_) => 2,
            Self::Run(_) => 1,
        }
    }

    /// What happened to which file or folder.
    pub(crate) fn file(path: &Path, error: impl fmt::Display) -> Self {
        Self::Run(format!("{}: {error}", path.display()))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(what) | Self::Run(what) => f.write_str(what),
            Self::Config(errors) => errors.fmt(f),
            Self::Engine(error) => error.fmt(f),
        }
    }
}

impl From<ConfigErrors> for Failure {
    fn from(errors: ConfigErrors) -> Self {
        Self::Config(errors)
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Run(error.to_string())
    }
}

/// What every command gets.
#[derive(Clone, Debug)]
pub(crate) struct Surroundings {
    config: Option<std::path::PathBuf>,
    environment: Vec<(String, String)>,
    screen: Screen,
}

impl Surroundings {
    fn load(&self) -> Result<Loaded, Failure> {
        self.load_again(None)
    }

    /// The same for a server that runs. A file that was read before must be there: without it, every setting would go
    /// back to its default.
    fn load_again(&self, read: Option<&Path>) -> Result<Loaded, Failure> {
        let file = read.or(self.config.as_deref());
        Ok(load(file, self.environment.iter().cloned())?)
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self
            .environment
            .iter()
            .find(|(known, value)| known == name && !value.is_empty());
        found.map(|(_, value)| value.as_str())
    }
}

/// Runs the command.
pub(crate) async fn run(
    arguments: Arguments,
    environment: Vec<(String, String)>,
) -> Result<ExitCode, Failure> {
    let screen = Screen::stdout(&environment);
    let around = Surroundings {
        config: arguments.config,
        environment,
        screen,
    };
    match arguments.command {
        Command::Serve => serve::run(&around).await,
        Command::Check(arguments) => check::run(&around, &arguments).await,
        Command::Status(arguments) => status::run(&around, &arguments).await,
        Command::Journal(arguments) => journal::run(&around, &arguments).await,
        Command::Purge(arguments) => purge::run(&around, &arguments).await,
        Command::Replay(arguments) => replay::run(&around, &arguments),
        Command::Simulate(arguments) => simulate::run(&around, &arguments),
        Command::Key(command) => key::run(&around, command),
        Command::Config(command) => config::run(&around, command),
    }
}
