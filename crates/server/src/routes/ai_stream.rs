//! A streamed chat as server-sent events, in the form that clients of the API know: a chunk each, then `[DONE]`.
//!
//! An answer that breaks off ends with an event `error` whose data is a problem, and without `[DONE]`.

use std::convert::Infallible;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::sse::{Event, KeepAlive};
use axum::response::{IntoResponse, Response, Sse};
use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use mainstay_openai::ChatStream;
use mainstay_runtime::{Answer, Error};
use serde_json::{Value, json};

use crate::app::Core;
use crate::language;
use crate::problem::Problem;
use crate::reply;
use crate::request::RequestId;

/// How long nothing may be sent before a comment shows proxies that the stream lives.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Proxies that hold answers back are asked not to.
static UNBUFFERED: HeaderName = HeaderName::from_static("x-accel-buffering");

/// The reply whose body is this stream.
pub(crate) fn respond(
    core: &Core,
    answer: Answer<ChatStream>,
    headers: &HeaderMap,
    id: RequestId,
) -> Response {
    let core = core.clone();
    let spoken = language::of_request(headers);
    let broken = move |error: Error| {
        let level = core.handle.level().as_str().to_owned();
        let problem = Problem::from(error);
        problem_event(&json!(problem.body(
            spoken,
            Some(id.0.clone()),
            Some(level)
        )))
    };
    let events = Sse::new(events(answer.value, broken));
    let events = events.keep_alive(KeepAlive::new().interval(KEEP_ALIVE));
    let mut response = events.into_response();
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(UNBUFFERED.clone(), HeaderValue::from_static("no"));
    reply::write_origin(headers, &answer.source, answer.age);
    response
}

fn events(
    chunks: ChatStream,
    broken: impl Fn(Error) -> Event + Send + 'static,
) -> impl Stream<Item = Result<Event, Infallible>> + Send {
    let sending = stream::unfold(
        (chunks, broken, false),
        |(mut chunks, broken, over)| async move {
            if over {
                return None;
            }
            let (event, over) = match chunks.next().await {
                Some(Ok(chunk)) => (chunk_event(&chunk), false),
                Some(Err(error)) => (broken(error), true),
                None => (Event::default().data("[DONE]"), true),
            };
            Some((event, (chunks, broken, over)))
        },
    );
    sending.map(Ok)
}

fn chunk_event(chunk: &Bytes) -> Event {
    Event::default().data(String::from_utf8_lossy(chunk))
}

/// The problem, and in it what clients of the API look for: they raise an error on `error` and know no problems.
fn problem_event(problem: &Value) -> Event {
    let mut problem = problem.clone();
    problem["error"] = json!({ "message": problem["detail"], "type": problem["type"], "param": null, "code": null });
    Event::default().event("error").data(problem.to_string())
}
