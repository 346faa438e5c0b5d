//! `/ai/chat`, `/ai/embed`, `/ai/moderate`: the primitives, over an ordered list of providers.

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::Response;
use mainstay_openai::{ChatRequest, EmbedRequest, Models, ModerateRequest};
use mainstay_runtime::degradation::FeatureMode;
use mainstay_runtime::{Answer, Moment, Source};
use serde::Serialize;
use serde_json::Value;
use std::time::Duration;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Core;
use crate::auth::Caller;
use crate::extract::JsonBody;
use crate::gate;
use crate::keys::Scope;
use crate::problem::{Problem, ProblemBody};
use crate::reply;
use crate::request::RequestId;
use crate::routes::ai_stream;

/// A reply of a model.
#[derive(Debug, Serialize, ToSchema)]
pub struct AiReply<T> {
    /// Always true: errors are problems.
    success: bool,
    /// The provider's answer, in the API's own form.
    data: T,
    /// Whether anything but the first provider answered.
    fallback: bool,
    /// `provider:<name>`, or `cache` for an earlier answer to exactly this request.
    #[schema(example = "provider:primary")]
    source: String,
    /// Always 1: the answer is as a model gave it, and nothing in it was guessed by rules. Whether the model is right, it
    /// doesn't say; retail's tasks, whose rules do guess, share this field.
    confidence: f64,
    /// The state of the best provider's breaker.
    breaker_state: &'static str,
    /// How old the answer is, in milliseconds; 0 when it is fresh.
    age_ms: u64,
    /// From arrival to answer, in milliseconds.
    latency_ms: f64,
}

/// The routes.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    let routes = OpenApiRouter::new()
        .routes(routes!(chat))
        .routes(routes!(embed))
        .routes(routes!(moderate));
    core.guarded(Scope::Ai, routes)
}

/// Chat completion; the body is the API's own (`messages`, `temperature`, …). With `"stream": true` the answer is a
/// stream of the API's own chunks, ended by `[DONE]`; where it came from is in the headers `Mainstay-Source` and `Age`.
/// If it breaks off after its first content, the last event is `error`, with a problem as its data, and there is no `[DONE]`.
#[utoipa::path(post, path = "/ai/chat", tag = "ai", request_body(content = Object, example = json!({"messages": [{"role": "user", "content": "hola"}]})),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, content((AiReply<Object> = "application/json"), (String = "text/event-stream"))),
              (status = 400, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn chat(
    State(core): State<Core>,
    caller: Caller,
    Extension(id): Extension<RequestId>,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Value>,
) -> Result<Response, Problem> {
    let (started, models) = begin(&core)?;
    let request = ChatRequest::parse(body)?;
    if request.stream {
        let ctx = caller.context_within(&core, core.models.stream_deadline());
        let answer = models.chat_stream(&ctx, request).await?;
        return Ok(ai_stream::respond(&core, answer, &headers, id));
    }
    let answer = models
        .chat(&caller.context_within(&core, deadline(&core)), request)
        .await?;
    Ok(ai_reply(&core, answer, started))
}

/// Embeddings of one text or several.
#[utoipa::path(post, path = "/ai/embed", tag = "ai", request_body(content = Object, example = json!({"input": ["hola"]})),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AiReply<Object>), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn embed(
    State(core): State<Core>,
    caller: Caller,
    JsonBody(body): JsonBody<Value>,
) -> Result<Response, Problem> {
    let (started, models) = begin(&core)?;
    let request = EmbedRequest::parse(body)?;
    let answer = models
        .embed(&caller.context_within(&core, deadline(&core)), request)
        .await?;
    Ok(ai_reply(&core, answer, started))
}

/// Moderation of one text or several.
#[utoipa::path(post, path = "/ai/moderate", tag = "ai", request_body(content = Object, example = json!({"input": ["hola"]})),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AiReply<Object>), (status = 400, body = ProblemBody), (status = 503, body = ProblemBody), (status = 504, body = ProblemBody)))]
async fn moderate(
    State(core): State<Core>,
    caller: Caller,
    JsonBody(body): JsonBody<Value>,
) -> Result<Response, Problem> {
    let (started, models) = begin(&core)?;
    let request = ModerateRequest::parse(body)?;
    let answer = models
        .moderate(&caller.context_within(&core, deadline(&core)), request)
        .await?;
    Ok(ai_reply(&core, answer, started))
}

/// When it began, and whom it may ask: where the feature is limited, all but the first provider.
fn begin(core: &Core) -> Result<(Moment, Models), Problem> {
    gate::primitive(core, "openai_api", false)?;
    let models = match gate::mode(core, "openai_api")? {
        FeatureMode::Limited => core.models.sparing_first(),
        _ => core.models.clone(),
    };
    Ok((core.handle.clock().now(), models))
}

fn deadline(core: &Core) -> Duration {
    core.models.total_deadline()
}

fn ai_reply<T: Serialize>(core: &Core, answer: Answer<T>, started: Moment) -> Response {
    let body = AiReply {
        success: true,
        fallback: is_fallback(core, &answer.source),
        source: answer.source.to_string(),
        confidence: 1.0,
        breaker_state: breaker_state(core),
        age_ms: reply::millis(answer.age.unwrap_or_default()),
        latency_ms: reply::exact_millis(core.handle.clock().now().saturating_since(started)),
        data: answer.value,
    };
    reply::json(StatusCode::OK, &body, &answer.source, answer.age)
}

/// Whether anything but the first provider answered.
pub fn is_fallback(core: &Core, source: &Source) -> bool {
    let names = core.models.provider_names();
    match source {
        Source::Provider(name) => names.first() != Some(&name.as_str()),
        _ => true,
    }
}

/// The state of the best provider's breaker.
pub fn breaker_state(core: &Core) -> &'static str {
    let id = core.handle.rules().dependency_id("openai");
    id.map_or("closed", |id| {
        core.handle.snapshot().component(id).breaker.as_str()
    })
}
