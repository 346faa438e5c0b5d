//! What differs between two sets of settings, under the keys that people configure them by.

use std::fmt::Debug;

use mainstay_breaker as breaker;
use mainstay_degradation::{
    AlertSettings, DependencySettings, FactSettings, FeatureSettings, HealthRules, Impact, Level,
    LevelSettings, PatternSettings, ProbeSchedule, Settings, Tuning,
};

use crate::endpoint::Endpoint;
use crate::engine::EndpointSpec;
use crate::reload::Change;

/// Gathers changes under a common beginning of their keys.
struct Differences {
    at: String,
    found: Vec<Change>,
}

/// Looks at fields of the same name in both.
macro_rules! see {
    ($differences:expr, $old:expr, $new:expr, $($field:ident),+ $(,)?) => {
        $($differences.see(stringify!($field), &$old.$field, &$new.$field);)+
    };
}

impl Differences {
    fn at(at: impl Into<String>) -> Self {
        Self {
            at: at.into(),
            found: Vec::new(),
        }
    }

    fn see<T: Debug + PartialEq>(&mut self, name: &str, old: &T, new: &T) {
        if old != new {
            self.found.push(Change {
                key: format!("{}.{name}", self.at),
                old: format!("{old:?}"),
                new: format!("{new:?}"),
            });
        }
    }

    /// A figure that may be switched off.
    fn see_or_off<T: Debug + PartialEq>(&mut self, name: &str, old: Option<T>, new: Option<T>) {
        let words = |value: &Option<T>| {
            value
                .as_ref()
                .map_or("off".to_owned(), |v| format!("{v:?}"))
        };
        if old != new {
            self.found.push(Change {
                key: format!("{}.{name}", self.at),
                old: words(&old),
                new: words(&new),
            });
        }
    }
}

/// What differs for one endpoint.
pub(crate) fn of_endpoint(endpoint: &Endpoint, spec: &EndpointSpec) -> Vec<Change> {
    let dependency = &endpoint.dependency;
    let mut found = of_breaker(dependency, &endpoint.breaker.settings(), &spec.breaker);
    let mut limit = Differences::at(dependency);
    limit.see("limit", &endpoint.limit.base(), &spec.limit);
    found.append(&mut limit.found);
    let mut deadline = Differences::at(&endpoint.name);
    deadline.see(
        "call_deadline",
        &endpoint.call_deadline(),
        &spec.call_deadline,
    );
    found.append(&mut deadline.found);
    found
}

fn of_breaker(dependency: &str, old: &breaker::Settings, new: &breaker::Settings) -> Vec<Change> {
    let mut d = Differences::at(format!("breakers.{dependency}"));
    d.see_or_off("fail_max", old.consecutive, new.consecutive);
    see!(d, old, new, reset_timeout, max_open, forget_after, jitter);
    d.see_or_off("ramp", old.ramp, new.ramp);
    d.see("window.length", &old.window.length, &new.window.length);
    d.see("window.buckets", &old.window.buckets, &new.window.buckets);
    let rate = |s: &breaker::Settings| s.rate.map(|rate| (rate.threshold, rate.min_calls));
    d.see_or_off(
        "rate.threshold",
        rate(old).map(|r| r.0),
        rate(new).map(|r| r.0),
    );
    d.see_or_off(
        "rate.min_calls",
        rate(old).map(|r| r.1),
        rate(new).map(|r| r.1),
    );
    let slow = |s: &breaker::Settings| {
        s.slow
            .map(|slow| (slow.after, slow.threshold, slow.min_calls))
    };
    d.see_or_off("slow.after", slow(old).map(|s| s.0), slow(new).map(|s| s.0));
    d.see_or_off(
        "slow.threshold",
        slow(old).map(|s| s.1),
        slow(new).map(|s| s.1),
    );
    d.see_or_off(
        "slow.min_calls",
        slow(old).map(|s| s.2),
        slow(new).map(|s| s.2),
    );
    d.see(
        "half_open.probes",
        &old.half_open.probes,
        &new.half_open.probes,
    );
    d.see(
        "half_open.successes",
        &old.half_open.successes,
        &new.half_open.successes,
    );
    d.found
}

/// What differs in the share of reads that exercise a fallback.
pub(crate) fn of_share(old: Option<f64>, new: Option<f64>) -> Vec<Change> {
    let mut d = Differences::at("fallbacks");
    // Kept as a whole number of parts of 2^32.
    let rounded = |share: f64| (share * 1e6).round() / 1e6;
    d.see_or_off("exercise_share", old.map(rounded), new.map(rounded));
    d.found
}

