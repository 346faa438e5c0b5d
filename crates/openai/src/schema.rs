//! Checks answers against JSON schemas. A schema is compiled once and kept.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use jsonschema::Validator;
use mainstay_runtime::Error;
use serde_json::Value;

/// More schemas than this at a time come from callers that make them up: then all are forgotten.
const MOST: usize = 64;
/// How many faults of an answer are told to the model.
const MOST_FAULTS: usize = 8;

/// The compiled schemas, by their text.
#[derive(Debug, Default)]
pub(crate) struct Schemas {
    compiled: Mutex<HashMap<[u8; 32], Arc<Validator>>>,
}

impl Schemas {
    /// The compiled schema.
    ///
    /// # Errors
    /// `InvalidInput` naming `schema` when it is none, or refers to something outside itself.
    pub(crate) fn compile(&self, schema: &Value) -> Result<Arc<Validator>, Error> {
        let key = *blake3::hash(schema.to_string().as_bytes()).as_bytes();
        if let Some(known) = self.compiled().get(&key) {
            return Ok(Arc::clone(known));
        }
        let validator = jsonschema::validator_for(schema).map_err(|error| {
            Error::invalid(
                "schema",
                format!("is not a usable JSON schema: {}", error.masked()),
            )
        })?;
        let validator = Arc::new(validator);
        let mut compiled = self.compiled();
        if compiled.len() >= MOST {
            compiled.clear();
        }
        compiled.insert(key, Arc::clone(&validator));
        Ok(validator)
    }

    fn compiled(&self) -> std::sync::MutexGuard<'_, HashMap<[u8; 32], Arc<Validator>>> {
        self.compiled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The value in a model's answer, or what is wrong with it, in words for the model. They may hold pieces of the
/// answer, so they go nowhere else.
pub(crate) fn read(validator: &Validator, text: &str) -> Result<Value, String> {
    let value: Value = serde_json::from_str(without_fence(text))
        .map_err(|error| format!("It is not valid JSON: {error}."))?;
    let faults: Vec<String> = validator
        .iter_errors(&value)
        .take(MOST_FAULTS)
        .map(|error| format!("At `{}`: {error}.", error.instance_path()))
        .collect();
    match faults.is_empty() {
        true => Ok(value),
        false => Err(faults.join("\n")),
    }
}

/// Models without structured output like to put JSON into a Markdown fence.
fn without_fence(text: &str) -> &str {
    let text = text.trim();
    let inner = text
        .strip_prefix("```")
        .and_then(|rest| rest.strip_suffix("```"));
    match inner {
        Some(inner) => inner.strip_prefix("json").unwrap_or(inner).trim(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Value {
        json!({ "type": "object", "required": ["total"], "additionalProperties": false,
                "properties": { "total": { "type": "number", "minimum": 0 } } })
    }

    fn check(text: &str) -> Result<Value, String> {
        read(&Schemas::default().compile(&schema()).unwrap(), text)
    }

    #[test]
    fn an_answer_that_fits_is_read_also_from_a_fence() {
        let texts = [
            "{\"total\": 3}",
            " {\"total\":3}\n",
            "```json\n{\"total\": 3}\n```",
            "```\n{\"total\":3}```",
        ];
        for text in texts {
            assert_eq!(check(text), Ok(json!({ "total": 3 })), "{text}");
        }
    }

    #[test]
    fn an_answer_that_does_not_fit_is_told_where() {
        assert!(
            check("Sure! Here you are")
                .unwrap_err()
                .contains("not valid JSON")
        );
        assert!(check("{\"total\": -1}").unwrap_err().contains("/total"));
        assert!(check("{}").unwrap_err().contains("total"));
        assert!(
            check("{\"total\": 1, \"tax\": 2}")
                .unwrap_err()
                .contains("tax")
        );
        assert!(check("{\"total\": 1} {\"total\": 2}").is_err());
        assert!(check("").is_err());
    }

    #[test]
    fn a_schema_is_compiled_once() {
        let schemas = Schemas::default();
        let first = schemas.compile(&schema()).unwrap();
        let second = schemas.compile(&schema()).unwrap();
        assert!(Arc::ptr_eq(&first, &second));
    }

    #[test]
    fn made_up_schemas_do_not_pile_up() {
        let schemas = Schemas::default();
        for minimum in 0..3 * MOST {
            schemas.compile(&json!({ "minimum": minimum })).unwrap();
        }
        assert!(schemas.compiled().len() <= MOST);
    }

    #[test]
    fn what_is_no_schema_or_refers_elsewhere_is_refused_by_name() {
        for wrong in [
            json!({ "type": "colour" }),
            json!(3),
            json!({ "$ref": "http://127.0.0.1:9/schema.json" }),
            json!({ "$ref": "file:///etc/passwd" }),
        ] {
            let error = Schemas::default().compile(&wrong).unwrap_err();
            assert_eq!(error.field.as_deref(), Some("schema"), "{wrong}");
        }
    }
}
