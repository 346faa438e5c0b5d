//! Gauges of what may come: cascades and what protects from them, patterns, predictions, alerts.

use std::collections::BTreeMap;
use std::sync::Mutex;

use mainstay_runtime::degradation::{Component, Rules, Snapshot, Warning};

use super::Metrics;
use crate::app::Core;
use crate::routes::health::known;

impl Metrics {
    pub(super) fn read_forecast(&self, core: &Core) {
        let snapshot = core.handle.snapshot();
        let rules = core.handle.rules();
        self.read_patterns(&snapshot, &rules);
        for (id, dependency) in rules.dependencies() {
            self.read_outlook(&dependency.name, snapshot.component(id));
        }
        let name = |id| rules.dependency(id).name.clone();
        let on = snapshot.alerts.iter().map(|alert| {
            let about = alert.dependency().map(name).unwrap_or_default();
            ([alert.kind().to_owned(), about], 1.0)
        });
        self.alerts.set(self, on);
        let path = snapshot.patterns.critical_path.iter();
        let path = path.map(|path| ([name(path.from), name(path.to)], path.impact));
        self.critical_path.set(self, path);
        let threats = snapshot.warnings.iter().map(|warning| {
            let Warning::Cascade { from, to, impact } = *warning;
            ([name(from), name(to)], impact)
        });
        self.protection.set(self, threats);
    }

    fn read_patterns(&self, snapshot: &Snapshot, rules: &Rules) {
        let patterns = &snapshot.patterns;
        let period = patterns.repeating.as_ref().map_or(0, |r| r.sequence.len());
        self.set("failing_together", &[], patterns.together.len() as f64);
        self.set("failure_sequence_period", &[], period as f64);
        for (id, dependency) in rules.dependencies() {
            let most = patterns.most_failing.filter(|m| m.dependency == id);
            let failures = most.map_or(0, |m| m.failures);
            let labels = [("component_name", dependency.name.as_str())];
            self.set("most_failing_component", &labels, f64::from(failures));
        }
    }

    fn read_outlook(&self, name: &str, component: &Component) {
        let Some(score) = known(component, component.effective_score) else {
            return;
        };
        let labels = [("component_name", name)];
        self.set("component_effective_score", &labels, score);
        self.set("component_limit_factor", &labels, component.limit_factor);
        let up = component.down_since.is_none();
        let outlook = component.prediction.map(|p| (p.back, p.median, p.p90));
        // While it is down and nothing can be told, a number would be made up.
        let unknown = if up {
            (1.0, 0.0, 0.0)
        } else {
            (f64::NAN, f64::NAN, f64::NAN)
        };
        let (back, median, p90) = outlook.map_or(unknown, |(back, median, p90)| {
            (back, median.as_secs_f64(), p90.as_secs_f64())
        });
        self.set("component_back_probability", &labels, back);
        self.quantiles("component_expected_recovery_seconds", name, median, p90);
        if let Some(earlier) = component.recoveries {
            self.set("component_outages", &labels, f64::from(earlier.count));
            let (median, p90) = (earlier.median.as_secs_f64(), earlier.p90.as_secs_f64());
            self.quantiles("component_recovery_seconds", name, median, p90);
        }
    }

    fn quantiles(&self, metric: &'static str, name: &str, median: f64, p90: f64) {
        for (quantile, value) in [("0.5", median), ("0.9", p90)] {
            let labels = [("component_name", name), ("quantile", quantile)];
            self.set(metric, &labels, value);
        }
    }
}

/// A gauge with two labels whose samples come and go: what is over reads 0, rather than its last value for ever.
#[derive(Debug)]
pub(super) struct Shifting {
    metric: &'static str,
    labels: [&'static str; 2],
    seen: Mutex<BTreeMap<[String; 2], f64>>,
}

impl Shifting {
    pub(super) fn new(metric: &'static str, labels: [&'static str; 2]) -> Self {
        Self {
            metric,
            labels,
            seen: Mutex::default(),
        }
    }

    fn set(&self, metrics: &Metrics, now: impl Iterator<Item = ([String; 2], f64)>) {
        // Nothing panics while the lock is held.
        let mut seen = self.seen.lock().unwrap_or_else(|e| e.into_inner());
        seen.values_mut().for_each(|value| *value = 0.0);
        seen.extend(now);
        for (values, number) in seen.iter() {
            let labels = [
                (self.labels[0], values[0].as_str()),
                (self.labels[1], values[1].as_str()),
            ];
            metrics.set(self.metric, &labels, *number);
        }
    }
}
