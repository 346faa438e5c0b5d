//! PostgreSQL and embedded SQLite behind circuit breakers, with cached reads and read-only mode.
//!
//! [`Database::connect`] registers the endpoints `database` and `database/replica` with an engine. Reads fall back to the replica and
//! then to the caller's own earlier result, with its age. Writes are refused while they can't be taken, and say so when their
//! outcome is unknown.

mod cache;
mod classify;
mod client;
mod codec;
mod deferred;
mod driver;
mod ended;
mod exercise;
mod fault;
mod keyed;
mod postgres;
mod probe;
mod purge;
mod reads;
mod settings;
mod sql;
mod sqlite;
mod statement;
mod write_mode;
mod writes;

pub use cache::CacheSettings;
pub use client::Database;
pub use deferred::{Deferral, DeferredSettings, FAULT_POINTS, Fate, QUEUE};
pub use keyed::IdempotencyKey;
pub use postgres::PostgresUrl;
pub use probe::Checked;
pub use settings::{Settings, Target};
pub use statement::{Column, Isolation, Limits, Rows, Statement, WriteMode, Written};

#[cfg(feature = "contract")]
pub mod contract;
