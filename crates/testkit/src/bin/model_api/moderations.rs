//! `POST /v1/moderations`: flags a text that says `violence` or `hate`.

use axum::Json;
use axum::body::Bytes;
use mainstay_testkit::ModelApi;
use serde_json::{Map, Value, json};

use crate::error::{ApiError, model, parse};

const CATEGORIES: [&str; 13] = [
    "harassment",
    "harassment/threatening",
    "hate",
    "hate/threatening",
    "illicit",
    "illicit/violent",
    "self-harm",
    "self-harm/instructions",
    "self-harm/intent",
    "sexual",
    "sexual/minors",
    "violence",
    "violence/graphic",
];

pub(crate) async fn moderate(body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = parse(&body)?;
    let model = match body.get("model") {
        None | Some(Value::Null) => ModelApi::MODERATION_MODEL.to_owned(),
        Some(_) => model(&body, ModelApi::MODERATION_MODEL)?,
    };
    let results: Vec<Value> = inputs(&body)?.iter().map(|text| judge(text)).collect();
    Ok(Json(
        json!({ "id": "modr-test", "model": model, "results": results }),
    ))
}

fn inputs(body: &Value) -> Result<Vec<String>, ApiError> {
    let wrong = || ApiError::invalid("input", "expected text or a non-empty list of texts");
    match body.get("input") {
        None => Err(ApiError::missing("input")),
        Some(Value::String(text)) => Ok(vec![text.clone()]),
        Some(Value::Array(items)) if !items.is_empty() => {
            let text = |item: &Value| item.as_str().or(item["text"].as_str()).map(str::to_owned);
            items
                .iter()
                .map(|item| text(item).ok_or_else(wrong))
                .collect()
        }
        Some(_) => Err(wrong()),
    }
}

fn judge(text: &str) -> Value {
    let text = text.to_lowercase();
    let is = |category: &str| matches!(category, "hate" | "violence") && text.contains(category);
    let by_category = |value: &dyn Fn(bool) -> Value| -> Map<String, Value> {
        CATEGORIES
            .iter()
            .map(|name| ((*name).to_owned(), value(is(name))))
            .collect()
    };
    json!({
        "flagged": CATEGORIES.iter().any(|name| is(name)),
        "categories": by_category(&|hit| json!(hit)),
        "category_scores": by_category(&|hit| json!(if hit { 0.99 } else { 0.01 })),
        "category_applied_input_types": by_category(&|_| json!(["text"])),
    })
}
