//! PostgreSQL: a pool, typed parameters and results, and transactions that always end.

mod array;
mod error;
mod keyed;
mod lease;
mod numeric;
mod params;
mod pool;
mod run;
mod text_columns;
mod tls;
mod url;
mod values;

pub(crate) use pool::Postgres;
pub use url::PostgresUrl;
