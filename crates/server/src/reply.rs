//! The form of successful data replies: the value, where it came from, how old it is.

use std::time::Duration;

use axum::Json;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use mainstay_runtime::{Answer, Guard, Moment, Source};
use serde::Serialize;
use utoipa::ToSchema;

/// The source of a reply's data, as a header.
pub static SOURCE: HeaderName = HeaderName::from_static("mainstay-source");

/// A data reply.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct DataReply<T> {
    /// Always true: errors are problems.
    pub success: bool,
    /// The answer.
    pub data: T,
    /// `primary`, `replica`, `cache`, `journal`, `memory`, `provider:<name>` or `rules`.
    #[schema(example = "primary")]
    pub source: String,
    /// How old the answer is, in milliseconds; 0 when it is fresh.
    pub age_ms: u64,
    /// The breaker's state: `closed`, `open` or `half_open`.
    #[schema(example = "closed")]
    pub breaker_state: &'static str,
    /// From arrival to answer, in milliseconds.
    pub latency_ms: f64,
}

impl<T> DataReply<T> {
    /// A reply of this answer by the dependency behind `guard`.
    pub fn new(answer: Answer<T>, guard: &Guard, started: Moment) -> Self {
        Self {
            success: true,
            source: answer.source.to_string(),
            age_ms: millis(answer.age.unwrap_or_default()),
            data: answer.value,
            breaker_state: guard.state().as_str(),
            latency_ms: latency_ms(guard, started),
        }
    }
}

/// Milliseconds since `started`, to the microsecond.
pub fn latency_ms(guard: &Guard, started: Moment) -> f64 {
    exact_millis(guard.now().saturating_since(started))
}

/// Milliseconds with three decimals: replies and logs are read by people.
pub fn exact_millis(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}

/// Whole milliseconds.
pub fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Writes `Mainstay-Source` and, for older answers, `Age`.
pub fn write_origin(headers: &mut HeaderMap, source: &Source, age: Option<Duration>) {
    if let Ok(value) = HeaderValue::from_str(&source.to_string()) {
        headers.insert(SOURCE.clone(), value);
    }
    if let Some(age) = age {
        headers.insert(header::AGE, HeaderValue::from(age.as_secs()));
    }
}

/// The body as JSON with the headers of its origin.
pub fn json<T: Serialize>(
    status: StatusCode,
    body: &T,
    source: &Source,
    age: Option<Duration>,
) -> Response {
    let mut response = (status, Json(body)).into_response();
    write_origin(response.headers_mut(), source, age);
    response
}

/// A data reply with status 200.
pub fn data<T: Serialize>(answer: Answer<T>, guard: &Guard, started: Moment) -> Response {
    let (source, age) = (answer.source.clone(), answer.age);
    json(
        StatusCode::OK,
        &DataReply::new(answer, guard, started),
        &source,
        age,
    )
}
