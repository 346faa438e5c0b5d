//! PostgreSQL and embedded SQLite behind circuit breakers, with cached reads and read-only mode.

mod cache;
mod classify;
mod client;
mod driver;
mod fault;
mod postgres;
mod probe;
mod settings;
mod sql;
mod sqlite;
mod statement;
mod write_mode;

pub use cache::CacheSettings;
pub use client::Database;
pub use postgres::PostgresUrl;
pub use probe::Checked;
pub use settings::{Settings, Target};
pub use statement::{Column, Isolation, Limits, Rows, Statement, WriteMode, Written};

#[cfg(feature = "contract")]
pub mod contract;
