//! Exact decimals in JSON: written as text; read from text or from a number short enough to be exact.

use rust_decimal::Decimal;
use serde::{Deserialize, Deserializer, de::Error};
use serde_json::Value;

/// Numbers in JSON pass through binary floating point, which keeps 15 significant digits.
const EXACT_DIGITS: usize = 15;

/// `units` × 10^−`scale`, in a constant.
pub(crate) const fn constant(units: u32, scale: u32) -> Decimal {
    Decimal::from_parts(units, 0, 0, false, scale)
}

/// Parses a plain decimal: an optional minus, digits, and a point with digits. No grouping, no exponent.
pub(crate) fn parse_plain(text: &str) -> Option<Decimal> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, "0"));
    let plain = |part: &str| {
        !part.is_empty() && part.len() <= 20 && part.bytes().all(|b| b.is_ascii_digit())
    };
    if !plain(whole) || !plain(fraction) {
        return None;
    }
    Decimal::from_str_exact(text).ok()
}

fn from_value<E: Error>(value: &Value) -> Result<Decimal, E> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number.to_string(),
        other => {
            return Err(E::custom(format!(
                "expected a decimal such as \"1234.56\", got {other}"
            )));
        }
    };
    let significant = text.bytes().filter(u8::is_ascii_digit).count();
    if value.is_f64() && significant > EXACT_DIGITS {
        return Err(E::custom(format!(
            "{text} has too many digits to be exact as a number; send it as text"
        )));
    }
    parse_plain(&text).ok_or_else(|| {
        E::custom(format!(
            "`{text}` is not a decimal; write it plainly, such as \"1234.56\""
        ))
    })
}

/// For `#[serde(deserialize_with)]` on a [`Decimal`].
pub(crate) fn required<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Decimal, D::Error> {
    from_value(&Value::deserialize(deserializer)?)
}

/// For `#[serde(default, deserialize_with)]` on an `Option<Decimal>`: null is `None`.
pub(crate) fn optional<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Decimal>, D::Error> {
    match Option::<Value>::deserialize(deserializer)? {
        None => Ok(None),
        Some(value) => from_value(&value).map(Some),
    }
}

/// For `#[serde(default, deserialize_with)]` on a `Vec<Decimal>`.
pub(crate) fn list<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Decimal>, D::Error> {
    Vec::<Value>::deserialize(deserializer)?
        .iter()
        .map(from_value)
        .collect()
}
