//! Mistakes in the configuration, all of them at once, each with its place.

use std::fmt;
use std::path::PathBuf;

/// Where a setting's value came from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody set it.
    Default,
    /// A line of the file, counted from 1.
    Line(usize),
    /// An environment variable.
    Variable(String),
}

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Mistake {
    pub(crate) origin: Origin,
    /// e.g. `breakers.redis.fail_max`; empty for what concerns no key (a syntax error).
    pub(crate) key: String,
    /// What was given, as typed; `None` for secrets and for what has no value.
    pub(crate) value: Option<String>,
    /// What is wrong, or what is allowed.
    pub(crate) message: String,
}

impl Mistake {
    /// For sorting: lines in their order, then variables, then what is missing.
    pub(crate) fn place(&self) -> (u8, usize) {
        match self.origin {
            Origin::Line(line) => (0, line),
            Origin::Variable(_) => (1, 0),
            Origin::Default => (2, 0),
        }
    }
}

/// Every mistake of one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ConfigErrors {
    /// The file, if one was read.
    pub(crate) file: Option<PathBuf>,
    pub(crate) mistakes: Vec<Mistake>,
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mistakes.len() {
            1 => f.write_str("the configuration has a mistake:")?,
            count => write!(f, "the configuration has {count} mistakes:")?,
        }
        for mistake in &self.mistakes {
            write!(f, "\n  {}", self.sentence(mistake))?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

impl ConfigErrors {
    /// Logs every mistake with its place and its key.
    pub(crate) fn log(&self) {
        for mistake in &self.mistakes {
            let Mistake {
                origin,
                key,
                message,
                ..
            } = mistake;
            let file = self.file.as_deref().unwrap_or("configuration".as_ref());
            let (line, variable) = match origin {
                Origin::Line(line) => (Some(*line), None),
                Origin::Variable(name) => (None, Some(name.as_str())),
                Origin::Default => (None, None),
            };
            tracing::error!(
                file = %file.display(), line, variable, key, problem = message,
                "a mistake in the configuration"
            );
        }
    }

    fn sentence(&self, mistake: &Mistake) -> String {
        let Mistake {
            origin,
            key,
            value,
            message,
        } = mistake;
        let file = self.file.as_deref().unwrap_or("configuration".as_ref());
        let place = match origin {
            Origin::Default => String::new(),
            Origin::Line(line) => format!("{}:{line}: ", file.display()),
            Origin::Variable(name) => format!("{name}: "),
        };
        let value = value
            .as_ref()
            .map(|value| format!(" = {value}"))
            .unwrap_or_default();
        let key = if key.is_empty() {
            String::new()
        } else {
            format!("{key}{value}: ")
        };
        format!("{place}{key}{message}")
    }
}
