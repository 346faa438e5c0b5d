//! The header `Idempotency-Key`: a caller's name for a write that must happen once.

use axum::extract::FromRequestParts;
use axum::http::HeaderName;
use axum::http::request::Parts;
use mainstay_database::IdempotencyKey;
use mainstay_runtime::Error;

use crate::problem::Problem;

static KEY: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer is that of an earlier request with the same key.
pub static REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// The key, if the request brings one.
#[derive(Clone, Debug)]
pub struct Idempotency(pub Option<IdempotencyKey>);

impl<S: Send + Sync> FromRequestParts<S> for Idempotency {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        let mut sent = parts.headers.get_all(&KEY).iter();
        let Some(first) = sent.next() else {
            return Ok(Self(None));
        };
        if sent.next().is_some() {
            return Err(Error::invalid("Idempotency-Key", "is given twice: send one").into());
        }
        // What isn't ASCII is refused by the check like any other wrong character.
        let key = IdempotencyKey::parse(first.to_str().unwrap_or_default())?;
        Ok(Self(Some(key)))
    }
}
