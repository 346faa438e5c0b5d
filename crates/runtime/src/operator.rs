//! What an operator has set by hand: breaker modes, a pinned level, feature knobs; kept across restarts.
//!
//! Expiries are wall clock on disk. In a running process each has a monotonic moment, worked out when it is set
//! or loaded and never longer than it was meant to last, so a clock that jumps can't prolong it.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use mainstay_breaker::{Mode, Moment};
use mainstay_degradation::{FeatureMode, Level};

use crate::kept;

/// What an operator wants, who it is and why. Audited as an event.
#[derive(Clone, Debug, PartialEq)]
pub struct OperatorCommand {
    /// What to do.
    pub action: Action,
    /// Who: the key's name, never the key.
    pub actor: String,
    /// Why, in the operator's words.
    pub reason: String,
    /// For how long; `None` until taken back.
    pub lasts: Option<Duration>,
}

/// What an operator can do.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// Put an endpoint's breaker into a mode; `auto` takes a mode back.
    Mode {
        /// e.g. `database/replica`.
        endpoint: String,
        /// The mode.
        mode: Mode,
    },
    /// Close an endpoint's breaker and forget its counts.
    Reset {
        /// e.g. `redis`.
        endpoint: String,
    },
    /// Hold the level.
    Pin(Level),
    /// Let the level follow its target again.
    Unpin,
    /// Switch a feature; `None` takes the knob back.
    Knob {
        /// e.g. `s3_uploads`.
        feature: String,
        /// The mode to hold it at.
        mode: Option<FeatureMode>,
    },
}

impl Action {
    /// What it is about, if that is kept.
    pub(crate) fn thing(&self) -> Option<Thing> {
        match self {
            Self::Mode { endpoint, .. } => Some(Thing::Mode(endpoint.clone())),
            Self::Pin(_) | Self::Unpin => Some(Thing::Pin),
            Self::Knob { feature, .. } => Some(Thing::Knob(feature.clone())),
            Self::Reset { .. } => None,
        }
    }

    /// What was done, after the name of who did it.
    pub(crate) fn words(&self) -> String {
        match self {
            Self::Mode { endpoint, mode } => format!("set {endpoint} to {}", mode.as_str()),
            Self::Reset { endpoint } => format!("reset {endpoint}"),
            Self::Pin(level) => format!("pinned the level to {}", level.as_str()),
            Self::Unpin => "unpinned the level".to_owned(),
            Self::Knob { feature, mode } => match mode {
                Some(mode) => format!("set {feature} to {}", mode.as_str()),
                None => format!("let {feature} follow the matrix again"),
            },
        }
    }
}

/// Something set by hand, by name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Thing {
    Mode(String),
    Pin,
    Knob(String),
}

/// Something set by hand, with its audit trail.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// The value's stable name, e.g. `forced_open`, `LIMITED`, `off`.
    pub value: String,
    /// Who set it.
    pub actor: String,
    /// Why.
    pub reason: String,
    /// When.
    pub since: Timestamp,
    /// Until when; `None` until taken back.
    pub expires: Option<Timestamp>,
}

/// Everything an operator has set.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorState {
    /// Breaker modes by endpoint.
    #[serde(default)]
    pub modes: BTreeMap<String, Held>,
    /// The pinned level.
    #[serde(default)]
    pub pin: Option<Held>,
    /// Feature knobs by feature.
    #[serde(default)]
    pub knobs: BTreeMap<String, Held>,
}

impl OperatorState {
    pub(crate) fn things(&self) -> Vec<Thing> {
        let modes = self.modes.keys().cloned().map(Thing::Mode);
        let pin = self.pin.iter().map(|_| Thing::Pin);
        let knobs = self.knobs.keys().cloned().map(Thing::Knob);
        modes.chain(pin).chain(knobs).collect()
    }

    pub(crate) fn held(&self, thing: &Thing) -> Option<&Held> {
        match thing {
            Thing::Mode(endpoint) => self.modes.get(endpoint),
            Thing::Pin => self.pin.as_ref(),
            Thing::Knob(feature) => self.knobs.get(feature),
        }
    }

