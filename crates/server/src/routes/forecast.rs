//! What the status says beyond the present: patterns of failures, when what is down will be back, who was told.

use axum::http::HeaderMap;
use mainstay_runtime::Moment;
use mainstay_runtime::degradation::{
    DependencyId, Language, Patterns, Prediction, Recoveries, Rules, Snapshot,
};
use serde::Serialize;
use utoipa::ToSchema;

use crate::app::Core;
use crate::language;
use crate::routes::protection;

/// What the last failures have in common.
#[derive(Debug, Serialize, ToSchema)]
pub struct PatternsView {
    /// Dependencies that began to fail within seconds of each other, in the order of their failures.
    together: Vec<String>,
    /// The order in which dependencies fail again and again.
    repeating: Option<RepeatingView>,
    /// The one that failed most often of late.
    most_failing: Option<MostFailingView>,
    /// Where failures did most harm to another dependency.
    critical_path: Option<PathView>,
    /// The same in words, one sentence each.
    words: Vec<String>,
}

/// A sequence of failures that repeats.
#[derive(Debug, Serialize, ToSchema)]
pub struct RepeatingView {
    /// One period, beginning with the oldest failure.
    sequence: Vec<String>,
    /// How often it was run through in full.
    repeats: u32,
    /// The one that fails next if it goes on.
    next: String,
}

/// The dependency that failed most often.
#[derive(Debug, Serialize, ToSchema)]
pub struct MostFailingView {
    dependency: String,
    /// How many of the last failures were its own.
    failures: u32,
}

/// One dependency's failures as they harm another.
#[derive(Debug, Serialize, ToSchema)]
pub struct PathView {
    from: String,
    to: String,
    /// Summed over the last events.
    impact: f64,
}

/// When a dependency that is down will be back.
#[derive(Debug, Serialize, ToSchema)]
pub struct PredictionView {
    /// Probability that it is back already and nobody has seen it, 0 to 1.
    back_probability: f64,
    /// From now, it takes this long in one case of two, in seconds.
    median_seconds: f64,
    /// From now, it takes at most this long in nine cases of ten, in seconds.
    p90_seconds: f64,
    /// Earlier outages that this is judged by.
    outages: u32,
    /// The same in one sentence.
    words: String,
}

/// How a dependency recovered from its earlier outages.
#[derive(Debug, Serialize, ToSchema)]
pub struct RecoveriesView {
    /// Outages that were seen from beginning to end.
    outages: u32,
    /// Half of them took at most this long, in seconds.
    median_seconds: f64,
    /// Nine of ten took at most this long, in seconds.
    p90_seconds: f64,
    /// The longest, in seconds.
    longest_seconds: f64,
    /// The last, in seconds.
    last_seconds: f64,
    /// The same in one sentence.
    words: String,
}

/// An alert that was raised and is not over.
#[derive(Debug, Serialize, ToSchema)]
pub struct AlertView {
    /// e.g. `degraded` or `journal_behind`.
    alert: &'static str,
    /// The dependency it is about.
    dependency: Option<String>,
    /// What somebody should know, in one sentence.
    pub(super) message: String,
}

impl PatternsView {
    /// The snapshot's patterns.
    pub fn of(snapshot: &Snapshot, rules: &Rules, spoken: Language) -> Self {
        let patterns: &Patterns = &snapshot.patterns;
        let name = |id: DependencyId| rules.dependency(id).name.clone();
        let names = |ids: &[DependencyId]| ids.iter().copied().map(name).collect();
        Self {
            together: names(&patterns.together),
            repeating: patterns.repeating.as_ref().map(|one| RepeatingView {
                sequence: names(&one.sequence),
                repeats: one.repeats,
                next: name(one.next),
            }),
            most_failing: patterns.most_failing.map(|one| MostFailingView {
                dependency: name(one.dependency),
                failures: one.failures,
            }),
            critical_path: patterns.critical_path.map(|path| PathView {
                from: name(path.from),
                to: name(path.to),
                impact: path.impact,
            }),
            words: patterns.words(spoken, rules),
        }
    }
}

impl PredictionView {
    /// A prediction as a reply shows it.
    pub fn of(prediction: &Prediction, spoken: Language) -> Self {
        Self {
            back_probability: prediction.back,
            median_seconds: prediction.median.as_secs_f64(),
            p90_seconds: prediction.p90.as_secs_f64(),
            outages: prediction.outages,
            words: prediction.words(spoken),
        }
    }
}

impl RecoveriesView {
    /// Recoveries as a reply shows them.
    pub fn of(recoveries: &Recoveries, spoken: Language) -> Self {
        Self {
            outages: recoveries.count,
            median_seconds: recoveries.median.as_secs_f64(),
            p90_seconds: recoveries.p90.as_secs_f64(),
            longest_seconds: recoveries.longest.as_secs_f64(),
            last_seconds: recoveries.last.as_secs_f64(),
            words: recoveries.words(spoken),
        }
    }
}

/// The alerts that are on.
pub fn alerts(
    core: &Core,
    snapshot: &Snapshot,
    headers: &HeaderMap,
    now: Moment,
) -> Vec<AlertView> {
    let spoken = language::of_request(headers);
    let rules = core.handle.rules();
    let view = |alert: &mainstay_runtime::degradation::Alert| AlertView {
        alert: alert.kind(),
        dependency: alert
            .dependency()
            .map(|id| rules.dependency(id).name.clone()),
        message: alert.words(spoken, &rules, now),
    };
    snapshot.alerts.iter().map(view).collect()
}

/// One sentence for each outage that weighs on another dependency, for each dependency that is held back, and for what
/// protects it.
pub fn warnings(core: &Core, snapshot: &Snapshot, spoken: Language) -> Vec<String> {
    let rules = &*core.handle.rules();
    let mut words: Vec<_> = snapshot
        .warnings
        .iter()
        .map(|warning| warning.words(spoken, rules))
        .collect();
    words.extend(protection::words(core, snapshot, spoken));
    let held_back = snapshot.components.iter().filter(|c| c.limit_factor < 1.0);
    words.extend(held_back.map(|component| {
        let name = &rules.dependency(component.id).name;
        let percent = (component.limit_factor * 100.0).round();
        match spoken {
            Language::English => {
                format!("{name} takes {percent} % of its usual calls in flight meanwhile")
            }
            Language::Spanish => {
                format!("{name} admite mientras tanto el {percent} % de sus llamadas simultáneas")
            }
        }
    }));
    words
}

/// For each dependency that is down: when it will be back, and how it recovered before.
pub fn predictions(snapshot: &Snapshot, rules: &Rules, spoken: Language) -> Vec<String> {
    let down = snapshot
        .components
        .iter()
        .filter(|c| c.down_since.is_some());
    down.flat_map(|component| {
        let name = &rules.dependency(component.id).name;
        let told = component.prediction.map(|p| p.words(spoken));
        let before = component.recoveries.map(|r| r.words(spoken));
        [told, before]
            .into_iter()
            .flatten()
            .map(move |words| format!("{name}: {words}"))
    })
    .collect()
}
