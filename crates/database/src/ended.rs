//! How a guarded call ended without its value: for the caller, and for those who watch.

use std::sync::Arc;
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment};
use mainstay_runtime::{CallError, Error, ErrorKind, Report, Source, Status};

use crate::client::Database;
use crate::fault::{DATABASE, Fault};
use crate::statement::Rows;

/// Said when nothing better is known about when a failed endpoint is back.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// How a guarded read or write ended without its value.
pub(crate) type Ended = CallError<Fault>;

/// How a read ended, before anybody's earlier results are looked at.
pub(crate) type Landed = Result<(Arc<Rows>, Source), Ended>;

/// Why the primary didn't do its work, if it didn't: a correct "no" is no trouble.
#[derive(Clone, Copy)]
pub(crate) enum Trouble {
    Refused,
    Failed(FailureKind),
}

impl Trouble {
    /// In words that may be shown.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Refused => "the database could not be used",
            Self::Failed(_) => "the database failed, or did not answer",
        }
    }

    pub(crate) fn of(ended: &Ended) -> Option<Self> {
        match ended {
            CallError::Rejected(_) | CallError::Busy { .. } => Some(Self::Refused),
            CallError::Deadline { .. } => Some(Self::Failed(FailureKind::Timeout)),
            CallError::Failed(fault) if fault.error.kind == ErrorKind::Busy => Some(Self::Refused),
            CallError::Failed(fault) => fault.verdict.failure_kind().map(Self::Failed),
        }
    }
}

pub(crate) fn into_error(ended: Ended) -> Error {
    let error = ended.into_error(DATABASE, |fault| fault.error);
    match (error.kind, error.retry_after) {
        (ErrorKind::Unavailable | ErrorKind::Busy, None) => error.retry_after(RETRY_AFTER),
        _ => error,
    }
}

impl Database {
    /// Tells observers how an operation of a caller's ended; once for each.
    pub(crate) fn report(
        &self,
        operation: &'static str,
        started: Moment,
        source: Result<&Source, &Error>,
        trouble: Option<Trouble>,
    ) {
        let status = match (source, trouble) {
            // The trouble was seen by whoever began the read, maybe for several.
            (Ok(Source::Replica), None) => Status::Fallback,
            (_, None) => Status::Success,
            (Ok(_), Some(_)) => Status::Fallback,
            (Err(_), Some(Trouble::Refused)) => Status::Rejected,
            (Err(_), Some(Trouble::Failed(_))) => Status::Failure,
        };
        let error = match trouble {
            Some(Trouble::Failed(kind)) => Some(kind),
            _ => None,
        };
        let elapsed = self.guard().now().saturating_since(started);
        let source = source.ok().cloned();
        self.guard().report(&Report {
            operation,
            status,
            source,
            error,
            elapsed,
        });
    }
}
