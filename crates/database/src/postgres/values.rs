//! Values in the server's binary form as JSON.
//!
//! | type | JSON |
//! |---|---|
//! | bool | `true`, `false` |
//! | int2, int4, int8, oid | number; a reader with floats only loses digits of an int8 beyond 2^53 |
//! | float4, float8 | number; `"NaN"`, `"Infinity"`, `"-Infinity"` |
//! | numeric | exact text |
//! | json, jsonb | the value itself, its numbers as 64-bit integers or floats: cast to text for more digits |
//! | uuid, text, varchar, char, name, enums | text |
//! | date, time, timestamp | ISO 8601 text |
//! | timestamptz | RFC 3339 text in UTC |
//! | bytea | base64 text |
//! | arrays | arrays, nested for further dimensions |
//! | domains | as the type beneath |
//! | others | the server's own text, see `text_columns` |

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::civil::{Date, DateTime, date};
use jiff::{SignedDuration, Span, Timestamp};
use serde_json::{Number, Value};
use tokio_postgres::types::{FromSql, Kind, Type};

use super::{array, numeric};

/// Bytes that don't fit their type, or a value that JSON's types can't hold.
pub(super) type Malformed = Box<dyn std::error::Error + Sync + Send>;

/// A decoded value.
pub(super) struct Cell(pub(super) Value);

impl<'a> FromSql<'a> for Cell {
    fn from_sql(ty: &Type, raw: &'a [u8]) -> Result<Self, Malformed> {
        decode(ty, raw).map(Cell)
    }

    fn from_sql_null(_: &Type) -> Result<Self, Malformed> {
        Ok(Self(Value::Null))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Whether [`decode`] knows the type's binary form.
pub(super) fn is_known(ty: &Type) -> bool {
    match ty.kind() {
        Kind::Domain(inner) | Kind::Array(inner) => is_known(inner),
        Kind::Enum(_) => true,
        _ => matches!(
            *ty,
            Type::BOOL
                | Type::INT2
                | Type::INT4
                | Type::INT8
                | Type::OID
                | Type::FLOAT4
                | Type::FLOAT8
                | Type::NUMERIC
                | Type::TEXT
                | Type::VARCHAR
                | Type::BPCHAR
                | Type::NAME
                | Type::UNKNOWN
                | Type::JSON
                | Type::JSONB
                | Type::UUID
                | Type::DATE
                | Type::TIME
                | Type::TIMESTAMP
                | Type::TIMESTAMPTZ
                | Type::BYTEA
                | Type::VOID
        ),
    }
}

/// A value that isn't NULL.
pub(super) fn decode(ty: &Type, raw: &[u8]) -> Result<Value, Malformed> {
    match ty.kind() {
        Kind::Domain(inner) => return decode(inner, raw),
        Kind::Array(element) => return array::decode(element, raw),
        _ => {}
    }
    Ok(match *ty {
        Type::BOOL => Value::Bool(bool::from_sql(ty, raw)?),
        Type::INT2 => i16::from_sql(ty, raw)?.into(),
        Type::INT4 => i32::from_sql(ty, raw)?.into(),
        Type::INT8 => i64::from_sql(ty, raw)?.into(),
        Type::OID => u32::from_sql(ty, raw)?.into(),
        Type::FLOAT4 => float4(f32::from_sql(ty, raw)?),
        Type::FLOAT8 => float8(f64::from_sql(ty, raw)?),
        Type::NUMERIC => Value::String(numeric::decode(raw)?),
        Type::JSON => serde_json::from_slice(raw)?,
        Type::JSONB => serde_json::from_slice(raw.get(1..).ok_or("empty jsonb")?)?,
        Type::UUID => uuid::Uuid::from_slice(raw)?.to_string().into(),
        Type::DATE => day(i32::from_be_bytes(raw.try_into()?))?.into(),
        Type::TIME => time(i64::from_be_bytes(raw.try_into()?)).into(),
        Type::TIMESTAMP => timestamp(i64::from_be_bytes(raw.try_into()?))?.into(),
        Type::TIMESTAMPTZ => instant(i64::from_be_bytes(raw.try_into()?))?.into(),
        Type::BYTEA => STANDARD.encode(raw).into(),
        Type::VOID => Value::Null,
        _ => std::str::from_utf8(raw)?.into(),
    })
}

/// By its shortest decimal: 0.1 as float4 is 0.1, not 0.10000000149011612.
fn float4(number: f32) -> Value {
    number.to_string().parse().map_or(Value::Null, float8)
}

fn float8(number: f64) -> Value {
    match Number::from_f64(number) {
        Some(number) => Value::Number(number),
        None if number.is_nan() => "NaN".into(),
        None if number > 0.0 => "Infinity".into(),
        None => "-Infinity".into(),
    }
}

const EPOCH: Date = date(2000, 1, 1);

fn day(days: i32) -> Result<String, Malformed> {
    match days {
        i32::MAX => Ok("infinity".to_owned()),
        i32::MIN => Ok("-infinity".to_owned()),
        _ => Ok(EPOCH.checked_add(Span::new().try_days(days)?)?.to_string()),
    }
}

/// Not by a time type: PostgreSQL has 24:00:00.
fn time(micros: i64) -> String {
    let (seconds, fraction) = (micros / 1_000_000, micros % 1_000_000);
    let clock = format!(
        "{:02}:{:02}:{:02}",
        seconds / 3600,
        seconds / 60 % 60,
        seconds % 60
    );
    if fraction == 0 {
        clock
    } else {
        format!("{clock}.{fraction:06}")
            .trim_end_matches('0')
            .to_owned()
    }
}

fn timestamp(micros: i64) -> Result<String, Malformed> {
    infinite(micros, || {
        let start: DateTime = EPOCH.into();
        Ok(start
            .checked_add(SignedDuration::from_micros(micros))?
            .to_string())
    })
}

fn instant(micros: i64) -> Result<String, Malformed> {
    infinite(micros, || {
        let start = Timestamp::from_second(946_684_800)?;
        Ok(start
            .checked_add(SignedDuration::from_micros(micros))?
            .to_string())
    })
}

fn infinite(
    micros: i64,
    finite: impl FnOnce() -> Result<String, Malformed>,
) -> Result<String, Malformed> {
    match micros {
        i64::MAX => Ok("infinity".to_owned()),
        i64::MIN => Ok("-infinity".to_owned()),
        _ => finite(),
    }
}

/// The next `length` bytes.
pub(super) fn take<'a>(raw: &mut &'a [u8], length: usize) -> Result<&'a [u8], Malformed> {
    let (taken, rest) = raw.split_at_checked(length).ok_or("value ends early")?;
    *raw = rest;
    Ok(taken)
}

