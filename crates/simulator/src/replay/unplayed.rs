//! Settings whose effect a replay leaves out: they say which calls and probes there are, and those are the recorded ones.

use std::collections::BTreeSet;

use mainstay_degradation::recording::Bounds;
use mainstay_degradation::{Impact, Presence, Rules, Settings, Tuning};

use super::WhatIf;

/// A part of a policy that would have made other calls or probes than the recorded ones.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unplayed {
    /// When this dependency is probed, and what its probes do to its breakers.
    Probes(String),
    /// What a level asks of calls.
    Tuning,
    /// What an outage takes from the limits of others.
    Cascade,
    /// How many calls to this dependency may be in flight.
    Limit(String),
    /// How slowly calls to this dependency come back after its breaker has closed.
    Ramp(String),
    /// How long an attempt at this dependency may take.
    Deadline(String),
    /// This setting, of which a recording doesn't tell whether it was another.
    Untold(String),
}

/// Where `ours` would have made other calls or probes than `recorded` did.
pub(super) fn between(recorded: &Settings, ours: &Settings) -> BTreeSet<Unplayed> {
    let present = ours.dependencies.iter();
    let present = present.filter(|one| one.presence != Presence::Absent);
    let probes = present.filter(|one| {
        let mut all = recorded.dependencies.iter();
        all.any(|other| other.name == one.name && other.probes != one.probes)
    });
    let probes = probes.map(|one| Unplayed::Probes(one.name.clone()));
    let tuning = asked(&recorded.tuning) != asked(&ours.tuning);
    let cascade = shares(&recorded.cascade) != shares(&ours.cascade);
    probes
        .chain(tuning.then_some(Unplayed::Tuning))
        .chain(cascade.then_some(Unplayed::Cascade))
        .collect()
}

/// The limits and deadlines that would have made other calls than those `recorded`: each endpoint's, at first and after
/// every reload; where none are, nobody knows. `rules`: those the recorded indices belong to.
pub(super) fn bounded(
    what_if: &WhatIf,
    recorded: &[Vec<Bounds>],
    rules: &Rules,
) -> BTreeSet<Unplayed> {
    let whose = |name: &str, same: &dyn Fn(&Bounds) -> bool| {
        let id = rules.endpoint_id(name)?;
        let mut all = recorded.iter();
        let kept = all.all(|all| all.get(id.index()).is_some_and(same)) && !recorded.is_empty();
        let dependency = rules.endpoint(id).dependency;
        (!kept).then(|| rules.dependency(dependency).name.clone())
    };
    let limits = what_if.limits.iter();
    let limits = limits.filter_map(|(name, limit)| whose(name, &|one| one.limit == *limit));
    let deadlines = what_if.deadlines.iter();
    let deadlines = deadlines.filter_map(|(name, span)| whose(name, &|one| one.deadline == *span));
    let untold = what_if.untold.iter().cloned();
    limits
        .map(Unplayed::Limit)
        .chain(deadlines.map(Unplayed::Deadline))
        .chain(untold.map(Unplayed::Untold))
        .collect()
}

/// The ramps that would have let other calls pass than those in force. `recorded`: each endpoint's breaker, at first and
/// after every reload.
pub(super) fn ramped<'a>(
    what_if: &WhatIf,
    recorded: impl Iterator<Item = &'a Vec<mainstay_breaker::Settings>> + Clone,
    rules: &Rules,
) -> BTreeSet<Unplayed> {
    let others = what_if.breakers.iter().filter_map(|(name, wanted)| {
        let id = rules.endpoint_id(name)?;
        let mut all = recorded.clone().filter_map(|all| all.get(id.index()));
        let differs = all.any(|one| one.ramp != wanted.ramp);
        let dependency = rules.endpoint(id).dependency;
        differs.then(|| Unplayed::Ramp(rules.dependency(dependency).name.clone()))
    });
    others.collect()
}

/// What is asked of calls: all but the alert's threshold, which only the controller looks at.
fn asked(tuning: &[Tuning; 5]) -> [Tuning; 5] {
    tuning.clone().map(|one| Tuning {
        latency_alert_p95: Tuning::defaults()[0].latency_alert_p95,
        ..one
    })
}

/// By name, since their order means nothing.
fn shares(impacts: &[Impact]) -> Vec<(&str, &str, f64)> {
    let all = impacts.iter().filter(|one| one.share > 0.0);
    let mut all: Vec<_> = all
        .map(|one| (one.from.as_str(), one.to.as_str(), one.share))
        .collect();
    all.sort_by_key(|(from, to, _)| (*from, *to));
    all
}
