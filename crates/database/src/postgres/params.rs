//! JSON values as the parameters that the server reported: checked here, sent as text, read by the server itself.
//!
//! Text keeps them exact (NUMERIC never passes through a float) and lets any type be sent. A string for a type that has
//! no JSON form of its own (dates, intervals, enums, ranges …) is that type's own text.
//! `bytea` is base64; `json` and `jsonb` take any JSON value, and `null` is SQL NULL.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{BufMut, BytesMut};
use mainstay_runtime::Error;
use serde_json::{Number, Value};
use tokio_postgres::types::{Format, IsNull, Kind, ToSql, Type};

use super::array;

/// A parameter in the server's text form; `None` is NULL. `Debug` doesn't show it: drivers log with it.
#[derive(Clone, PartialEq)]
pub(super) struct Param(pub(super) Option<String>);

impl std::fmt::Debug for Param {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Param(***)")
    }
}

impl ToSql for Param {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        let Some(text) = &self.0 else {
            return Ok(IsNull::Yes);
        };
        out.put_slice(text.as_bytes());
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn to_sql_checked(
        &self,
        ty: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        self.to_sql(ty, out)
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Text
    }
}

/// All parameters of a statement.
///
/// # Errors
/// `InvalidInput` on `params` for a wrong count, on `params[i]` for a wrong type.
pub(super) fn encode_all(types: &[Type], values: &[Value]) -> Result<Vec<Param>, Error> {
    if types.len() != values.len() {
        let (wanted, given) = (types.len(), values.len());
        return Err(Error::invalid(
            "params",
            format!("the statement takes {wanted} parameters, {given} were given"),
        ));
    }
    let encode = |(index, (ty, value))| encode(ty, value, &format!("params[{index}]")).map(Param);
    types.iter().zip(values).enumerate().map(encode).collect()
}

/// One value in the text form of `ty`; `None` is NULL. `place` names it in errors.
pub(super) fn encode(ty: &Type, value: &Value, place: &str) -> Result<Option<String>, Error> {
    if value.is_null() {
        return Ok(None);
    }
    if let Kind::Domain(inner) = ty.kind() {
        return encode(inner, value, place);
    }
    if let (Kind::Array(element), Value::Array(items)) = (ty.kind(), value) {
        return array::encode(element, items, place).map(Some);
    }
    let text = scalar(ty, value).map_err(|expected| {
        Error::invalid(
            place,
            format!(
                "expected {expected} for type {}, got {}",
                ty.name(),
                kind(value)
            ),
        )
    })?;
    if text.contains('\0') {
        return Err(Error::invalid(
            place,
            "PostgreSQL's text can't hold the character U+0000",
        ));
    }
    Ok(Some(text))
}

type Expected = &'static str;

fn scalar(ty: &Type, value: &Value) -> Result<String, Expected> {
    match *ty {
        Type::BOOL => value
            .as_bool()
            .map(|b| b.to_string())
            .ok_or("true or false"),
        Type::INT2 => integer(
            value,
            i16::MIN.into(),
            i16::MAX.into(),
            "a whole number from -32768 to 32767",
        ),
        Type::INT4 => integer(
            value,
            i32::MIN.into(),
            i32::MAX.into(),
            "a whole number from -2147483648 to 2147483647",
        ),
        Type::INT8 => integer(
            value,
            i64::MIN,
            i64::MAX,
            "a whole number of 64 bits, as number or text",
        ),
        Type::FLOAT4 | Type::FLOAT8 => float(value),
        Type::NUMERIC => numeric(value),
        Type::JSON | Type::JSONB => Ok(value.to_string()),
        Type::BYTEA => bytea(value),
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME => {
            value.as_str().map(str::to_owned).ok_or("a string")
        }
        Type::UUID => uuid(value),
        _ if matches!(ty.kind(), Kind::Array(_)) => {
            value.as_str().map(str::to_owned).ok_or("an array")
        }
        _ => other(value),
    }
}

fn integer(value: &Value, low: i64, high: i64, expected: Expected) -> Result<String, Expected> {
    let number = match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.trim().parse().ok(),
        _ => None,
    };
    number
        .filter(|number| (low..=high).contains(number))
        .map(|number| number.to_string())
        .ok_or(expected)
}

fn float(value: &Value) -> Result<String, Expected> {
    const EXPECTED: Expected = "a finite number";
    match value {
        Value::Number(number) => Ok(number.to_string()),
        Value::String(text) => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(text.trim().to_owned()),
            _ => Err(EXPECTED),
        },
        _ => Err(EXPECTED),
    }
}

/// Exact or refused: a JSON number with decimals has been through a float before it comes here.
fn numeric(value: &Value) -> Result<String, Expected> {
    const EXPECTED: Expected = "an exact decimal: a whole number, or text such as \"12.30\"";
    match value {
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        Value::String(text) if is_decimal(text.trim()) => Ok(text.trim().to_owned()),
        _ => Err(EXPECTED),
    }
}

