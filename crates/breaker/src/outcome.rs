//! What a call can come to, as far as a breaker cares.

use core::fmt;
use core::time::Duration;

/// Why a call failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[repr(u8)]
pub enum FailureKind {
    /// No connection could be made, or it broke.
    Connect,
    /// A deadline of ours expired after the call had begun.
    Timeout,
    /// The dependency answered something that its protocol doesn't allow.
    Protocol,
    /// The dependency said that it can't serve now.
    Unavailable,
    /// The dependency failed inside.
    Internal,
    /// Authentication, permission, an unknown bucket: retrying won't help.
    Config,
    /// The dependency has more work than it can take.
    Overload,
}

impl FailureKind {
    /// Every kind, in the order of their discriminants.
    pub const ALL: [Self; 7] = [
        Self::Connect,
        Self::Timeout,
        Self::Protocol,
        Self::Unavailable,
        Self::Internal,
        Self::Config,
        Self::Overload,
    ];

    /// The word for labels and logs.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Timeout => "timeout",
            Self::Protocol => "protocol",
            Self::Unavailable => "unavailable",
            Self::Internal => "internal",
            Self::Config => "config",
            Self::Overload => "overload",
        }
    }

    pub(crate) fn code(self) -> u8 {
        self as u8
    }

    pub(crate) fn from_code(code: u8) -> Option<Self> {
        Self::ALL.get(usize::from(code)).copied()
    }
}

impl fmt::Display for FailureKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

/// The verdict on one call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The dependency did its work; a correct "no" (not found, constraint violated) is one too.
    Success,
    /// The dependency failed.
    Failure(FailureKind),
    /// The dependency asked for less load: counts as a failure.
    Overload {
        /// How long it asked us to wait: a floor for the open time, up to the maximum open time.
        retry_after: Option<Duration>,
    },
    /// Says nothing about the dependency: the caller went away, or our own limit refused.
    Neutral,
}

impl Outcome {
    /// The kind of failure; `None` for success and neutral.
    #[must_use]
    pub const fn failure(self) -> Option<FailureKind> {
        match self {
            Self::Failure(kind) => Some(kind),
            Self::Overload { .. } => Some(FailureKind::Overload),
            Self::Success | Self::Neutral => None,
        }
    }

    pub(crate) const fn hint(self) -> Option<Duration> {
        match self {
            Self::Overload { retry_after } => retry_after,
            _ => None,
        }
    }
}
