//! One dependency: what it weighs, how its health is scored, how it is probed.

use alloc::string::String;
use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// How much the system needs a dependency: decides what its being down forces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Criticality {
    /// Forces nothing and isn't counted.
    None,
    /// Down: DEGRADED.
    Low,
    /// Down: DEGRADED.
    Medium,
    /// Down: LIMITED.
    High,
    /// Down: EMERGENCY.
    Critical,
}

impl Criticality {
    /// The word for configuration and replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
            Self::Critical => "critical",
        }
    }
}

/// Whether a dependency is there at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Presence {
    /// A server of its own.
    Configured,
    /// The default inside this process: real, and healthy by its own probe.
    Embedded,
    /// Not configured: no weight, and its features say so.
    Absent,
}

impl Presence {
    /// The word for replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Configured => "configured",
            Self::Embedded => "embedded",
            Self::Absent => "absent",
        }
    }
}

/// One dependency.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DependencySettings {
    /// Unique, e.g. `database`.
    pub name: String,
    /// Share of the overall score; all weights sum to 1.
    pub weight: f64,
    /// What its being down forces.
    pub criticality: Criticality,
    /// Whether it is there.
    pub presence: Presence,
    /// Where its work is done, in the order of [`EndpointId`](crate::EndpointId); at least one for main work unless absent.
    pub endpoints: Vec<EndpointSettings>,
    /// How its score is made.
    pub health: HealthRules,
    /// How it is probed.
    pub probes: ProbeSchedule,
}

/// One place where a dependency's work is done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndpointSettings {
    /// Unique among all, e.g. `database/replica`.
    pub name: String,
    /// It can do the dependency's main work (the primary, any model provider; not a read replica).
    pub main_work: bool,
    /// It has an active probe. Without one it stays unknown until its first call.
    pub probed: bool,
}

impl EndpointSettings {
    /// A probed endpoint that can do the main work.
    #[must_use]
    pub fn main(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            main_work: true,
            probed: true,
        }
    }

    /// A probed endpoint that only helps, as a read replica does.
    #[must_use]
    pub fn helper(name: impl Into<String>) -> Self {
        Self {
            main_work: false,
            ..Self::main(name)
        }
    }
}

/// How a component's score, 0 to 100, is made and judged.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HealthRules {
    /// How far back calls and probes count.
    pub window: Duration,
    /// A 95th percentile above this costs points.
    pub p95_threshold: Duration,
    /// Points lost for each time the threshold is exceeded once over.
    pub latency_points: f64,
    /// Most points that latency costs.
    pub latency_cap: f64,
    /// Points an open breaker costs.
    pub open_penalty: f64,
    /// Points a half-open breaker costs.
    pub half_open_penalty: f64,
    /// Points lost when no probe passes.
    pub availability_points: f64,
    /// What the last failure costs for a while; `None`: nothing.
    pub recent_error: Option<RecentError>,
    /// Scores below which the component becomes DEGRADED, FAILING, CRITICAL.
    pub worse_below: [f64; 3],
    /// Scores from which it leaves DEGRADED, FAILING, CRITICAL.
    pub better_from: [f64; 3],
    /// Over how long the trend is fitted.
    pub trend_window: Duration,
    /// How often the score is sampled for the trend.
    pub trend_step: Duration,
    /// A fitted change beyond this many points is a trend.
    pub trend_points: f64,
    /// Its 95th percentile is watched by the level's latency alert.
    pub latency_alert: bool,
}

/// A penalty that fades linearly to nothing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct RecentError {
    /// Points right after a failure.
    pub points: f64,
    /// Time until they are gone.
    pub fade: Duration,
}

/// When an endpoint is probed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProbeSchedule {
    /// Between probes of what is healthy.
    pub heartbeat: Duration,
    /// Between probes for a while after a recovery.
    pub recovered: Duration,
    /// How long that while is.
    pub recovered_for: Duration,
    /// Between probes of what is failing: step by step, the last one repeated.
    pub failing: Vec<Duration>,
    /// Random share by which `failing` is longer or shorter, `0.0..1.0`.
    pub jitter: f64,
    /// After a first pass, until it is confirmed by a second one.
    pub confirm: Duration,
    /// How long one probe may take. Whoever runs the probes keeps it.
    pub deadline: Duration,
    /// Failed probes in a row that open the breaker.
    pub trip_after: u32,
    /// Passed probes in a row that enter half-open early.
    pub early_after: u32,
    /// Shortest time between probes asked for out of turn.
    pub request_interval: Duration,
}
