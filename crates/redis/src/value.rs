//! What is stored, and under which names: bytes that travel as text or base64, and checked keys.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_runtime::Error;
use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};

/// Longest key, in bytes.
pub const MAX_KEY_BYTES: usize = 1024;
/// Keys that begin like this are Mainstay's own.
pub const RESERVED_PREFIX: &str = "mainstay:";

/// Bytes as Redis holds them. In JSON they are a string, or `{"base64": "…"}` where they aren't UTF-8.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Blob(pub(crate) Bytes);

impl Blob {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// How many bytes.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads a value of a request: a string, an integer (kept as its decimal digits) or `{"base64": "…"}`.
    ///
    /// # Errors
    /// Everything else is refused with the remedy: a fraction has no single text form, and objects are the caller's to serialise.
    pub fn parse(field: &str, json: &serde_json::Value) -> Result<Self, Error> {
        use serde_json::Value;
        match json {
            Value::String(text) => Ok(Self::from(text.as_str())),
            Value::Number(number) if number.is_i64() || number.is_u64() => {
                Ok(Self::from(number.to_string()))
            }
            Value::Object(map) if map.len() == 1 => match map.get("base64").and_then(Value::as_str)
            {
                Some(text) => decode(field, text),
                None => Err(not_a_value(field)),
            },
            _ => Err(not_a_value(field)),
        }
    }
}

fn decode(field: &str, text: &str) -> Result<Blob, Error> {
    STANDARD.decode(text).map(Blob::from).map_err(|_| {
        Error::invalid(
            format!("{field}.base64"),
            "not valid base64: use the standard alphabet with padding (RFC 4648, section 4)",
        )
    })
}

fn not_a_value(field: &str) -> Error {
    Error::invalid(
        field,
        "a value is a string, an integer, or {\"base64\": \"…\"} for bytes; send anything else serialised as a string",
    )
}

impl From<&str> for Blob {
    fn from(text: &str) -> Self {
        Self(Bytes::copy_from_slice(text.as_bytes()))
    }
}

impl From<String> for Blob {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<Vec<u8>> for Blob {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(&self.0) {
            Ok(text) => serializer.serialize_str(text),
            Err(_) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("base64", &STANDARD.encode(&self.0))?;
                map.end()
            }
        }
    }
}

/// A key that a caller may use: 1 to [`MAX_KEY_BYTES`] bytes of text outside the reserved namespace.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key(Arc<str>);

impl Key {
    /// Checks a key.
    ///
    /// # Errors
    /// `invalid-input` on `key` when it is empty, too long or reserved.
    pub fn new(key: &str) -> Result<Self, Error> {
        if key.is_empty() {
            return Err(Error::invalid("key", "a key has at least one character"));
        }
        if key.len() > MAX_KEY_BYTES {
            let detail = format!(
                "a key has at most {MAX_KEY_BYTES} bytes and this one has {}: use a hash of it",
                key.len()
            );
            return Err(Error::invalid("key", detail));
        }
        if key.starts_with(RESERVED_PREFIX) {
            let detail = format!(
                "keys that begin with {RESERVED_PREFIX:?} are reserved: choose another prefix"
            );
            return Err(Error::invalid("key", detail));
        }
        Ok(Self(key.into()))
    }

    /// A key of Mainstay's own.
    pub(crate) fn reserved(name: &str) -> Self {
        Self(format!("{RESERVED_PREFIX}{name}").into())
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}
