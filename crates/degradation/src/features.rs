//! What each feature may do now: the matrix, gated by live causes, and the operators' knobs.
//!
//! A level that is held only by dwell, margin or confirmation has no cause, and what has no cause gates
//! nothing: under causal gating the cell is taken from the better of level and target.

use core::fmt;
use core::str::FromStr;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use crate::level::Level;
use crate::settings::{DependencyId, FeatureId, Gating, Rules};

/// What a feature may do, best first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum FeatureMode {
    /// Everything.
    On,
    /// Served by its fallback.
    Fallback,
    /// A fallback that queues.
    Queued,
    /// A fallback on this machine.
    Local,
    /// A fallback with less choice.
    Limited,
    /// A part of it.
    Partial,
    /// Nothing.
    Off,
}

impl FeatureMode {
    /// Every mode, best first.
    pub const ALL: [Self; 7] = [
        Self::On,
        Self::Fallback,
        Self::Queued,
        Self::Local,
        Self::Limited,
        Self::Partial,
        Self::Off,
    ];

    /// The word for configuration, labels and replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::On => "on",
            Self::Fallback => "fallback",
            Self::Queued => "queued",
            Self::Local => "local",
            Self::Limited => "limited",
            Self::Partial => "partial",
            Self::Off => "off",
        }
    }

    /// 0 on, 1 any kind of fallback, 2 partial, 3 off.
    #[must_use]
    pub const fn rank(self) -> u8 {
        match self {
            Self::On => 0,
            Self::Fallback | Self::Queued | Self::Local | Self::Limited => 1,
            Self::Partial => 2,
            Self::Off => 3,
        }
    }
}

impl fmt::Display for FeatureMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

impl FromStr for FeatureMode {
    type Err = UnknownFeatureMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|mode| mode.as_str() == text);
        found.ok_or(UnknownFeatureMode)
    }
}

/// The text names no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownFeatureMode;

impl fmt::Display for UnknownFeatureMode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a mode: use on, fallback, queued, local, limited, partial or off")
    }
}

impl core::error::Error for UnknownFeatureMode {}

/// What a feature may do now, and why.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FeatureState {
    /// Which.
    pub id: FeatureId,
    /// What it may do.
    pub mode: FeatureMode,
    /// What the matrix says at the current level, whether it applies or not.
    pub cell: FeatureMode,
    /// Why it has this mode.
    pub reason: FeatureReason,
}

/// Why a feature has its mode.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FeatureReason {
    /// Nothing that it requires is a live cause.
    Unaffected,
    /// The matrix applies because of this dependency.
    Cause(DependencyId),
    /// The matrix applies because so many dependencies are down.
    ManyDown(u16),
    /// The matrix always applies.
    Strict,
    /// The matrix applies because the level is pinned.
    Pinned,
    /// A dependency that it requires isn't configured: it is treated as down.
    Absent(DependencyId),
    /// An operator has set it.
    Knob {
        /// When it ends; `None`: when it is taken back.
        until: Option<Moment>,
    },
}

/// An operator's setting of one feature.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Knob {
    /// Which.
    pub feature: FeatureId,
    /// What it may do.
    pub mode: FeatureMode,
    /// When it ends; `None`: when it is taken back.
    pub until: Option<Moment>,
}

/// What the gates look at.
#[derive(Debug, Clone, Copy)]
pub struct Gate<'a> {
    /// The current level.
    pub level: Level,
    /// Where it is going.
    pub target: Level,
    /// The level is pinned.
    pub pinned: bool,
    /// Which dependencies are live causes, by index.
    pub causes: &'a [bool],
    /// How many are down.
    pub down: u16,
    /// The operators' knobs.
    pub knobs: &'a [Knob],
}

/// How many dependencies must be down before MINIMAL and EMERGENCY shed what the table says.
const MANY: u16 = 2;

impl Gate<'_> {
    /// A feature's state.
    #[must_use]
    pub fn state(&self, rules: &Rules, id: FeatureId) -> FeatureState {
        let modes = &rules.feature(id).modes;
        let (mode, reason) = self.knob(id).unwrap_or_else(|| self.by_matrix(rules, id));
        FeatureState {
            id,
            mode,
            cell: modes[self.level.index()],
            reason,
        }
    }

    fn knob(&self, id: FeatureId) -> Option<(FeatureMode, FeatureReason)> {
        let knob = self.knobs.iter().find(|knob| knob.feature == id)?;
        Some((knob.mode, FeatureReason::Knob { until: knob.until }))
    }

    fn by_matrix(&self, rules: &Rules, id: FeatureId) -> (FeatureMode, FeatureReason) {
        let modes = &rules.feature(id).modes;
        let (level, reason) = self.applies(rules, id);
        let gated = modes[level.index()];
        let absent = rules.requires(id).iter().find(|one| rules.is_absent(**one));
        let Some(absent) = absent else {
            return (gated, reason);
        };
        let forced = Level::forced_by(rules.dependency(*absent).criticality);
        let missing = modes[forced.index()];
        if missing.rank() >= gated.rank() {
            (missing, FeatureReason::Absent(*absent))
        } else {
            (gated, reason)
        }
    }

    /// The level whose cell applies, and why.
    fn applies(&self, rules: &Rules, id: FeatureId) -> (Level, FeatureReason) {
        if self.pinned {
            return (self.level, FeatureReason::Pinned);
        }
        if rules.settings().gating == Gating::Strict {
            return (self.level, FeatureReason::Strict);
        }
        let level = self.level.better(self.target);
        if level == Level::Optimal {
            return (level, FeatureReason::Unaffected);
        }
        let live = |one: &&DependencyId| self.causes.get(one.index()).copied().unwrap_or(false);
        if let Some(cause) = rules.requires(id).iter().find(live) {
            return (level, FeatureReason::Cause(*cause));
        }
        if level >= Level::Minimal && self.down >= MANY {
            return (level, FeatureReason::ManyDown(self.down));
        }
        (Level::Optimal, FeatureReason::Unaffected)
    }
}
