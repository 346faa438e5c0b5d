//! Everything that can be told to the controller, as data. The defaults are the numbers of the system's
//! description; [`Settings::validate`] makes [`Rules`] of them or names every mistake at once.

mod dependency;
mod feature;
mod levels;
mod matrix;
mod rules;
mod standard;
mod validate;

use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

pub use dependency::{
    Criticality, DependencySettings, EndpointSettings, HealthRules, Presence, ProbeSchedule,
    RecentError,
};
pub use feature::{FeatureSettings, Gating, Note};
pub use levels::{AlertSettings, FactSettings, Impact, LevelSettings, PatternSettings, Tuning};
pub use rules::{DependencyId, EndpointId, EndpointRule, FeatureId, Rules};
pub use validate::SettingsError;

/// Everything the controller can be told, not yet checked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// What is guarded, in the order of [`DependencyId`].
    pub dependencies: Vec<DependencySettings>,
    /// Bands, caps and hysteresis of the level.
    pub level: LevelSettings,
    /// When the matrix applies.
    pub gating: Gating,
    /// The matrix, in the order of [`FeatureId`].
    pub features: Vec<FeatureSettings>,
    /// What each level asks of calls and caches, best level first.
    pub tuning: [Tuning; 5],
    /// What a failing dependency does to others.
    pub cascade: Vec<Impact>,
    /// When somebody is told.
    pub alerts: AlertSettings,
    /// When somebody is told of fallbacks and journals.
    pub facts: FactSettings,
    /// What counts as a pattern among failures.
    pub patterns: PatternSettings,
    /// Seed of the jitter. Zero: whoever runs the controller draws one and hands it over
    /// ([`Controller::with_seed`](crate::Controller::with_seed)); nobody else does, and zero is as good a seed as any.
    pub seed: u64,
}
