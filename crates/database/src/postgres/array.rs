//! Arrays: JSON arrays to the server's array literals, and its binary form back to JSON arrays.

use mainstay_runtime::Error;
use serde_json::Value;
use tokio_postgres::types::Type;

use super::params;
use super::values::{self, Malformed};

/// The array literal of `items`. Nested JSON arrays are further dimensions, except for JSON elements.
pub(super) fn encode(element: &Type, items: &[Value], place: &str) -> Result<String, Error> {
    let json = matches!(*element, Type::JSON | Type::JSONB);
    let mut literal = String::from("{");
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            literal.push(if *element == Type::BOX { ';' } else { ',' });
        }
        let place = format!("{place}[{index}]");
        match item {
            Value::Array(inner) if !json => literal.push_str(&encode(element, inner, &place)?),
            _ => push_element(&mut literal, element, item, &place)?,
        }
    }
    literal.push('}');
    Ok(literal)
}

fn push_element(
    literal: &mut String,
    element: &Type,
    item: &Value,
    place: &str,
) -> Result<(), Error> {
    let Some(text) = params::encode(element, item, place)? else {
        literal.push_str("NULL");
        return Ok(());
    };
    if !text.is_empty()
        && text
            .bytes()
            .all(|byte| byte.is_ascii_digit() || byte == b'-')
    {
        literal.push_str(&text);
        return Ok(());
    }
    literal.push('"');
    for c in text.chars() {
        if matches!(c, '"' | '\\') {
            literal.push('\\');
        }
        literal.push(c);
    }
    literal.push('"');
    Ok(())
}

/// A JSON array from the binary form: dimensions, a flag, the element type, (length, lower bound) for each
/// dimension, then each element behind its length.
pub(super) fn decode(element: &Type, raw: &[u8]) -> Result<Value, Malformed> {
    let mut raw = raw;
    let dimensions = values::take_i32(&mut raw)?;
    let (_has_nulls, _element) = (values::take_i32(&mut raw)?, values::take_i32(&mut raw)?);
    let mut lengths = Vec::new();
    for _ in 0..dimensions {
        lengths.push(usize::try_from(values::take_i32(&mut raw)?)?);
        let _lower_bound = values::take_i32(&mut raw)?;
    }
    if lengths.is_empty() {
        return Ok(Value::Array(Vec::new()));
    }
    decode_dimension(element, &lengths, &mut raw)
}

fn decode_dimension(
    element: &Type,
    lengths: &[usize],
    raw: &mut &[u8],
) -> Result<Value, Malformed> {
    let Some((length, inner)) = lengths.split_first() else {
        let Ok(length) = usize::try_from(values::take_i32(raw)?) else {
            return Ok(Value::Null);
        };
        return values::decode(element, values::take(raw, length)?);
    };
    let items: Result<Vec<Value>, _> = (0..*length)
        .map(|_| decode_dimension(element, inner, raw))
        .collect();
    items.map(Value::Array)
}
