//! inventario, the retail back office: AI tasks with rule-based versions.
//!
//! [`tasks`] is what a caller uses: three typed tasks, each with a prompt and an output schema for a
//! model, a check of the model's answer, and a version made by [`rules`] alone. Neither does
//! I/O or reads a clock.

mod readers;
mod routes;
pub mod rules;
pub mod tasks;

pub use routes::routes;
