//! Errors as RFC 9457 problem+json. Every error that leaves the server is made here.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mainstay_runtime::{Error, ErrorKind};
use serde::Serialize;
use std::time::Duration;
use utoipa::ToSchema;

use crate::language::{self, Language};

/// The body of every error reply (`application/problem+json`, RFC 9457).
#[derive(Clone, Debug, Default, PartialEq, Serialize, ToSchema)]
pub struct ProblemBody {
    /// `urn:mainstay:problem:<kind>`.
    #[serde(rename = "type")]
    #[schema(example = "urn:mainstay:problem:unavailable")]
    pub type_: String,
    /// The kind in words, in the caller's language.
    pub title: String,
    /// The HTTP status, repeated.
    pub status: u16,
    /// What happened here, for a person.
    pub detail: String,
    /// The request's id, to be found in the logs.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
    /// The part of the request that is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub field: Option<String>,
    /// The dependency concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dependency: Option<String>,
    /// The degradation level now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub level: Option<String>,
    /// The feature concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub feature: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// Seconds until it is worth trying again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<u64>,
    /// Each mistake of a configuration.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Mistake>,
}

/// One mistake of a configuration.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Mistake {
    /// The file it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its line, from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
    /// The variable of the environment it is in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// The setting, e.g. `breakers.redis.fail_max`.
    pub key: String,
    /// What is wrong, or what is allowed.
    pub detail: String,
}

/// An error reply before it knows its request: [`crate::request`] adds request id, level and language.
#[derive(Clone, Debug)]
pub struct Problem {
    /// The kind's name, e.g. `unauthorized`.
    pub kind: &'static str,
    /// The status.
    pub status: StatusCode,
    /// What happened, for a person.
    pub detail: String,
    /// The part of the request that is wrong.
    pub field: Option<String>,
    /// The dependency concerned.
    pub dependency: Option<String>,
    /// The feature concerned.
    pub feature: Option<String>,
    /// Whether the same request may succeed later.
    pub retryable: bool,
    /// When to try again.
    pub retry_after: Option<Duration>,
    /// Each mistake of a configuration.
    pub mistakes: Vec<Mistake>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: &'static str, status: StatusCode, detail: impl Into<String>) -> Self {
        Self {
            kind,
            status,
            detail: detail.into(),
            field: None,
            dependency: None,
            feature: None,
            retryable: false,
            retry_after: None,
            mistakes: Vec::new(),
        }
    }

    /// No key, or one that isn't right.
    pub fn unauthorized() -> Self {
        Self::new(
            "unauthorized",
            StatusCode::UNAUTHORIZED,
            "send a valid key as `X-API-Key: …` or `Authorization: Bearer …`; `mainstay key new` makes one",
        )
    }

    /// The key lacks a scope.
    pub fn missing_scope(scope: &str) -> Self {
        Self::new(
            "forbidden",
            StatusCode::FORBIDDEN,
            format!("this key lacks the scope `{scope}`"),
        )
    }

    /// More requests than the key may make.
    pub fn rate_limited(retry_after: Duration) -> Self {
        Self {
            retryable: true,
            retry_after: Some(retry_after),
            ..Self::new(
                "rate-limited",
                StatusCode::TOO_MANY_REQUESTS,
                "this key has used up its requests for the moment",
            )
        }
    }

    /// Nothing more of the request's body came for so long.
    pub fn request_timeout(patience: Duration) -> Self {
        Self {
            retryable: true,
            ..Self::new(
                "request-timeout",
                StatusCode::REQUEST_TIMEOUT,
                format!(
                    "nothing more of the body came for {} s; send it without such pauses",
                    patience.as_secs()
                ),
            )
        }
    }

    /// There is no such route.
    pub fn no_route(path: &str) -> Self {
        Self::new(
            "not-found",
            StatusCode::NOT_FOUND,
            format!("there is nothing at {path}; GET /openapi.json lists what there is"),
        )
    }

    /// The body in the caller's language.
    pub fn body(
        &self,
        language: Language,
        request_id: Option<String>,
        level: Option<String>,
    ) -> ProblemBody {
        ProblemBody {
            type_: format!("urn:mainstay:problem:{}", self.kind),
            title: language::title(language, self.kind).to_owned(),
            status: self.status.as_u16(),
            detail: self.detail.clone(),
            request_id,
            field: self.field.clone(),
            dependency: self.dependency.clone(),
            level,
            feature: self.feature.clone(),
            retryable: self.retryable,
            retry_after: self.retry_after.map(whole_seconds),
            errors: self.mistakes.clone(),
        }
    }
}

/// Seconds as headers want them: whole, never less than one.
pub fn whole_seconds(duration: Duration) -> u64 {
    (duration.as_millis().div_ceil(1000) as u64).max(1)
}

/// The HTTP status of an error kind.
pub fn status_of(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::InvalidInput | ErrorKind::MalformedInput => StatusCode::BAD_REQUEST,
        ErrorKind::Forbidden => StatusCode::FORBIDDEN,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::KeyReused => StatusCode::UNPROCESSABLE_ENTITY,
        ErrorKind::PreconditionFailed => StatusCode::PRECONDITION_FAILED,
        ErrorKind::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorKind::RangeNotSatisfiable => StatusCode::RANGE_NOT_SATISFIABLE,
        ErrorKind::Unsupported => StatusCode::NOT_IMPLEMENTED,
        ErrorKind::Unavailable
        | ErrorKind::ReadOnly
        | ErrorKind::NotConfigured
        | ErrorKind::Busy
        | ErrorKind::FeatureOff
        | ErrorKind::JournalFull => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::OutcomeUnknown | ErrorKind::Timeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::MemoryFull => StatusCode::INSUFFICIENT_STORAGE,
        ErrorKind::BadAnswer => StatusCode::BAD_GATEWAY,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self {
            kind: error.kind.as_str(),
            status: status_of(error.kind),
            detail: error.detail,
            field: error.field,
            dependency: error.dependency.map(str::to_owned),
            feature: None,
            retryable: error.retryable,
            retry_after: error.retry_after,
            mistakes: Vec::new(),
        }
    }
}

impl IntoResponse for Problem {
    /// The reply as far as the problem knows it. The problem itself rides along, and the outermost layer, which
    /// knows the request, writes the body anew.
    fn into_response(self) -> Response {
        let body = Json(self.body(Language::English, None, None));
        let mut response = (self.status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        if let Some(after) = self.retry_after {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(whole_seconds(after)));
        }
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response.extensions_mut().insert(self);
        response
    }
}
