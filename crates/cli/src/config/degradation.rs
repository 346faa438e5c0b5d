//! `[degradation]`: weights, bands, hysteresis, the matrix, cascades, what each level asks, health and probes.

use std::time::Duration;

use mainstay_degradation::{
    AlertSettings, Criticality, FactSettings, FeatureMode, Gating, HealthRules, Impact, Level,
    LevelSettings, PatternSettings, ProbeSchedule, RecentError, Settings, SettingsError, Tuning,
};

use super::raw::Value;
use super::read::Reader;
use super::setting::{Setting, quoted};

const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(7 * 86_400);
const POINTS: std::ops::RangeInclusive<f64> = 0.0..=100.0;

const CRITICALITIES: [(&str, Criticality); 5] = [
    ("none", Criticality::None),
    ("low", Criticality::Low),
    ("medium", Criticality::Medium),
    ("high", Criticality::High),
    ("critical", Criticality::Critical),
];

impl Setting for FeatureMode {
    const WHAT: &'static str =
        "\"on\", \"fallback\", \"queued\", \"local\", \"limited\", \"partial\" or \"off\"";

    fn parse(value: &Value) -> Option<Self> {
        String::parse(value)?.parse().ok()
    }

    fn show(&self) -> String {
        quoted(self)
    }
}

/// Reads everything the controller is told, and has it checked by the controller's own rules.
pub(super) fn degradation(r: &mut Reader) -> Settings {
    let mut settings = Settings::standard();
    settings.gating = r.choice(
        "degradation.gating",
        settings.gating,
        &[("causal", Gating::Causal), ("strict", Gating::Strict)],
    );
    settings.seed = r.get("degradation.seed", settings.seed);
    settings.level = level(r, settings.level);
    settings.alerts = alerts(r, settings.alerts);
    settings.facts = facts(r, settings.facts);
    settings.patterns = patterns(r, settings.patterns);
    dependencies(r, &mut settings);
    for feature in &mut settings.features {
        feature.modes = r.array(
            &format!("degradation.matrix.{}", feature.name),
            feature.modes,
        );
    }
    settings.cascade = cascade(r, &settings);
    for (level, tuning) in Level::ALL.iter().zip(&mut settings.tuning) {
        *tuning = self::tuning(r, *level, tuning.clone());
    }
    if let Err(errors) = settings.clone().validate() {
        for error in errors {
            reject(r, &settings, &error);
        }
    }
    settings
}

fn level(r: &mut Reader, base: LevelSettings) -> LevelSettings {
    LevelSettings {
        bands: r.array("degradation.bands", base.bands),
        caps: r.array("degradation.caps", base.caps),
        confirm: r.within("degradation.confirm", base.confirm, 1..=1_000),
        margin: r.within("degradation.margin", base.margin, POINTS),
        dwell: r.within("degradation.dwell", base.dwell, Duration::ZERO..=LONGEST),
        first_round: r.within(
            "degradation.first_round",
            base.first_round,
            SHORTEST..=LONGEST,
        ),
    }
}

fn alerts(r: &mut Reader, base: AlertSettings) -> AlertSettings {
    let mut span = |name: &str, default| {
        r.within(
            &format!("degradation.alerts.{name}"),
            default,
            SHORTEST..=LONGEST,
        )
    };
    AlertSettings {
        degraded_for: span("degraded_for", base.degraded_for),
        recovery_over: span("recovery_over", base.recovery_over),
    }
}

fn facts(r: &mut Reader, base: FactSettings) -> FactSettings {
    let mut span = |name: &str, default| {
        r.within(
            &format!("degradation.alerts.{name}"),
            default,
            SHORTEST..=LONGEST,
        )
    };
    FactSettings {
        fallback_for: span("fallback_for", base.fallback_for),
        unexercised_for: span("unexercised_for", base.unexercised_for),
        journal_oldest: span("journal_oldest", base.journal_oldest),
    }
}

fn patterns(r: &mut Reader, base: PatternSettings) -> PatternSettings {
    let key = |name: &str| format!("degradation.patterns.{name}");
    PatternSettings {
        within: r.within(&key("within"), base.within, SHORTEST..=LONGEST),
        last: r.within(&key("last"), base.last, 1..=1_000),
        longest_period: r.within(&key("longest_period"), base.longest_period, 1..=1_000),
    }
}

fn dependencies(r: &mut Reader, settings: &mut Settings) {
    for one in &mut settings.dependencies {
        one.weight = r.within(
            &format!("degradation.weights.{}", one.name),
            one.weight,
            0.0..=1.0,
        );
    }
    for one in &mut settings.dependencies {
        let key = format!("degradation.criticality.{}", one.name);
        one.criticality = r.choice(&key, one.criticality, &CRITICALITIES);
    }
    for one in &mut settings.dependencies {
        one.health = health(r, &format!("degradation.health.{}", one.name), &one.health);
    }
    for one in &mut settings.dependencies {
        one.probes = probes(r, &format!("degradation.probes.{}", one.name), &one.probes);
    }
}

