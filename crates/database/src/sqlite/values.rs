//! SQLite's values as JSON and back: by storage class, and by the declared type where that says more.
//!
//! | declared | stored | JSON |
//! |---|---|---|
//! | BOOL, BOOLEAN | integer 0 or 1 | `false`, `true` |
//! | NUMERIC, DECIMAL | integer, real, text | text. SQLite turns exact text into a float in such columns: declare money TEXT |
//! | JSON | text | the value itself |
//! | any | integer | number |
//! | any | real | number; `"Infinity"`, `"-Infinity"` |
//! | any | text | text |
//! | any | blob | base64 text; a parameter becomes a blob by `unhex(?)` |
//!
//! Parameters: null, booleans as 0 and 1, integers of 64 bits, floats, text; arrays and objects as their JSON text.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mainstay_runtime::Error;
use rusqlite::types::{Value as Stored, ValueRef};
use serde_json::{Number, Value};

/// A parameter.
///
/// # Errors
/// `InvalidInput` on `place` for an integer beyond 64 bits.
pub(super) fn bind(value: &Value, place: &str) -> Result<Stored, Error> {
    Ok(match value {
        Value::Null => Stored::Null,
        Value::Bool(flag) => Stored::Integer((*flag).into()),
        Value::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(integer), _) => Stored::Integer(integer),
            (None, Some(float)) if number.is_f64() => Stored::Real(float),
            _ => {
                return Err(Error::invalid(
                    place,
                    "expected a whole number of at most 64 bits; send it as text",
                ));
            }
        },
        Value::String(text) => Stored::Text(text.clone()),
        Value::Array(_) | Value::Object(_) => Stored::Text(value.to_string()),
    })
}

/// What a column was declared to hold, as far as it changes the JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Declared {
    Bool,
    Numeric,
    Json,
    Other,
}

impl Declared {
    pub(super) fn new(declared: &str) -> Self {
        let word: String = declared
            .chars()
            .take_while(char::is_ascii_alphanumeric)
            .collect();
        match word.to_ascii_uppercase().as_str() {
            "BOOL" | "BOOLEAN" => Self::Bool,
            "NUMERIC" | "DECIMAL" => Self::Numeric,
            "JSON" | "JSONB" => Self::Json,
            _ => Self::Other,
        }
    }
}

/// A value of a result; `Err` when text isn't UTF-8.
pub(super) fn read(value: ValueRef<'_>, declared: Declared) -> Result<Value, std::str::Utf8Error> {
    Ok(match (value, declared) {
        (ValueRef::Null, _) => Value::Null,
        (ValueRef::Integer(flag @ (0 | 1)), Declared::Bool) => Value::Bool(flag == 1),
        (ValueRef::Integer(number), Declared::Numeric) => number.to_string().into(),
        (ValueRef::Real(number), Declared::Numeric) => number.to_string().into(),
        (ValueRef::Integer(number), _) => number.into(),
        (ValueRef::Real(number), _) => float(number),
        (ValueRef::Text(text), Declared::Json) => {
            serde_json::from_slice(text).or_else(|_| std::str::from_utf8(text).map(Value::from))?
        }
        (ValueRef::Text(text), _) => std::str::from_utf8(text)?.into(),
        (ValueRef::Blob(bytes), _) => STANDARD.encode(bytes).into(),
    })
}

/// SQLite has no NaN: it stores NULL.
fn float(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

/// Bytes of a stored value.
pub(super) fn length(value: ValueRef<'_>) -> usize {
    match value {
        ValueRef::Text(bytes) | ValueRef::Blob(bytes) => bytes.len(),
        _ => 8,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_declared_type_says_what_storage_does_not() {
        for (stored, declared, expected) in [
            (ValueRef::Integer(1), "BOOLEAN", json!(true)),
            (ValueRef::Integer(2), "BOOLEAN", json!(2)),
            (ValueRef::Integer(1), "INTEGER", json!(1)),
            (ValueRef::Real(12.5), "NUMERIC(10,2)", json!("12.5")),
            (ValueRef::Integer(12), "decimal", json!("12")),
            (ValueRef::Text(b"{\"a\":1}"), "JSON", json!({"a": 1})),
            (ValueRef::Text(b"not json"), "JSON", json!("not json")),
            (ValueRef::Blob(&[0, 255]), "", json!("AP8=")),
            (ValueRef::Real(f64::INFINITY), "REAL", json!("Infinity")),
        ] {
            assert_eq!(
                read(stored, Declared::new(declared)),
                Ok(expected),
                "{stored:?} in {declared}"
            );
        }
    }

    #[test]
    fn an_integer_beyond_64_bits_is_refused() {
        assert_eq!(
            bind(&json!(u64::MAX), "params[0]")
                .unwrap_err()
                .field
                .as_deref(),
            Some("params[0]")
        );
        assert_eq!(
            bind(&json!(i64::MIN), "params[0]"),
            Ok(Stored::Integer(i64::MIN))
        );
    }
}
