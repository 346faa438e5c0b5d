//! What a driver's error says about the store: one table.

use mainstay_runtime::Verdict;
use mainstay_runtime::breaker::FailureKind;
use object_store::Error as StoreError;

use crate::trace::{Phase, Seen};

/// A driver's error with what was seen on the wire.
#[derive(Debug)]
pub(crate) struct Failed {
    /// The driver's word.
    pub(crate) error: StoreError,
    /// The wire's.
    pub(crate) seen: Seen,
}

/// What the caller is told of a correct "no" or a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The store has no such object.
    Absent,
    /// A condition of the request does not hold.
    ConditionFailed,
    /// The object hasn't changed (If-None-Match on a read).
    NotModified,
    /// The object has none of the bytes asked for.
    OutOfRange,
    /// The store refuses this request for its own sake: it will refuse it again.
    Refused,
    /// The store can't do this kind of request.
    Unsupported,
    /// The bucket isn't there, or the key isn't allowed to use it.
    Misconfigured,
    /// The store is asking for less.
    Overloaded,
    /// The store failed.
    Failing,
}

/// The folder's word for a range that an object doesn't have.
#[derive(Debug, thiserror::Error)]
#[error("the range lies outside the object")]
pub(crate) struct OutOfRange;

/// The table.
pub(crate) fn meaning(failed: &Failed) -> Meaning {
    use StoreError as E;
    let status = failed.seen.status;
    match &failed.error {
        E::NotFound { .. } if names_bucket(&failed.error) => Meaning::Misconfigured,
        E::NotFound { .. } => Meaning::Absent,
        E::AlreadyExists { .. } | E::Precondition { .. } => Meaning::ConditionFailed,
        E::NotModified { .. } => Meaning::NotModified,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Meaning::Misconfigured,
        E::Generic { source, .. } if source.is::<OutOfRange>() => Meaning::OutOfRange,
        E::InvalidPath { .. } => Meaning::Refused,
        E::NotSupported { .. } | E::NotImplemented { .. } => Meaning::Unsupported,
        _ => match status {
            // A redirect is what a wrong region or a wrong endpoint gives.
            Some(300..=399 | 401 | 403) => Meaning::Misconfigured,
            Some(400) if says(&failed.error, &CONFIG_CODES) => Meaning::Misconfigured,
            Some(404) if names_bucket(&failed.error) => Meaning::Misconfigured,
            Some(404) => Meaning::Absent,
            Some(409 | 412) => Meaning::ConditionFailed,
            Some(429) => Meaning::Overloaded,
            Some(503) if failed.seen.retry_after.is_some() => Meaning::Overloaded,
            Some(503) if says(&failed.error, &["SlowDown"]) => Meaning::Overloaded,
            Some(501) => Meaning::Unsupported,
            Some(408) => Meaning::Failing,
            Some(416) => Meaning::OutOfRange,
            Some(400..=499) => Meaning::Refused,
            _ => Meaning::Failing,
        },
    }
}

/// What it says about the dependency's health.
pub(crate) fn classify(failed: &Failed) -> Verdict {
    match meaning(failed) {
        Meaning::Absent
        | Meaning::ConditionFailed
        | Meaning::NotModified
        | Meaning::OutOfRange
        | Meaning::Refused
        | Meaning::Unsupported => Verdict::SUCCESS,
        Meaning::Misconfigured => Verdict::failure(FailureKind::Config),
        Meaning::Overloaded => Verdict::overload(failed.seen.retry_after),
        Meaning::Failing => Verdict::failure(kind(failed)),
    }
}

fn kind(failed: &Failed) -> FailureKind {
    match (failed.seen.phase, failed.seen.status) {
        (Phase::Connect, _) => FailureKind::Connect,
        (Phase::Exchange, _) => FailureKind::Protocol,
        (_, Some(500)) => FailureKind::Internal,
        (_, Some(408)) => FailureKind::Timeout,
        (_, Some(502..=504)) => FailureKind::Unavailable,
        (_, Some(200..=299)) => FailureKind::Protocol,
        _ => FailureKind::Internal,
    }
}

