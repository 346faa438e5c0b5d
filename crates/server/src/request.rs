//! What every request gets on its way in and out: an id, its level, its time, and errors in one form.

use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use mainstay_runtime::Clock;
use tracing::Instrument;

use crate::app::Core;
use crate::language::{self, Language};
use crate::problem::Problem;
use crate::trace;

/// The header that carries the request's id both ways.
pub static REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
static LEVEL: HeaderName = HeaderName::from_static("mainstay-level");

/// The id of a request, as an extension.
#[derive(Clone, Debug)]
pub struct RequestId(pub String);

/// The outermost layer.
pub async fn frame(State(core): State<Core>, mut request: Request, next: Next) -> Response {
    let clock = core.handle.clock();
    let started = clock.now();
    let id = taken_over(&request).unwrap_or_else(fresh_id);
    let language = language::of_request(request.headers());
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map_or("unmatched", MatchedPath::as_str)
        .to_owned();
    request.extensions_mut().insert(RequestId(id.clone()));
    // An absent trace leaves its field out.
    let trace_id = trace::id(request.headers());
    let span = tracing::info_span!("request", request_id = %id, trace_id, %method, %route);
    let response = next.run(request).instrument(span.clone()).await;
    let level = core.handle.level().as_str();
    let mut response = named(response, &id, language, Some(level));
    response
        .headers_mut()
        .insert(LEVEL.clone(), HeaderValue::from_static(level));
    let unread = [StatusCode::PAYLOAD_TOO_LARGE, StatusCode::REQUEST_TIMEOUT];
    if unread.contains(&response.status()) {
        // The rest of the body is not read, so the connection can't carry another request.
        response
            .headers_mut()
            .insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    finish(&core, &clock, started, &method, &route, &response, &span);
    response
}

/// The same while there is nothing yet that has a level or counts requests.
pub(crate) async fn frame_at_start(request: Request, next: Next) -> Response {
    let id = taken_over(&request).unwrap_or_else(fresh_id);
    let language = language::of_request(request.headers());
    named(next.run(request).await, &id, language, None)
}

/// The reply with its request's id; a problem in the caller's language.
fn named(response: Response, id: &str, language: Language, level: Option<&str>) -> Response {
    let mut response = match response.extensions().get::<Problem>() {
        Some(problem) => {
            let body = problem.body(language, Some(id.to_owned()), level.map(str::to_owned));
            rewritten(&response, &body)
        }
        None => response,
    };
    if let Ok(value) = HeaderValue::from_str(id) {
        response.headers_mut().insert(REQUEST_ID.clone(), value);
    }
    response
}

fn finish(
    core: &Core,
    clock: &Clock,
    started: mainstay_runtime::Moment,
    method: &Method,
    route: &str,
    response: &Response,
    span: &tracing::Span,
) {
    let took = clock.now().saturating_since(started);
    let status = response.status().as_u16();
    core.metrics.http(route, method, status, took);
    let ms = crate::reply::exact_millis(took);
    span.in_scope(|| tracing::info!(status, latency_ms = ms, "answered"));
}

/// The problem's reply with the body that knows its request; headers stay.
fn rewritten(response: &Response, body: &crate::problem::ProblemBody) -> Response {
    let bytes = serde_json::to_vec(body).unwrap_or_default();
    let mut anew = Response::new(Body::from(bytes));
    *anew.status_mut() = response.status();
    *anew.headers_mut() = response.headers().clone();
    anew.headers_mut().remove(header::CONTENT_LENGTH);
    anew
}

/// An id that the caller sent, if it is sane: 1 to 128 visible ASCII characters without quotes.
fn taken_over(request: &Request) -> Option<String> {
    let sent = request.headers().get(&REQUEST_ID)?.to_str().ok()?;
    let sane = |b: u8| b.is_ascii_alphanumeric() || b"-_.:/+=".contains(&b);
    ((1..=128).contains(&sent.len()) && sent.bytes().all(sane)).then(|| sent.to_owned())
}

fn fresh_id() -> String {
    let mut bytes = [0u8; 16];
    // Without randomness an id repeats, which costs a log search and nothing else.
    let _ = getrandom::fill(&mut bytes);
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

/// A panic in a handler: logged by the runtime's hook, answered as an internal problem.
pub fn panicked(_: Box<dyn std::any::Any + Send + 'static>) -> Response {
    Problem::new(
        "internal",
        axum::http::StatusCode::INTERNAL_SERVER_ERROR,
        "a defect of the server; the request id leads to the log",
    )
    .into_response()
}
