//! Score, target and level: the weighted mean, what is forced by what is down, and the hysteresis between.

mod ladder;
mod tally;

use core::fmt;
use core::str::FromStr;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

pub use ladder::Ladder;
pub use tally::Tally;

use crate::settings::{Criticality, LevelSettings};

/// How far the whole system is degraded, best first: a worse level is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Level {
    /// Everything works.
    Optimal,
    /// Something of little weight is missing.
    Degraded,
    /// Something important is missing.
    Limited,
    /// Little is left.
    Minimal,
    /// What it can't do without is missing.
    Emergency,
}

impl Level {
    /// Every level, best first.
    pub const ALL: [Self; 5] = [
        Self::Optimal,
        Self::Degraded,
        Self::Limited,
        Self::Minimal,
        Self::Emergency,
    ];

    /// The word for labels, headers and replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Optimal => "OPTIMAL",
            Self::Degraded => "DEGRADED",
            Self::Limited => "LIMITED",
            Self::Minimal => "MINIMAL",
            Self::Emergency => "EMERGENCY",
        }
    }

    /// The exported gauge, 1 OPTIMAL to 5 EMERGENCY.
    #[must_use]
    pub const fn gauge(self) -> u8 {
        self as u8 + 1
    }

    /// Index into tables with a column for each level, 0 OPTIMAL to 4 EMERGENCY.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The better of the two.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        self.min(other)
    }

    /// The worse of the two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        self.max(other)
    }

    /// The next level up; `None` at OPTIMAL.
    #[must_use]
    pub fn next_up(self) -> Option<Self> {
        Self::ALL.get(self.index().checked_sub(1)?).copied()
    }

    /// The level that one dependency of this criticality forces by being down.
    #[must_use]
    pub const fn forced_by(criticality: Criticality) -> Self {
        match criticality {
            Criticality::None => Self::Optimal,
            Criticality::Low | Criticality::Medium => Self::Degraded,
            Criticality::High => Self::Limited,
            Criticality::Critical => Self::Emergency,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text));
        found.ok_or(UnknownLevel)
    }
}

/// The text names no level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLevel;

impl fmt::Display for UnknownLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a level: use OPTIMAL, DEGRADED, LIMITED, MINIMAL or EMERGENCY")
    }
}

impl core::error::Error for UnknownLevel {}

/// The level whose band holds this score.
#[must_use]
pub fn band(settings: &LevelSettings, score: f64) -> Level {
    let better = settings.bands.iter().position(|edge| score >= *edge);
    Level::ALL[better.unwrap_or(4)]
}

/// An operator's hold on the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The level it sets.
    pub level: Level,
    /// When it ends; `None`: when it is taken back.
    pub until: Option<Moment>,
}

/// Why the level isn't where the target is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum HeldBy {
    /// A fall is being confirmed.
    Confirming {
        /// Evaluations that agreed so far.
        count: u32,
        /// Evaluations that are needed.
        of: u32,
    },
    /// The score is above the edge of the next level up, but not by enough.
    Margin {
        /// The score that is needed.
        needed: f64,
    },
    /// The present level is too young for a rise.
    Dwell {
        /// When it is old enough.
        until: Moment,
    },
    /// An operator has set the level, be it where the target is or elsewhere.
    Pin {
        /// When that ends; `None`: when it is taken back.
        until: Option<Moment>,
    },
}
