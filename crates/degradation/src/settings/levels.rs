//! What makes a level, what a level asks of calls, what one failure does to others.

use alloc::string::String;
use core::time::Duration;

use serde::{Deserialize, Serialize};

/// Bands, caps and hysteresis.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LevelSettings {
    /// Lower edges of OPTIMAL, DEGRADED, LIMITED and MINIMAL; below the last is EMERGENCY.
    pub bands: [f64; 4],
    /// Highest score when DEGRADED, LIMITED, MINIMAL and EMERGENCY are forced: each inside its band.
    pub caps: [f64; 4],
    /// Evaluations in a row that confirm a fall which no breaker opened for.
    pub confirm: u32,
    /// Points above the edge that a rise needs.
    pub margin: f64,
    /// Age that the present level needs before a rise.
    pub dwell: Duration,
    /// How long the first round of probes may take; what hasn't answered then has failed.
    pub first_round: Duration,
}

impl Default for LevelSettings {
    fn default() -> Self {
        Self {
            bands: [90.0, 70.0, 60.0, 40.0],
            caps: [89.0, 69.0, 59.0, 39.0],
            confirm: 3,
            margin: 2.0,
            dwell: Duration::from_secs(10),
            first_round: Duration::from_secs(1),
        }
    }
}

/// What a level asks of calls and caches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Tuning {
    /// Retries of an idempotent operation.
    pub retries: u32,
    /// Factor on the pause before a retry.
    pub backoff: f64,
    /// Factor on the in-flight limit of dependencies that are live causes.
    pub limit: f64,
    /// Time to live of answer and application caches.
    pub ttl: Duration,
    /// Factor on the journal's drain.
    pub batch: f64,
    /// Bounds queueing and all attempts of a database or cache request.
    pub request_deadline: Duration,
    /// A 95th percentile above this raises an alert.
    pub latency_alert_p95: Duration,
}

impl Tuning {
    /// The default for each level, best first.
    #[must_use]
    pub fn defaults() -> [Self; 5] {
        let row = |retries, backoff, limit, ttl, batch, deadline, p95| Self {
            retries,
            backoff,
            limit,
            ttl: Duration::from_secs(ttl),
            batch,
            request_deadline: Duration::from_millis(deadline),
            latency_alert_p95: Duration::from_millis(p95),
        };
        [
            row(3, 1.0, 1.0, 3600, 1.0, 2_000, 100),
            row(2, 1.5, 0.9, 1800, 0.8, 3_000, 200),
            row(1, 2.0, 0.75, 900, 0.5, 5_000, 500),
            row(0, 2.0, 0.5, 300, 0.25, 10_000, 1_000),
            row(0, 2.0, 0.2, 60, 0.1, 30_000, 5_000),
        ]
    }
}

/// What one dependency's being down does to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Impact {
    /// The one that is down.
    pub from: String,
    /// The one that suffers.
    pub to: String,
    /// How much of it, `0.0..=1.0`.
    pub share: f64,
}

/// When somebody is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertSettings {
    /// DEGRADED or worse for this long.
    pub degraded_for: Duration,
    /// A recovery that takes longer than this.
    pub recovery_over: Duration,
}

impl Default for AlertSettings {
    fn default() -> Self {
        Self {
            degraded_for: Duration::from_secs(180),
            recovery_over: Duration::from_secs(60),
        }
    }
}

/// When somebody is told of what the runtime sees: [`Facts`](crate::Facts).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactSettings {
    /// A fallback in use for this long.
    pub fallback_for: Duration,
    /// A fallback that has not been exercised for this long.
    pub unexercised_for: Duration,
    /// A journal's oldest entry older than this.
    pub journal_oldest: Duration,
}

impl Default for FactSettings {
    fn default() -> Self {
        Self {
            fallback_for: Duration::from_secs(900),
            unexercised_for: Duration::from_secs(86_400),
            journal_oldest: Duration::from_secs(300),
        }
    }
}

/// What counts as a pattern among failures.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatternSettings {
    /// Dependencies that begin to fail within this time of each other fail together.
    pub within: Duration,
    /// How many of the last failures, and of the last events of a cascade, count.
    pub last: u32,
    /// Longest sequence that is looked for.
    pub longest_period: u32,
}

impl Default for PatternSettings {
    fn default() -> Self {
        Self {
            within: Duration::from_secs(10),
            last: 20,
            longest_period: 5,
        }
    }
}
