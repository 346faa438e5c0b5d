//! Fallbacks, as people see them in `/status`.

use mainstay_runtime::FallbackStatus;
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Core;

/// A fallback, and when it last worked.
#[derive(Debug, Serialize, ToSchema)]
pub struct FallbackView {
    /// Whose it is.
    dependency: String,
    /// Who answers, e.g. `cache` or `provider:<name>`, or what else a canary tries: `settlement` is Redis being told
    /// what was written to memory.
    source: String,
    /// Seconds for which this dependency's fallbacks have been giving answers; null: they aren't.
    in_use_seconds: Option<u64>,
    /// It is tried while all is well.
    exercised: bool,
    /// When it was last tried, as an exercise or in earnest.
    last_tried: Option<String>,
    /// `agreed`, `differed` (older data, or wrong data), `failed`, or `used` in earnest.
    result: Option<&'static str>,
    /// Since it last worked, or since the first start if it never has.
    age_seconds: u64,
}

/// Every fallback there is.
pub fn views(core: &Core) -> Vec<FallbackView> {
    let view = |one: FallbackStatus| FallbackView {
        dependency: one.dependency,
        source: one.source,
        in_use_seconds: one.in_use.map(|time| time.as_secs()),
        exercised: one.exercised,
        last_tried: one.last.map(|(at, _)| at.to_string()),
        result: one.last.map(|(_, result)| result.as_str()),
        age_seconds: one.age.as_secs(),
    };
    core.handle.fallbacks().into_iter().map(view).collect()
}
