//! The three states, the operator's modes and the rules that open a breaker.

use core::fmt;
use core::str::FromStr;

/// What the breaker does with calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum State {
    /// Calls pass and are counted.
    #[default]
    Closed,
    /// Calls are rejected until the open time is over.
    Open,
    /// A few leased probes pass; their verdicts close or re-open it.
    HalfOpen,
}

impl State {
    /// The word for labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
        }
    }

    /// The exported gauge: 0 closed, 1 open, 2 half-open.
    #[must_use]
    pub const fn gauge(self) -> u8 {
        self as u8
    }
}

impl fmt::Display for State {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// How an operator wants the breaker to behave. A mode is a mask: the state beneath it is kept, and
/// shows again when the mode is lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Mode {
    /// The rules decide.
    #[default]
    Auto,
    /// Every call is rejected; exported as open.
    ForcedOpen,
    /// Every call passes and nothing counts; exported as closed.
    Disabled,
    /// The rules decide and report, but no call is rejected.
    Shadow,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Self; 4] = [Self::Auto, Self::ForcedOpen, Self::Disabled, Self::Shadow];

    /// The word for labels, logs and routes.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::ForcedOpen => "forced_open",
            Self::Disabled => "disabled",
            Self::Shadow => "shadow",
        }
    }

    /// The rules run in this mode: verdicts move the state.
    pub(crate) const fn decides(self) -> bool {
        matches!(self, Self::Auto | Self::Shadow)
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The text names no mode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ModeParseError;

impl fmt::Display for ModeParseError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a breaker mode: use auto, forced_open, disabled or shadow")
    }
}

impl core::error::Error for ModeParseError {}

impl FromStr for Mode {
    type Err = ModeParseError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|mode| mode.as_str() == text)
            .ok_or(ModeParseError)
    }
}

/// What opened a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum Rule {
    /// Failures in a row.
    Consecutive,
    /// The share of failures in the window.
    Rate,
    /// The share of slow calls in the window.
    Slow,
    /// Active probes that failed in a row.
    Probes,
    /// An operator.
    Operator,
}

impl Rule {
    /// Every rule, in the order of their discriminants.
    pub const ALL: [Self; 5] = [
        Self::Consecutive,
        Self::Rate,
        Self::Slow,
        Self::Probes,
        Self::Operator,
    ];

    /// The word for labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Consecutive => "consecutive",
            Self::Rate => "rate",
            Self::Slow => "slow",
            Self::Probes => "probes",
            Self::Operator => "operator",
        }
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}
