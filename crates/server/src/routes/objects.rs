//! `/objects`: streamed both ways, accepted into the journal while the store is down.

use axum::Json;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing;
use mainstay_runtime::degradation::FeatureMode;
use mainstay_runtime::{Answer, Context};
use mainstay_s3::{
    ByteRange, Condition, Download, Key, ListRequest, ObjectInfo, OnceKey, Receipt, Upload,
};
use serde::{Deserialize, Serialize};
use std::time::Duration;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::conditions;
use crate::app::Core;
use crate::auth::Caller;
use crate::body::patient;
use crate::extract::{JsonBody, PathParam, QueryParams};
use crate::gate;
use crate::keys::Scope;
use crate::problem::{Problem, ProblemBody};
use crate::reply;

/// `/objects` has no deadline of its own: each step of a transfer has one in the adapter.
const NO_DEADLINE: Duration = Duration::from_secs(24 * 3600);

/// A write that the store or the journal has taken.
#[derive(Debug, Serialize, ToSchema)]
pub struct WriteReply {
    /// Always true: errors are problems.
    success: bool,
    /// The key.
    key: String,
    /// The store's ETag; none while the write waits in the journal.
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    /// The journal's entry, when the write was accepted (202) and not stored yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    journal_id: Option<String>,
    /// `primary` or `journal`.
    source: String,
}

/// Objects in key order.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListReply {
    /// Always true: errors are problems.
    success: bool,
    /// The objects.
    objects: Vec<ListedObject>,
    /// To be sent as `after` for the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_after: Option<String>,
    /// `primary`, `journal` or `cache`.
    source: String,
    /// How old the list is, in milliseconds.
    age_ms: u64,
}

/// One listed object.
#[derive(Debug, Serialize, ToSchema)]
pub struct ListedObject {
    key: String,
    /// Bytes; absent for an accepted copy until it is carried out, unless its source was accepted, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_modified: Option<String>,
}

/// Which objects to list.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct ListQuery {
    /// Keys begin with this.
    #[serde(default)]
    prefix: String,
    /// Keys lie after this.
    after: Option<String>,
    /// 1 to 1000, 100 if not given.
    limit: Option<usize>,
}

/// From where to where.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyBody {
    /// The object to copy.
    from: String,
    /// The key of the copy.
    to: String,
}

/// The routes. An object may be called `copy`: that path answers for it too.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    let routes = OpenApiRouter::new()
        .routes(routes!(list))
        .routes(routes!(copy))
        .routes(routes!(upload, download, head, delete))
        .route(
            "/objects/copy",
            routing::put(|s, c, r| upload(s, c, PathParam("copy".to_owned()), r))
                .get(|s, c, h| download(s, c, PathParam("copy".to_owned()), h))
                .head(|s, c, h| head(s, c, PathParam("copy".to_owned()), h))
                .delete(|s, c, h| delete(s, c, PathParam("copy".to_owned()), h)),
        );
    core.guarded(Scope::Objects, routes)
}

fn context(core: &Core, caller: &Caller) -> Context {
    caller.context_within(core, NO_DEADLINE)
}

