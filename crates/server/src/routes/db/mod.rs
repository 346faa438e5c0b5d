//! `/db`: statements and transactions.

pub mod deferred;

use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode};
use axum::response::Response;
use mainstay_database::{Isolation, Rows, Statement, WriteMode};
use mainstay_runtime::{Answer, Moment};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Core;
use crate::auth::Caller;
use crate::extract::{JsonBody, QueryParams};
use crate::gate;
use crate::idempotency::{Idempotency, REPLAYED};
use crate::keys::Scope;
use crate::problem::{Problem, ProblemBody};
use crate::reply;

/// One statement with its parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct StatementBody {
    /// One SQL statement; parameters are `$1`, `$2`, …
    #[schema(example = "select name from products where price < $1::numeric")]
    query: String,
    /// One value for each parameter. NUMERIC, dates and UUIDs as text, BYTEA as base64 text, arrays as JSON arrays.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    params: Vec<Value>,
}

/// One statement that reads, with its parameters.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadBody {
    /// One SQL statement; parameters are `$1`, `$2`, …
    #[schema(example = "select name from products where price < $1::numeric")]
    query: String,
    /// As in a write.
    #[serde(default)]
    #[schema(value_type = Vec<Object>)]
    params: Vec<Value>,
    /// How old the answer may be, in seconds, when neither primary nor replica can answer. An older one is not given:
    /// 503. Left out: as old as the configuration allows, a day by default.
    max_age: Option<u64>,
}

/// Several statements that happen together or not at all.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TransactionBody {
    /// At least one statement.
    operations: Vec<StatementBody>,
    /// `read_committed` (the default), `repeatable_read` or `serializable`.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    isolation: Isolation,
}

/// What a write that must happen once brings.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "it describes what `Idempotency` reads")]
struct KeyHeader {
    /// 1 to 255 visible ASCII characters, one for each write. The same key with another request is 422 `key-reused`; while
    /// the first request runs, 409.
    #[param(rename = "Idempotency-Key")]
    idempotency_key: Option<String>,
}

/// A reply of the database.
#[derive(Debug, Serialize, ToSchema)]
pub struct DbReply {
    /// Always true: errors are problems.
    success: bool,
    /// One object for each row, by column name. For a transaction, one list for each operation.
    #[schema(value_type = Vec<Object>)]
    data: Value,
    /// Rows returned by a read, changed by a write.
    rows_affected: u64,
    /// `closed`, `open` or `half_open`.
    breaker_state: &'static str,
    /// `read-write` or `read-only`.
    mode: &'static str,
    /// Whether writes are taken at present.
    write_mode_enabled: bool,
    /// `primary`, `replica` or `cache`.
    source: String,
    /// How old the answer is, in milliseconds; 0 when it is fresh.
    age_ms: u64,
    /// From arrival to answer, in milliseconds.
    latency_ms: f64,
}

/// The routes of reading and of writing.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    let mut reading = OpenApiRouter::new().routes(routes!(read));
    if core.settings.db_read_get {
        reading = reading.routes(routes!(read_by_query));
    }
    let writing = OpenApiRouter::new()
        .routes(routes!(write))
        .routes(routes!(transaction))
        .merge(deferred::routes());
    core.guarded(Scope::DbRead, reading)
        .merge(core.guarded(Scope::DbWrite, writing))
}

/// Reads: one statement in a read-only transaction that always ends in a rollback.
///
/// When neither primary nor replica can answer: this key's own last result of the very same statement, with `source: cache`
/// and its age, also after a restart.
#[utoipa::path(post, path = "/db/read", tag = "database", request_body = ReadBody,
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = DbReply), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn read(
    State(core): State<Core>,
    caller: Caller,
    JsonBody(body): JsonBody<ReadBody>,
) -> Result<Response, Problem> {
    answer_read(&core, &caller, body).await
}

/// A statement without parameters.
#[derive(Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
struct ReadQuery {
    /// One SQL statement that reads.
    query: String,
    max_age: Option<u64>,
}

/// Reads as `POST /db/read` does, without parameters. Served only where the configuration allows it: query strings end
/// up in other people's logs.
#[utoipa::path(get, path = "/db/read", tag = "database", params(ReadQuery),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = DbReply), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn read_by_query(
    State(core): State<Core>,
    caller: Caller,
    QueryParams(sent): QueryParams<ReadQuery>,
) -> Result<Response, Problem> {
    let body = ReadBody {
        query: sent.query,
        params: Vec::new(),
        max_age: sent.max_age,
    };
    answer_read(&core, &caller, body).await
}

