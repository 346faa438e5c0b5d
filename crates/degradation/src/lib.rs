//! Health, degradation level and feature gating as pure functions of state, time and input.
//!
//! The [`Controller`] is fed with what was observed ([`Input`]), decides, and returns what has to be done
//! ([`Effect`]). It reads no clock, does no I/O and uses no randomness but a generator seeded from
//! [`Settings::seed`]: the same inputs at the same moments give the same effects.
//!
//! ```
//! use mainstay_degradation::{Controller, Effect, Input, Level, Moment, ProbeResult, Settings};
//! use core::time::Duration;
//!
//! # fn main() -> Result<(), Vec<mainstay_degradation::SettingsError>> {
//! let rules = Settings::standard().validate()?;
//! let now = Moment::default();
//! let mut controller = Controller::new(rules, now);
//! let mut effects = Vec::new();
//! controller.handle(now, Input::Tick { observed: Vec::new() }, &mut effects);
//! let asked: Vec<_> = effects
//!     .iter()
//!     .filter_map(|effect| match effect {
//!         Effect::Probe { endpoint, .. } => Some(*endpoint),
//!         _ => None,
//!     })
//!     .collect();
//! for endpoint in asked {
//!     let result = ProbeResult::Passed { latency: Duration::from_millis(1) };
//!     controller.handle(now, Input::Probe { endpoint, started: now, result }, &mut effects);
//! }
//! assert_eq!(controller.snapshot(now).level, Level::Optimal);
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod cascade;
pub mod controller;
pub mod events;
pub mod facts;
pub mod features;
pub mod health;
pub mod level;
mod random;
pub mod recording;
pub mod recovery;
pub mod settings;
pub mod snapshot;
pub mod words;

pub use cascade::patterns::{MostFailing, Patterns, Repeating};
pub use controller::{Command, Controller, Effect, Input, Observed, ProbeResult, Retuning};
pub use events::{Alert, Event, LevelCause};
pub use facts::{Facts, Fallback, Journal};
pub use features::{FeatureMode, FeatureReason, FeatureState};
pub use health::{Histogram, Machine, Trend};
pub use level::{HeldBy, Level, Pin};
pub use mainstay_breaker::Moment;
pub use recovery::{Outage, OutageHistory, Prediction, Recoveries, Standing};
pub use settings::{
    AlertSettings, Criticality, DependencyId, DependencySettings, EndpointId, EndpointRule,
    EndpointSettings, FactSettings, FeatureId, FeatureSettings, Gating, HealthRules, Impact,
    LevelSettings, Note, PatternSettings, Presence, ProbeSchedule, RecentError, Rules, Settings,
    SettingsError, Tuning,
};
pub use snapshot::{
    Cause, CauseKind, Component, EndpointStatus, EndpointView, Need, NextUp, Snapshot, Status,
    Warning,
};
pub use words::Language;