/// Uploads an object. 200 when the store has it; 202 when the store is down and the journal has it on disk.
#[utoipa::path(put, path = "/objects/{*key}", tag = "objects", request_body(content = String, content_type = "application/octet-stream"),
    params(("key" = String, Path, description = "The object's key"),
           ("If-None-Match" = Option<String>, Header, description = "`*`: only if there is no such object"),
           ("If-Match" = Option<String>, Header, description = "An ETag: only if the object still has it"),
           ("Idempotency-Key" = Option<String>, Header, description = "The same upload, sent again with it, gets the first outcome")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = WriteReply), (status = 202, body = WriteReply), (status = 400, body = ProblemBody),
              (status = 408, body = ProblemBody), (status = 409, body = ProblemBody), (status = 412, body = ProblemBody), (status = 422, body = ProblemBody), (status = 413, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn upload(
    State(core): State<Core>,
    caller: Caller,
    PathParam(key): PathParam<String>,
    request: Request,
) -> Result<Response, Problem> {
    gate::primitive(&core, "s3_uploads", false)?;
    gate::primitive(&core, "file_storage", true)?;
    let parsed = Key::parse("key", &key)?;
    let half_journal = gate::mode(&core, "s3_uploads")? == FeatureMode::Partial;
    let details = Upload {
        half_journal,
        once: once(&caller, request.headers())?,
        ..details(request.headers())?
    };
    let (body, stall) = patient(request.into_body(), core.handle.clock());
    let body = body.into_data_stream();
    let put = core
        .objects
        .put(&context(&core, &caller), &parsed, body, &details)
        .await;
    let answer = put.map_err(|error| stall.problem().unwrap_or_else(|| error.into()))?;
    Ok(write_reply(key, answer))
}

/// Downloads an object, or a range of it.
#[utoipa::path(get, path = "/objects/{*key}", tag = "objects",
    params(("key" = String, Path, description = "The object's key"),
           ("Range" = Option<String>, Header, description = "One range of bytes, e.g. `bytes=0-1023`"),
           ("If-Range" = Option<String>, Header, description = "An ETag: the range only if the object still has it, else all of it"),
           ("If-None-Match" = Option<String>, Header, description = "ETags that the caller has: 304 if the object has one of them")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = String, content_type = "application/octet-stream"), (status = 206, body = String, content_type = "application/octet-stream"),
              (status = 304), (status = 404, body = ProblemBody), (status = 416, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn download(
    State(core): State<Core>,
    caller: Caller,
    PathParam(key): PathParam<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    gate::primitive(&core, "file_storage", false)?;
    let key = Key::parse("key", &key)?;
    if headers.contains_key(header::IF_NONE_MATCH) {
        // Asked first, so that no body is begun that nobody wants.
        let known = core.objects.head(&context(&core, &caller), &key).await?;
        if conditions::is_known(&headers, &known.value) {
            return Ok(not_modified(&known));
        }
    }
    let mut range = wanted_range(&headers);
    let mut answer = get(&core, &caller, &key, range).await?;
    if range.is_some() && !conditions::range_still_fits(&headers, &answer.value.info) {
        range = None;
        answer = get(&core, &caller, &key, range).await?;
    }
    Ok(download_reply(answer, range.is_some()))
}

async fn get(
    core: &Core,
    caller: &Caller,
    key: &Key,
    range: Option<ByteRange>,
) -> Result<Answer<Download>, Problem> {
    Ok(core.objects.get(&context(core, caller), key, range).await?)
}

fn download_reply(answer: Answer<Download>, is_part: bool) -> Response {
    let found = answer.value;
    let mut response = Response::new(Body::from_stream(found.body));
    describe(response.headers_mut(), &found.info);
    reply::write_origin(response.headers_mut(), &answer.source, answer.age);
    let length = found.range.end - found.range.start;
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    if is_part {
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
        let last = found.range.end.saturating_sub(1);
        let text = format!("bytes {}-{last}/{}", found.range.start, found.info.size);
        if let Ok(value) = HeaderValue::from_str(&text) {
            response.headers_mut().insert(header::CONTENT_RANGE, value);
        }
    }
    response
}

/// 304 with what a 200 would have said of the object.
fn not_modified(known: &Answer<ObjectInfo>) -> Response {
    let mut response = StatusCode::NOT_MODIFIED.into_response();
    describe(response.headers_mut(), &known.value);
    reply::write_origin(response.headers_mut(), &known.source, known.age);
    response
}

/// What is known of an object.
#[utoipa::path(head, path = "/objects/{*key}", tag = "objects",
    params(("key" = String, Path, description = "The object's key"),
           ("If-None-Match" = Option<String>, Header, description = "ETags that the caller has: 304 if the object has one of them")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200), (status = 304), (status = 404), (status = 503)))]
