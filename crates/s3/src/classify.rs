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
    /// The store, or a quota, has no room for this: for less of it, or later, it may have.
    NoRoom,
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
        error if says(error, &NO_ROOM_CODES) => Meaning::NoRoom,
        E::NotFound { .. } => not_found(failed),
        E::AlreadyExists { .. } | E::Precondition { .. } => Meaning::ConditionFailed,
        E::NotModified { .. } => Meaning::NotModified,
        E::PermissionDenied { .. } if says(&failed.error, &TEMPORARY_CODES) => Meaning::Failing,
        E::PermissionDenied { .. } | E::Unauthenticated { .. } => Meaning::Misconfigured,
        E::Generic { source, .. } if source.is::<OutOfRange>() => Meaning::OutOfRange,
        E::InvalidPath { .. } => Meaning::Refused,
        E::NotSupported { .. } | E::NotImplemented { .. } => Meaning::Unsupported,
        _ => match status {
            // A redirect is what a wrong region or a wrong endpoint gives.
            Some(300..=399 | 401 | 403) => Meaning::Misconfigured,
            Some(400) if says(&failed.error, &CONFIG_CODES) => Meaning::Misconfigured,
            Some(404) => not_found(failed),
            Some(409 | 412) => Meaning::ConditionFailed,
            Some(429) => Meaning::Overloaded,
            Some(503) if failed.seen.retry_after.is_some() => Meaning::Overloaded,
            Some(503) if says(&failed.error, &["SlowDown"]) => Meaning::Overloaded,
            Some(501) => Meaning::Unsupported,
            Some(408) => Meaning::Failing,
            Some(416) => Meaning::OutOfRange,
            // Whoever says it, it is about this request's size.
            Some(413 | 414 | 431) => Meaning::Refused,
            Some(400..=499) if is_foreign(failed) => Meaning::Failing,
            Some(400..=499) if says(&failed.error, &TEMPORARY_CODES) => Meaning::Failing,
            Some(400..=499) => Meaning::Refused,
            _ => Meaning::Failing,
        },
    }
}

/// A 404 says that there is no such object only in S3's own words: something between us and the store answers so too.
fn not_found(failed: &Failed) -> Meaning {
    if names_bucket(&failed.error) {
        Meaning::Misconfigured
    } else if failed.seen.status.is_none() || says(&failed.error, &ABSENT_CODES) {
        // Without a status it is a folder's.
        Meaning::Absent
    } else {
        Meaning::Failing
    }
}

/// Whether an answer is not worded as S3 words its errors: it is somebody else's. One to a HEAD has no words.
fn is_foreign(failed: &Failed) -> bool {
    !failed.seen.is_wordless && !contains(&failed.error, "<Code>")
}

/// Whether something between us and the store says no, and not only that it has waited for too long.
pub(crate) fn is_foreign_no(failed: &Failed) -> bool {
    matches!(failed.seen.status, Some(400..=407 | 409..=499)) && is_foreign(failed)
}

/// What it says about the dependency's health.
pub(crate) fn classify(failed: &Failed) -> Verdict {
    match meaning(failed) {
        Meaning::Absent
        | Meaning::ConditionFailed
        | Meaning::NotModified
        | Meaning::OutOfRange
        | Meaning::Refused
        | Meaning::NoRoom
        | Meaning::Unsupported => Verdict::SUCCESS,
        Meaning::Misconfigured => Verdict::failure(FailureKind::Config),
        Meaning::Overloaded => Verdict::overload(failed.seen.retry_after),
        Meaning::Failing => Verdict::failure(kind(failed)),
    }
}

/// The same of our own work, the drain's above all: a refusal is of this work, which nobody waits for and which is tried
/// again and again. That everything is refused, callers' own calls and probes find out.
pub(crate) fn classify_ours(failed: &Failed) -> Verdict {
    match meaning(failed) {
        Meaning::Misconfigured => Verdict::NEUTRAL,
        Meaning::Failing if is_foreign_no(failed) => Verdict::NEUTRAL,
        _ => classify(failed),
    }
}

