//! What is asked of a database and what it answers.

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// One SQL statement with its bound parameters.
///
/// PostgreSQL numbers placeholders `$1`, `$2`; SQLite takes `?1` as well as `$1`, and both count from one.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// Exactly one SQL statement.
    pub query: String,
    /// One value for each placeholder, in order.
    #[serde(default)]
    pub params: Vec<Value>,
}

impl Statement {
    /// A statement and its parameters.
    pub fn new(query: impl Into<String>, params: impl Into<Vec<Value>>) -> Self {
        Self {
            query: query.into(),
            params: params.into(),
        }
    }
}

/// A column of a result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Column {
    /// Its name, which needn't be unique.
    pub name: String,
    /// The database's own name of its type; empty for an expression in SQLite.
    pub r#type: String,
}

/// A result: every row has one value for each column, in order.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Rows {
    /// The columns, also when there is no row.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<Vec<Value>>,
}

/// What a writing statement did.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Written {
    /// Rows inserted, updated or deleted.
    pub rows_affected: u64,
    /// The rows of its RETURNING clause.
    pub returned: Rows,
}

/// How much a transaction may see of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    /// Each statement sees what was committed before it.
    #[default]
    ReadCommitted,
    /// All statements see the same snapshot.
    RepeatableRead,
    /// As if transactions ran one after another. SQLite's always do.
    Serializable,
}

impl Isolation {
    /// The SQL words.
    pub(crate) fn sql(self) -> &'static str {
        match self {
            Self::ReadCommitted => "READ COMMITTED",
            Self::RepeatableRead => "REPEATABLE READ",
            Self::Serializable => "SERIALIZABLE",
        }
    }
}

/// Whether writes are taken at present.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum WriteMode {
    /// They are.
    Enabled,
    /// They are refused at once. Ends by itself.
    ReadOnly,
}

impl WriteMode {
    /// `enabled` or `read-only`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::ReadOnly => "read-only",
        }
    }
}

/// Bounds on one result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most rows.
    pub rows: usize,
    /// Most bytes of values, as the database sends them.
    pub bytes: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            rows: 10_000,
            bytes: 8 << 20,
        }
    }
}