/// Codes of a 400 that is about us and not about the request.
const CONFIG_CODES: [&str; 5] = [
    "AuthorizationHeaderMalformed",
    "ExpiredToken",
    "InvalidToken",
    "InvalidBucketName",
    "InvalidRegion",
];

/// S3 answers 404 for a missing bucket too; only the code in the body tells them apart.
pub(crate) fn names_bucket(error: &StoreError) -> bool {
    says(error, &["NoSuchBucket"])
}

/// Whether the server's error body holds one of the codes.
fn says(error: &StoreError, codes: &[&str]) -> bool {
    // The outermost text holds the key, which a caller chooses.
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        let text = error.to_string();
        if codes
            .iter()
            .any(|code| text.contains(&format!("<Code>{code}</Code>")))
        {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn generic() -> StoreError {
        StoreError::Generic {
            store: "S3",
            source: "boom".into(),
        }
    }

    fn answered(status: u16) -> Seen {
        Seen {
            phase: Phase::Answered,
            status: Some(status),
            retry_after: None,
        }
    }

    fn check(error: StoreError, seen: Seen, wanted: Verdict) {
        let failed = Failed { error, seen };
        assert_eq!(classify(&failed), wanted, "{failed:?}");
    }

    #[test]
    fn correct_noes_are_successes() {
        let source = || "no".into();
        let path = || "k".to_owned();
        check(
            StoreError::NotFound {
                path: path(),
                source: source(),
            },
            answered(404),
            Verdict::SUCCESS,
        );
        check(
            StoreError::Precondition {
                path: path(),
                source: source(),
            },
            answered(412),
            Verdict::SUCCESS,
        );
        check(
            StoreError::AlreadyExists {
                path: path(),
                source: source(),
            },
            answered(412),
            Verdict::SUCCESS,
        );
        check(
            StoreError::NotModified {
                path: path(),
                source: source(),
            },
            answered(304),
            Verdict::SUCCESS,
        );
        check(generic(), answered(400), Verdict::SUCCESS);
        check(generic(), answered(413), Verdict::SUCCESS);
        check(generic(), answered(416), Verdict::SUCCESS);
    }

    #[test]
    fn what_only_an_operator_can_mend_is_a_configuration_failure() {
        let config = Verdict::failure(FailureKind::Config);
        let denied = |path: &str| StoreError::PermissionDenied {
            path: path.into(),
            source: "no".into(),
        };
        check(denied("k"), answered(403), config);
        check(generic(), answered(401), config);
        let bucket = StoreError::NotFound {
            path: "k".into(),
            source: "<Code>NoSuchBucket</Code>".into(),
        };
        check(bucket, answered(404), config);
    }

    #[test]
    fn overload_carries_the_servers_hint() {
        let hint = Some(Duration::from_secs(7));
        let seen = |status| Seen {
            retry_after: hint,
            ..answered(status)
        };
        check(generic(), seen(503), Verdict::overload(hint));
        check(generic(), seen(429), Verdict::overload(hint));
        check(generic(), answered(429), Verdict::overload(None));
    }

    #[test]
    fn failures_have_their_kinds() {
        let wire = |phase| Seen {
            phase,
            ..Seen::default()
        };
        check(
            generic(),
            wire(Phase::Connect),
            Verdict::failure(FailureKind::Connect),
        );
        check(
            generic(),
            wire(Phase::Exchange),
            Verdict::failure(FailureKind::Protocol),
        );
        check(
            generic(),
            answered(500),
            Verdict::failure(FailureKind::Internal),
        );
        check(
            generic(),
            answered(502),
            Verdict::failure(FailureKind::Unavailable),
        );
        check(
            generic(),
            answered(503),
            Verdict::failure(FailureKind::Unavailable),
        );
        check(
            generic(),
            answered(200),
            Verdict::failure(FailureKind::Protocol),
        );
    }
}
