//! What a driver's error says about the database: one table for PostgreSQL, one for SQLite.

use std::io;

use mainstay_breaker::FailureKind::{Config, Connect, Internal, Protocol, Timeout, Unavailable};
use mainstay_runtime::Verdict;

/// When an error came: the same code means another thing while connecting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    Connecting,
    Statement,
}

/// What a PostgreSQL driver's error boils down to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signal<'a> {
    /// The server's own word.
    SqlState(&'a str),
    /// The socket failed.
    Io(io::ErrorKind),
    /// The connection ended.
    Closed,
    /// The TLS handshake failed.
    Tls,
    /// Our side can't log in: no password, an unknown method.
    Authentication,
    /// Bytes that the protocol doesn't allow.
    Protocol,
    /// Opening a connection took too long.
    ConnectTimeout,
    /// No connection of our own pool came free.
    PoolWait,
    /// The role is a superuser and that isn't allowed.
    Superuser,
}

/// PostgreSQL's table.
pub(crate) fn postgres(signal: Signal<'_>, stage: Stage) -> Verdict {
    match signal {
        Signal::SqlState(code) => sqlstate(code, stage),
        Signal::Io(io::ErrorKind::TimedOut) | Signal::ConnectTimeout => Verdict::failure(Timeout),
        Signal::Io(_) | Signal::Closed => Verdict::failure(Connect),
        Signal::Tls | Signal::Authentication | Signal::Superuser => Verdict::failure(Config),
        Signal::Protocol => Verdict::failure(Protocol),
        Signal::PoolWait => Verdict::NEUTRAL,
    }
}

/// Codes: PostgreSQL documentation, appendix A.
fn sqlstate(code: &str, stage: Stage) -> Verdict {
    match (code, code.get(..2).unwrap_or_default()) {
        // Ended at limits of the server's own: statement timeout, lock timeout, deadlock, serialization.
        ("57014" | "55P03" | "40P01" | "40001", _) => Verdict::SLOW,
        ("57P04", _) => Verdict::failure(Config),
        ("57P01" | "57P02" | "57P03" | "57P05", _) => Verdict::failure(Unavailable),
        ("42501", _) if stage == Stage::Connecting => Verdict::failure(Config),
        (_, "08") => Verdict::failure(Connect),
        (_, "28" | "3D" | "F0") => Verdict::failure(Config),
        (_, "53") => Verdict::overload(None),
        (_, "58" | "XX") => Verdict::failure(Internal),
        // Anything else is a correct "no" to one statement; while connecting it keeps everybody out.
        _ if stage == Stage::Connecting => Verdict::failure(Config),
        _ => Verdict::SUCCESS,
    }
}

/// SQLite's table.
pub(crate) fn sqlite(code: rusqlite::ErrorCode) -> Verdict {
    use rusqlite::ErrorCode::*;
    match code {
        DatabaseBusy | DatabaseLocked | OperationInterrupted | FileLockingProtocolFailed => {
            Verdict::SLOW
        }
        DiskFull | OutOfMemory => Verdict::overload(None),
        CannotOpen | PermissionDenied | NotADatabase => Verdict::failure(Config),
        SystemIoFailure | DatabaseCorrupt | InternalMalfunction | ApiMisuse => {
            Verdict::failure(Internal)
        }
        _ => Verdict::SUCCESS,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_sqlstate_class_has_its_verdict() {
        let failure = Verdict::failure;
        for (code, statement, connecting) in [
            ("08006", failure(Connect), failure(Connect)),
            ("08P01", failure(Connect), failure(Connect)),
            ("0A000", Verdict::SUCCESS, failure(Config)),
            ("22P02", Verdict::SUCCESS, failure(Config)),
            ("23505", Verdict::SUCCESS, failure(Config)),
            ("25006", Verdict::SUCCESS, failure(Config)),
            ("28P01", failure(Config), failure(Config)),
            ("28000", failure(Config), failure(Config)),
            ("3D000", failure(Config), failure(Config)),
            ("40001", Verdict::SLOW, Verdict::SLOW),
            ("40P01", Verdict::SLOW, Verdict::SLOW),
            ("42501", Verdict::SUCCESS, failure(Config)),
            ("42601", Verdict::SUCCESS, failure(Config)),
            ("42P01", Verdict::SUCCESS, failure(Config)),
            ("53100", Verdict::overload(None), Verdict::overload(None)),
            ("53300", Verdict::overload(None), Verdict::overload(None)),
            ("54001", Verdict::SUCCESS, failure(Config)),
            ("55P03", Verdict::SLOW, Verdict::SLOW),
            ("57014", Verdict::SLOW, Verdict::SLOW),
            ("57P01", failure(Unavailable), failure(Unavailable)),
            ("57P02", failure(Unavailable), failure(Unavailable)),
            ("57P03", failure(Unavailable), failure(Unavailable)),
            ("57P04", failure(Config), failure(Config)),
            ("58030", failure(Internal), failure(Internal)),
            ("F0000", failure(Config), failure(Config)),
            ("P0001", Verdict::SUCCESS, failure(Config)),
            ("XX000", failure(Internal), failure(Internal)),
            ("XX001", failure(Internal), failure(Internal)),
        ] {
            assert_eq!(
                postgres(Signal::SqlState(code), Stage::Statement),
                statement,
                "{code} in a statement"
            );
            assert_eq!(
                postgres(Signal::SqlState(code), Stage::Connecting),
                connecting,
                "{code} while connecting"
            );
        }
    }

    #[test]
    fn everything_but_a_sqlstate_has_its_verdict() {
        for (signal, verdict) in [
            (
                Signal::Io(io::ErrorKind::ConnectionRefused),
                Verdict::failure(Connect),
            ),
            (
                Signal::Io(io::ErrorKind::ConnectionReset),
                Verdict::failure(Connect),
            ),
            (
                Signal::Io(io::ErrorKind::TimedOut),
                Verdict::failure(Timeout),
            ),
            (Signal::Closed, Verdict::failure(Connect)),
            (Signal::Tls, Verdict::failure(Config)),
            (Signal::Authentication, Verdict::failure(Config)),
            (Signal::Protocol, Verdict::failure(Protocol)),
            (Signal::ConnectTimeout, Verdict::failure(Timeout)),
            (Signal::PoolWait, Verdict::NEUTRAL),
            (Signal::Superuser, Verdict::failure(Config)),
        ] {
            assert_eq!(postgres(signal, Stage::Connecting), verdict, "{signal:?}");
        }
    }

    #[test]
    fn every_sqlite_code_has_its_verdict() {
        use rusqlite::ErrorCode::*;
        for (code, verdict) in [
            (DatabaseBusy, Verdict::SLOW),
            (DatabaseLocked, Verdict::SLOW),
            (OperationInterrupted, Verdict::SLOW),
            (DiskFull, Verdict::overload(None)),
            (CannotOpen, Verdict::failure(Config)),
            (PermissionDenied, Verdict::failure(Config)),
            (NotADatabase, Verdict::failure(Config)),
            (SystemIoFailure, Verdict::failure(Internal)),
            (DatabaseCorrupt, Verdict::failure(Internal)),
            (ConstraintViolation, Verdict::SUCCESS),
            (ReadOnly, Verdict::SUCCESS),
            (TypeMismatch, Verdict::SUCCESS),
            (TooBig, Verdict::SUCCESS),
            (AuthorizationForStatementDenied, Verdict::SUCCESS),
            (Unknown, Verdict::SUCCESS),
        ] {
            assert_eq!(sqlite(code), verdict, "{code:?}");
        }
    }
}