fn health(r: &mut Reader, at: &str, base: &HealthRules) -> HealthRules {
    let key = |name: &str| format!("{at}.{name}");
    HealthRules {
        window: r.within(&key("window"), base.window, SHORTEST..=LONGEST),
        p95_threshold: r.within(
            &key("p95_threshold"),
            base.p95_threshold,
            SHORTEST..=LONGEST,
        ),
        latency_points: r.within(&key("latency_points"), base.latency_points, POINTS),
        latency_cap: r.within(&key("latency_cap"), base.latency_cap, POINTS),
        open_penalty: r.within(&key("open_penalty"), base.open_penalty, POINTS),
        half_open_penalty: r.within(&key("half_open_penalty"), base.half_open_penalty, POINTS),
        availability_points: r.within(
            &key("availability_points"),
            base.availability_points,
            POINTS,
        ),
        recent_error: recent_error(r, &key("recent_error"), base.recent_error),
        worse_below: r.array(&key("worse_below"), base.worse_below),
        better_from: r.array(&key("better_from"), base.better_from),
        trend_window: r.within(&key("trend_window"), base.trend_window, SHORTEST..=LONGEST),
        trend_step: r.within(&key("trend_step"), base.trend_step, SHORTEST..=LONGEST),
        trend_points: r.within(&key("trend_points"), base.trend_points, POINTS),
        latency_alert: r.get(&key("latency_alert"), base.latency_alert),
    }
}

fn recent_error(r: &mut Reader, at: &str, base: Option<RecentError>) -> Option<RecentError> {
    let points = r.within(
        &format!("{at}.points"),
        base.map_or(0.0, |error| error.points),
        POINTS,
    );
    let fade = base.map_or(Duration::from_secs(60), |error| error.fade);
    let fade = r.within(&format!("{at}.fade"), fade, SHORTEST..=LONGEST);
    (points > 0.0).then_some(RecentError { points, fade })
}

fn probes(r: &mut Reader, at: &str, base: &ProbeSchedule) -> ProbeSchedule {
    let key = |name: &str| format!("{at}.{name}");
    let mut span = |name: &str, default| r.within(&key(name), default, SHORTEST..=LONGEST);
    let mut schedule = ProbeSchedule {
        heartbeat: span("heartbeat", base.heartbeat),
        recovered: span("recovered", base.recovered),
        recovered_for: span("recovered_for", base.recovered_for),
        confirm: span("confirm", base.confirm),
        deadline: span("deadline", base.deadline),
        request_interval: span("request_interval", base.request_interval),
        ..base.clone()
    };
    schedule.failing = r.get(&key("failing"), schedule.failing);
    schedule.jitter = r.within(&key("jitter"), base.jitter, 0.0..=0.99);
    schedule.trip_after = r.within(&key("trip_after"), base.trip_after, 1..=1_000);
    schedule.early_after = r.within(&key("early_after"), base.early_after, 1..=1_000);
    schedule
}

/// Every ordered pair of dependencies is a setting; a share of 0 is no impact.
fn cascade(r: &mut Reader, settings: &Settings) -> Vec<Impact> {
    let names: Vec<_> = settings
        .dependencies
        .iter()
        .map(|one| one.name.clone())
        .collect();
    let mut impacts = Vec::new();
    for from in &names {
        for to in names.iter().filter(|to| *to != from) {
            let standard = settings
                .cascade
                .iter()
                .find(|one| one.from == *from && one.to == *to);
            let share = standard.map_or(0.0, |one| one.share);
            let share = r.within(
                &format!("degradation.cascade.{from}.{to}"),
                share,
                0.0..=1.0,
            );
            if share > 0.0 {
                impacts.push(Impact {
                    from: from.clone(),
                    to: to.clone(),
                    share,
                });
            }
        }
    }
    impacts
}

fn tuning(r: &mut Reader, level: Level, base: Tuning) -> Tuning {
    let at = format!("degradation.tuning.{}", level.as_str().to_lowercase());
    let key = |name: &str| format!("{at}.{name}");
    Tuning {
        retries: r.within(&key("retries"), base.retries, 0..=100),
        backoff: r.within(&key("backoff"), base.backoff, POINTS),
        limit: r.within(&key("limit"), base.limit, 0.0..=1.0),
        ttl: r.within(&key("ttl"), base.ttl, SHORTEST..=LONGEST),
        batch: r.within(&key("batch"), base.batch, 0.0..=1.0),
        request_deadline: r.within(
            &key("request_deadline"),
            base.request_deadline,
            SHORTEST..=LONGEST,
        ),
        latency_alert_p95: r.within(
            &key("latency_alert_p95"),
            base.latency_alert_p95,
            SHORTEST..=LONGEST,
        ),
    }
}

/// Notes a mistake that the controller's rules found, under the key that it is configured by.
fn reject(r: &mut Reader, settings: &Settings, error: &SettingsError) {
    let key = key_of(settings, &error.field);
    r.reject(&key, format!("{} (it is {})", error.remedy, error.value));
}

fn key_of(settings: &Settings, field: &str) -> String {
    let parts: Vec<&str> = field
        .split('.')
        .map(|part| part.split('[').next().unwrap_or(part))
        .collect();
    let rest = parts.get(2..).unwrap_or_default().join(".");
    let key = match parts[..] {
        ["dependencies", "*", "weight"] => "weights".to_owned(),
        ["dependencies", name, "weight"] => format!("weights.{name}"),
        ["dependencies", name, group, ..] => format!(
            "{group}.{name}.{}",
            rest.replacen(&format!("{group}."), "", 1)
        ),
        ["level", ..] => parts[1..].join("."),
        ["facts", name] => format!("alerts.{name}"),
        ["tuning", level, ..] => format!("tuning.{}.{rest}", level.to_lowercase()),
        ["features", name, ..] => format!("matrix.{name}"),
        ["cascade", ..] => impact_key(settings, field),
        _ => field.to_owned(),
    };
    format!("degradation.{key}")
}

fn impact_key(settings: &Settings, field: &str) -> String {
    let index = field
        .split(['[', ']'])
        .nth(1)
        .and_then(|index| index.parse::<usize>().ok());
    let impact = index.and_then(|index| settings.cascade.get(index));
    impact.map_or("cascade".to_owned(), |one| {
        format!("cascade.{}.{}", one.from, one.to)
    })
}