async fn answer_read(core: &Core, caller: &Caller, body: ReadBody) -> Result<Response, Problem> {
    let started = core.handle.clock().now();
    gate::primitive(core, "core_application", false)?;
    let ctx = gate::statement(core, caller.context(core))?;
    let max_age = body.max_age.map(Duration::from_secs);
    let statement = Statement::new(body.query, body.params);
    let answer = core.database.read_within(&ctx, statement, max_age).await?;
    let rows = answer.value.rows.len() as u64;
    let answer = answer.map(|found| objects(&found));
    Ok(db_reply(core, answer, rows, started))
}

/// Writes: one statement, carried out at once or not at all.
///
/// With the header `Idempotency-Key` it happens once: the same request with the same key gets the first answer with its
/// age and `Idempotency-Replayed: true`, also after `outcome-unknown`. Keys are this API key's own and count for a day. A
/// write that failed changed nothing and leaves its key free.
#[utoipa::path(post, path = "/db/write", tag = "database", request_body = StatementBody, params(KeyHeader),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = DbReply), (status = 400, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn write(
    State(core): State<Core>,
    caller: Caller,
    Idempotency(key): Idempotency,
    JsonBody(body): JsonBody<StatementBody>,
) -> Result<Response, Problem> {
    let started = core.handle.clock().now();
    let ctx = gate::write(&core, caller.context(&core))?;
    let answer = core
        .database
        .write_once(&ctx, body.into(), key.as_ref())
        .await?;
    let rows = answer.value.rows_affected;
    let answer = answer.map(|w| objects(&w.returned));
    Ok(write_reply(&core, answer, rows, started))
}

/// A transaction: all operations or none, in the isolation asked for. `Idempotency-Key` as for a write.
#[utoipa::path(post, path = "/db/transaction", tag = "database", request_body = TransactionBody, params(KeyHeader),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = DbReply), (status = 400, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 422, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn transaction(
    State(core): State<Core>,
    caller: Caller,
    Idempotency(key): Idempotency,
    JsonBody(body): JsonBody<TransactionBody>,
) -> Result<Response, Problem> {
    let started = core.handle.clock().now();
    let ctx = gate::write(&core, caller.context(&core))?;
    let operations = body.operations.into_iter().map(Into::into).collect();
    let answer = core
        .database
        .transaction_once(&ctx, operations, body.isolation, key.as_ref())
        .await?;
    let rows = answer.value.iter().map(|w| w.rows_affected).sum();
    let answer = answer.map(|all| Value::Array(all.iter().map(|w| objects(&w.returned)).collect()));
    Ok(write_reply(&core, answer, rows, started))
}

/// A write's answer has an age only when it is that of an earlier request.
fn write_reply(core: &Core, answer: Answer<Value>, rows: u64, started: Moment) -> Response {
    let replayed = answer.age.is_some();
    let mut reply = db_reply(core, answer, rows, started);
    if replayed {
        let header = HeaderValue::from_static("true");
        reply.headers_mut().insert(REPLAYED.clone(), header);
    }
    reply
}

fn db_reply(core: &Core, answer: Answer<Value>, rows_affected: u64, started: Moment) -> Response {
    let guard = core.database.guard();
    let enabled = core.database.write_mode() == WriteMode::Enabled;
    let body = DbReply {
        success: true,
        data: answer.value,
        rows_affected,
        breaker_state: guard.state().as_str(),
        mode: if enabled { "read-write" } else { "read-only" },
        write_mode_enabled: enabled,
        source: answer.source.to_string(),
        age_ms: reply::millis(answer.age.unwrap_or_default()),
        latency_ms: reply::latency_ms(guard, started),
    };
    reply::json(StatusCode::OK, &body, &answer.source, answer.age)
}

/// Rows as objects. Of columns with one name the last is kept, as in any JSON object.
fn objects(rows: &Rows) -> Value {
    let names: Vec<_> = rows.columns.iter().map(|c| c.name.as_str()).collect();
    let object = |row: &Vec<Value>| {
        let pairs = names
            .iter()
            .zip(row)
            .map(|(n, v)| ((*n).to_owned(), v.clone()));
        Value::Object(pairs.collect::<Map<_, _>>())
    };
    Value::Array(rows.rows.iter().map(object).collect())
}

impl From<StatementBody> for Statement {
    fn from(body: StatementBody) -> Self {
        Self::new(body.query, body.params)
    }
}