async fn head(
    State(core): State<Core>,
    caller: Caller,
    PathParam(key): PathParam<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    gate::primitive(&core, "file_storage", false)?;
    let answer = core
        .objects
        .head(&context(&core, &caller), &Key::parse("key", &key)?)
        .await?;
    if conditions::is_known(&headers, &answer.value) {
        return Ok(not_modified(&answer));
    }
    let mut response = Response::new(Body::empty());
    describe(response.headers_mut(), &answer.value);
    response
        .headers_mut()
        .insert(header::CONTENT_LENGTH, HeaderValue::from(answer.value.size));
    reply::write_origin(response.headers_mut(), &answer.source, answer.age);
    Ok(response)
}

/// Deletes an object; deleting what isn't there is done already.
#[utoipa::path(delete, path = "/objects/{*key}", tag = "objects",
    params(("key" = String, Path, description = "The object's key"),
           ("Idempotency-Key" = Option<String>, Header, description = "The same request, sent again with it, gets the first outcome")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = WriteReply), (status = 202, body = WriteReply), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn delete(
    State(core): State<Core>,
    caller: Caller,
    PathParam(key): PathParam<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    gate::primitive(&core, "file_storage", true)?;
    let answer = core
        .objects
        .delete(
            &context(&core, &caller),
            &Key::parse("key", &key)?,
            once(&caller, &headers)?.as_ref(),
        )
        .await?;
    Ok(write_reply(key, answer))
}

/// Copies an object.
#[utoipa::path(post, path = "/objects/copy", tag = "objects", request_body = CopyBody,
    params(("Idempotency-Key" = Option<String>, Header, description = "The same request, sent again with it, gets the first outcome")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = WriteReply), (status = 202, body = WriteReply), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody), (status = 404, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn copy(
    State(core): State<Core>,
    caller: Caller,
    headers: HeaderMap,
    JsonBody(body): JsonBody<CopyBody>,
) -> Result<Response, Problem> {
    gate::primitive(&core, "file_storage", true)?;
    let (from, to) = (Key::parse("from", &body.from)?, Key::parse("to", &body.to)?);
    let answer = core
        .objects
        .copy(
            &context(&core, &caller),
            &from,
            &to,
            once(&caller, &headers)?.as_ref(),
        )
        .await?;
    Ok(write_reply(body.to, answer))
}

/// Lists objects in key order.
#[utoipa::path(get, path = "/objects", tag = "objects", params(ListQuery),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = ListReply), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn list(
    State(core): State<Core>,
    caller: Caller,
    QueryParams(query): QueryParams<ListQuery>,
) -> Result<Response, Problem> {
    gate::primitive(&core, "file_storage", false)?;
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(mainstay_runtime::Error::invalid("limit", "must be 1 to 1000").into());
    }
    let request = ListRequest {
        prefix: query.prefix,
        after: query.after,
        limit,
    };
    let answer = core
        .objects
        .list(&context(&core, &caller), &request)
        .await?;
    let listed = |l: mainstay_s3::Listed| ListedObject {
        key: l.key,
        size: l.size,
        etag: l.etag,
        last_modified: l.last_modified.map(|t| t.to_string()),
    };
    let body = ListReply {
        success: true,
        objects: answer.value.objects.into_iter().map(listed).collect(),
        next_after: answer.value.next_after,
        source: answer.source.to_string(),
        age_ms: reply::millis(answer.age.unwrap_or_default()),
    };
    Ok(reply::json(
        StatusCode::OK,
        &body,
        &answer.source,
        answer.age,
    ))
}

fn write_reply(key: String, answer: Answer<Receipt>) -> Response {
    let (status, etag, journal_id) = match answer.value {
        Receipt::Stored { etag } => (StatusCode::OK, etag, None),
        Receipt::Accepted { id } => (StatusCode::ACCEPTED, None, Some(id.to_string())),
    };
    let body = WriteReply {
        success: true,
        key,
        source: answer.source.to_string(),
        journal_id,
        etag: etag.clone(),
    };
    let mut response = (status, Json(body)).into_response();
    reply::write_origin(response.headers_mut(), &answer.source, answer.age);
    if let Some(Ok(value)) = etag.map(|e: String| HeaderValue::from_str(&e)) {
        response.headers_mut().insert(header::ETAG, value);
    }
    response
}

