//! The check that refuses what makes no sense, all of it at once.

mod dependency;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::{Range, RangeInclusive};
use core::time::Duration;

use super::{DependencyId, DependencySettings, EndpointRule, Rules, Settings};
use crate::level::Level;

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
        check.patterns(&self);
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

    fn patterns(&mut self, settings: &Settings) {
        let (facts, patterns) = (&settings.facts, &settings.patterns);
        self.span("facts.fallback_for", facts.fallback_for);
        self.span("facts.unexercised_for", facts.unexercised_for);
        self.span("facts.journal_oldest", facts.journal_oldest);
        self.span("patterns.within", patterns.within);
        self.count("patterns.last", patterns.last);
        self.count("patterns.longest_period", patterns.longest_period);
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
