//! What a statement may do to the embedded database: its tables, and nothing else on this machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rusqlite::config::DbConfig;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{Connection, Result};

use crate::sql::{Dialect, is_reserved};

/// Functions that reach files, code or settings.
const REFUSED_FUNCTIONS: [&str; 6] = [
    "load_extension",
    "readfile",
    "writefile",
    "edit",
    "fts3_tokenizer",
    "sqlite_offset",
];

const LIMITS: [(Limit, i32); 8] = [
    (Limit::SQLITE_LIMIT_ATTACHED, 0),
    (Limit::SQLITE_LIMIT_SQL_LENGTH, 1 << 20),
    (Limit::SQLITE_LIMIT_LENGTH, 64 << 20),
    (Limit::SQLITE_LIMIT_EXPR_DEPTH, 200),
    (Limit::SQLITE_LIMIT_COMPOUND_SELECT, 100),
    (Limit::SQLITE_LIMIT_LIKE_PATTERN_LENGTH, 1000),
    (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 50),
    (Limit::SQLITE_LIMIT_WORKER_THREADS, 0),
];

/// Restricts the connection. While `ours` is set, our own BEGIN and COMMIT pass, and our own table can be used.
pub(super) fn restrict(connection: &mut Connection, ours: Arc<AtomicBool>) -> Result<()> {
    for (limit, value) in LIMITS {
        connection.set_limit(limit, value)?;
    }
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DML, false)?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, false)?;
    connection.authorizer(Some(move |context: AuthContext<'_>| {
        if allowed(&context.action, ours.load(Ordering::Relaxed)) {
            Authorization::Allow
        } else {
            Authorization::Deny
        }
    }))
}

fn allowed(action: &AuthAction<'_>, ours: bool) -> bool {
    use AuthAction::*;
    match action {
        Transaction { .. } | Savepoint { .. } => ours,
        Attach { .. }
        | Detach { .. }
        | Pragma { .. }
        | CreateVtable { .. }
        | DropVtable { .. }
        | Unknown { .. } => false,
        CreateTempIndex { .. }
        | CreateTempTable { .. }
        | CreateTempTrigger { .. }
        | CreateTempView { .. } => false,
        Function { function_name } => !REFUSED_FUNCTIONS
            .iter()
            .any(|name| function_name.eq_ignore_ascii_case(name)),
        CreateTable { table_name: name }
        | CreateView { view_name: name }
        | DropTable { table_name: name }
        | DropView { view_name: name }
        | AlterTable {
            table_name: name, ..
        }
        | Insert { table_name: name }
        | Delete { table_name: name }
        | Update {
            table_name: name, ..
        }
        | Read {
            table_name: name, ..
        }
        | Analyze { table_name: name }
        | CreateIndex {
            table_name: name, ..
        }
        | DropIndex {
            table_name: name, ..
        }
        | CreateTrigger {
            table_name: name, ..
        }
        | DropTrigger {
            table_name: name, ..
        } => ours || !is_mainstays(name),
        _ => true,
    }
}

/// SQLite's own tables are written by SQLite itself here (every CREATE TABLE does); naming them is refused by `sql`,
/// and defensive mode keeps them whole.
fn is_mainstays(table: &str) -> bool {
    is_reserved(table, Dialect::Postgres)
}
