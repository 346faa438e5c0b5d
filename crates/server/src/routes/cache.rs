//! `/cache/{operation}`: Redis, or what stands in for it.

use axum::extract::State;
use axum::response::Response;
use mainstay_redis::{Class, Command};
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Core;
use crate::auth::Caller;
use crate::extract::{JsonBody, PathParam};
use crate::gate;
use crate::keys::Scope;
use crate::problem::{Problem, ProblemBody};
use crate::reply::{self, DataReply};

/// The routes.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    core.guarded(Scope::Cache, OpenApiRouter::new().routes(routes!(run)))
}

/// Runs one operation: get set delete incr lpush rpush lpop rpop llen lrange sadd srem smembers scard hset hget hgetall
/// hdel zadd zrange zcard expire ttl ping.
///
/// `data.status` says what is known: `hit`, `absent` and `unknown` (Redis is down and memory doesn't know the key) never look
/// alike. While Redis is down the key's class decides: a counter whose value isn't known answers `delta` with `value: null`.
#[utoipa::path(post, path = "/cache/{operation}", tag = "cache", request_body(content = Object, example = json!({"key": "greeting"})),
    params(("operation" = String, Path, description = "The operation, e.g. `get`")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = DataReply<Value>), (status = 400, body = ProblemBody), (status = 409, body = ProblemBody),
              (status = 503, body = ProblemBody), (status = 504, body = ProblemBody), (status = 507, body = ProblemBody)))]
async fn run(
    State(core): State<Core>,
    caller: Caller,
    PathParam(operation): PathParam<String>,
    body: Option<JsonBody<Value>>,
) -> Result<Response, Problem> {
    let started = core.handle.clock().now();
    let body = body.map_or_else(|| Value::Object(Default::default()), |JsonBody(b)| b);
    let command = Command::parse(&operation, &body)?;
    admit(&core, &command)?;
    let answer = core.redis.run(&caller.context(&core), command).await?;
    Ok(reply::data(answer, core.redis.guard(), started))
}

/// `redis_cache` at `partial` takes no writes to keys that callers share. A session is one user's own: its keys are
/// `session_storage`'s.
fn admit(core: &Core, command: &Command) -> Result<(), Problem> {
    match command {
        Command::At { key, .. } if core.redis.class_of(key) == Class::Session => {
            gate::primitive(core, "session_storage", false)
        }
        Command::At { action, .. } => gate::primitive(core, "redis_cache", action.is_write()),
        Command::Ping => gate::primitive(core, "redis_cache", false),
    }
}
