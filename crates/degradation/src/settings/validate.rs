//! The check that refuses what makes no sense, all of it at once.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Range, RangeInclusive};
use core::time::Duration;

use super::{
    DependencyId, DependencySettings, EndpointRule, HealthRules, Presence, ProbeSchedule, Rules,
    Settings,
};
use crate::level::Level;

const WEIGHT_TOLERANCE: f64 = 0.001;
const MOST: usize = 65_535;
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);

/// A setting that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingsError {
    /// Where, e.g. `dependencies.redis.weight`.
    pub field: String,
    /// What it was set to.
    pub value: String,
    /// What to do about it.
    pub remedy: String,
}

impl fmt::Display for SettingsError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            field,
            value,
            remedy,
        } = self;
        write!(formatter, "{field} is {value}: {remedy}")
    }
}

impl core::error::Error for SettingsError {}

impl Settings {
    /// Checks everything.
    ///
    /// # Errors
    /// Every setting that makes no sense, each with its field, its value and a remedy.
    pub fn validate(self) -> Result<Rules, Vec<SettingsError>> {
        let mut check = Check::default();
        check.dependencies(&self);
        check.level(&self);
        check.tuning(&self);
        let names = check.names(
            "dependencies",
            self.dependencies.iter().map(|one| &one.name),
        );
        let requires = check.features(&self, &names);
        let impacts = check.cascade(&self, &names);
        if !check.errors.is_empty() {
            return Err(check.errors);
        }
        let (endpoints, ranges) = flatten(&self.dependencies);
        Ok(Rules {
            settings: self,
            endpoints,
            ranges,
            requires,
            impacts,
        })
    }
}

fn flatten(dependencies: &[DependencySettings]) -> (Vec<EndpointRule>, Vec<Range<u16>>) {
    let mut endpoints: Vec<EndpointRule> = Vec::new();
    let mut ranges = Vec::with_capacity(dependencies.len());
    for (id, dependency) in (0..).map(DependencyId).zip(dependencies) {
        let start = short(endpoints.len());
        endpoints.extend(dependency.endpoints.iter().map(|endpoint| EndpointRule {
            dependency: id,
            name: endpoint.name.clone(),
            main_work: endpoint.main_work,
            probed: endpoint.probed,
        }));
        ranges.push(start..short(endpoints.len()));
    }
    (endpoints, ranges)
}

/// Lists are checked to be short enough before they are indexed.
fn short(length: usize) -> u16 {
    u16::try_from(length).unwrap_or(u16::MAX)
}

#[derive(Default)]
struct Check {
    errors: Vec<SettingsError>,
}

type Names<'a> = BTreeMap<&'a str, DependencyId>;

impl Check {
    fn error(
        &mut self,
        field: impl Into<String>,
        value: impl fmt::Debug,
        remedy: impl Into<String>,
    ) {
        self.errors.push(SettingsError {
            field: field.into(),
            value: format!("{value:?}"),
            remedy: remedy.into(),
        });
    }

    fn number(&mut self, field: impl Into<String>, value: f64, range: RangeInclusive<f64>) {
        if !range.contains(&value) {
            let remedy = format!("set it to {} to {}", range.start(), range.end());
            self.error(field, value, remedy);
        }
    }

    fn span(&mut self, field: impl Into<String>, value: Duration) {
        if !(SHORTEST..=LONGEST).contains(&value) {
            self.error(field, value, "set it to 1 ms to 7 days");
        }
    }

    fn count(&mut self, field: impl Into<String>, value: u32) {
        if !(1..=1_000).contains(&value) {
            self.error(field, value, "set it to 1 to 1000");
        }
    }

