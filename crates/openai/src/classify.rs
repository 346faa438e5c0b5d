//! What a provider's failure says about the provider: one table.

use mainstay_breaker::FailureKind;
use mainstay_runtime::Verdict;

use crate::fault::{Fault, Refusal};

/// The verdict on one attempt.
pub(crate) fn classify(fault: &Fault) -> Verdict {
    match fault {
        Fault::Connect => Verdict::failure(FailureKind::Connect),
        // A certificate doesn't mend itself, but the cause may as well be a box between: it is a connection that failed.
        Fault::Tls(_) => Verdict::failure(FailureKind::Connect),
        Fault::Timeout => Verdict::failure(FailureKind::Timeout),
        Fault::Broken | Fault::TooLarge { .. } | Fault::Malformed(_) | Fault::Unfinished => {
            Verdict::failure(FailureKind::Protocol)
        }
        Fault::Refused(refusal) | Fault::BrokeOff(refusal) => classify_status(refusal),
    }
}

fn classify_status(refusal: &Refusal) -> Verdict {
    let hint = refusal.retry_after;
    match refusal.status.as_u16() {
        // No redirect is followed: the request holds a key, and a base URL that redirects is a wrong one.
        300..=399 => Verdict::failure(FailureKind::Config),
        401..=403 => Verdict::failure(FailureKind::Config),
        408 => Verdict::failure(FailureKind::Timeout),
        429 if refusal.out_of_quota => Verdict::failure(FailureKind::Config),
        429 | 529 => Verdict::overload(hint),
        503 if hint.is_some() => Verdict::overload(hint),
        // A correct "no": 400, 404, 413, 422 and their like.
        400..=499 => Verdict::SUCCESS,
        500 => Verdict::failure(FailureKind::Internal),
        501..=599 => Verdict::failure(FailureKind::Unavailable),
        _ => Verdict::failure(FailureKind::Protocol),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use http::StatusCode;

    use super::*;

    const HINT: Option<Duration> = Some(Duration::from_secs(7));

    fn refused(status: u16, retry_after: Option<Duration>, out_of_quota: bool) -> Fault {
        Fault::Refused(Box::new(Refusal {
            status: StatusCode::from_u16(status).unwrap(),
            code: None,
            param: None,
            retry_after,
            out_of_quota,
            response_format: false,
        }))
    }

    fn broke_off(status: u16) -> Fault {
        match refused(status, None, false) {
            Fault::Refused(refusal) => Fault::BrokeOff(refusal),
            other => other,
        }
    }

    #[test]
    fn every_failure_has_its_verdict() {
        use FailureKind::{Config, Connect, Internal, Protocol, Timeout, Unavailable};
        let table = [
            (Fault::Connect, Verdict::failure(Connect)),
            (Fault::Tls("x"), Verdict::failure(Connect)),
            (Fault::Timeout, Verdict::failure(Timeout)),
            (Fault::Broken, Verdict::failure(Protocol)),
            (Fault::TooLarge { limit: 1 }, Verdict::failure(Protocol)),
            (Fault::Malformed("x"), Verdict::failure(Protocol)),
            (Fault::Unfinished, Verdict::failure(Protocol)),
            (broke_off(400), Verdict::SUCCESS),
            (broke_off(429), Verdict::overload(None)),
            (broke_off(500), Verdict::failure(Internal)),
            (refused(308, None, false), Verdict::failure(Config)),
            (refused(400, None, false), Verdict::SUCCESS),
            (refused(404, None, false), Verdict::SUCCESS),
            (refused(405, None, false), Verdict::SUCCESS),
            (refused(413, None, false), Verdict::SUCCESS),
            (refused(422, None, false), Verdict::SUCCESS),
            (refused(401, None, false), Verdict::failure(Config)),
            (refused(402, None, false), Verdict::failure(Config)),
            (refused(403, None, false), Verdict::failure(Config)),
            (refused(408, None, false), Verdict::failure(Timeout)),
            (refused(429, None, false), Verdict::overload(None)),
            (refused(429, HINT, false), Verdict::overload(HINT)),
            (refused(429, HINT, true), Verdict::failure(Config)),
            (refused(500, None, false), Verdict::failure(Internal)),
            (refused(500, HINT, false), Verdict::failure(Internal)),
            (refused(502, None, false), Verdict::failure(Unavailable)),
            (refused(503, None, false), Verdict::failure(Unavailable)),
            (refused(503, HINT, false), Verdict::overload(HINT)),
            (refused(504, None, false), Verdict::failure(Unavailable)),
            (refused(522, None, false), Verdict::failure(Unavailable)),
            (refused(529, None, false), Verdict::overload(None)),
            (refused(529, HINT, false), Verdict::overload(HINT)),
        ];
        for (fault, verdict) in table {
            assert_eq!(classify(&fault), verdict, "{fault:?}");
        }
    }
}