fn describe(headers: &mut HeaderMap, info: &ObjectInfo) {
    let kind = info
        .content_type
        .as_deref()
        .unwrap_or("application/octet-stream");
    let modified = info.last_modified.map(http_date);
    let pairs = [
        (header::CONTENT_TYPE, Some(kind.to_owned())),
        (header::ETAG, info.etag.clone()),
        (header::LAST_MODIFIED, modified),
        (header::ACCEPT_RANGES, Some("bytes".to_owned())),
    ];
    for (name, value) in pairs {
        if let Some(Ok(value)) = value.map(|v: String| HeaderValue::from_str(&v)) {
            headers.insert(name, value);
        }
    }
}

/// RFC 9110 §5.6.7.
fn http_date(at: jiff::Timestamp) -> String {
    at.to_zoned(jiff::tz::TimeZone::UTC)
        .strftime("%a, %d %b %Y %H:%M:%S GMT")
        .to_string()
}

fn details(headers: &HeaderMap) -> Result<Upload, Problem> {
    let text = |name: header::HeaderName| headers.get(name).and_then(|v| v.to_str().ok());
    let condition = match (text(header::IF_NONE_MATCH), text(header::IF_MATCH)) {
        (None, None) => Condition::None,
        (Some("*"), None) => Condition::Absent,
        (None, Some(etag)) if etag != "*" => Condition::Matches(etag.to_owned()),
        _ => {
            return Err(mainstay_runtime::Error::invalid(
                "If-None-Match",
                "a conditional upload has `If-None-Match: *` or `If-Match: <etag>`, not both",
            )
            .into());
        }
    };
    Ok(Upload {
        length: text(header::CONTENT_LENGTH).and_then(|l| l.parse().ok()),
        content_type: text(header::CONTENT_TYPE).map(str::to_owned),
        condition,
        ..Upload::default()
    })
}

/// The request's idempotency key. Those of different API keys don't meet.
fn once(caller: &Caller, headers: &HeaderMap) -> Result<Option<OnceKey>, Problem> {
    let Some(value) = headers.get("idempotency-key") else {
        return Ok(None);
    };
    // What isn't text is no key either.
    let key = value.to_str().unwrap_or_default();
    Ok(Some(OnceKey::new(&caller.key.id, key)?))
}

/// One range of bytes. Several, or what can't be read, is no range: the whole object is the answer then (RFC 9110 §14.2).
fn wanted_range(headers: &HeaderMap) -> Option<ByteRange> {
    let text = headers
        .get(header::RANGE)?
        .to_str()
        .ok()?
        .strip_prefix("bytes=")?;
    let (first, last) = text.split_once('-')?;
    if first.is_empty() {
        return last.parse().ok().map(ByteRange::Last);
    }
    let first = first.parse().ok()?;
    let last = if last.is_empty() {
        None
    } else {
        Some(last.parse().ok()?)
    };
    (last.is_none_or(|l: u64| l >= first)).then_some(ByteRange::From { first, last })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_as_the_standard_has_them() {
        let of = |text: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::RANGE, HeaderValue::from_static(text));
            wanted_range(&headers)
        };
        assert_eq!(
            of("bytes=0-9"),
            Some(ByteRange::From {
                first: 0,
                last: Some(9)
            })
        );
        assert_eq!(
            of("bytes=5-"),
            Some(ByteRange::From {
                first: 5,
                last: None
            })
        );
        assert_eq!(of("bytes=-3"), Some(ByteRange::Last(3)));
        for odd in [
            "bytes=9-0",
            "bytes=0-1,3-4",
            "lines=1-2",
            "bytes=a-b",
            "bytes=",
        ] {
            assert_eq!(of(odd), None, "{odd}");
        }
    }
}
