//! `/db/deferred`: statements the administrator has named, run once: now, or when the database is back.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use jiff::Timestamp;
use mainstay_database::{Deferral, Fate, IdempotencyKey};
use mainstay_runtime::{Error, ErrorKind, Source};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{KeyHeader, objects, write_reply};
use crate::app::Core;
use crate::auth::Caller;
use crate::extract::{JsonBody, PathParam};
use crate::gate;
use crate::idempotency::Idempotency;
use crate::problem::{Problem, ProblemBody};
use crate::reply;

/// A statement's name with its parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct DeferredBody {
    /// A name from `database.deferred.statements`.
    #[schema(example = "add_sale")]
    statement: String,
    /// As in a write.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    params: Vec<Value>,
}

/// A deferred write was accepted: it is on disk and will run once.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct AcceptedReply {
    /// Always true: errors are problems.
    success: bool,
    /// Always `waiting`.
    state: &'static str,
    /// The journal's entry.
    id: String,
    /// Always `journal`.
    source: &'static str,
    /// From arrival to answer, in milliseconds.
    latency_ms: f64,
}

/// What became of a deferred write.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct FateReply {
    /// `waiting`, `done`, `set_aside`, or `discarded` by an operator.
    state: &'static str,
    /// The journal's entry of one that was set aside: what an operator retries or discards.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// When it was accepted; not for one that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    accepted_at: Option<String>,
    /// Failed attempts of one that waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    attempts: Option<u32>,
    /// Why one was set aside, or the last attempt failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// Rows that one changed that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    rows_affected: Option<u64>,
    /// Rows that one returned that is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Vec<Object>>)]
    data: Option<Value>,
    /// How long ago it was done, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    age_ms: Option<u64>,
}

pub(super) fn routes() -> OpenApiRouter<Core> {
    OpenApiRouter::new()
        .routes(routes!(write_deferred))
        .routes(routes!(fate))
}

/// A write that may wait for the database: 200 when it ran at once, 202 when it is on disk and will run.
///
/// Only for statements named in the configuration. It runs exactly once for its `Idempotency-Key`; what waits runs one
/// after the other in the order of acceptance, and until it is through, later ones wait, too. What the database then
/// refuses is set aside. `GET /db/deferred/{key}` tells what became of it.
#[utoipa::path(post, path = "/db/deferred", tag = "database", request_body = DeferredBody, params(KeyHeader),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = super::DbReply), (status = 202, body = AcceptedReply),
              (status = 400, body = ProblemBody), (status = 409, body = ProblemBody), (status = 413, body = ProblemBody),
              (status = 422, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn write_deferred(
    State(core): State<Core>,
    caller: Caller,
    Idempotency(key): Idempotency,
    JsonBody(body): JsonBody<DeferredBody>,
) -> Result<Response, Problem> {
    let started = core.handle.clock().now();
    let ctx = gate::deferrable(&core, caller.context(&core))?;
    let key = key.ok_or_else(|| {
        let detail = "is missing: a write that may be deferred needs one, such as a UUID";
        Error::invalid("Idempotency-Key", detail)
    })?;
    let taken = core
        .database
        .write_deferred(&ctx, &body.statement, body.params, &key)
        .await?;
    match taken {
        Deferral::Done(answer) => {
            let rows = answer.value.rows_affected;
            let answer = answer.map(|written| objects(&written.returned));
            Ok(write_reply(&core, answer, rows, started))
        }
        Deferral::Accepted { id } => {
            let body = AcceptedReply {
                success: true,
                state: "waiting",
                id: id.to_string(),
                source: "journal",
                latency_ms: reply::latency_ms(core.database.guard(), started),
            };
            let mut reply = reply::json(StatusCode::ACCEPTED, &body, &Source::Journal, None);
            if let Some(place) = place(&key) {
                reply.headers_mut().insert(header::LOCATION, place);
            }
            Ok(reply)
        }
    }
}

/// What became of a deferred write of this API key.
#[utoipa::path(get, path = "/db/deferred/{key}", tag = "database",
    params(("key" = String, Path, description = "Its Idempotency-Key")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = FateReply), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn fate(
    State(core): State<Core>,
    caller: Caller,
    PathParam(key): PathParam<String>,
) -> Result<Response, Problem> {
    let key = IdempotencyKey::parse(&key)?;
    let ctx = caller.context(&core);
    let fate = core.database.deferred_fate(&ctx, &key).await?;
    let fate = fate.ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            "no deferred write of this API key has this Idempotency-Key",
        )
    })?;
    let source = match &fate {
        Fate::Done(answer) => answer.source.clone(),
        Fate::Waiting { .. } | Fate::SetAside { .. } | Fate::Discarded => Source::Journal,
    };
    Ok(reply::json(StatusCode::OK, &told(fate), &source, None))
}

fn told(fate: Fate) -> FateReply {
    let at = |ms| {
        Timestamp::from_millisecond(ms)
            .map(|at| at.to_string())
            .ok()
    };
    match fate {
        Fate::Waiting {
            accepted_at_ms,
            attempts,
            last_error,
        } => FateReply {
            state: "waiting",
            accepted_at: at(accepted_at_ms),
            attempts: Some(attempts),
            reason: last_error,
            ..FateReply::default()
        },
        Fate::SetAside {
            id,
            accepted_at_ms,
            reason,
        } => FateReply {
            state: "set_aside",
            id: Some(id.to_string()),
            accepted_at: at(accepted_at_ms),
            reason: Some(reason),
            ..FateReply::default()
        },
        Fate::Discarded => FateReply {
            state: "discarded",
            ..FateReply::default()
        },
        Fate::Done(answer) => FateReply {
            state: "done",
            rows_affected: Some(answer.value.rows_affected),
            data: Some(objects(&answer.value.returned)),
            age_ms: Some(reply::millis(answer.age.unwrap_or_default())),
            ..FateReply::default()
        },
    }
}

/// Where the fate is told.
fn place(key: &IdempotencyKey) -> Option<HeaderValue> {
    let escaped: String = key
        .as_str()
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    HeaderValue::from_str(&format!("/db/deferred/{escaped}")).ok()
}
