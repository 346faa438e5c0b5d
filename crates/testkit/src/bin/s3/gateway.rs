//! What stands in front of the file-system S3: faults on demand, whole bodies, one writer at a time.
//!
//! s3s-fs checks a condition and writes in two steps, stores a body before it knows its checksum, and
//! leaves a refused body unread in the connection. Reading the whole body first, checking it, and
//! letting one writer in at a time mends all three.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use futures_util::{StreamExt, stream};
use mainstay_testkit::{Leaves, Requests, S3Mode, pause};
use s3s::auth::SimpleAuth;
use s3s::service::{S3Service, S3ServiceBuilder};
use s3s_fs::FileSystem;
use serde_json::{Value, json};
use tokio::sync::RwLock;

use crate::integrity;

const LARGEST_BODY: usize = 256 * 1024 * 1024;

struct Gateway {
    service: S3Service,
    folder: PathBuf,
    access_key: String,
    /// Readers share, a writer is alone: a condition and the write that it allows are one step.
    writer: RwLock<()>,
    control: Mutex<Control>,
}

#[derive(Default)]
struct Control {
    mode: S3Mode,
    requests: u64,
    /// The paths of the requests that have no answer yet.
    under_way: Vec<String>,
}

/// A request until it has its answer, or its client has gone and it won't be carried out any more.
struct UnderWay(Arc<Gateway>, String);

impl UnderWay {
    fn begin(gateway: &Arc<Gateway>, path: &str) -> Self {
        gateway.control().under_way.push(path.to_owned());
        Self(Arc::clone(gateway), path.to_owned())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut control = self.0.control();
        if let Some(at) = control.under_way.iter().position(|path| *path == self.1) {
            control.under_way.swap_remove(at);
        }
    }
}

pub(crate) fn app(
    folder: &str,
    access_key: &str,
    secret_key: &str,
) -> Result<Router, Box<dyn Error>> {
    let files = FileSystem::new(folder).map_err(|error| format!("{folder}: {error:?}"))?;
    let mut builder = S3ServiceBuilder::new(files);
    builder.set_auth(SimpleAuth::from_single(access_key, secret_key));
    let gateway = Gateway {
        service: builder.build(),
        folder: folder.into(),
        access_key: access_key.to_owned(),
        writer: RwLock::default(),
        control: Mutex::default(),
    };
    let router = Router::new()
        .route("/_control", get(show).post(set))
        .fallback(serve);
    Ok(router.with_state(Arc::new(gateway)))
}

/// What it does, when no write is half done.
async fn show(State(gateway): State<Arc<Gateway>>) -> Json<Value> {
    let _whole = gateway.writer.read().await;
    let control = gateway.control();
    Json(json!({
        "mode": control.mode,
        "requests": control.requests,
        "under_way": control.under_way,
    }))
}

async fn set(State(gateway): State<Arc<Gateway>>, Json(mode): Json<S3Mode>) -> StatusCode {
    gateway.control().mode = mode;
    StatusCode::NO_CONTENT
}