/// What differs for the controller. Both hold the same dependencies and features in the same order.
pub(crate) fn of_rules(old: &Settings, new: &Settings) -> Vec<Change> {
    // Spelled out, so that a new group of settings can't be forgotten here.
    let Settings {
        dependencies,
        level,
        gating,
        features,
        tuning,
        cascade,
        alerts,
        facts,
        patterns,
        seed,
    } = old;
    let mut d = Differences::at("degradation");
    d.see("gating", &gating.as_str(), &new.gating.as_str());
    d.see("seed", seed, &new.seed);
    of_level(&mut d, level, &new.level);
    for (old, new) in dependencies.iter().zip(&new.dependencies) {
        of_dependency(&mut d, old, new);
    }
    for (old, new) in features.iter().zip(&new.features) {
        of_feature(&mut d, old, new);
    }
    of_cascade(&mut d, cascade, &new.cascade);
    for (level, (old, new)) in Level::ALL.iter().zip(tuning.iter().zip(&new.tuning)) {
        of_tuning(&mut d, *level, old, new);
    }
    of_alerts(&mut d, (alerts, facts), (&new.alerts, &new.facts));
    of_patterns(&mut d, patterns, &new.patterns);
    d.found
}

fn of_level(d: &mut Differences, old: &LevelSettings, new: &LevelSettings) {
    see!(
        d,
        old,
        new,
        bands,
        caps,
        confirm,
        margin,
        dwell,
        first_round
    );
}

fn of_dependency(d: &mut Differences, old: &DependencySettings, new: &DependencySettings) {
    let name = &old.name;
    d.see(&format!("weights.{name}"), &old.weight, &new.weight);
    let (was, is) = (old.criticality.as_str(), new.criticality.as_str());
    d.see(&format!("criticality.{name}"), &was, &is);
    of_health(d, &format!("health.{name}"), &old.health, &new.health);
    of_probes(d, &format!("probes.{name}"), &old.probes, &new.probes);
}

fn of_health(d: &mut Differences, at: &str, old: &HealthRules, new: &HealthRules) {
    let mut here = Differences::at(format!("{}.{at}", d.at));
    see!(
        here,
        old,
        new,
        window,
        p95_threshold,
        latency_points,
        latency_cap,
        open_penalty,
        half_open_penalty,
        availability_points,
        worse_below,
        better_from,
        trend_window,
        trend_step,
        trend_points,
        latency_alert,
    );
    let (was, is) = (old.recent_error, new.recent_error);
    here.see_or_off(
        "recent_error.points",
        was.map(|e| e.points),
        is.map(|e| e.points),
    );
    here.see_or_off("recent_error.fade", was.map(|e| e.fade), is.map(|e| e.fade));
    d.found.append(&mut here.found);
}

fn of_probes(d: &mut Differences, at: &str, old: &ProbeSchedule, new: &ProbeSchedule) {
    let mut here = Differences::at(format!("{}.{at}", d.at));
    see!(
        here,
        old,
        new,
        heartbeat,
        recovered,
        recovered_for,
        failing,
        jitter,
        confirm,
        deadline,
        trip_after,
        early_after,
        request_interval,
    );
    d.found.append(&mut here.found);
}

fn of_feature(d: &mut Differences, old: &FeatureSettings, new: &FeatureSettings) {
    let name = &old.name;
    let modes = |one: &FeatureSettings| one.modes.map(|mode| mode.as_str());
    d.see(&format!("matrix.{name}"), &modes(old), &modes(new));
    d.see(
        &format!("matrix.{name}.requires"),
        &old.requires,
        &new.requires,
    );
    d.see(&format!("matrix.{name}.note"), &old.note, &new.note);
}

fn of_cascade(d: &mut Differences, old: &[Impact], new: &[Impact]) {
    let share = |all: &[Impact], of: &Impact| {
        let found = all
            .iter()
            .find(|one| one.from == of.from && one.to == of.to);
        found.map_or(0.0, |one| one.share)
    };
    let known = |of: &&Impact| old.iter().any(|one| one.from == of.from && one.to == of.to);
    for impact in old.iter().chain(new.iter().filter(|of| !known(of))) {
        let key = format!("cascade.{}.{}", impact.from, impact.to);
        d.see(&key, &share(old, impact), &share(new, impact));
    }
}

fn of_tuning(d: &mut Differences, level: Level, old: &Tuning, new: &Tuning) {
    let level = level.as_str().to_lowercase();
    let mut here = Differences::at(format!("{}.tuning.{level}", d.at));
    see!(
        here,
        old,
        new,
        retries,
        backoff,
        limit,
        ttl,
        batch,
        request_deadline,
        latency_alert_p95
    );
    d.found.append(&mut here.found);
}

fn of_alerts(
    d: &mut Differences,
    old: (&AlertSettings, &FactSettings),
    new: (&AlertSettings, &FactSettings),
) {
    let mut here = Differences::at(format!("{}.alerts", d.at));
    see!(here, old.0, new.0, degraded_for, recovery_over);
    see!(
        here,
        old.1,
        new.1,
        fallback_for,
        unexercised_for,
        journal_oldest
    );
    d.found.append(&mut here.found);
}

fn of_patterns(d: &mut Differences, old: &PatternSettings, new: &PatternSettings) {
    let mut here = Differences::at(format!("{}.patterns", d.at));
    see!(here, old, new, within, last, longest_period);
    d.found.append(&mut here.found);
}
