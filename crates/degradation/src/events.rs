//! What happened, as a closed set of values.

use alloc::vec::Vec;
use core::time::Duration;

use mainstay_breaker::{FailureKind, Mode, Moment, Transition};
use serde::{Deserialize, Serialize};

use crate::cascade::patterns::Repeating;
use crate::features::FeatureMode;
use crate::health::MachineChange;
use crate::level::Level;
use crate::settings::{DependencyId, EndpointId, FeatureId};
use crate::snapshot::Cause;

/// One thing that happened, to be recorded.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub enum Event {
    /// Every endpoint has been heard of for the first time, or has had its second to answer.
    FirstRoundOver {
        /// The score then.
        score: f64,
        /// The first level.
        level: Level,
    },
    /// The level changed.
    LevelChanged {
        /// The level before.
        from: Level,
        /// The level now.
        to: Level,
        /// The target now.
        target: Level,
        /// The score now.
        score: f64,
        /// What made it change.
        cause: LevelCause,
        /// What the target is due to.
        causes: Vec<Cause>,
    },
    /// Back at OPTIMAL.
    Recovered {
        /// Since OPTIMAL was left.
        took: Duration,
    },
    /// A breaker changed its state.
    Breaker {
        /// Whose.
        endpoint: EndpointId,
        /// How.
        transition: Transition,
    },
    /// An operator changed a breaker's mode.
    ModeChanged {
        /// Whose.
        endpoint: EndpointId,
        /// The mode before.
        from: Mode,
        /// The mode now.
        to: Mode,
    },
    /// Three probes failed in a row, and the breaker is asked to open.
    ProbesFailed {
        /// Whose.
        endpoint: EndpointId,
        /// How.
        kind: FailureKind,
    },
    /// Two probes passed in a row, and the breaker is asked to let calls try.
    ProbesPassed {
        /// Whose.
        endpoint: EndpointId,
    },
    /// A dependency can't do its main work.
    DependencyDown {
        /// Which.
        dependency: DependencyId,
    },
    /// It can again.
    DependencyUp {
        /// Which.
        dependency: DependencyId,
        /// How long it couldn't.
        outage: Duration,
    },
    /// Several dependencies began to fail within seconds of each other.
    FailingTogether {
        /// Which, in the order of their failures.
        dependencies: Vec<DependencyId>,
    },
    /// Dependencies fail in the same order again and again.
    FailingInTurn {
        /// In which.
        repeating: Repeating,
    },
    /// A component's health changed its state.
    HealthChanged {
        /// Which.
        dependency: DependencyId,
        /// How.
        change: MachineChange,
    },
    /// An operator set the level.
    Pinned {
        /// To this.
        level: Level,
        /// When that ends.
        until: Option<Moment>,
    },
    /// The level follows the target again.
    Unpinned {
        /// The time was over; else an operator took it back.
        expired: bool,
    },
    /// An operator set a feature.
    KnobSet {
        /// Which.
        feature: FeatureId,
        /// To this.
        mode: FeatureMode,
        /// When that ends.
        until: Option<Moment>,
    },
    /// A feature follows the matrix again.
    KnobCleared {
        /// Which.
        feature: FeatureId,
        /// The time was over; else an operator took it back.
        expired: bool,
    },
    /// A command or an observation named something that the rules don't hold, and was not carried out.
    Refused {
        /// What it named, e.g. `feature`.
        what: &'static str,
        /// The index it gave.
        index: u16,
    },
    /// New settings are in force.
    SettingsChanged,
    /// Somebody should know.
    AlertRaised(Alert),
    /// What an alert was about is over.
    AlertOver(Alert),
}

impl Event {
    /// The word for streams and logs.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::FirstRoundOver { .. } => "first_round_over",
            Self::LevelChanged { .. } => "level_changed",
            Self::Recovered { .. } => "recovered",
            Self::Breaker { .. } => "breaker_changed",
            Self::ModeChanged { .. } => "mode_changed",
            Self::ProbesFailed { .. } => "probes_failed",
            Self::ProbesPassed { .. } => "probes_passed",
            Self::DependencyDown { .. } => "dependency_down",
            Self::DependencyUp { .. } => "dependency_up",
            Self::FailingTogether { .. } => "failing_together",
            Self::FailingInTurn { .. } => "failing_in_turn",
            Self::HealthChanged { .. } => "health_changed",
            Self::Pinned { .. } => "level_pinned",
            Self::Unpinned { .. } => "level_unpinned",
            Self::KnobSet { .. } => "feature_set",
            Self::KnobCleared { .. } => "feature_cleared",
            Self::Refused { .. } => "refused",
            Self::SettingsChanged => "settings_changed",
            Self::AlertRaised(_) => "alert_raised",
            Self::AlertOver(_) => "alert_over",
        }
    }
}

/// What made the level change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub enum LevelCause {
    /// This endpoint's breaker opened.
    Opened(EndpointId),
    /// The score stayed below for as many evaluations as it takes.
    Confirmed,
    /// The score allowed the next level up.
    Recovered,
    /// An operator set it.
    Pinned,
    /// An operator's hold ended.
    Unpinned,
}

/// What somebody should know.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Alert {
    /// DEGRADED or worse for too long.
    Degraded {
        /// Since when.
        since: Moment,
        /// The level now.
        level: Level,
    },
    /// A recovery took too long.
    SlowRecovery {
        /// How long.
        took: Duration,
    },
    /// A dependency's 95th percentile is above what the level allows.
    Latency {
        /// Which.
        dependency: DependencyId,
        /// What it is.
        p95: Duration,
        /// What is allowed.
        threshold: Duration,
    },
    /// A dependency's fallback has been giving answers for long.
    FallbackInUse {
        /// Whose.
        dependency: DependencyId,
        /// For how long.
        lasted: Duration,
    },
    /// A dependency's fallback has not been exercised for long: it may not work when it is needed.
    FallbackUnexercised {
        /// Whose.
        dependency: DependencyId,
        /// How long ago it last worked.
        age: Duration,
    },
    /// Accepted work has been waiting for long.
    JournalBehind {
        /// Age of the oldest entry.
        oldest: Duration,
    },
    /// The journal can't keep what it is given.
    JournalFaulted,
}

impl Alert {
    /// The word for webhooks, logs and metrics.
    #[must_use]
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Degraded { .. } => "degraded",
            Self::SlowRecovery { .. } => "slow_recovery",
            Self::Latency { .. } => "latency",
            Self::FallbackInUse { .. } => "fallback_in_use",
            Self::FallbackUnexercised { .. } => "fallback_unexercised",
            Self::JournalBehind { .. } => "journal_behind",
            Self::JournalFaulted => "journal_faulted",
        }
    }

    /// The dependency it is about.
    #[must_use]
    pub const fn dependency(&self) -> Option<DependencyId> {
        match self {
            Self::Latency { dependency, .. }
            | Self::FallbackInUse { dependency, .. }
            | Self::FallbackUnexercised { dependency, .. } => Some(*dependency),
            Self::Degraded { .. }
            | Self::SlowRecovery { .. }
            | Self::JournalBehind { .. }
            | Self::JournalFaulted => None,
        }
    }

    /// Both are about the same, whatever the figures.
    pub(crate) fn is_about_the_same(&self, other: &Self) -> bool {
        core::mem::discriminant(self) == core::mem::discriminant(other)
            && self.dependency() == other.dependency()
    }
}
