//! Makes a small JSON value that fits a JSON schema: what a model with structured output would answer.
//!
//! `pattern` isn't understood; other keywords that structured output allows are.

use serde_json::{Value, json};

/// The deepest nesting made of a schema that refers to itself.
const DEEPEST: usize = 16;

/// A value that fits `schema`.
pub(crate) fn example(schema: &Value) -> Value {
    fit(schema, schema, 0)
}

fn fit(schema: &Value, root: &Value, depth: usize) -> Value {
    if depth > DEEPEST {
        return Value::Null;
    }
    if let Some(target) = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.strip_prefix('#'))
    {
        return root
            .pointer(target)
            .map_or(Value::Null, |target| fit(target, root, depth + 1));
    }
    if let Some(value) = schema.get("const").or_else(|| schema["enum"].get(0)) {
        return value.clone();
    }
    if let Some(first) = ["anyOf", "oneOf", "allOf"]
        .iter()
        .find_map(|key| schema[*key].get(0))
    {
        return fit(first, root, depth + 1);
    }
    match kind(schema) {
        "object" => object(schema, root, depth),
        "array" => array(schema, root, depth),
        "integer" => json!(number(schema).ceil() as i64),
        "number" => json!(number(schema)),
        "boolean" => json!(true),
        "null" => Value::Null,
        _ => json!(text(schema)),
    }
}

/// The type, or the first of several; told by its keywords when it isn't given.
fn kind(schema: &Value) -> &str {
    match &schema["type"] {
        Value::String(kind) => kind,
        Value::Array(kinds) => kinds.first().and_then(Value::as_str).unwrap_or("null"),
        _ if schema.get("properties").is_some() => "object",
        _ if schema.get("items").is_some() => "array",
        _ => "string",
    }
}

fn object(schema: &Value, root: &Value, depth: usize) -> Value {
    let made = |(name, property): (&String, &Value)| (name.clone(), fit(property, root, depth + 1));
    let properties = schema["properties"].as_object();
    Value::Object(
        properties
            .map(|all| all.iter().map(made).collect())
            .unwrap_or_default(),
    )
}

fn array(schema: &Value, root: &Value, depth: usize) -> Value {
    let most = schema["maxItems"].as_u64().unwrap_or(u64::MAX);
    // A recursive list ends by being empty where it may be.
    let least = schema["minItems"]
        .as_u64()
        .unwrap_or(u64::from(depth < DEEPEST / 2));
    Value::Array(
        (0..least.min(most))
            .map(|_| fit(&schema["items"], root, depth + 1))
            .collect(),
    )
}

fn number(schema: &Value) -> f64 {
    let bound = |key: &str| schema[key].as_f64();
    let least = bound("minimum").or(bound("exclusiveMinimum").map(|least| least + 1.0));
    let most = bound("maximum").or(bound("exclusiveMaximum").map(|most| most - 1.0));
    let number = least.unwrap_or(1.0).min(most.unwrap_or(f64::MAX));
    match bound("multipleOf") {
        Some(step) if step > 0.0 => (number / step).ceil() * step,
        _ => number,
    }
}

fn text(schema: &Value) -> String {
    let text = match schema["format"].as_str() {
        Some("date") => "2024-01-31",
        Some("time") => "12:00:00Z",
        Some("date-time") => "2024-01-31T12:00:00Z",
        Some("email") => "test@example.com",
        Some("uuid") => "00000000-0000-4000-8000-000000000000",
        Some("uri") => "https://example.com/",
        _ => "text",
    };
    let least = schema["minLength"].as_u64().unwrap_or(0);
    let most = schema["maxLength"].as_u64().unwrap_or(u64::MAX);
    let length = (text.len() as u64).max(least).min(most);
    text.chars()
        .chain(std::iter::repeat('x'))
        .take(usize::try_from(length).unwrap_or(usize::MAX))
        .collect()
}
