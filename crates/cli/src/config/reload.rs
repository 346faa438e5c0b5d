//! A configuration read again: which settings changed, and which of them a running server can take.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use serde::Serialize;

use super::load::Loaded;
use super::model::Config;
use super::read::Entry;
use super::show::origin;

/// What is in force in a running server.
#[derive(Debug)]
pub(crate) struct InForce {
    pub(crate) config: Config,
    entries: BTreeMap<String, Entry>,
    /// The file that was read, if any.
    pub(crate) file: Option<PathBuf>,
}

/// A setting that has another value than the one in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Changed {
    pub(crate) key: String,
    pub(crate) old: String,
    pub(crate) new: String,
    /// Where the new value came from.
    pub(crate) from: String,
    /// It isn't in force: it needs a restart.
    pub(crate) needs_restart: bool,
}

/// Settings that are taken while the server runs: whole sections, and single keys.
const LIVE_SECTIONS: [&str; 2] = ["breakers.", "degradation."];
const LIVE_KEYS: [&str; 8] = [
    "database.limit",
    "database.call_deadline",
    "redis.limit",
    "redis.call_deadline",
    "s3.limit",
    "openai.limit",
    "fallbacks.exercise_share",
    "log.level",
];

/// Jitter goes on as it began: a running server has no use for another seed.
const SEED: &str = "degradation.seed";

fn is_live(key: &str) -> bool {
    key != SEED && (in_live_section(key) || LIVE_KEYS.contains(&key))
}

fn in_live_section(key: &str) -> bool {
    LIVE_SECTIONS.iter().any(|section| key.starts_with(section))
}

impl InForce {
    pub(crate) fn new(loaded: Loaded) -> Self {
        Self {
            config: loaded.config,
            entries: by_key(loaded.entries),
            file: loaded.file,
        }
    }

    /// This configuration with the live settings of another one.
    pub(crate) fn with_live_of(&self, new: &Config) -> Config {
        let mut config = self.config.clone();
        config.degradation = new.degradation.clone();
        config.degradation.seed = self.config.degradation.seed;
        config.breakers = new.breakers;
        config.database.limit = new.database.limit;
        config.database.call_deadline = new.database.call_deadline;
        config.redis.limit = new.redis.limit;
        config.redis.call_deadline = new.redis.call_deadline;
        config.s3.limit = new.s3.limit;
        config.openai.limit = new.openai.limit;
        config.exercise_share = new.exercise_share;
        config.log.level = new.log.level;
        config
    }

    /// Every setting that differs in what was loaded.
    pub(crate) fn changes(&self, loaded: &Loaded) -> Vec<Changed> {
        let new = by_key(loaded.entries.clone());
        let keys: BTreeSet<&String> = self.entries.keys().chain(new.keys()).collect();
        let changed = keys.into_iter().filter_map(|key| {
            let (was, is) = (self.entries.get(key), new.get(key));
            (value(was) != value(is)).then(|| Changed {
                key: key.clone(),
                old: shown(was),
                new: shown(is),
                from: is.map_or("default".to_owned(), |entry| {
                    origin(&entry.origin, loaded.file.as_deref())
                }),
                needs_restart: !is_live(key),
            })
        });
        changed.collect()
    }

    /// Takes over the live settings; `config` is [`InForce::with_live_of`] what was loaded.
    pub(crate) fn take(&mut self, config: Config, loaded: Loaded) {
        self.config = config;
        self.file = loaded.file;
        let is_pending = |entry: &Entry| !is_live(&entry.key);
        self.entries.retain(|_, entry| is_pending(entry));
        let live = loaded
            .entries
            .into_iter()
            .filter(|entry| !is_pending(entry));
        self.entries
            .extend(live.map(|entry| (entry.key.clone(), entry)));
    }
}

fn by_key(entries: Vec<Entry>) -> BTreeMap<String, Entry> {
    let pairs = entries.into_iter().map(|entry| (entry.key.clone(), entry));
    pairs.collect()
}

fn value(entry: Option<&Entry>) -> Option<(&str, u64)> {
    let entry = entry?;
    Some((entry.shown.as_deref()?, entry.mark))
}

fn shown(entry: Option<&Entry>) -> String {
    let shown = entry.and_then(|entry| entry.shown.clone());
    shown.unwrap_or_else(|| "not set".to_owned())
}
