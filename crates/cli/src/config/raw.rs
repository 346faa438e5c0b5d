//! The file as it was typed: every value under its full key, with its line.

use std::collections::BTreeMap;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::errors::{Mistake, Origin};

/// A value as somebody wrote it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Flag(bool),
    List(Vec<Value>),
    /// A table without keys.
    Empty,
    /// Something no setting takes: a date, a table inside a list.
    Other(&'static str),
    /// Text without a type, as the environment gives it.
    Bare(String),
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Integer(number) => write!(f, "{number}"),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Flag(flag) => write!(f, "{flag}"),
            Self::List(list) => {
                let list: Vec<_> = list.iter().map(Self::to_string).collect();
                write!(f, "[{}]", list.join(", "))
            }
            Self::Empty => f.write_str("{}"),
            Self::Other(what) => write!(f, "({what})"),
            Self::Bare(text) => f.write_str(text),
        }
    }
}

/// A value and its line.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Leaf {
    pub(crate) value: Value,
    pub(crate) line: usize,
}

/// Every value of the file by its full key, e.g. `openai.providers[0].name`.
pub(crate) type Leaves = BTreeMap<String, Leaf>;

/// Reads TOML.
///
/// # Errors
/// Every syntax error the parser finds.
pub(crate) fn parse(text: &str) -> Result<Leaves, Vec<Mistake>> {
    let (table, errors) = DeTable::parse_recoverable(text);
    if !errors.is_empty() {
        let mut mistakes: Vec<_> = errors.iter().map(|error| syntax(text, error)).collect();
        mistakes.sort_by_key(Mistake::place);
        return Err(mistakes);
    }
    let mut leaves = Leaves::new();
    let mut walk = Walk {
        text,
        leaves: &mut leaves,
    };
    walk.table("", table.get_ref());
    Ok(leaves)
}

fn syntax(text: &str, error: &toml::de::Error) -> Mistake {
    let at = error.span().map_or(0, |span| span.start);
    Mistake {
        origin: Origin::Line(line_of(text, at)),
        key: String::new(),
        value: None,
        message: error.message().replace('\n', ", "),
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.get(..offset).unwrap_or(text);
    before.matches('\n').count() + 1
}

struct Walk<'a> {
    text: &'a str,
    leaves: &'a mut Leaves,
}

impl Walk<'_> {
    fn table(&mut self, at: &str, table: &DeTable<'_>) {
        for (key, value) in table {
            let name = segment(key.get_ref());
            let path = if at.is_empty() {
                name
            } else {
                format!("{at}.{name}")
            };
            self.value(path, key.span().start, value);
        }
    }

    fn value(&mut self, path: String, offset: usize, value: &Spanned<DeValue<'_>>) {
        match value.get_ref() {
            DeValue::Table(table) if !table.is_empty() => self.table(&path, table),
            DeValue::Array(list) if list.iter().any(|one| one.get_ref().is_table()) => {
                for (index, one) in list.iter().enumerate() {
                    self.value(format!("{path}[{index}]"), one.span().start, one);
                }
            }
            other => {
                let leaf = Leaf {
                    value: plain(other),
                    line: line_of(self.text, offset),
                };
                self.leaves.insert(path, leaf);
            }
        }
    }
}

/// A key as it must be written inside a path.
fn segment(key: &str) -> String {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        key.to_owned()
    } else {
        format!("{key:?}")
    }
}

fn plain(value: &DeValue<'_>) -> Value {
    match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or(Value::Other("number too large"), Value::Integer),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map_or(Value::Other("number"), Value::Float),
        DeValue::Boolean(flag) => Value::Flag(*flag),
        DeValue::Datetime(_) => Value::Other("date"),
        DeValue::Array(list) => Value::List(list.iter().map(|one| plain(one.get_ref())).collect()),
        DeValue::Table(table) if table.is_empty() => Value::Empty,
        DeValue::Table(_) => Value::Other("table"),
    }
}
