//! The one error that adapters give to callers: a kind that says what the caller may do, and safe words.

use std::fmt;
use std::time::Duration;

/// What went wrong, as far as it changes what the caller should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The request is well-formed but a value is wrong; `field` names it.
    InvalidInput,
    /// The request can't be read at all (bad JSON, not UTF-8).
    MalformedInput,
    /// The caller may not do this.
    Forbidden,
    /// The thing asked for does not exist, and the dependency said so.
    NotFound,
    /// The dependency refused because of the present data (constraint, serialization, wrong type).
    Conflict,
    /// The caller's key for a request that happens once was used for another request.
    KeyReused,
    /// A condition of the request (If-Match, If-None-Match) does not hold.
    PreconditionFailed,
    /// A body, key or result over its bound.
    TooLarge,
    /// The byte range asked for lies outside the object.
    RangeNotSatisfiable,
    /// This installation can't do it.
    Unsupported,
    /// The dependency can't be used now and nothing else can answer.
    Unavailable,
    /// Writes are refused while the database can't take them; nothing was executed.
    ReadOnly,
    /// The request was sent and not answered: it may have been carried out.
    OutcomeUnknown,
    /// The dependency isn't configured.
    NotConfigured,
    /// The deadline passed; nothing was changed.
    Timeout,
    /// Our own in-flight limit is reached.
    Busy,
    /// The feature is off at the present level or by an operator.
    FeatureOff,
    /// The journal is at a bound or faulted.
    JournalFull,
    /// The store behind a guarded answer has no room left and would have to drop what it promised to keep.
    MemoryFull,
    /// The dependency gave an answer that can't be used.
    BadAnswer,
    /// A defect of our own.
    Internal,
}

impl ErrorKind {
    /// The stable name, as used in `urn:mainstay:problem:<kind>`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidInput => "invalid-input",
            Self::MalformedInput => "malformed-input",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not-found",
            Self::Conflict => "conflict",
            Self::KeyReused => "key-reused",
            Self::PreconditionFailed => "precondition-failed",
            Self::TooLarge => "too-large",
            Self::RangeNotSatisfiable => "range-not-satisfiable",
            Self::Unsupported => "unsupported",
            Self::Unavailable => "unavailable",
            Self::ReadOnly => "read-only",
            Self::OutcomeUnknown => "outcome-unknown",
            Self::NotConfigured => "not-configured",
            Self::Timeout => "timeout",
            Self::Busy => "busy",
            Self::FeatureOff => "feature-off",
            Self::JournalFull => "journal-full",
            Self::MemoryFull => "memory-full",
            Self::BadAnswer => "bad-answer",
            Self::Internal => "internal",
        }
    }

    /// Whether the same request may succeed later without being changed.
    pub fn retryable(self) -> bool {
        matches!(
            self,
            Self::Unavailable
                | Self::ReadOnly
                | Self::Timeout
                | Self::Busy
                | Self::FeatureOff
                | Self::JournalFull
                | Self::BadAnswer
        )
    }
}

/// An error to give to a caller. Its texts hold no secrets, hosts, statements or values of other callers.
#[derive(Clone, Debug, PartialEq)]
pub struct Error {
    /// What the caller may do about it.
    pub kind: ErrorKind,
    /// One sentence for a person.
    pub detail: String,
    /// The part of the request that is wrong, e.g. `params[1]`.
    pub field: Option<String>,
    /// The dependency concerned.
    pub dependency: Option<&'static str>,
    /// When to try again at the earliest.
    pub retry_after: Option<Duration>,
    /// Whether the same request may succeed later; starts as the kind's own answer.
    pub retryable: bool,
}

impl Error {
    /// An error of this kind with a sentence for a person.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            field: None,
            dependency: None,
            retry_after: None,
            retryable: kind.retryable(),
        }
    }

    /// A wrong value in the request: names the field and the remedy.
    pub fn invalid(field: impl Into<String>, detail: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..Self::new(ErrorKind::InvalidInput, detail)
        }
    }

    /// The dependency can't be used now.
    pub fn unavailable(dependency: &'static str, detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, detail).dependency(dependency)
    }

    /// Names the dependency.
    #[must_use]
    pub fn dependency(self, dependency: &'static str) -> Self {
        Self {
            dependency: Some(dependency),
            ..self
        }
    }

    /// Names the field.
    #[must_use]
    pub fn field(self, field: impl Into<String>) -> Self {
        Self {
            field: Some(field.into()),
            ..self
        }
    }

    /// States when to try again.
    #[must_use]
    pub fn retry_after(self, after: impl Into<Option<Duration>>) -> Self {
        Self {
            retry_after: after.into(),
            ..self
        }
    }

    /// Overrides whether trying again may help.
    #[must_use]
    pub fn retryable(self, retryable: bool) -> Self {
        Self { retryable, ..self }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind.as_str(), self.detail)
    }
}

impl std::error::Error for Error {}
