//! `POST /v1/chat/completions`, whole or as a stream of events.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use mainstay_testkit::ModelApi;
use serde_json::{Value, json};

use crate::behaviour::Behaviour;
use crate::error::{ApiError, model, parse};
use crate::models::CREATED;
use crate::schema;
use crate::streams::{self, Events};

const ROLES: [&str; 6] = [
    "system",
    "developer",
    "user",
    "assistant",
    "tool",
    "function",
];

pub(crate) async fn complete(
    State(behaviour): State<Arc<Behaviour>>,
    body: Bytes,
) -> Result<Response, ApiError> {
    let body = parse(&body)?;
    let model = model(&body, ModelApi::CHAT_MODEL)?;
    let texts = texts(&body)?;
    check_parameters(&body)?;
    let content = match behaviour.fixed_reply() {
        Some(content) => content,
        None => reply(&body, &texts)?,
    };
    let reply = Reply::new(model, &texts, &content, limit(&body));
    if body["stream"].as_bool() == Some(true) {
        let usage = body["stream_options"]["include_usage"].as_bool() == Some(true);
        return Ok(streams::respond(&behaviour, reply.events(usage)));
    }
    Ok(Json(reply.whole()).into_response())
}

/// The role and text of each message.
fn texts(body: &Value) -> Result<Vec<(String, String)>, ApiError> {
    let messages = match body.get("messages") {
        None => return Err(ApiError::missing("messages")),
        Some(Value::Array(messages)) if !messages.is_empty() => messages,
        Some(_) => return Err(ApiError::invalid("messages", "expected a non-empty list")),
    };
    messages
        .iter()
        .enumerate()
        .map(|(index, message)| read_message(index, message))
        .collect()
}

fn read_message(index: usize, message: &Value) -> Result<(String, String), ApiError> {
    let param = |field: &str| format!("messages[{index}].{field}");
    let role = match message["role"].as_str() {
        Some(role) if ROLES.contains(&role) => role.to_owned(),
        Some(_) => return Err(ApiError::invalid(&param("role"), "unknown role")),
        None => return Err(ApiError::missing(&param("role"))),
    };
    let content = match message.get("content") {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(parts)) => parts
            .iter()
            .filter_map(|part| part["text"].as_str())
            .collect(),
        Some(Value::Null) | None if role == "assistant" => String::new(),
        None => return Err(ApiError::missing(&param("content"))),
        Some(_) => {
            return Err(ApiError::invalid(
                &param("content"),
                "expected text or a list of parts",
            ));
        }
    };
    Ok((role, content))
}

fn check_parameters(body: &Value) -> Result<(), ApiError> {
    let ranges = [
        ("temperature", 0.0, 2.0),
        ("top_p", 0.0, 1.0),
        ("n", 1.0, 1.0),
        ("max_tokens", 1.0, 1e6),
    ];
    for (name, least, most) in ranges
        .into_iter()
        .chain([("max_completion_tokens", 1.0, 1e6)])
    {
        let value = &body[name];
        if !value.is_null()
            && !value
                .as_f64()
                .is_some_and(|value| (least..=most).contains(&value))
        {
            return Err(ApiError::invalid(
                name,
                &format!("expected a number in {least}..={most}"),
            ));
        }
    }
    match &body["stream"] {
        Value::Null | Value::Bool(_) => Ok(()),
        _ => Err(ApiError::invalid("stream", "expected true or false")),
    }
}

fn limit(body: &Value) -> Option<usize> {
    let limit = body["max_completion_tokens"]
        .as_u64()
        .or(body["max_tokens"].as_u64());
    limit.and_then(|limit| usize::try_from(limit).ok())
}

fn reply(body: &Value, texts: &[(String, String)]) -> Result<String, ApiError> {
    let asked = texts.iter().rev().find(|(role, _)| role == "user");
    let echo = format!("echo: {}", asked.map_or("", |(_, text)| text));
    let format = &body["response_format"];
    match format["type"].as_str() {
        None | Some("text") => Ok(echo),
        Some("json_object") => Ok(json!({ "echo": echo }).to_string()),
        Some("json_schema") => match &format["json_schema"] {
            asked if asked["name"].is_null() => {
                Err(ApiError::missing("response_format.json_schema.name"))
            }
            asked if asked["schema"].is_object() => {
                Ok(schema::example(&asked["schema"]).to_string())
            }
            _ => Err(ApiError::missing("response_format.json_schema.schema")),
        },
        Some(_) => Err(ApiError::invalid("response_format.type", "unknown format")),
    }
}

/// A reply cut into its tokens; a token is a word with the space before it.
struct Reply {
    model: String,
    tokens: Vec<String>,
    finish: &'static str,
    usage: Value,
}

impl Reply {
    fn new(model: String, texts: &[(String, String)], content: &str, limit: Option<usize>) -> Self {
        let mut tokens: Vec<String> = content.split_inclusive(' ').map(str::to_owned).collect();
        let cut = limit.is_some_and(|limit| tokens.len() > limit);
        tokens.truncate(limit.unwrap_or(usize::MAX));
        let prompt: usize = texts
            .iter()
            .map(|(_, text)| text.split_whitespace().count())
            .sum();
        let usage = json!({
            "prompt_tokens": prompt,
            "completion_tokens": tokens.len(),
            "total_tokens": prompt + tokens.len(),
        });
        Self {
            model,
            tokens,
            finish: if cut { "length" } else { "stop" },
            usage,
        }
    }

    fn whole(&self) -> Value {
        let message =
            json!({ "role": "assistant", "content": self.tokens.concat(), "refusal": null });
        let choice = json!({
            "index": 0, "message": message, "logprobs": null, "finish_reason": self.finish,
        });
        json!({
            "id": "chatcmpl-test", "object": "chat.completion", "created": CREATED, "model": self.model,
            "choices": [choice], "usage": self.usage, "system_fingerprint": "fp_test",
        })
    }

    /// The events of a stream: the role, each token, the end, the usage when asked for, and `[DONE]`.
    fn events(&self, with_usage: bool) -> Events {
        let role = json!({ "role": "assistant", "content": "" });
        let deltas = self.tokens.iter().map(|token| json!({ "content": token }));
        let mut chunks: Vec<Value> = std::iter::once(role)
            .chain(deltas)
            .map(|d| self.chunk(d, None))
            .collect();
        chunks.push(self.chunk(json!({}), Some(self.finish)));
        if with_usage {
            chunks
                .iter_mut()
                .for_each(|chunk| chunk["usage"] = Value::Null);
            let mut last = self.chunk(json!({}), None);
            last["choices"] = json!([]);
            last["usage"] = self.usage.clone();
            chunks.push(last);
        }
        let data = chunks.iter().map(Value::to_string);
        Events {
            data: data.chain(["[DONE]".to_owned()]).collect(),
            more: self.chunk(json!({ "content": "more " }), None).to_string(),
            whole: self.whole(),
        }
    }

    fn chunk(&self, delta: Value, finish: Option<&str>) -> Value {
        let choice =
            json!({ "index": 0, "delta": delta, "logprobs": null, "finish_reason": finish });
        json!({
            "id": "chatcmpl-test", "object": "chat.completion.chunk", "created": CREATED,
            "model": self.model, "choices": [choice], "system_fingerprint": "fp_test",
        })
    }
}
