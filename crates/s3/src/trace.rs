//! What one driver call saw on the wire: `object_store`'s errors alone hide what the classifier needs.
//!
//! The store's HTTP requests run inside the scope of a [`Trace`]; our HTTP service notes the last status, the
//! server's hint and how far a request got.

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use http::{HeaderMap, header};
use http_body_util::BodyExt;
use object_store::ClientOptions;
use object_store::client::{
    HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse,
    HttpResponseBody, HttpService,
};

/// How a request ended, as far as it got.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// No request was made.
    #[default]
    Nothing,
    /// No connection could be made.
    Connect,
    /// The connection broke, or what came over it was no HTTP.
    Exchange,
    /// The server answered with a status.
    Answered,
}

/// The last request of one driver call.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Seen {
    /// How far it got.
    pub(crate) phase: Phase,
    /// The status, once answered.
    pub(crate) status: Option<u16>,
    /// The server's `Retry-After`.
    pub(crate) retry_after: Option<Duration>,
    /// Whether it was a request whose answer has no body to explain itself: HEAD.
    pub(crate) is_wordless: bool,
}

/// Collects [`Seen`] for one driver call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Trace(Arc<Mutex<Seen>>);

tokio::task_local! {
    static CURRENT: Trace;
}

impl Trace {
    /// Runs the call and gives, with its result, what was seen.
    pub(crate) async fn run<F: Future>(call: F) -> (F::Output, Seen) {
        let trace = Self::default();
        let output = CURRENT.scope(trace.clone(), call).await;
        let seen = *trace.lock();
        (output, seen)
    }

    fn note(seen: Seen) {
        // Outside a scope (a body that is read later) nobody asks.
        let _ = CURRENT.try_with(|trace| *trace.lock() = seen);
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Seen> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Makes the clients of an object store notice what happens on the wire.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    client: reqwest::Client,
}

impl Connector {
    /// A connector over one HTTP client.
    pub(crate) fn new(client: reqwest::Client) -> Self {
        Self { client }
    }
}

impl HttpConnector for Connector {
    fn connect(&self, _: &ClientOptions) -> object_store::Result<HttpClient> {
        Ok(HttpClient::new(Wire(self.client.clone())))
    }
}

#[derive(Debug)]
struct Wire(reqwest::Client);

#[async_trait]
impl HttpService for Wire {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let (parts, body) = request.into_parts();
        let url = parts
            .uri
            .to_string()
            .parse::<reqwest::Url>()
            .map_err(|e| HttpError::new(HttpErrorKind::Request, e))?;
        let is_wordless = parts.method == http::Method::HEAD;
        let mut request = reqwest::Request::new(parts.method, url);
        *request.headers_mut() = parts.headers;
        *request.body_mut() = Some(match body.as_bytes() {
            Some(bytes) => bytes.clone().into(),
            None => reqwest::Body::wrap(body),
        });
        match self.0.execute(request).await {
            Ok(response) => Ok(noted(response, is_wordless)),
            Err(error) => {
                Trace::note(Seen {
                    phase: if error.is_connect() {
                        Phase::Connect
                    } else {
                        Phase::Exchange
                    },
                    ..Seen::default()
                });
                Err(wire_error(error))
            }
        }
    }
}

fn noted(response: reqwest::Response, is_wordless: bool) -> HttpResponse {
    Trace::note(Seen {
        phase: Phase::Answered,
        status: Some(response.status().as_u16()),
        retry_after: retry_after(response.headers()),
        is_wordless,
    });
    let response: http::Response<reqwest::Body> = response.into();
    let (parts, body) = response.into_parts();
    HttpResponse::from_parts(parts, HttpResponseBody::new(body.map_err(wire_error)))
}

/// The error without its URL, which a signed query could be part of.
fn wire_error(error: reqwest::Error) -> HttpError {
    let kind = if error.is_connect() {
        HttpErrorKind::Connect
    } else if error.is_timeout() {
        HttpErrorKind::Timeout
    } else if error.is_decode() {
        HttpErrorKind::Decode
    } else {
        HttpErrorKind::Interrupted
    };
    HttpError::new(kind, error.without_url())
}

/// Seconds, as object stores send it; a date is not used by any.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(header::RETRY_AFTER)?.to_str().ok()?;
    text.trim().parse().ok().map(Duration::from_secs)
}
