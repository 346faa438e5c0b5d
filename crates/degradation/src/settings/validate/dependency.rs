//! The checks of one dependency: weight, endpoints, health rules, probes.

use alloc::format;

use super::Check;
use crate::settings::{DependencySettings, HealthRules, Presence, ProbeSchedule, Settings};

const WEIGHT_TOLERANCE: f64 = 0.001;

impl Check {
    pub(super) fn dependencies(&mut self, settings: &Settings) {
        let sum: f64 = settings.dependencies.iter().map(|one| one.weight).sum();
        if sum.is_nan() || (sum - 1.0).abs() > WEIGHT_TOLERANCE {
            let remedy = "make the weights of all dependencies sum to 1.0 (± 0.001)";
            self.error("dependencies.*.weight", sum, remedy);
        }
        let endpoints = settings.dependencies.iter().flat_map(|one| &one.endpoints);
        self.names("endpoints", endpoints.map(|endpoint| &endpoint.name));
        for dependency in &settings.dependencies {
            self.dependency(dependency);
        }
        self.span("alerts.degraded_for", settings.alerts.degraded_for);
        self.span("alerts.recovery_over", settings.alerts.recovery_over);
    }

    fn dependency(&mut self, dependency: &DependencySettings) {
        let at = format!("dependencies.{}", dependency.name);
        self.number(format!("{at}.weight"), dependency.weight, 0.0..=1.0);
        let main = dependency
            .endpoints
            .iter()
            .any(|endpoint| endpoint.main_work);
        if dependency.presence != Presence::Absent && !main {
            let remedy = "declare an endpoint that can do its main work, or make it absent";
            self.error(
                format!("{at}.endpoints"),
                dependency.endpoints.len(),
                remedy,
            );
        }
        self.health(&at, &dependency.health);
        self.probes(&at, &dependency.probes);
    }

    fn health(&mut self, at: &str, rules: &HealthRules) {
        let at = format!("{at}.health");
        self.span(format!("{at}.window"), rules.window);
        self.span(format!("{at}.p95_threshold"), rules.p95_threshold);
        self.span(format!("{at}.trend_window"), rules.trend_window);
        self.span(format!("{at}.trend_step"), rules.trend_step);
        for (name, points) in [
            ("latency_points", rules.latency_points),
            ("latency_cap", rules.latency_cap),
            ("open_penalty", rules.open_penalty),
            ("half_open_penalty", rules.half_open_penalty),
            ("availability_points", rules.availability_points),
            (
                "recent_error.points",
                rules.recent_error.map_or(0.0, |error| error.points),
            ),
            ("trend_points", rules.trend_points),
        ] {
            self.number(format!("{at}.{name}"), points, 0.0..=100.0);
        }
        if let Some(error) = rules.recent_error {
            self.span(format!("{at}.recent_error.fade"), error.fade);
        }
        self.falling(&format!("{at}.worse_below"), &rules.worse_below);
        self.falling(&format!("{at}.better_from"), &rules.better_from);
        let above = rules
            .better_from
            .iter()
            .zip(&rules.worse_below)
            .all(|(up, down)| up >= down);
        if !above {
            let remedy = "set each at least as high as its worse_below";
            self.error(format!("{at}.better_from"), rules.better_from, remedy);
        }
        // A score must not leave one state upward and fall below the next edge at once.
        let apart = rules.better_from[1] <= rules.worse_below[0]
            && rules.better_from[2] <= rules.worse_below[1];
        if !apart {
            let remedy = "set each at most as high as the worse_below of the next better state";
            self.error(format!("{at}.better_from"), rules.better_from, remedy);
        }
        if rules.trend_step > rules.trend_window {
            let remedy = "set it to at most trend_window";
            self.error(format!("{at}.trend_step"), rules.trend_step, remedy);
        }
    }

    fn probes(&mut self, at: &str, probes: &ProbeSchedule) {
        let at = format!("{at}.probes");
        for (name, span) in [
            ("heartbeat", probes.heartbeat),
            ("recovered", probes.recovered),
            ("recovered_for", probes.recovered_for),
            ("confirm", probes.confirm),
            ("deadline", probes.deadline),
            ("request_interval", probes.request_interval),
        ] {
            self.span(format!("{at}.{name}"), span);
        }
        if probes.failing.is_empty() {
            self.error(
                format!("{at}.failing"),
                &probes.failing,
                "give at least one interval",
            );
        }
        for (index, span) in probes.failing.iter().enumerate() {
            self.span(format!("{at}.failing[{index}]"), *span);
        }
        if !(0.0..1.0).contains(&probes.jitter) {
            self.error(
                format!("{at}.jitter"),
                probes.jitter,
                "set it to at least 0 and below 1",
            );
        }
        self.count(format!("{at}.trip_after"), probes.trip_after);
        self.count(format!("{at}.early_after"), probes.early_after);
    }
}
