//! From the driver's error to a [`Fault`].

use std::error::Error as _;
use std::io;

use deadpool_postgres::{HookError, PoolError, TimeoutType};
use mainstay_runtime::{Error, ErrorKind, Verdict};
use tokio_postgres::Error as PgError;
use tokio_postgres::error::DbError;

use crate::classify::{self, Signal, Stage};
use crate::fault::{DATABASE, Fault};

/// What the hook on new connections says about a superuser.
pub(super) const SUPERUSER: &str = "superuser";
/// What it says when the server lets us in and then answers nothing.
pub(super) const UNANSWERED: &str = "unanswered";

/// The fault of an attempt to get a connection.
pub(super) fn connecting(error: &PoolError) -> Fault {
    let signal = match error {
        PoolError::Timeout(TimeoutType::Wait) => Signal::PoolWait,
        PoolError::Timeout(_) => Signal::ConnectTimeout,
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => {
            signal(error)
        }
        PoolError::PostCreateHook(HookError::Message(message)) if message == SUPERUSER => {
            Signal::Superuser
        }
        PoolError::PostCreateHook(HookError::Message(message)) if message == UNANSWERED => {
            Signal::ConnectTimeout
        }
        PoolError::PostCreateHook(_) | PoolError::Closed | PoolError::NoRuntimeSpecified => {
            Signal::Closed
        }
    };
    let verdict = classify::postgres(signal, Stage::Connecting);
    Fault::new(verdict, connect_error(signal))
}

/// The fault of a connection that was made outside the pool.
pub(super) fn connecting_alone(error: &PgError) -> Fault {
    let signal = signal(error);
    Fault::new(
        classify::postgres(signal, Stage::Connecting),
        connect_error(signal),
    )
}

/// The fault of a statement.
pub(super) fn statement(error: &PgError) -> Fault {
    let verdict = classify::postgres(signal(error), Stage::Statement);
    let Some(db) = error.as_db_error() else {
        let error = Error::unavailable(DATABASE, "the connection to the database broke");
        return Fault {
            unanswered: true,
            abandon: true,
            ..Fault::new(verdict, error)
        };
    };
    let code = db.code().code();
    Fault {
        // Sent while the server goes down, when a commit may just have been made.
        unanswered: matches!(code, "57P01" | "57P02"),
        read_only: code == "25006",
        abandon: verdict.failure_kind().is_some() || code == "25006",
        ..Fault::new(verdict, words(db, &verdict))
    }
}

fn signal(error: &PgError) -> Signal<'_> {
    if let Some(code) = error.code() {
        return Signal::SqlState(code.code());
    }
    if error.is_closed() {
        return Signal::Closed;
    }
    let text = error.to_string();
    let io = error
        .source()
        .and_then(|source| source.downcast_ref::<io::Error>())
        .map(io::Error::kind);
    match (text.as_str(), io) {
        ("error performing TLS handshake", _) => Signal::Tls,
        ("authentication error" | "invalid configuration", _) => Signal::Authentication,
        ("error communicating with the server" | "error connecting to server", Some(kind)) => {
            Signal::Io(kind)
        }
        ("error connecting to server", None) => Signal::Io(io::ErrorKind::NotConnected),
        ("timeout waiting for server", _) => Signal::ConnectTimeout,
        _ => Signal::Protocol,
    }
}

/// What went wrong while connecting, and the remedy. No host, no user, no message of the server's.
fn connect_error(signal: Signal<'_>) -> Error {
    let detail = match signal {
        Signal::PoolWait => {
            return Error::new(
                ErrorKind::Busy,
                "all connections to the database are in use",
            )
            .dependency(DATABASE);
        }
        Signal::SqlState("28P01") => {
            "the database refuses the password: correct it in database.url"
        }
        Signal::SqlState("28000") => {
            "the database refuses this role or host: see the server's pg_hba.conf, and whether it demands TLS"
        }
        Signal::SqlState("3D000") => {
            "the database does not exist: create it, or correct its name in database.url"
        }
        Signal::SqlState("42501") => "the role may not connect: GRANT CONNECT ON DATABASE to it",
        Signal::SqlState("53300") => {
            "the server has no connection left: raise max_connections or lower the in-flight limit"
        }
        Signal::SqlState("57P03") => {
            "the server is starting up or shutting down: it will be tried again"
        }
        Signal::SqlState(_) => "the server refuses the connection: see its log",
        Signal::Io(io::ErrorKind::ConnectionRefused) => {
            "nothing listens at the address in database.url: start the server, or correct host and port"
        }
        Signal::Io(io::ErrorKind::TimedOut) | Signal::ConnectTimeout => {
            "the server does not answer: see whether it hangs, and the network to it"
        }
        Signal::Io(_) => {
            "the server can't be reached: see host and port in database.url, and the network to it"
        }
        Signal::Closed => "the server closed the connection",
        Signal::Tls => "the TLS handshake failed: see sslmode and sslrootcert in database.url",
        Signal::Authentication => {
            "the login can't be made: see user, password and sslmode in database.url"
        }
        Signal::Protocol => {
            "what answers does not speak PostgreSQL's protocol: see host and port in database.url"
        }
        Signal::Superuser => {
            "the role is a superuser: use one without, or set database.allow_superuser"
        }
    };
    Error::unavailable(DATABASE, detail)
}

/// The server's word on a statement, for the caller that sent it.
fn words(db: &DbError, verdict: &Verdict) -> Error {
    let (code, message) = (db.code().code(), db.message());
    if verdict.failure_kind().is_some() {
        return Error::unavailable(DATABASE, format!("the database failed (SQLSTATE {code})"));
    }
    let detail = format!("{message} (SQLSTATE {code})");
    let query = |detail: String| Error::invalid("query", detail);
    let error = match (code, &code[..2]) {
        ("25006", _) => query(format!("{detail}: a statement that writes is not a read")),
        ("42601", _) if message.contains("multiple commands") => query(
            "there is more than one statement in it: send them as operations of a transaction"
                .to_owned(),
        ),
        ("57014", _) => Error::new(
            ErrorKind::Timeout,
            "the database ended the statement at its time limit",
        ),
        ("40001" | "40P01" | "55P03", _) => {
            Error::new(ErrorKind::Conflict, format!("{detail}: try again")).retryable(true)
        }
        ("42501", _) => Error::new(ErrorKind::Forbidden, detail).field("query"),
        (_, "23") => Error::new(ErrorKind::Conflict, detail),
        (_, "0A") => Error::new(ErrorKind::Unsupported, detail).field("query"),
        (_, "22") => Error::invalid(parameter(db).unwrap_or_else(|| "query".to_owned()), detail),
        _ => query(detail),
    };
    error.dependency(DATABASE)
}

/// The parameter that the server names as the wrong one: `portal "" parameter $2 …` is `params[1]`.
fn parameter(db: &DbError) -> Option<String> {
    let context = db.where_()?;
    let number = context
        .split_once("portal parameter $")
        .map(|(_, rest)| rest)?;
    let digits: String = number.chars().take_while(char::is_ascii_digit).collect();
    let index = digits.parse::<usize>().ok()?.checked_sub(1)?;
    Some(format!("params[{index}]"))
}
