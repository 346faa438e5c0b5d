//! How a dependency is, and what a call or a probe meets then.

use std::time::Duration;

use mainstay_breaker::{FailureKind, Outcome};

use crate::figures::Figures;
use crate::random::Random;

/// How one endpoint is at present.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// As it should be.
    Well,
    /// Nobody listens.
    Refuses,
    /// It accepts and never answers.
    Hangs,
    /// It answers everything this late.
    Slow(Duration),
    /// It asks for less load, and may say for how long.
    Overloaded {
        /// What it says.
        retry_after: Option<Duration>,
    },
    /// It refuses our credentials.
    Misconfigured,
    /// This share of calls and probes fails.
    Flaky {
        /// In percent.
        percent: u8,
    },
    /// Its cheap probe passes, and real calls fail.
    OnlyProbesPass,
}

/// What the inspector may expect in a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Health {
    /// Every call and every probe succeeds in time.
    Well,
    /// Every call and every probe fails.
    Ill,
    /// Neither is certain.
    Uncertain,
}

/// Who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asker {
    Call,
    Probe,
}

/// What it comes to. `takes` is `None` when no answer ever comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) takes: Option<Duration>,
    pub(crate) outcome: Outcome,
}

const REFUSED: Duration = Duration::from_millis(1);
const PROBE: Duration = Duration::from_millis(3);

impl Condition {
    /// What may be expected.
    #[must_use]
    pub const fn health(self) -> Health {
        match self {
            Self::Well => Health::Well,
            Self::Refuses | Self::Hangs | Self::Overloaded { .. } | Self::Misconfigured => {
                Health::Ill
            }
            Self::Slow(_) | Self::Flaky { .. } | Self::OnlyProbesPass => Health::Uncertain,
        }
    }

    /// The word in traces.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Refuses => "refuses",
            Self::Hangs => "hangs",
            Self::Slow(_) => "slow",
            Self::Overloaded { .. } => "overloaded",
            Self::Misconfigured => "misconfigured",
            Self::Flaky { .. } => "flaky",
            Self::OnlyProbesPass => "only-probes-pass",
        }
    }

    pub(crate) fn answer(self, asker: Asker, figures: &Figures, random: &mut Random) -> Answer {
        let usual = match asker {
            Asker::Call => random.between(figures.latency.0, figures.latency.1),
            Asker::Probe => PROBE,
        };
        let answer = |takes, outcome| Answer {
            takes: Some(takes),
            outcome,
        };
        let failed = |kind| answer(REFUSED, Outcome::Failure(kind));
        match self {
            Self::Well => answer(usual, Outcome::Success),
            Self::Refuses => failed(FailureKind::Connect),
            Self::Hangs => Answer {
                takes: None,
                outcome: Outcome::Failure(FailureKind::Timeout),
            },
            Self::Slow(takes) => answer(takes, Outcome::Success),
            Self::Overloaded { retry_after } => answer(REFUSED, Outcome::Overload { retry_after }),
            Self::Misconfigured => failed(FailureKind::Config),
            Self::Flaky { percent } if random.chance(u64::from(percent)) => {
                failed(FailureKind::Unavailable)
            }
            Self::Flaky { .. } => answer(usual, Outcome::Success),
            Self::OnlyProbesPass if asker == Asker::Probe => answer(usual, Outcome::Success),
            Self::OnlyProbesPass => failed(FailureKind::Internal),
        }
    }
}
