//! What a driver's error says: about Redis (for the breaker) and to the caller. One table; its tests are that table.

use std::io;
use std::time::Duration;

use mainstay_breaker::FailureKind;
use mainstay_runtime::{Error, ErrorKind, Verdict};
use redis::{ErrorKind as DriverKind, RedisError};

use crate::class::Class;
use crate::memory::Refusal;

/// The name of the dependency in errors and metrics.
pub const DEPENDENCY: &str = "redis";

/// What an error means.
#[derive(Clone, Debug, PartialEq)]
pub enum Meaning {
    /// A correct "no" to the caller; Redis is well.
    Refused(Error),
    /// Redis can't be used as it should.
    Failed(FailureKind),
    /// Redis asks for less.
    Overload,
}

/// The verdict for the breaker.
pub fn verdict(error: &RedisError) -> Verdict {
    match meaning(error) {
        Meaning::Refused(_) => Verdict::SUCCESS,
        Meaning::Failed(kind) => Verdict::failure(kind),
        Meaning::Overload => Verdict::overload(None),
    }
}

/// Reads an error.
pub fn meaning(error: &RedisError) -> Meaning {
    match error.kind() {
        DriverKind::Io => Meaning::Failed(io_failure(error)),
        DriverKind::Parse | DriverKind::UnexpectedReturnType => {
            Meaning::Failed(FailureKind::Protocol)
        }
        DriverKind::AuthenticationFailed
        | DriverKind::InvalidClientConfig
        | DriverKind::RESP3NotSupported => Meaning::Failed(FailureKind::Config),
        DriverKind::Server(_) | DriverKind::Extension => reply_meaning(
            error.code().unwrap_or_default(),
            error.detail().unwrap_or_default(),
        ),
        _ => Meaning::Failed(FailureKind::Internal),
    }
}

/// Reads an error reply: its code (the first word) and the rest.
fn reply_meaning(code: &str, detail: &str) -> Meaning {
    match code {
        "WRONGTYPE" => Meaning::Refused(refusal(Refusal::WrongType)),
        "ERR" => plain_error(detail),
        "OOM" | "BUSY" | "LOADING" => Meaning::Overload,
        "NOAUTH" | "WRONGPASS" | "NOPERM" | "DENIED" | "MOVED" | "ASK" | "CROSSSLOT" => {
            Meaning::Failed(FailureKind::Config)
        }
        "READONLY" | "MASTERDOWN" | "CLUSTERDOWN" | "TRYAGAIN" | "NOREPLICAS" | "MISCONF" => {
            Meaning::Failed(FailureKind::Unavailable)
        }
        _ => Meaning::Failed(FailureKind::Internal),
    }
}

/// `ERR` has many meanings, told apart by its text only.
fn plain_error(detail: &str) -> Meaning {
    let says = |text: &str| detail.contains(text);
    if says("max number of clients") {
        Meaning::Overload
    } else if says("AUTH") || says("DB index is out of range") {
        Meaning::Failed(FailureKind::Config)
    } else if says("value is not an integer") {
        Meaning::Refused(refusal(Refusal::NotAnInteger))
    } else if says("would overflow") {
        Meaning::Refused(refusal(Refusal::Overflow))
    } else if says("unknown command") {
        let detail =
            "this Redis doesn't know the command: it is older than 7.0, or the command was renamed";
        Meaning::Refused(Error::new(ErrorKind::Unsupported, detail).dependency(DEPENDENCY))
    } else {
        // Its own words may hold values of the request.
        let detail = "Redis refused the command as malformed or out of range";
        Meaning::Refused(Error::new(ErrorKind::InvalidInput, detail).dependency(DEPENDENCY))
    }
}

fn io_failure(error: &RedisError) -> FailureKind {
    if error.is_timeout() {
        FailureKind::Timeout
    } else {
        FailureKind::Connect
    }
}

/// Whether it's what Redis has answered, so that it's known that the command was not carried out.
pub(crate) fn is_reply(error: &RedisError) -> bool {
    matches!(
        error.kind(),
        DriverKind::Server(_) | DriverKind::Extension | DriverKind::AuthenticationFailed
    )
}

/// An error of ours, in the driver's type: the pool or the deadline of a checkout.
pub(crate) fn connection_error(kind: io::ErrorKind, words: &'static str) -> RedisError {
    RedisError::from(io::Error::new(kind, words))
}

/// What a store's "no" tells the caller; the same words whether Redis or memory said it.
pub(crate) fn refusal(refusal: Refusal) -> Error {
    let error = |kind, detail: &str| Error::new(kind, detail).dependency(DEPENDENCY);
    match refusal {
        Refusal::WrongType => {
            let detail = "the key holds another kind of value: use the operations of that kind, or delete the key first";
            error(ErrorKind::Conflict, detail).field("key")
        }
        Refusal::NotAnInteger => error(
            ErrorKind::Conflict,
            "the key's value is not a 64-bit integer: set it to one first",
        )
        .field("key"),
        Refusal::Overflow => {
            error(ErrorKind::Conflict, "the sum would not fit 64 bits").field("by")
        }
        Refusal::Full => {
            let detail = "the store in memory has no room for this: delete keys, or raise redis.memory_bytes";
            error(ErrorKind::MemoryFull, detail)
        }
        Refusal::Class(class) => {
            let detail = match class {
                Class::Cache => "memory can't do this in the place of Redis",
                Class::Counter => {
                    "while Redis is down a counter can be read and counted (get, ttl, incr), nothing else: only a difference can be brought back"
                }
                Class::Session => {
                    "while Redis is down a session is a string (get, set, delete, incr, expire, ttl), nothing else"
                }
                Class::Lock => {
                    "keys of class lock are refused while Redis is down: a lock that only this process knows protects nothing"
                }
                Class::Queue => {
                    "keys of class queue are refused while Redis is down: its entries would be lost or handled twice"
                }
            };
            error(ErrorKind::Unavailable, detail)
        }
        Refusal::TooManyKeys => {
            let detail =
                "Redis is down and as many keys as redis.touched_keys allows were written since";
            error(ErrorKind::Unavailable, detail)
        }
        Refusal::CannotKnow => {
            let detail = "Redis is down and memory does not know what the operation depends on, the key's value or its \
                          time to live; a plain set is possible";
            error(ErrorKind::Unavailable, detail)
        }
    }
}

