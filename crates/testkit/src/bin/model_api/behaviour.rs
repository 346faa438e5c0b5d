//! How the API answers at present, and what it has been asked.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use mainstay_testkit::{ModelApiMode as Mode, StreamFault, pause};
use serde_json::{Value, json};

use crate::error::ApiError;
use crate::streams::Streaming;

pub(crate) struct Behaviour {
    key: String,
    now: Mutex<Now>,
    pub(crate) streaming: Arc<Streaming>,
}

#[derive(Default)]
struct Now {
    mode: Mode,
    requests: BTreeMap<String, u64>,
}

impl Behaviour {
    pub(crate) fn new(key: &str) -> Self {
        Self {
            key: key.to_owned(),
            now: Mutex::default(),
            streaming: Arc::default(),
        }
    }

    /// What every chat answers, when a test has fixed it.
    pub(crate) fn fixed_reply(&self) -> Option<String> {
        match &self.now().mode {
            Mode::FixedReply { content } => Some(content.clone()),
            _ => None,
        }
    }

    /// After how many tokens a streamed chat goes wrong, and how.
    pub(crate) fn stream_fault(&self) -> Option<(usize, StreamFault)> {
        match &self.now().mode {
            Mode::Stream { tokens, then } => Some((*tokens, then.clone())),
            _ => None,
        }
    }

    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a request, and returns its number and the mode that it meets.
    fn count(&self, route: &str) -> (u64, Mode) {
        let mut now = self.now();
        *now.requests.entry(route.to_owned()).or_default() += 1;
        (now.requests.values().sum(), now.mode.clone())
    }

    fn authorize(&self, request: &Request) -> Result<(), ApiError> {
        let given = request.headers().get(header::AUTHORIZATION);
        match given.and_then(|value| value.to_str().ok()?.strip_prefix("Bearer ")) {
            Some(key) if key == self.key => Ok(()),
            Some(_) => Err(ApiError::unauthorized(true)),
            None => Err(ApiError::unauthorized(false)),
        }
    }
}

pub(crate) async fn show(State(behaviour): State<Arc<Behaviour>>) -> Json<Value> {
    let now = behaviour.now();
    let streams = behaviour.streaming.counts();
    Json(json!({ "mode": now.mode, "requests": now.requests, "streams": streams }))
}

pub(crate) async fn set(
    State(behaviour): State<Arc<Behaviour>>,
    Json(mode): Json<Mode>,
) -> StatusCode {
    behaviour.now().mode = mode;
    StatusCode::NO_CONTENT
}

/// Counts, applies the mode, checks the key, and hands on what is left to answer.
pub(crate) async fn misbehave(
    State(behaviour): State<Arc<Behaviour>>,
    request: Request,
    next: Next,
) -> Response {
    let (number, mode) = behaviour.count(request.uri().path());
    let mut response = match behaviour.authorize(&request) {
        Ok(()) => answer(mode, request, next).await,
        Err(error) => error.into_response(),
    };
    let id =
        HeaderValue::try_from(format!("req_{number}")).expect("letters and digits fit a header");
    response.headers_mut().insert("x-request-id", id);
    response
}

async fn answer(mode: Mode, request: Request, next: Next) -> Response {
    match mode {
        Mode::Ok | Mode::FixedReply { .. } | Mode::Stream { .. } => next.run(request).await,
        Mode::RateLimited { retry_after } => {
            let mut response = ApiError::rate_limited().into_response();
            response
                .headers_mut()
                .insert(header::RETRY_AFTER, retry_after.into());
            response
        }
        Mode::Overloaded529 => ApiError::overloaded().into_response(),
        Mode::Internal500 => ApiError::internal().into_response(),
        Mode::Unauthorized => ApiError::unauthorized(true).into_response(),
        Mode::Slow { ms } => {
            pause(Duration::from_millis(ms)).await;
            next.run(request).await
        }
        Mode::Hang => hang(request).await,
        Mode::CutMidway => {
            halve(next.run(request).await, |half| {
                Body::from_stream(stream::iter([Ok(half)]).chain(stream::once(broken())))
            })
            .await
        }
        Mode::StallMidway => {
            halve(next.run(request).await, |half| {
                let silence = stream::pending::<Result<Bytes, std::io::Error>>();
                Body::from_stream(stream::iter([Ok(half)]).chain(silence))
            })
            .await
        }
        Mode::BadJson => {
            let mut response = halve(next.run(request).await, Body::from).await;
            response.headers_mut().remove(header::CONTENT_LENGTH);
            response
        }
    }
}

/// Breaks the connection, a moment later so that what was sent before reaches the client.
async fn broken() -> Result<Bytes, std::io::Error> {
    pause(Duration::from_millis(20)).await;
    Err(std::io::Error::other("cut midway"))
}

/// Reads the request, as a server does that then gets stuck.
async fn hang(request: Request) -> Response {
    let mut body = request.into_body().into_data_stream();
    while body.next().await.is_some() {}
    std::future::pending().await
}

/// Hands the first half of the body to `remake`; the head, with its length, stays as it was.
async fn halve(response: Response, remake: impl FnOnce(Bytes) -> Body) -> Response {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, usize::MAX)
        .await
        .unwrap_or_default();
    Response::from_parts(head, remake(body.slice(..body.len() / 2)))
}
