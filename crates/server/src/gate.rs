//! The feature gate of the primitive routes: their own dependency governs them, and the matrix refuses only when the
//! operator asked for it, by strict gating, by pinning the level or by a knob.

use std::time::Duration;

use axum::http::StatusCode;
use mainstay_runtime::Context;
use mainstay_runtime::degradation::{FeatureMode, Gating};

use crate::app::Core;
use crate::problem::Problem;

/// How long a statement may run where `complex_queries` isn't on.
const STATEMENT: Duration = Duration::from_secs(1);
/// What a deadline leaves the database beyond the statement itself.
const HEADROOM: Duration = Duration::from_millis(500);

/// The mode in which a primitive route must serve a feature: `On` unless the matrix or a knob governs it.
///
/// # Errors
/// `not-found` for a feature that the matrix doesn't hold.
pub fn mode(core: &Core, feature: &'static str) -> Result<FeatureMode, Problem> {
    let snapshot = core.handle.snapshot();
    let by_matrix =
        core.handle.rules().settings().gating == Gating::Strict || snapshot.pin.is_some();
    let by_knob = core.handle.operator_state().knobs.contains_key(feature);
    if by_matrix || by_knob {
        Ok(core.handle.feature(feature)?.mode)
    } else {
        Ok(FeatureMode::On)
    }
}

/// Lets a primitive route pass, or says which feature is off.
///
/// # Errors
/// 503 `feature-off`, naming the feature.
pub fn primitive(core: &Core, feature: &'static str, writes: bool) -> Result<(), Problem> {
    match mode(core, feature)? {
        FeatureMode::Off => Err(off(feature, "is off")),
        FeatureMode::Partial if writes => Err(off(feature, "takes reads only")),
        _ => Ok(()),
    }
}

/// A statement's context: where `complex_queries` is less than on, it has a second. Which statement is complex shows
/// only when it runs, so none is refused for it.
///
/// # Errors
/// As [`mode`].
pub fn statement(core: &Core, ctx: Context) -> Result<Context, Problem> {
    let limited = matches!(
        mode(core, "complex_queries")?,
        FeatureMode::Partial | FeatureMode::Off
    );
    let short = core.handle.clock().now() + STATEMENT + HEADROOM;
    Ok(Context {
        deadline: if limited {
            ctx.deadline.min(short)
        } else {
            ctx.deadline
        },
        ..ctx
    })
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
