//! The async engine: it guards calls, probes endpoints, feeds the controller and carries out what it decides.
//!
//! An [`EngineBuilder`] is given rules, endpoints and probes; [`EngineBuilder::start`] runs one monitor task over
//! them and gives a [`Handle`]. Adapters make every driver call through a [`Guard`]. The crate knows no Postgres,
//! Redis, S3 or HTTP.

mod answer;
mod budget;
mod call;
mod canary;
mod changes;
mod clock;
mod differences;
mod effects;
mod endpoint;
mod engine;
mod error;
mod event_data;
mod events;
mod exercise;
mod facts;
mod fallbacks;
mod flight;
mod flights;
mod guard;
mod handle;
mod history;
mod keeper;
mod kept;
mod limit;
mod monitor;
mod observe;
mod operator;
mod operators;
mod probe;
mod protection;
mod recorder;
pub mod recordings;
mod reload;
mod running;
mod secret;
mod start;
mod stats;
mod suspects;
mod trials;

pub use answer::{Answer, CallerId, Context, Source};
pub use budget::RetryBudget;
pub use call::{Attempt, Call, CallError, Rejection, Verdict};
pub use clock::{Clock, Elapsed};
pub use engine::{EndpointSpec, EngineBuilder};
pub use error::{Error, ErrorKind};
pub use events::{Delivery, EventLog, EventRecord, Subscription};
pub use fallbacks::{Exercised, FallbackStatus};
pub use flights::{Boarding, Flight, Flights};
pub use guard::Guard;
pub use handle::{Handle, LevelChange};
pub use limit::{Limit, Place};
/// The circuit breaker underneath.
pub use mainstay_breaker as breaker;
pub use mainstay_breaker::Moment;
/// The decisions underneath.
pub use mainstay_degradation as degradation;
pub use observe::{Direction, NoObserver, Observer, Report, Status};
pub use operator::{Action, Held, OperatorCommand, OperatorState};
pub use probe::Probe;
pub use protection::EndpointLimit;
pub use reload::{Change, EngineSettings};
pub use running::Running;
pub use secret::Secret;
