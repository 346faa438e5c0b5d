//! The HTTP service: routes, keys, limits, metrics, problem details.
//!
//! [`app()`] is a function from a [`Core`] to a router, testable without a socket; [`serve()`] runs it on a listener
//! until it is told to stop. The crate holds no business rules and doesn't know what is built on it: further
//! routes come in as a router of the same kind.

pub mod app;
pub mod auth;
mod body;
pub mod extract;
pub mod gate;
pub mod idempotency;
pub mod keys;
pub mod language;
pub mod limits;
pub mod metrics;
pub mod openapi;
pub mod problem;
pub mod reload;
pub mod reply;
pub mod request;
pub mod routes;
mod serve;
mod starting;
mod trace;
pub mod webhooks;

pub use app::{Core, Parts, Settings, app, description};
pub use auth::Caller;
pub use keys::{KeyError, KeyRecord, KeyRing, Scope};
pub use limits::{Rate, RateSettings};
pub use metrics::Metrics;
pub use problem::{Mistake, Problem, ProblemBody};
pub use reload::{Reload, ReloadError, Reloaded};
pub use serve::serve;
pub use starting::while_starting;
pub use webhooks::{Webhook, WebhookSettings, Webhooks};
