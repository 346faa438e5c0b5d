//! `GET /v1/models`.

use axum::Json;
use axum::extract::Path;
use mainstay_testkit::ModelApi;
use serde_json::{Value, json};

use crate::error::ApiError;

/// Fixed, so that answers can be compared.
pub(crate) const CREATED: u64 = 1_700_000_000;

const MODELS: [&str; 3] = [
    ModelApi::CHAT_MODEL,
    ModelApi::EMBEDDING_MODEL,
    ModelApi::MODERATION_MODEL,
];

pub(crate) async fn list() -> Json<Value> {
    Json(json!({ "object": "list", "data": MODELS.map(describe) }))
}

pub(crate) async fn show(Path(model): Path<String>) -> Result<Json<Value>, ApiError> {
    let known = MODELS.into_iter().find(|known| *known == model);
    known
        .map(|known| Json(describe(known)))
        .ok_or_else(|| ApiError::unknown_model(&model))
}

fn describe(model: &str) -> Value {
    json!({ "id": model, "object": "model", "created": CREATED, "owned_by": "mainstay-testkit" })
}
