//! The feature gate of the primitive routes: their own dependency governs them, and the matrix refuses only when the
//! operator asked for it, by strict gating, by pinning the level or by a knob.

use std::time::Duration;

use axum::http::StatusCode;
use mainstay_database::WriteMode;
use mainstay_runtime::Context;
use mainstay_runtime::degradation::{FeatureMode, Gating};

use crate::app::Core;
use crate::problem::Problem;

/// The features that a write to the database needs.
const WRITING: [&str; 2] = ["core_application", "write_operations"];
/// How long a statement may run where `complex_queries` isn't on.
const STATEMENT: Duration = Duration::from_secs(1);
/// What a deadline leaves the database beyond the statement itself.
const HEADROOM: Duration = Duration::from_millis(500);

/// The mode in which a primitive route must serve a feature: `On` unless the matrix or a knob governs it.
///
/// # Errors
/// `not-found` for a feature that the matrix doesn't hold.
pub fn mode(core: &Core, feature: &'static str) -> Result<FeatureMode, Problem> {
    let is_strict = core.handle.rules().settings().gating == Gating::Strict;
    if is_strict || by_person(core, feature) {
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

/// A write's context, where the features let it pass.
///
/// # Errors
/// As [`primitive`].
pub fn write(core: &Core, ctx: Context) -> Result<Context, Problem> {
    for feature in WRITING {
        primitive(core, feature, true)?;
    }
    statement(core, ctx)
}

/// The same of a write that may wait. While the database takes no writes it would only be accepted, which is what it is
/// for: then the level, which that very outage forces down, refuses it under no gating, and a person's pin or knob does.
///
/// # Errors
/// As [`primitive`].
pub fn deferrable(core: &Core, ctx: Context) -> Result<Context, Problem> {
    let waits = core.database.write_mode() == WriteMode::ReadOnly;
    for feature in WRITING {
        if !waits || by_person(core, feature) {
            primitive(core, feature, true)?;
        }
    }
    statement(core, ctx)
}

/// Whether somebody has pinned the level, or turned the feature's knob.
fn by_person(core: &Core, feature: &str) -> bool {
    let state = core.handle.operator_state();
    core.handle.snapshot().pin.is_some() || state.knobs.contains_key(feature)
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