fn kind(failed: &Failed) -> FailureKind {
    match (failed.seen.phase, failed.seen.status) {
        (Phase::Connect, _) => FailureKind::Connect,
        (Phase::Exchange, _) => FailureKind::Protocol,
        (_, Some(500)) => FailureKind::Internal,
        (_, Some(408)) => FailureKind::Timeout,
        (_, Some(502..=504)) => FailureKind::Unavailable,
        (_, Some(200..=299 | 400..=499)) => FailureKind::Protocol,
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

/// Codes of a 404 that is about the object, or about an upload in parts.
const ABSENT_CODES: [&str; 2] = ["NoSuchKey", "NoSuchUpload"];

/// Codes of stores that are full, or whose owner has set a quota.
const NO_ROOM_CODES: [&str; 3] = [
    "QuotaExceeded",
    "XMinioAdminBucketQuotaExceeded",
    "XMinioStorageFull",
];

/// Codes of a "no" that the same request may well not get the next time: it came too slowly, not whole, or at a time
/// when the clocks disagreed.
const TEMPORARY_CODES: [&str; 5] = [
    "RequestTimeout",
    "IncompleteBody",
    "BadDigest",
    "XAmzContentSHA256Mismatch",
    "RequestTimeTooSkewed",
];

/// Whether S3 says that there is no such object.
pub(crate) fn names_absence(error: &StoreError) -> bool {
    says(error, &ABSENT_CODES)
}

/// S3 answers 404 for a missing bucket too; only the code in the body tells them apart.
pub(crate) fn names_bucket(error: &StoreError) -> bool {
    says(error, &["NoSuchBucket"])
}

/// Whether the server's error body holds one of the codes.
fn says(error: &StoreError, codes: &[&str]) -> bool {
    codes
        .iter()
        .any(|code| contains(error, &format!("<Code>{code}</Code>")))
}

fn contains(error: &StoreError, words: &str) -> bool {
    // The outermost text holds the key, which a caller chooses.
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.to_string().contains(words) {
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

    /// As S3 words it.
    fn coded(code: &str) -> StoreError {
        StoreError::Generic {
            store: "S3",
            source: format!("<Error><Code>{code}</Code></Error>").into(),
        }
    }

    fn not_found(words: &str) -> StoreError {
        StoreError::NotFound {
            path: "<Code>NoSuchKey</Code>".to_owned(),
            source: words.into(),
        }
    }

    fn answered(status: u16) -> Seen {
        Seen {
            phase: Phase::Answered,
            status: Some(status),
            ..Seen::default()
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
            not_found("<Code>NoSuchKey</Code>"),
            answered(404),
            Verdict::SUCCESS,
        );
        check(not_found("a folder's"), Seen::default(), Verdict::SUCCESS);
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
        check(coded("EntityTooLarge"), answered(400), Verdict::SUCCESS);
        check(generic(), answered(413), Verdict::SUCCESS);
        check(generic(), answered(416), Verdict::SUCCESS);
        let wordless = Seen {
            is_wordless: true,
            ..answered(400)
        };
        check(generic(), wordless, Verdict::SUCCESS);
    }

    #[test]
    fn what_the_store_itself_did_not_say_or_may_not_say_again_is_a_failure() {
        let protocol = Verdict::failure(FailureKind::Protocol);
        check(not_found("default backend - 404"), answered(404), protocol);
        check(generic(), answered(400), protocol);
        check(generic(), answered(405), protocol);
        for code in TEMPORARY_CODES {
            check(coded(code), answered(400), protocol);
        }
        let skewed = StoreError::PermissionDenied {
            path: "k".into(),
            source: "<Code>RequestTimeTooSkewed</Code>".into(),
        };
        check(skewed, answered(403), protocol);
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
    fn a_store_without_room_works() {
        for (code, status) in NO_ROOM_CODES.into_iter().zip([403, 400, 507]) {
            check(coded(code), answered(status), Verdict::SUCCESS);
        }
        let denied = StoreError::PermissionDenied {
            path: "k".into(),
            source: "<Code>QuotaExceeded</Code>".into(),
        };
        check(denied, answered(403), Verdict::SUCCESS);
        // Not as the store words it.
        let internal = Verdict::failure(FailureKind::Internal);
        check(generic(), answered(507), internal);
    }

    #[test]
    fn a_refusal_of_our_own_work_says_nothing_of_the_store() {
        let ours = |error, seen| classify_ours(&Failed { error, seen });
        let denied = StoreError::PermissionDenied {
            path: "k".into(),
            source: "no".into(),
        };
        assert_eq!(ours(denied, answered(403)), Verdict::NEUTRAL);
        assert_eq!(ours(generic(), answered(405)), Verdict::NEUTRAL);
        assert_eq!(
            ours(generic(), answered(500)),
            Verdict::failure(FailureKind::Internal)
        );
        assert_eq!(
            ours(not_found("<Code>NoSuchKey</Code>"), answered(404)),
            Verdict::SUCCESS
        );
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
