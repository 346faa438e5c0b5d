//! Results as bytes, for the file of old results and for the records of keyed writes.
//!
//! Not JSON: its reader may give back another float than was written, and an old result must be what was read.

use serde_json::{Map, Number, Value};

use crate::statement::{Column, Rows, Written};

/// Stands before everything, so that a later form can be told apart.
const FORM: u8 = 1;

const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const UNSIGNED: u8 = 3;
const SIGNED: u8 = 4;
const FLOAT: u8 = 5;
const TEXT: u8 = 6;
const LIST: u8 = 7;
const OBJECT: u8 = 8;

/// A result as bytes.
pub(crate) fn encode_rows(rows: &Rows) -> Vec<u8> {
    let mut bytes = vec![FORM];
    write_rows(&mut bytes, rows);
    bytes
}

/// The result, unless the bytes are something else.
pub(crate) fn decode_rows(bytes: &[u8]) -> Option<Rows> {
    decode(bytes, read_rows)
}

/// What a transaction did, as bytes.
pub(crate) fn encode_written(all: &[Written]) -> Vec<u8> {
    let mut bytes = vec![FORM];
    write_length(&mut bytes, all.len());
    for written in all {
        bytes.extend(written.rows_affected.to_le_bytes());
        write_rows(&mut bytes, &written.returned);
    }
    bytes
}

/// What a transaction did, unless the bytes are something else.
pub(crate) fn decode_written(bytes: &[u8]) -> Option<Vec<Written>> {
    let read = |rest: &mut &[u8]| {
        let rows_affected = u64::from_le_bytes(array(rest)?);
        let returned = read_rows(rest)?;
        Some(Written {
            rows_affected,
            returned,
        })
    };
    decode(bytes, |rest| many(rest, read))
}

fn decode<T>(bytes: &[u8], read: impl FnOnce(&mut &[u8]) -> Option<T>) -> Option<T> {
    let (form, mut rest) = bytes.split_first()?;
    let value = (*form == FORM).then(|| read(&mut rest))??;
    rest.is_empty().then_some(value)
}

fn write_rows(bytes: &mut Vec<u8>, rows: &Rows) {
    write_length(bytes, rows.columns.len());
    for column in &rows.columns {
        write_text(bytes, &column.name);
        write_text(bytes, &column.r#type);
    }
    write_length(bytes, rows.rows.len());
    for row in &rows.rows {
        write_length(bytes, row.len());
        row.iter().for_each(|value| write_value(bytes, value));
    }
}

fn read_rows(rest: &mut &[u8]) -> Option<Rows> {
    let columns = many(rest, |rest| {
        Some(Column {
            name: text(rest)?,
            r#type: text(rest)?,
        })
    })?;
    let rows = many(rest, |rest| many(rest, value))?;
    Some(Rows { columns, rows })
}

fn write_length(bytes: &mut Vec<u8>, length: usize) {
    bytes.extend((length as u64).to_le_bytes());
}

fn write_text(bytes: &mut Vec<u8>, text: &str) {
    write_length(bytes, text.len());
    bytes.extend(text.as_bytes());
}

fn write_value(bytes: &mut Vec<u8>, value: &Value) {
    match value {
        Value::Null => bytes.push(NULL),
        Value::Bool(false) => bytes.push(FALSE),
        Value::Bool(true) => bytes.push(TRUE),
        Value::Number(number) => write_number(bytes, number),
        Value::String(text) => {
            bytes.push(TEXT);
            write_text(bytes, text);
        }
        Value::Array(items) => {
            bytes.push(LIST);
            write_length(bytes, items.len());
            items.iter().for_each(|item| write_value(bytes, item));
        }
        Value::Object(map) => {
            bytes.push(OBJECT);
            write_length(bytes, map.len());
            for (name, value) in map {
                write_text(bytes, name);
                write_value(bytes, value);
            }
        }
    }
}

fn write_number(bytes: &mut Vec<u8>, number: &Number) {
    let (tag, eight) = if let Some(whole) = number.as_u64() {
        (UNSIGNED, whole.to_le_bytes())
    } else if let Some(whole) = number.as_i64() {
        (SIGNED, whole.to_le_bytes())
    } else {
        (FLOAT, number.as_f64().unwrap_or(f64::NAN).to_le_bytes())
    };
    bytes.push(tag);
    bytes.extend(eight);
}

fn value(rest: &mut &[u8]) -> Option<Value> {
    Some(match take(rest, 1)?[0] {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        UNSIGNED => u64::from_le_bytes(array(rest)?).into(),
        SIGNED => i64::from_le_bytes(array(rest)?).into(),
        FLOAT => Value::Number(Number::from_f64(f64::from_le_bytes(array(rest)?))?),
        TEXT => Value::String(text(rest)?),
        LIST => Value::Array(many(rest, value)?),
        OBJECT => {
            let pairs = many(rest, |rest| Some((text(rest)?, value(rest)?)))?;
            Value::Object(pairs.into_iter().collect::<Map<_, _>>())
        }
        _ => return None,
    })
}

fn many<T>(rest: &mut &[u8], mut read: impl FnMut(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let length = length(rest)?;
    // Not reserved by a number that may be damaged: each item takes at least a byte, or the reading ends.
    let mut items = Vec::new();
    for _ in 0..length {
        items.push(read(rest)?);
    }
    Some(items)
}

fn text(rest: &mut &[u8]) -> Option<String> {
    let length = length(rest)?;
    String::from_utf8(take(rest, length)?.to_vec()).ok()
}

fn length(rest: &mut &[u8]) -> Option<usize> {
    usize::try_from(u64::from_le_bytes(array(rest)?)).ok()
}

fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length)?;
    *rest = left;
    Some(taken)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map(".{0,6}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(cells in prop::collection::vec(values(), 0..6)) {
            let column = Column { name: "ñ".into(), r#type: "numeric".into() };
            let rows = Rows { columns: vec![column], rows: vec![cells.clone(), Vec::new(), cells] };
            let written = vec![Written { rows_affected: u64::MAX, returned: rows.clone() }, Written::default()];
            prop_assert_eq!(decode_rows(&encode_rows(&rows)), Some(rows));
            prop_assert_eq!(decode_written(&encode_written(&written)), Some(written));
        }

        #[test]
        fn any_bytes_are_read_without_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = decode_rows(&bytes);
            let _ = decode_written(&bytes);
        }
    }

    #[test]
    fn what_was_cut_or_prolonged_is_nothing() {
        let rows = Rows {
            columns: Vec::new(),
            rows: vec![vec![json!("x"), json!(0.1)]],
        };
        let whole = encode_rows(&rows);
        for end in 0..whole.len() {
            assert_eq!(decode_rows(&whole[..end]), None, "{end} bytes of it");
        }
        assert_eq!(decode_rows(&[whole, vec![0]].concat()), None);
    }
}