/// What a failure that can't be answered from memory tells the caller.
pub(crate) fn unavailable(error: &RedisError) -> Error {
    let detail = match meaning(error) {
        Meaning::Failed(FailureKind::Config) => {
            "Redis refuses us: its password, permissions or address are set wrongly"
        }
        Meaning::Failed(FailureKind::Protocol) => {
            "what answers at the address of Redis does not speak its protocol"
        }
        Meaning::Failed(FailureKind::Timeout) => "Redis did not answer in time",
        Meaning::Overload => "Redis is overloaded or still loading its data",
        _ => "Redis can't be reached",
    };
    Error::unavailable(DEPENDENCY, detail).retry_after(Some(Duration::from_secs(1)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reply(text: &str) -> RedisError {
        let line = format!("-{text}\r\n");
        let value = redis::parse_redis_value(line.as_bytes()).expect("a well-formed error reply");
        value.extract_error().expect_err("an error reply")
    }

    fn io(kind: io::ErrorKind) -> RedisError {
        connection_error(kind, "for the test")
    }

    fn check(cases: impl IntoIterator<Item = RedisError>, expected: Meaning) {
        for error in cases {
            assert_eq!(meaning(&error), expected, "{error}");
        }
    }

    #[test]
    fn broken_connections_are_connect_failures() {
        use io::ErrorKind::{
            BrokenPipe, ConnectionAborted, ConnectionRefused, ConnectionReset, UnexpectedEof,
        };
        let kinds = [
            ConnectionRefused,
            ConnectionReset,
            ConnectionAborted,
            BrokenPipe,
            UnexpectedEof,
        ];
        check(kinds.map(io), Meaning::Failed(FailureKind::Connect));
    }

    #[test]
    fn silence_is_a_timeout() {
        check(
            [io(io::ErrorKind::TimedOut)],
            Meaning::Failed(FailureKind::Timeout),
        );
    }

    #[test]
    fn garbage_is_a_protocol_failure() {
        let garbage =
            redis::parse_redis_value(b"HTTP/1.1 400 Bad Request\r\n").expect_err("not Redis");
        let shape = redis::from_redis_value::<i64>(redis::Value::SimpleString("x".into()))
            .expect_err("no number");
        check(
            [garbage, shape.into()],
            Meaning::Failed(FailureKind::Protocol),
        );
    }

    #[test]
    fn a_wrong_login_or_address_is_a_config_failure() {
        let texts = [
            "NOAUTH Authentication required.",
            "WRONGPASS invalid username-password pair or user is disabled.",
            "NOPERM this user has no permissions to run the 'get' command",
            "DENIED Redis is running in protected mode",
            "ERR AUTH <password> called without any password configured for the default user.",
            "ERR DB index is out of range",
            "MOVED 3999 127.0.0.1:6381",
            "CROSSSLOT Keys in request don't hash to the same slot",
        ];
        check(texts.map(reply), Meaning::Failed(FailureKind::Config));
    }

    #[test]
    fn a_replica_or_a_broken_cluster_is_unavailable() {
        let texts = [
            "READONLY You can't write against a read only replica.",
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'.",
            "CLUSTERDOWN The cluster is down",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "NOREPLICAS Not enough good replicas to write.",
            "MISCONF Redis is configured to save RDB snapshots",
        ];
        check(texts.map(reply), Meaning::Failed(FailureKind::Unavailable));
    }

    #[test]
    fn a_full_busy_or_loading_server_is_overloaded() {
        let texts = [
            "OOM command not allowed when used memory > 'maxmemory'.",
            "BUSY Redis is busy running a script.",
            "LOADING Redis is loading the dataset in memory",
            "ERR max number of clients reached",
        ];
        check(texts.map(reply), Meaning::Overload);
    }

    #[test]
    fn a_correct_no_counts_as_success_and_says_what_to_do() {
        let cases = [
            (
                "WRONGTYPE Operation against a key holding the wrong kind of value",
                ErrorKind::Conflict,
            ),
            (
                "ERR value is not an integer or out of range",
                ErrorKind::Conflict,
            ),
            (
                "ERR increment or decrement would overflow",
                ErrorKind::Conflict,
            ),
            ("ERR syntax error", ErrorKind::InvalidInput),
            (
                "ERR invalid expire time in 'set' command",
                ErrorKind::InvalidInput,
            ),
            ("ERR unknown command 'ZADD'", ErrorKind::Unsupported),
        ];
        for (text, kind) in cases {
            let error = reply(text);
            assert_eq!(verdict(&error), Verdict::SUCCESS, "{text}");
            let Meaning::Refused(refused) = meaning(&error) else {
                panic!("{text}")
            };
            assert_eq!(refused.kind, kind, "{text}");
            assert!(is_reply(&error), "{text}");
        }
    }

    #[test]
    fn a_lost_connection_is_no_reply() {
        assert!(!is_reply(&io(io::ErrorKind::ConnectionReset)));
        assert!(is_reply(&reply("OOM command not allowed")));
    }
}