    pub(crate) fn remove(&mut self, thing: &Thing) {
        match thing {
            Thing::Mode(endpoint) => drop(self.modes.remove(endpoint)),
            Thing::Pin => self.pin = None,
            Thing::Knob(feature) => drop(self.knobs.remove(feature)),
        }
    }
}

impl Held {
    /// The moment it ends, never later than its own length from `now`.
    pub fn ends_at(&self, now: Moment, wall: Timestamp) -> Option<Moment> {
        let expires = self.expires?;
        let meant = duration_between(self.since, expires);
        Some(now + duration_between(wall, expires).min(meant))
    }
}

fn duration_between(from: Timestamp, to: Timestamp) -> Duration {
    Duration::try_from(to.duration_since(from)).unwrap_or(Duration::ZERO)
}

/// The file that keeps [`OperatorState`].
#[derive(Debug)]
pub(crate) struct OperatorFile {
    path: PathBuf,
}

impl OperatorFile {
    /// The file in this data directory.
    pub(crate) fn in_dir(data_dir: &Path) -> Self {
        Self {
            path: data_dir.join("operator.json"),
        }
    }

    /// What the file holds; nothing when there is none.
    ///
    /// # Errors
    /// When the file can't be read or isn't ours: an operator's word is never dropped in silence.
    pub(crate) fn load(&self) -> io::Result<OperatorState> {
        let found = kept::read(&self.path).map_err(|e| self.broken(&e.to_string()))?;
        let Some(bytes) = found else {
            return Ok(OperatorState::default());
        };
        serde_json::from_slice(&bytes).map_err(|e| self.broken(&e.to_string()))
    }

    /// Replaces the file: written beside it, synced, renamed, folder synced.
    ///
    /// # Errors
    /// As the file system says; the earlier file is whole then.
    pub(crate) fn save(&self, state: &OperatorState) -> io::Result<()> {
        let mut text = serde_json::to_vec_pretty(state)?;
        text.push(b'\n');
        kept::replace(&self.path, &text)
    }

    fn broken(&self, why: &str) -> io::Error {
        let path = self.path.display();
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!(
                "{path} can't be read ({why}); mend it, or move it away to drop all modes, pins and knobs"
            ),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(since: i64, expires: i64) -> Held {
        Held {
            value: "forced_open".into(),
            actor: "ana".into(),
            reason: "maintenance".into(),
            since: Timestamp::from_second(since).unwrap(),
            expires: Some(Timestamp::from_second(expires).unwrap()),
        }
    }

    #[test]
    fn what_is_saved_is_loaded() {
        let dir = tempfile::tempdir().unwrap();
        let file = OperatorFile::in_dir(dir.path());
        assert_eq!(file.load().unwrap(), OperatorState::default());
        let mut state = OperatorState::default();
        state.modes.insert("redis".into(), held(0, 60));
        file.save(&state).unwrap();
        assert_eq!(file.load().unwrap(), state);
    }

    #[test]
    fn a_broken_file_is_an_error_that_names_it() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("operator.json"), "{").unwrap();
        let error = OperatorFile::in_dir(dir.path()).load().unwrap_err();
        assert!(error.to_string().contains("operator.json"), "{error}");
    }

    #[test]
    fn a_clock_set_back_does_not_prolong_an_expiry() {
        let now = Moment::from_nanos(5);
        let wall = Timestamp::from_second(-1_000_000).unwrap();
        assert_eq!(
            held(0, 60).ends_at(now, wall),
            Some(now + Duration::from_secs(60))
        );
    }

    #[test]
    fn one_that_ran_out_while_the_process_was_down_ends_at_once() {
        let now = Moment::from_nanos(5);
        let wall = Timestamp::from_second(61).unwrap();
        assert_eq!(held(0, 60).ends_at(now, wall), Some(now));
    }
}