    /// Names in a list must be unique and not empty.
    fn names<'a>(&mut self, field: &str, names: impl Iterator<Item = &'a String>) -> Names<'a> {
        let mut seen = Names::new();
        for (index, name) in names.enumerate() {
            if name.is_empty() {
                self.error(format!("{field}[{index}].name"), name, "give it a name");
            }
            if seen.insert(name, DependencyId(short(index))).is_some() {
                self.error(
                    format!("{field}[{index}].name"),
                    name,
                    "give each a name of its own",
                );
            }
        }
        if seen.len() > MOST {
            self.error(field, seen.len(), "declare at most 65535");
        }
        seen
    }

    fn dependencies(&mut self, settings: &Settings) {
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

    fn falling<const N: usize>(&mut self, field: &str, edges: &[f64; N]) {
        let inside = edges.iter().all(|edge| (0.0..=100.0).contains(edge));
        if !inside || edges.windows(2).any(|pair| pair[0] <= pair[1]) {
            self.error(
                field,
                edges,
                "order them from high to low, between 0 and 100",
            );
        }
    }

    fn level(&mut self, settings: &Settings) {
        let level = &settings.level;
        self.falling("level.bands", &level.bands);
        for (index, cap) in level.caps.iter().enumerate() {
            let lower = level.bands.get(index + 1).copied().unwrap_or(0.0);
            let upper = level.bands[index];
            if !(*cap >= lower && *cap < upper) {
                let remedy = format!("set it inside its band: at least {lower} and below {upper}");
                self.error(format!("level.caps[{index}]"), cap, remedy);
            }
        }
        self.count("level.confirm", level.confirm);
        let narrowest = 100.0 - level.bands[0];
        if !(level.margin >= 0.0 && level.margin <= narrowest.max(0.0)) {
            let remedy = format!("set it to 0 to {narrowest}: OPTIMAL must stay within reach");
            self.error("level.margin", level.margin, remedy);
        }
        self.span("level.first_round", level.first_round);
        if level.dwell > LONGEST {
            self.error("level.dwell", level.dwell, "set it to at most 7 days");
        }
        // A cap below edge + margin of its own band would hold the level below its target for ever.
        for (index, cap) in level.caps.iter().enumerate().take(3) {
            let needed = level.bands[index + 1] + level.margin;
            if *cap < needed {
                let remedy =
                    format!("set it to at least {needed}: the edge of its band and the margin");
                self.error(format!("level.caps[{index}]"), cap, remedy);
            }
        }
    }

    fn tuning(&mut self, settings: &Settings) {
        for (level, tuning) in Level::ALL.iter().zip(&settings.tuning) {
            let at = format!("tuning.{level}");
            if tuning.retries > 100 {
                self.error(
                    format!("{at}.retries"),
                    tuning.retries,
                    "set it to 0 to 100",
                );
            }
            self.number(format!("{at}.backoff"), tuning.backoff, 0.0..=100.0);
            self.number(format!("{at}.limit"), tuning.limit, 0.0..=1.0);
            self.number(format!("{at}.batch"), tuning.batch, 0.0..=1.0);
            self.span(format!("{at}.ttl"), tuning.ttl);
            self.span(format!("{at}.request_deadline"), tuning.request_deadline);
            self.span(format!("{at}.latency_alert_p95"), tuning.latency_alert_p95);
        }
    }

    fn features(&mut self, settings: &Settings, names: &Names<'_>) -> Vec<Vec<DependencyId>> {
        self.names("features", settings.features.iter().map(|one| &one.name));
        let mut all = Vec::with_capacity(settings.features.len());
        for feature in &settings.features {
            for (levels, modes) in Level::ALL.windows(2).zip(feature.modes.windows(2)) {
                if modes[1].rank() < modes[0].rank() {
                    let field = format!("features.{}.{}", feature.name, levels[1]);
                    let remedy = format!("give it no more than at {}: {}", levels[0], modes[0]);
                    self.error(field, modes[1], remedy);
                }
            }
            let field = format!("features.{}.requires", feature.name);
            let known = feature
                .requires
                .iter()
                .filter_map(|name| self.known(&field, name, names));
            all.push(known.collect());
        }
        all
    }

    fn cascade(
        &mut self,
        settings: &Settings,
        names: &Names<'_>,
    ) -> Vec<(DependencyId, DependencyId, f64)> {
        let mut impacts = Vec::with_capacity(settings.cascade.len());
        for (index, impact) in settings.cascade.iter().enumerate() {
            let at = format!("cascade[{index}]");
            self.number(format!("{at}.share"), impact.share, 0.0..=1.0);
            let from = self.known(&format!("{at}.from"), &impact.from, names);
            let to = self.known(&format!("{at}.to"), &impact.to, names);
            if from.is_some() && from == to {
                self.error(
                    format!("{at}.to"),
                    &impact.to,
                    "name another dependency than in from",
                );
            }
            impacts.extend(from.zip(to).map(|(from, to)| (from, to, impact.share)));
        }
        impacts
    }

    fn known(&mut self, field: &str, name: &str, names: &Names<'_>) -> Option<DependencyId> {
        let found = names.get(name).copied();
        if found.is_none() {
            let all: Vec<&str> = names.keys().copied().collect();
            let remedy = format!("name one of the dependencies: {}", all.join(", "));
            self.error(field.to_string(), name, remedy);
        }
        found
    }
}
