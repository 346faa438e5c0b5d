//! The health of one component, 0 to 100: what its calls and probes of the last minute say, and the state
//! machine and trend over that.

mod histogram;
mod machine;
mod trend;
mod window;

use core::time::Duration;

use mainstay_breaker::State;
use serde::{Deserialize, Serialize};

pub use histogram::Histogram;
pub use machine::{Machine, MachineChange, MachineHistory};
pub use trend::{Trend, TrendLine};
pub use window::Window;

use crate::settings::{HealthRules, RecentError};

/// What the score of a component is made of.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Evidence {
    /// Share of calls and probes that succeeded, `0.0..=1.0`; 1 without any.
    pub success_rate: f64,
    /// 95th percentile of their latency; `None` without any.
    pub p95: Option<Duration>,
    /// State of its best endpoint.
    pub breaker: State,
    /// Share of its probes that passed, in percent; 100 without any.
    pub availability: f64,
    /// Age of the last failure in the present epoch.
    pub last_failure_age: Option<Duration>,
}

/// The score, 0 to 100.
#[must_use]
pub fn score(rules: &HealthRules, evidence: &Evidence) -> f64 {
    let breaker = match evidence.breaker {
        State::Open => rules.open_penalty,
        State::HalfOpen => rules.half_open_penalty,
        State::Closed => 0.0,
    };
    let missing = (100.0 - evidence.availability) / 100.0 * rules.availability_points;
    let recent = recent_error(rules.recent_error, evidence.last_failure_age);
    let score =
        100.0 * evidence.success_rate - latency(rules, evidence.p95) - breaker - missing - recent;
    score.clamp(0.0, 100.0)
}

fn latency(rules: &HealthRules, p95: Option<Duration>) -> f64 {
    let Some(over) = p95.and_then(|p95| p95.checked_sub(rules.p95_threshold)) else {
        return 0.0;
    };
    let times = over.as_secs_f64() / rules.p95_threshold.as_secs_f64();
    (times * rules.latency_points).min(rules.latency_cap)
}

fn recent_error(rule: Option<RecentError>, age: Option<Duration>) -> f64 {
    let (Some(rule), Some(age)) = (rule, age) else {
        return 0.0;
    };
    let left = 1.0 - age.as_secs_f64() / rule.fade.as_secs_f64();
    rule.points * left.max(0.0)
}