async fn serve(State(gateway): State<Arc<Gateway>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let mode = gateway.count();
    let under_way = UnderWay::begin(&gateway, head.uri.path());
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return error(StatusCode::BAD_REQUEST, "IncompleteBody");
    };
    match mode {
        S3Mode::SlowDown { retry_after } => slow_down(retry_after),
        S3Mode::Forbidden => error(StatusCode::FORBIDDEN, "AccessDenied"),
        S3Mode::Internal => error(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        S3Mode::Hang => std::future::pending().await,
        S3Mode::RefuseSome {
            requests,
            status,
            code,
        } if names_key_under(head.uri.path(), "") && is_of(requests, &head, body.len()) => {
            refusal(status, &code)
        }
        S3Mode::Foreign { status } => foreign(status),
        S3Mode::Refuse {
            prefix,
            status,
            code,
        } if names_key_under(head.uri.path(), &prefix) => refusal(status, &code),
        S3Mode::LateUploads { ms } if is_conditional(&head.headers) && writes(&head.method) => {
            gateway
                .late(Request::from_parts(head, body), under_way, ms)
                .await
        }
        S3Mode::CutWrites if writes(&head.method) => {
            cut(gateway.carry_out(Request::from_parts(head, body)).await).await
        }
        S3Mode::HangWrites if writes(&head.method) => std::future::pending().await,
        S3Mode::OvertakenReads { prefix } => {
            gateway
                .overtake(&head.method, head.uri.path(), &prefix)
                .await;
            gateway.carry_out(Request::from_parts(head, body)).await
        }
        S3Mode::IgnoreConditions { .. } => {
            let response = gateway.carry_out(Request::from_parts(head, body)).await;
            match response.status() {
                StatusCode::PRECONDITION_FAILED if gateway.ignores() => {
                    [(header::ETAG, "\"ignored\"")].into_response()
                }
                _ => response,
            }
        }
        S3Mode::Spoil { prefix, leaves }
            if head.method == Method::PUT && names_key_under(head.uri.path(), &prefix) =>
        {
            let path = head.uri.path().to_owned();
            let response = gateway.carry_out(Request::from_parts(head, body)).await;
            gateway.spoil(&path, leaves);
            response
        }
        S3Mode::SlowSome { requests, ms }
            if names_key_under(head.uri.path(), "") && is_of(requests, &head, body.len()) =>
        {
            pause(Duration::from_millis(ms)).await;
            gateway.carry_out(Request::from_parts(head, body)).await
        }
        S3Mode::Spoil { .. }
        | S3Mode::SlowSome { .. }
        | S3Mode::LateUploads { .. }
        | S3Mode::Ok
        | S3Mode::Refuse { .. }
        | S3Mode::RefuseSome { .. }
        | S3Mode::CutWrites
        | S3Mode::HangWrites => gateway.carry_out(Request::from_parts(head, body)).await,
        S3Mode::Slow { ms } => {
            let is_read = !writes(&head.method);
            let mut response = gateway.carry_out(Request::from_parts(head, body)).await;
            if is_read {
                response = whole(response).await;
            }
            pause(Duration::from_millis(ms)).await;
            response
        }
        S3Mode::CutMidway => cut(gateway.carry_out(Request::from_parts(head, body)).await).await,
    }
}

impl Gateway {
    fn control(&self) -> std::sync::MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self) -> S3Mode {
        let mut control = self.control();
        control.requests += 1;
        control.mode.clone()
    }

    /// Has a read of the prefix wait for a write there, and every write for such a read.
    async fn overtake(&self, method: &Method, path: &str, prefix: &str) {
        let file = self.folder.join(path.trim_start_matches('/'));
        let written = || fs::metadata(&file).and_then(|file| file.modified()).ok();
        let before = written();
        let is_read = *method == Method::GET && names_key_under(path, prefix);
        let may = || match is_read {
            true => written() != before,
            false => {
                let control = self.control();
                !writes(method)
                    || control
                        .under_way
                        .iter()
                        .any(|path| names_key_under(path, prefix))
            }
        };
        while !may() {
            pause(Duration::from_millis(5)).await;
        }
    }

    /// Whether one more broken condition is to be ignored.
    fn ignores(&self) -> bool {
        match &mut self.control().mode {
            S3Mode::IgnoreConditions { times } if *times > 0 => {
                *times -= 1;
                true
            }
            _ => false,
        }
    }

    /// A write in a task of its own: what has come whole is carried out whole, though its client goes meanwhile. s3s-fs
    /// stores content and metadata one after the other.
    async fn carry_out(self: &Arc<Self>, request: Request<Bytes>) -> Response {
        if !writes(request.method()) {
            return self.carry(request).await;
        }
        let gateway = Arc::clone(self);
        let writing = tokio::spawn(async move { gateway.carry(request).await });
        writing.await.expect("carrying out doesn't panic")
    }

    async fn carry(&self, request: Request<Bytes>) -> Response {
        match self.names_our_key(request.headers()) {
            Some(false) => return error(StatusCode::FORBIDDEN, "InvalidAccessKeyId"),
            Some(true) if !self.has_bucket(&request) => {
                return error(StatusCode::NOT_FOUND, "NoSuchBucket");
            }
            // Unsigned, or signed in the URL: the service judges these.
            _ => {}
        }
        if !integrity::holds(request.headers(), request.body()) {
            return error(StatusCode::BAD_REQUEST, "BadDigest");
        }
        let (_reader, _writer) = match *request.method() {
            Method::GET | Method::HEAD => (Some(self.writer.read().await), None),
            _ => (None, Some(self.writer.write().await)),
        };
        match self.service.call(request.map(s3s::Body::from)).await {
            Ok(response) => response.map(Body::new),
            Err(error) => panic!("the S3 service failed: {error:?}"),
        }
    }

    /// Carries a request out later, in a task of its own: it doesn't end with the connection.
    async fn late(
        self: &Arc<Self>,
        request: Request<Bytes>,
        under_way: UnderWay,
        ms: u64,
    ) -> Response {
        let gateway = Arc::clone(self);
        let late = tokio::spawn(async move {
            pause(Duration::from_millis(ms)).await;
            let response = gateway.carry_out(request).await;
            drop(under_way);
            response
        });
        late.await.expect("carrying out doesn't panic")
    }

    /// Leaves so much of the object that this path names.
    fn spoil(&self, path: &str, leaves: Leaves) {
        let file = self.folder.join(path.trim_start_matches('/'));
        let Ok(content) = fs::read(&file) else {
            return;
        };
        let done = match leaves {
            Leaves::Nothing => fs::remove_file(&file),
            Leaves::Half => fs::write(&file, &content[..content.len() / 2]),
            Leaves::Zeros => fs::write(&file, vec![0; content.len()]),
        };
        done.expect("our folder is writable");
    }

    /// Whether a signed request names our access key; s3s answers with another code than S3 does.
    fn names_our_key(&self, headers: &HeaderMap) -> Option<bool> {
        let credential = format!("Credential={}/", self.access_key);
        let signed = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        Some(signed.contains(&credential))
    }

    /// s3s-fs answers `NoSuchKey` for a bucket that isn't there, which clients tell apart.
    fn has_bucket(&self, request: &Request<Bytes>) -> bool {
        let mut segments = request.uri().path().trim_start_matches('/').splitn(2, '/');
        let bucket = segments.next().unwrap_or_default();
        let creates =
            segments.next().unwrap_or_default().is_empty() && request.method() == Method::PUT;
        creates || Path::new(&self.folder).join(bucket).is_dir()
    }
}

