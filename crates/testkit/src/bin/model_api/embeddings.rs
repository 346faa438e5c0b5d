//! `POST /v1/embeddings`: unit vectors made from a hash of the text, equal for equal texts.

use axum::Json;
use axum::body::Bytes;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use mainstay_testkit::ModelApi;
use serde_json::{Value, json};

use crate::error::{ApiError, model, parse};

const DIMENSIONS: usize = 256;

pub(crate) async fn embed(body: Bytes) -> Result<Json<Value>, ApiError> {
    let body = parse(&body)?;
    let model = model(&body, ModelApi::EMBEDDING_MODEL)?;
    let inputs = inputs(&body)?;
    let dimensions = dimensions(&body)?;
    let base64 = match body.get("encoding_format").and_then(Value::as_str) {
        None | Some("float") => false,
        Some("base64") => true,
        Some(_) => {
            return Err(ApiError::invalid(
                "encoding_format",
                "expected 'float' or 'base64'",
            ));
        }
    };
    let embed = |(index, input): (usize, &String)| {
        let vector = vector(input, dimensions);
        let embedding = if base64 {
            json!(encode(&vector))
        } else {
            json!(vector)
        };
        json!({ "object": "embedding", "index": index, "embedding": embedding })
    };
    let data: Vec<Value> = inputs.iter().enumerate().map(embed).collect();
    let tokens: usize = inputs
        .iter()
        .map(|input| input.split_whitespace().count())
        .sum();
    let usage = json!({ "prompt_tokens": tokens, "total_tokens": tokens });
    Ok(Json(
        json!({ "object": "list", "data": data, "model": model, "usage": usage }),
    ))
}

/// The texts of the request; a list of tokens counts as the text of its numbers.
fn inputs(body: &Value) -> Result<Vec<String>, ApiError> {
    let wrong = || {
        ApiError::invalid(
            "input",
            "expected text, tokens, or a non-empty list of them",
        )
    };
    match body.get("input") {
        None => Err(ApiError::missing("input")),
        Some(Value::String(text)) if !text.is_empty() => Ok(vec![text.clone()]),
        Some(Value::Array(items)) if !items.is_empty() && items.iter().all(Value::is_u64) => {
            Ok(vec![tokens(items)])
        }
        Some(Value::Array(items)) if !items.is_empty() => items
            .iter()
            .map(|item| match item {
                Value::String(text) if !text.is_empty() => Ok(text.clone()),
                Value::Array(items) if !items.is_empty() => Ok(tokens(items)),
                _ => Err(wrong()),
            })
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn tokens(items: &[Value]) -> String {
    items
        .iter()
        .map(Value::to_string)
        .collect::<Vec<_>>()
        .join(" ")
}

fn dimensions(body: &Value) -> Result<usize, ApiError> {
    match body.get("dimensions") {
        None | Some(Value::Null) => Ok(DIMENSIONS),
        Some(value) => match value.as_u64() {
            Some(count @ 1..=4096) => Ok(usize::try_from(count).unwrap_or(DIMENSIONS)),
            _ => Err(ApiError::invalid("dimensions", "expected 1..=4096")),
        },
    }
}

fn vector(text: &str, dimensions: usize) -> Vec<f32> {
    // FNV-1a for the seed, SplitMix64 for the numbers.
    let fnv = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let mut state = text.bytes().fold(0xcbf2_9ce4_8422_2325, fnv);
    let raw: Vec<f32> = (0..dimensions).map(|_| next(&mut state)).collect();
    let length = raw
        .iter()
        .map(|x| x * x)
        .sum::<f32>()
        .sqrt()
        .max(f32::MIN_POSITIVE);
    raw.into_iter().map(|x| x / length).collect()
}

/// The next number of SplitMix64, as -1.0..1.0.
fn next(state: &mut u64) -> f32 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut bits = *state;
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let top = (bits ^ (bits >> 31)) >> 40;
    top as f32 / (1_u32 << 23) as f32 - 1.0
}

/// Little-endian `f32`s, as clients of the API decode them.
fn encode(vector: &[f32]) -> String {
    let bytes: Vec<u8> = vector.iter().flat_map(|x| x.to_le_bytes()).collect();
    BASE64_STANDARD.encode(bytes)
}
