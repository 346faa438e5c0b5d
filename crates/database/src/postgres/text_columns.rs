//! Columns of types without a JSON form, as the server's own text: the statement is prepared again with those columns cast.

use std::fmt::Write;

use mainstay_runtime::{Error, ErrorKind};
use tokio_postgres::{Client, Column, Statement};

use super::values::is_known;
use crate::fault::{DATABASE, Fault};
use crate::sql::{self, Dialect};

/// `prepared`, or a statement around it with the same columns whose unknown types are text.
///
/// The statement in the middle has been accepted on its own before, so that its parentheses are its own.
pub(super) async fn readable(
    client: &Client,
    query: &str,
    prepared: Statement,
) -> Result<Statement, Fault> {
    if prepared
        .columns()
        .iter()
        .all(|column| is_known(column.type_()))
    {
        return Ok(prepared);
    }
    let query = sql::without_semicolon(query, Dialect::Postgres);
    let types = prepared.params();
    let wrapped = client
        .prepare_typed(&wrap(query, prepared.columns()), types)
        .await;
    wrapped.map_err(|_| {
        let unknown = prepared
            .columns()
            .iter()
            .find(|column| !is_known(column.type_()));
        let (name, ty) =
            unknown.map_or(("?", "?"), |column| (column.name(), column.type_().name()));
        let detail = format!("column {name} has the type {ty}: cast it, {name}::text");
        Fault::request(
            Error::new(ErrorKind::Unsupported, detail)
                .field("query")
                .dependency(DATABASE),
        )
    })
}

fn wrap(query: &str, columns: &[Column]) -> String {
    let (mut names, mut selected) = (String::new(), String::new());
    for (index, column) in columns.iter().enumerate() {
        let comma = if index == 0 { "" } else { ", " };
        let cast = if is_known(column.type_()) {
            ""
        } else {
            "::text"
        };
        let name = column.name().replace('"', "\"\"");
        write!(names, "{comma}c{index}").expect("a String takes any text");
        write!(selected, "{comma}c{index}{cast} AS \"{name}\"").expect("a String takes any text");
    }
    format!("WITH answer({names}) AS (\n{query}\n) SELECT {selected} FROM answer")
}
