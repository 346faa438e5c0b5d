//! JSON schemas for models' answers, in the strict subset that providers take: every property required, none besides, absence as null.

use serde_json::{Map, Value, json};

pub(super) fn object<const N: usize>(properties: [(&str, Value); N]) -> Value {
    let required: Vec<&str> = properties.iter().map(|(name, _)| *name).collect();
    let required = json!(required);
    let properties: Map<String, Value> = properties
        .into_iter()
        .map(|(name, schema)| (name.to_owned(), schema))
        .collect();
    json!({ "type": "object", "properties": properties, "required": required, "additionalProperties": false })
}

pub(super) fn list(items: Value) -> Value {
    json!({ "type": "array", "items": items })
}

pub(super) fn text(description: &str) -> Value {
    json!({ "type": "string", "description": description })
}

pub(super) fn optional_text(description: &str) -> Value {
    json!({ "type": ["string", "null"], "description": description })
}

pub(super) fn amount(description: &str) -> Value {
    json!({ "type": "string", "pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,6})?$", "description": description })
}

pub(super) fn optional_amount(description: &str) -> Value {
    json!({ "type": ["string", "null"], "pattern": r"^-?[0-9]{1,18}(\.[0-9]{1,6})?$", "description": description })
}

pub(super) fn choice(values: &[&str], description: &str) -> Value {
    json!({ "type": "string", "enum": values, "description": description })
}

pub(super) fn optional_choice(values: &[&str], description: &str) -> Value {
    let mut with_null: Vec<Value> = values.iter().map(|value| json!(value)).collect();
    with_null.push(Value::Null);
    json!({ "type": ["string", "null"], "enum": with_null, "description": description })
}

pub(super) fn nullable(schema: Value) -> Value {
    json!({ "anyOf": [schema, { "type": "null" }] })
}
