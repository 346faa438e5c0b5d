//! What of the server's replies is drawn.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `GET /status`.
#[derive(Debug, Deserialize)]
pub(super) struct Status {
    pub(super) level: String,
    pub(super) target: String,
    pub(super) score: f64,
    pub(super) level_since: String,
    pub(super) held_by: Option<String>,
    pub(super) causes: Vec<String>,
    pub(super) next_level_up: Option<String>,
    pub(super) started: bool,
    pub(super) components: Vec<Component>,
    pub(super) features: BTreeMap<String, String>,
    pub(super) journal: Journal,
    pub(super) version: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct Component {
    pub(super) service: String,
    pub(super) status: String,
    pub(super) embedded: bool,
    pub(super) health_score: Option<f64>,
    pub(super) trend: String,
    pub(super) success_rate: Option<f64>,
    pub(super) p95_ms: Option<f64>,
    pub(super) endpoints: Vec<Endpoint>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Endpoint {
    pub(super) endpoint: String,
    pub(super) state: String,
    pub(super) mode: String,
    pub(super) failures_in_row: u32,
    pub(super) fail_max: Option<u32>,
    pub(super) opened_by: Option<String>,
    pub(super) retry_in_seconds: Option<f64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Journal {
    pub(super) entries: u64,
    pub(super) bytes: u64,
}

/// `GET /status/why`.
#[derive(Debug, Deserialize)]
pub(super) struct Why {
    pub(super) features: Vec<Feature>,
    pub(super) warnings: Vec<String>,
    pub(super) patterns: Vec<String>,
    pub(super) predictions: Vec<String>,
    pub(super) alerts: Vec<String>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Feature {
    pub(super) feature: String,
    pub(super) mode: String,
    pub(super) reason: String,
}