/// The next four bytes.
pub(super) fn take_i32(raw: &mut &[u8]) -> Result<i32, Malformed> {
    Ok(i32::from_be_bytes(take(raw, 4)?.try_into()?))
}

/// The next two bytes.
pub(super) fn take_i16(raw: &mut &[u8]) -> Result<i16, Malformed> {
    Ok(i16::from_be_bytes(take(raw, 2)?.try_into()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_iso_text() {
        assert_eq!(time(86_400_000_000), "24:00:00");
        assert_eq!(time(3_723_450_000), "01:02:03.45");
        assert_eq!(day(0).unwrap(), "2000-01-01");
        assert_eq!(day(i32::MAX).unwrap(), "infinity");
        assert_eq!(timestamp(1_500_000).unwrap(), "2000-01-01T00:00:01.5");
        assert_eq!(instant(-1_000_000).unwrap(), "1999-12-31T23:59:59Z");
        assert!(day(2_000_000_000).is_err());
    }

    #[test]
    fn floats_keep_their_shortest_form() {
        assert_eq!(float4(0.1), serde_json::json!(0.1));
        assert_eq!(float8(f64::NAN), "NaN");
        assert_eq!(float4(f32::NEG_INFINITY), "-Infinity");
    }

    #[test]
    fn truncated_bytes_are_errors() {
        for ty in [
            Type::INT4,
            Type::NUMERIC,
            Type::UUID,
            Type::JSONB,
            Type::TIMESTAMPTZ,
            Type::INT4_ARRAY,
        ] {
            assert!(decode(&ty, &[]).is_err(), "{ty}");
        }
    }
}
