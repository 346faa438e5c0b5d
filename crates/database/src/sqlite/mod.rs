//! SQLite in a file of its own: one writer, some readers, on threads that may block.

mod error;
mod keyed;
mod pool;
mod run;
mod safety;
mod settle;
mod values;

pub(crate) use pool::Sqlite;
