//! The words a guarded call is made of: what is asked, what an attempt knows, how it can end.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Outcome, State};
use mainstay_degradation::DependencyId;

use crate::answer::{CallerId, Context};
use crate::error::{Error, ErrorKind};

/// One operation as its caller asks for it.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// A name from the adapter's closed set.
    pub operation: &'static str,
    /// Whether it may be carried out twice. Only then is it retried.
    pub idempotent: bool,
    /// When everything, queueing and retries included, must be over.
    pub deadline: Moment,
    /// Who calls, where known.
    pub caller: Option<CallerId>,
    /// The dependency in whose place it is made, see [`Context`].
    pub instead_of: Option<DependencyId>,
    /// Whether it may be an open breaker's trial, see [`Guard::trial_at`](crate::Guard::trial_at).
    pub trial: bool,
    /// How long an attempt may take where that is more than the endpoint's calls may.
    pub as_long_as: Duration,
}

impl Call {
    /// A call that must not be carried out twice.
    pub fn new(operation: &'static str, ctx: &Context) -> Self {
        Self {
            operation,
            idempotent: false,
            deadline: ctx.deadline,
            caller: Some(ctx.caller),
            instead_of: ctx.instead_of,
            trial: false,
            as_long_as: Duration::ZERO,
        }
    }

    /// The same call, safe to repeat.
    #[must_use]
    pub fn idempotent(self) -> Self {
        Self {
            idempotent: true,
            ..self
        }
    }

    /// The same call, for which nobody else can be asked: if the breaker is open and a trial is due, this is it.
    #[must_use]
    pub fn trial(self) -> Self {
        Self {
            trial: true,
            ..self
        }
    }

    /// The same call, an attempt at which may take this long where that is more than the endpoint's calls may: for what
    /// takes its time because it is large.
    #[must_use]
    pub fn as_long_as(self, time: Duration) -> Self {
        Self {
            as_long_as: time,
            ..self
        }
    }

    /// The same call with an earlier end, if `at` is earlier.
    #[must_use]
    pub fn no_later_than(self, at: Moment) -> Self {
        Self {
            deadline: self.deadline.min(at),
            ..self
        }
    }
}

/// What a driver's answer says about the dependency.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Verdict {
    /// For the breaker.
    pub outcome: Outcome,
    /// Counts as slow whatever time it took: the server gave up on it at a limit of its own.
    pub slow: bool,
}

impl Verdict {
    /// A correct "no".
    pub const SUCCESS: Self = Self {
        outcome: Outcome::Success,
        slow: false,
    };
    /// The server ended the work at its own limit: slow, not failed.
    pub const SLOW: Self = Self {
        outcome: Outcome::Success,
        slow: true,
    };
    /// Says nothing about the dependency.
    pub const NEUTRAL: Self = Self {
        outcome: Outcome::Neutral,
        slow: false,
    };

    /// A failure of this kind.
    pub const fn failure(kind: FailureKind) -> Self {
        Self {
            outcome: Outcome::Failure(kind),
            slow: false,
        }
    }

    /// The dependency asks for less.
    pub const fn overload(retry_after: Option<Duration>) -> Self {
        Self {
            outcome: Outcome::Overload { retry_after },
            slow: false,
        }
    }

    /// The kind of failure, if it is one.
    pub fn failure_kind(&self) -> Option<FailureKind> {
        match self.outcome {
            Outcome::Failure(kind) => Some(kind),
            Outcome::Overload { .. } => Some(FailureKind::Overload),
            Outcome::Success | Outcome::Neutral => None,
        }
    }
}

impl From<Outcome> for Verdict {
    fn from(outcome: Outcome) -> Self {
        Self {
            outcome,
            slow: false,
        }
    }
}

/// One try at the driver.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// 1 for the first.
    pub number: u32,
    /// When this attempt is given up: the smaller of the call deadline and what remains in all.
    pub deadline: Moment,
    pub(crate) sent: Arc<AtomicBool>,
}

impl Attempt {
    /// From here on the request may have been carried out: a deadline that expires, or a connection that
    /// breaks, leaves the outcome unknown.
    pub fn mark_sent(&self) {
        self.sent.store(true, Ordering::Release);
    }
}

/// Why a breaker refused.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rejection {
    /// The breaker's state.
    pub state: State,
    /// When it may admit again; `None` while it is forced open.
    pub retry_after: Option<Duration>,
}

/// How a guarded call can end without a value.
#[derive(Clone, Debug, PartialEq)]
pub enum CallError<E> {
    /// The breaker refused; the driver wasn't asked.
    Rejected(Rejection),
    /// No place under the in-flight limit before the deadline, or none at all for a call in the place of another
    /// dependency; the driver wasn't asked.
    Busy {
        /// A guess at when a place is free.
        retry_after: Duration,
    },
    /// The deadline passed while the driver worked.
    Deadline {
        /// Whether the request had been sent, see [`Attempt::mark_sent`].
        sent: bool,
    },
    /// The driver's own answer, failures and correct "no"s alike.
    Failed(E),
}

impl<E> CallError<E> {
    /// The general answer to a caller for everything but the driver's own word, which `failed` translates.
    pub fn into_error(self, dependency: &'static str, failed: impl FnOnce(E) -> Error) -> Error {
        match self {
            Self::Rejected(rejection) => Error::unavailable(
                dependency,
                format!(
                    "{dependency} is unavailable: its circuit breaker is {}",
                    words(rejection.state)
                ),
            )
            .retry_after(rejection.retry_after),
            Self::Busy { retry_after } => Error::new(
                ErrorKind::Busy,
                format!("too many calls to {dependency} are in flight"),
            )
            .dependency(dependency)
            .retry_after(retry_after),
            Self::Deadline { .. } => Error::new(
                ErrorKind::Timeout,
                format!("{dependency} did not answer in time"),
            )
            .dependency(dependency),
            Self::Failed(error) => failed(error),
        }
    }

    /// Whether the driver was never asked.
    pub fn was_refused(&self) -> bool {
        matches!(self, Self::Rejected(_) | Self::Busy { .. })
    }
}

fn words(state: State) -> &'static str {
    match state {
        State::Closed => "closed",
        State::Open => "open",
        State::HalfOpen => "half-open and its probes are taken",
    }
}