/// `[+-]digits[.digits][e[+-]digits]`, with digits on one side of the point at least.
fn is_decimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (
            mantissa,
            Some(exponent.strip_prefix(['+', '-']).unwrap_or(exponent)),
        ),
        None => (unsigned, None),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    digits(whole)
        && digits(fraction)
        && !(whole.is_empty() && fraction.is_empty())
        && exponent.is_none_or(|exponent| !exponent.is_empty() && digits(exponent))
}

fn bytea(value: &Value) -> Result<String, Expected> {
    const EXPECTED: Expected = "base64 text";
    let bytes = STANDARD
        .decode(value.as_str().ok_or(EXPECTED)?)
        .map_err(|_| EXPECTED)?;
    let mut hex = String::with_capacity(2 + 2 * bytes.len());
    hex.push_str("\\x");
    for byte in bytes {
        hex.extend(
            [byte >> 4, byte & 15].map(|digit| char::from_digit(digit.into(), 16).unwrap_or('0')),
        );
    }
    Ok(hex)
}

fn uuid(value: &Value) -> Result<String, Expected> {
    const EXPECTED: Expected = "a UUID such as \"936da01f-9abd-4d9d-80c7-02af85c822a8\"";
    let parsed = value
        .as_str()
        .and_then(|text| uuid::Uuid::parse_str(text).ok());
    parsed.map(|uuid| uuid.to_string()).ok_or(EXPECTED)
}

/// A type without a JSON form of its own: its text, or a whole number where its text is one.
fn other(value: &Value) -> Result<String, Expected> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Number(number) if !number.is_f64() => Ok(number.to_string()),
        _ => Err("text"),
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if Number::is_f64(number) => "a number with decimals",
        Value::Number(_) => "a whole number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn values_become_the_types_own_text() {
        for (ty, value, text) in [
            (Type::BOOL, json!(true), "true"),
            (Type::INT2, json!(-32768), "-32768"),
            (
                Type::INT8,
                json!("9223372036854775807"),
                "9223372036854775807",
            ),
            (Type::FLOAT8, json!(0.1), "0.1"),
            (
                Type::NUMERIC,
                json!("123456789012345678901234567890.000000001"),
                "123456789012345678901234567890.000000001",
            ),
            (Type::NUMERIC, json!(7), "7"),
            (Type::TEXT, json!("it's"), "it's"),
            (Type::JSONB, json!({"a": [1, null]}), r#"{"a":[1,null]}"#),
            (Type::JSONB, json!("text"), "\"text\""),
            (Type::BYTEA, json!("AP8="), "\\x00ff"),
            (Type::INT4_ARRAY, json!([1, null, 3]), "{1,NULL,3}"),
            (
                Type::TEXT_ARRAY,
                json!(["a\"b", "c\\d", "NULL", ""]),
                r#"{"a\"b","c\\d","NULL",""}"#,
            ),
            (Type::INT4_ARRAY, json!([[1, 2], [3, 4]]), "{{1,2},{3,4}}"),
            (
                Type::JSONB_ARRAY,
                json!([{"a": 1}, [2]]),
                r#"{"{\"a\":1}","[2]"}"#,
            ),
            (Type::INTERVAL, json!("1 day"), "1 day"),
        ] {
            assert_eq!(
                encode(&ty, &value, "params[0]").unwrap().as_deref(),
                Some(text),
                "{ty} {value}"
            );
        }
        assert_eq!(
            encode(&Type::INT4, &Value::Null, "params[0]").unwrap(),
            None
        );
    }

    #[test]
    fn what_does_not_fit_names_its_place() {
        for (ty, value, place) in [
            (Type::BOOL, json!("true"), "params[3]"),
            (Type::INT2, json!(32768), "params[3]"),
            (Type::INT4, json!(1.5), "params[3]"),
            (
                Type::INT8,
                json!(9_223_372_036_854_775_808_u64),
                "params[3]",
            ),
            (Type::FLOAT8, json!("NaN"), "params[3]"),
            (Type::NUMERIC, json!(0.1), "params[3]"),
            (Type::NUMERIC, json!("NaN"), "params[3]"),
            (Type::NUMERIC, json!("1.2.3"), "params[3]"),
            (Type::TEXT, json!(1), "params[3]"),
            (Type::TEXT, json!("a\0b"), "params[3]"),
            (Type::UUID, json!("no"), "params[3]"),
            (Type::BYTEA, json!("%%"), "params[3]"),
            (Type::INT4_ARRAY, json!([1, "x"]), "params[3][1]"),
            (Type::INT4_ARRAY, json!({"a": 1}), "params[3]"),
            (Type::DATE, json!([1]), "params[3]"),
        ] {
            let error = encode(&ty, &value, "params[3]").unwrap_err();
            assert_eq!(
                error.field.as_deref(),
                Some(place),
                "{ty} {value}: {}",
                error.detail
            );
        }
    }

    #[test]
    fn parameters_are_counted_and_never_shown() {
        let error = encode_all(&[Type::INT4], &[]).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("params"));
        assert!(!format!("{:?}", Param(Some("secret".into()))).contains("secret"));
    }
}
