//! A seeded virtual world that drives the real controller and the real breakers under a virtual clock.
//!
//! A [`Scenario`], made by hand or drawn from a seed, says what fails and when, who calls, and what operators do. A
//! [`World`] plays it: endpoints with real breakers, probes and calls joined as the runtime joins them, and a real
//! controller, with a twin that must decide the same. Nothing sleeps and no socket is opened; the same scenario and
//! seed give the same [`Trace`], byte for byte. At every step an [`Inspector`] looks for what must never happen.
//!
//! ```
//! use std::time::Duration;
//! use mainstay_degradation::Level;
//! use mainstay_simulator::{Condition, Scenario, World};
//!
//! # fn main() -> Result<(), mainstay_simulator::ScenarioError> {
//! let seconds = Duration::from_secs;
//! let scenario = Scenario::quiet()
//!     .calls("redis", 1, Duration::from_millis(100))
//!     .outage("redis", seconds(10), seconds(40), Condition::Refuses);
//! let mut world = World::new(scenario, 7)?;
//! let report = world.run(seconds(30));
//! assert_eq!(world.snapshot().level, Level::Degraded);
//! assert!(report.outages[0].detected < Some(seconds(1)));
//! let report = world.run(seconds(120));
//! assert_eq!(world.snapshot().level, Level::Optimal);
//! assert!(report.violations.is_empty());
//! # Ok(())
//! # }
//! ```
#![forbid(unsafe_code)]

mod call;
mod checks;
mod condition;
mod draw;
mod endpoint;
mod facts;
mod figures;
mod monitor;
mod operator;
mod probe;
mod random;
mod recorder;
mod redraw;
mod reload;
mod replay;
mod report;
mod scenario;
mod world;

pub use checks::{Check, INVARIANTS, Inspector, Known, Violation};
pub use condition::{Condition, Health};
pub use facts::{Fact, Sign};
pub use figures::Figures;
pub use replay::{
    Away, Fidelity, Happened, Lane, LevelSpan, Story, Summary, Unplayed, WhatIf, replay,
};
pub use report::{BreakerChange, CallCounts, LevelChange, Outage, Report, Trace};
pub use scenario::{Action, Order, Phase, Reload, Scenario, Traffic};
pub use world::{ScenarioError, World};