/// As S3 words it, where it has a code.
fn refusal(status: u16, code: &str) -> Response {
    if code.is_empty() {
        return foreign(status);
    }
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_REQUEST);
    error(status, code)
}

/// Not as S3 words its errors.
fn foreign(status: u16) -> Response {
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::NOT_FOUND);
    (status, format!("default backend - {}", status.as_u16())).into_response()
}

fn writes(method: &Method) -> bool {
    !matches!(*method, Method::GET | Method::HEAD)
}

/// Whether a request that brings so many bytes is one of these.
fn is_of(requests: Requests, head: &Parts, bytes: usize) -> bool {
    match requests {
        Requests::Reads => !writes(&head.method),
        Requests::Writes => writes(&head.method),
        Requests::Deletes => head.method == Method::DELETE,
        Requests::Copies => head.headers.contains_key("x-amz-copy-source"),
        Requests::Larger { than } => bytes > than,
    }
}

fn is_conditional(headers: &HeaderMap) -> bool {
    headers.contains_key(header::IF_MATCH) || headers.contains_key(header::IF_NONE_MATCH)
}

/// Whether a path-style request is for an object whose key begins with `prefix`.
fn names_key_under(path: &str, prefix: &str) -> bool {
    let key = path.trim_start_matches('/').split_once('/');
    key.is_some_and(|(_, key)| !key.is_empty() && key.starts_with(prefix))
}

/// An error as S3 words it.
fn error(status: StatusCode, code: &str) -> Response {
    let xml = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <Error><Code>{code}</Code><Message>as the test asked</Message><RequestId>test</RequestId></Error>"
    );
    (status, [(header::CONTENT_TYPE, "application/xml")], xml).into_response()
}

/// The same answer with all of its body read, as it is now.
async fn whole(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_BODY).await;
    Response::from_parts(head, Body::from(body.unwrap_or_default()))
}

fn slow_down(retry_after: Option<u64>) -> Response {
    let mut response = error(StatusCode::SERVICE_UNAVAILABLE, "SlowDown");
    if let Some(seconds) = retry_after {
        response
            .headers_mut()
            .insert(header::RETRY_AFTER, seconds.into());
    }
    response
}

/// The same answer with the first half of its body, after which the connection breaks.
async fn cut(response: Response) -> Response {
    let (head, body) = response.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_BODY)
        .await
        .unwrap_or_default();
    let half = body.slice(..body.len() / 2);
    // A moment later, so that the first half reaches the client.
    let broken = async {
        pause(Duration::from_millis(20)).await;
        Err(std::io::Error::other("cut midway"))
    };
    Response::from_parts(
        head,
        Body::from_stream(stream::iter([Ok(half)]).chain(stream::once(broken))),
    )
}
