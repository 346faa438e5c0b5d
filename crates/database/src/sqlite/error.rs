//! From the driver's error to a [`Fault`].

use mainstay_runtime::{Error, ErrorKind, Verdict};
use rusqlite::{Error as SqliteError, ErrorCode};

use crate::classify;
use crate::fault::{DATABASE, Fault};

/// The fault of a statement, or of opening the file.
pub(super) fn fault_of(error: &SqliteError) -> Fault {
    let (code, message) = match error {
        SqliteError::SqliteFailure(failure, message) => (failure.code, message.clone()),
        SqliteError::SqlInputError { error, msg, .. } => (error.code, Some(msg.clone())),
        SqliteError::MultipleStatement => {
            let detail =
                "there is more than one statement in it: send them as operations of a transaction";
            return Fault::request(Error::invalid("query", detail).dependency(DATABASE));
        }
        other => {
            return Fault::request(Error::invalid("query", other.to_string()).dependency(DATABASE));
        }
    };
    let verdict = classify::sqlite(code);
    let message = message.unwrap_or_else(|| error.to_string());
    Fault {
        read_only: code == ErrorCode::ReadOnly,
        ..Fault::new(verdict, words(code, message, &verdict))
    }
}

/// The fault of a COMMIT. One whose fsync failed may have reached the disk, and is found there after a restart.
pub(super) fn commit_fault(error: &SqliteError) -> Fault {
    let is_io = error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure);
    Fault {
        unanswered: is_io,
        ..fault_of(error)
    }
}

fn words(code: ErrorCode, message: String, verdict: &Verdict) -> Error {
    let error = match code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
            Error::new(ErrorKind::Conflict, "the database is locked by another writer: try again").retryable(true)
        }
        ErrorCode::OperationInterrupted => {
            Error::new(ErrorKind::Timeout, "the database ended the statement at its time limit")
        }
        ErrorCode::CannotOpen | ErrorCode::PermissionDenied => Error::unavailable(
            DATABASE,
            "the database file can't be opened: see that the data directory exists and may be written",
        ),
        ErrorCode::NotADatabase => Error::unavailable(DATABASE, "the database file is not one of SQLite's"),
        ErrorCode::DiskFull => Error::unavailable(DATABASE, "the disk with the database file is full"),
        _ if verdict.failure_kind().is_some() => {
            Error::unavailable(DATABASE, format!("the database failed ({code:?})"))
        }
        ErrorCode::ConstraintViolation => Error::new(ErrorKind::Conflict, message),
        ErrorCode::AuthorizationForStatementDenied => Error::new(
            ErrorKind::Forbidden,
            format!("{message}: the embedded database allows no other files, no PRAGMA, no temporary or virtual tables, and no reserved names"),
        )
        .field("query"),
        ErrorCode::ReadOnly => Error::invalid("query", format!("{message}: a statement that writes is not a read")),
        ErrorCode::TooBig => Error::new(ErrorKind::TooLarge, message).field("query"),
        _ => Error::invalid("query", message),
    };
    error.dependency(DATABASE)
}
