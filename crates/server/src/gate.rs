//! The feature gate of the primitive routes: their own dependency governs them, and the matrix refuses only when the
//! operator asked for it, by strict gating or by pinning the level.

use std::time::Duration;

use axum::http::StatusCode;
use mainstay_runtime::degradation::{FeatureMode, Gating};

use crate::app::Core;
use crate::problem::Problem;

/// Lets a primitive route pass, or says which feature is off.
///
/// # Errors
/// 503 `feature-off`, naming the feature.
pub fn primitive(core: &Core, feature: &'static str, writes: bool) -> Result<(), Problem> {
    let snapshot = core.handle.snapshot();
    let by_matrix =
        core.handle.rules().settings().gating == Gating::Strict || snapshot.pin.is_some();
    let by_knob = core.handle.operator_state().knobs.contains_key(feature);
    if !by_matrix && !by_knob {
        return Ok(());
    }
    match core.handle.feature(feature)?.mode {
        FeatureMode::Off => Err(off(feature, "is off")),
        FeatureMode::Partial if writes => Err(off(feature, "takes reads only")),
        _ => Ok(()),
    }
}

fn off(feature: &'static str, how: &str) -> Problem {
    Problem {
        feature: Some(feature.to_owned()),
        retryable: true,
        retry_after: Some(Duration::from_secs(10)),
        ..Problem::new(
            "feature-off",
            StatusCode::SERVICE_UNAVAILABLE,
            format!("`{feature}` {how} for now; GET /features/{feature} says why"),
        )
    }
}
