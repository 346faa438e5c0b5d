//! Prometheus metrics: an observer that counts, gauges set when they are read. No decision reads any of it back.
//!
//! The recorder is this value's own, not the process's, so that several applications fit into one process.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use axum::http::Method;
use mainstay_runtime::breaker::FailureKind;
use mainstay_runtime::degradation::{FeatureMode, Level};
use mainstay_runtime::{Direction, Moment, Observer, Report};
use metrics::{Key, KeyName, Label, Level as Verbosity, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::app::Core;

/// Seconds; the fast dependencies.
const FAST: &[f64] = &[0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5];
/// Seconds; object stores.
const OBJECTS: &[f64] = &[0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0];
/// Seconds; from leaving OPTIMAL to being back.
const RECOVERY: &[f64] = &[1.0, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Seconds; replies of the server.
const HTTP: &[f64] = &[
    0.0005, 0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
];

static METADATA: Metadata<'static> = Metadata::new("mainstay", Verbosity::INFO, Some("mainstay"));

/// The metrics of one application.
pub struct Metrics {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    process: metrics_process::Collector,
    fallbacks: Fallbacks,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

impl Default for Metrics {
    fn default() -> Self {
        let recorder = builder().build_recorder();
        let process = metrics_process::Collector::default();
        metrics::with_local_recorder(&recorder, || process.describe());
        let all = Self {
            handle: recorder.handle(),
            recorder,
            process,
            fallbacks: Fallbacks::default(),
        };
        all.describe();
        all
    }
}

fn builder() -> PrometheusBuilder {
    let buckets = [
        (Matcher::Full("openai_api_latency_seconds".into()), FAST),
        (Matcher::Full("db_query_latency_seconds".into()), FAST),
        (Matcher::Full("redis_latency_seconds".into()), FAST),
        (Matcher::Full("s3_latency_seconds".into()), OBJECTS),
        (Matcher::Full("recovery_time_seconds".into()), RECOVERY),
        (
            Matcher::Full("http_server_request_duration_seconds".into()),
            HTTP,
        ),
    ];
    buckets
        .into_iter()
        .fold(PrometheusBuilder::new(), |builder, (matcher, values)| {
            builder
                .set_buckets_for_metric(matcher, values)
                .expect("the lists above are not empty")
        })
}

/// The names under which a dependency's operations are counted.
struct Names {
    calls: &'static str,
    errors: Option<&'static str>,
    latency: &'static str,
}

fn names(dependency: &str) -> Option<Names> {
    let (calls, errors, latency) = match dependency {
        "openai" => ("openai_api_calls_total", None, "openai_api_latency_seconds"),
        "database" => ("db_queries_total", None, "db_query_latency_seconds"),
        "redis" => (
            "redis_requests_total",
            Some("redis_errors_total"),
            "redis_latency_seconds",
        ),
        "s3" => (
            "s3_requests_total",
            Some("s3_errors_total"),
            "s3_latency_seconds",
        ),
        _ => return None,
    };
    Some(Names {
        calls,
        errors,
        latency,
    })
}

type Labels<'a> = &'a [(&'static str, &'a str)];

impl Metrics {
    /// Says what each name means, where the name alone doesn't.
    fn describe(&self) {
        let gauge = |name: &'static str, unit, text: &'static str| {
            self.recorder
                .describe_gauge(KeyName::from(name), unit, text.into());
        };
        gauge(
            "degradation_level",
            None,
            "1 OPTIMAL, 2 DEGRADED, 3 LIMITED, 4 MINIMAL, 5 EMERGENCY",
        );
        gauge(
            "circuit_breaker_state",
            None,
            "0 closed, 1 open, 2 half-open",
        );
        gauge(
            "feature_mode",
            None,
            "0 off, 1 partial, 2 fallback, queued, local or limited, 3 on",
        );
        gauge("system_health_score", None, "0 to 100");
        gauge("component_health_score", None, "0 to 100");
        gauge("db_write_mode", None, "1 enabled, 0 read-only");
        gauge(
            "redis_cache_hit_ratio",
            None,
            "hits / (hits + misses) since the start; 0 before the first",
        );
        gauge(
            "journal_oldest_seconds",
            Some(Unit::Seconds),
            "age of the oldest accepted write that has not reached its store",
        );
        gauge(
            "fallback_last_exercised_seconds",
            Some(Unit::Seconds),
            "since the fallback last answered, to the scrape's accuracy",
        );
    }

    /// The text that a scraper reads.
    pub fn render(&self, core: &Core) -> String {
        self.read_gauges(core);
        metrics::with_local_recorder(&self.recorder, || self.process.collect());
        self.handle.render()
    }

    /// Moves what histograms have gathered into their buckets. To be called every few seconds, or memory grows
    /// while nobody scrapes.
    pub fn upkeep(&self) {
        self.handle.run_upkeep();
    }

    /// Counts one reply of the server.
    pub fn http(&self, route: &str, method: &Method, status: u16, took: Duration) {
        let status = status.to_string();
        let labels = [
            ("route", route),
            ("method", method.as_str()),
            ("status", status.as_str()),
        ];
        self.observe("http_server_request_duration_seconds", &labels, took);
    }

    fn count(&self, name: &'static str, labels: Labels<'_>, by: u64) {
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
            .increment(by);
    }

    fn observe(&self, name: &'static str, labels: Labels<'_>, took: Duration) {
        self.recorder
            .register_histogram(&key(name, labels), &METADATA)
            .record(took.as_secs_f64());
    }

    fn set(&self, name: &'static str, labels: Labels<'_>, value: f64) {
        self.recorder
            .register_gauge(&key(name, labels), &METADATA)
            .set(value);
    }

    fn read_gauges(&self, core: &Core) {
        self.read_level(core);
        self.read_components(core);
        self.read_features(core);
        self.read_breakers(core);
        self.read_adapters(core);
    }

    fn read_level(&self, core: &Core) {
        let snapshot = core.handle.snapshot();
        self.set("degradation_level", &[], f64::from(snapshot.level.gauge()));
        for level in Level::ALL {
            let on = f64::from(u8::from(level == snapshot.level));
            self.set("degradation_level_info", &[("level", level.as_str())], on);
        }
        self.set("system_health_score", &[], snapshot.score);
    }

    fn read_components(&self, core: &Core) {
        let snapshot = core.handle.snapshot();
        for (id, dependency) in core.handle.rules().dependencies() {
            let component = snapshot.component(id);
            let name = dependency.name.as_str();
            self.set(
                "component_health_score",
                &[("component_name", name)],
                component.score,
            );
            let (breaker, score) = match name {
                "openai" => ("openai_breaker_state", None),
                "database" => ("db_breaker_state", None),
                "redis" => ("redis_circuit_breaker_state", Some("redis_health_score")),
                "s3" => ("s3_circuit_breaker_state", Some("s3_health_score")),
                _ => continue,
            };
            self.set(breaker, &[], f64::from(component.breaker.gauge()));
            if let Some(score) = score {
                self.set(score, &[], component.score);
            }
        }
    }

    fn read_adapters(&self, core: &Core) {
        self.set(
            "db_connection_pool_size",
            &[],
            core.database.pool_size() as f64,
        );
        self.set(
            "redis_connection_pool_size",
            &[],
            core.redis.pool_size() as f64,
        );
        let writes = core.database.write_mode() == mainstay_database::WriteMode::Enabled;
        self.set("db_write_mode", &[], f64::from(u8::from(writes)));
        self.set(
            "redis_cache_hit_ratio",
            &[],
            hit_ratio(core.redis.hits(), core.redis.misses()),
        );
        let names = ["journal_entries", "journal_bytes", "journal_oldest_seconds"];
        for (name, value) in names
            .into_iter()
            .zip(crate::routes::journal::figures(core).gauges())
        {
            self.set(name, &[], value);
        }
        self.fallbacks.read(self, core);
    }

    fn read_features(&self, core: &Core) {
        let snapshot = core.handle.snapshot();
        for (name, state) in core.features(&snapshot) {
            self.set("feature_mode", &[("feature", &name)], rank(state.mode));
        }
    }

    fn read_breakers(&self, core: &Core) {
        for (_, endpoint, breaker) in core.handle.breakers() {
            let state = f64::from(breaker.state.gauge());
            self.set("circuit_breaker_state", &[("endpoint", &endpoint)], state);
        }
    }
}

/// When each dependency's fallback last answered: what was never exercised is not to be trusted.
#[derive(Debug, Default)]
struct Fallbacks(Mutex<HashMap<String, Option<Moment>>>);

impl Fallbacks {
    /// Notes a use; its time is read at the next scrape, which is close enough for a gauge of hours.
    fn used(&self, dependency: &str) {
        self.lock().insert(dependency.to_owned(), None);
    }

    fn read(&self, metrics: &Metrics, core: &Core) {
        let now = core.handle.clock().now();
        for (dependency, at) in self.lock().iter_mut() {
            let ago = now.saturating_since(*at.get_or_insert(now));
            let labels = [("dependency", dependency.as_str())];
            metrics.set(
                "fallback_last_exercised_seconds",
                &labels,
                ago.as_secs_f64(),
            );
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, Option<Moment>>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

fn hit_ratio(hits: u64, misses: u64) -> f64 {
    match hits + misses {
        0 => 0.0,
        all => hits as f64 / all as f64,
    }
}

/// Gauge value of a feature's mode: 0 off, 1 partial, 2 a fallback in any word, 3 on.
fn rank(mode: FeatureMode) -> f64 {
    match mode {
        FeatureMode::On => 3.0,
        FeatureMode::Off => 0.0,
        FeatureMode::Partial => 1.0,
        _ => 2.0,
    }
}

fn key(name: &'static str, labels: Labels<'_>) -> Key {
    let labels: Vec<_> = labels
        .iter()
        .map(|(k, v)| Label::new(*k, (*v).to_owned()))
        .collect();
    Key::from_parts(name, labels)
}

impl Observer for Metrics {
    fn operation(&self, dependency: &str, report: &Report) {
        let Some(names) = names(dependency) else {
            return;
        };
        let labels = [
            ("operation", report.operation),
            ("status", report.status.as_str()),
        ];
        self.count(names.calls, &labels, 1);
        self.observe(
            names.latency,
            &[("operation", report.operation)],
            report.elapsed,
        );
        if let (Some(errors), Some(kind)) = (names.errors, report.error) {
            let labels = [
                ("operation", report.operation),
                ("error_type", kind.as_str()),
            ];
            self.count(errors, &labels, 1);
        }
        if let (mainstay_runtime::Status::Fallback, Some(source)) = (report.status, &report.source)
        {
            let labels = [("dependency", dependency), ("source", source.label())];
            self.count("circuit_breaker_fallback_calls_total", &labels, 1);
            self.fallbacks.used(dependency);
        }
    }

    fn failure(&self, dependency: &str, kind: FailureKind) {
        let labels = [("dependency", dependency), ("kind", kind.as_str())];
        self.count("circuit_breaker_failures_total", &labels, 1);
    }

    fn rejection(&self, dependency: &str) {
        self.count(
            "circuit_breaker_rejections_total",
            &[("dependency", dependency)],
            1,
        );
    }

    fn level(&self, from: Level, to: Level) {
        let labels = [("from_level", from.as_str()), ("to_level", to.as_str())];
        self.count("degradation_transitions_total", &labels, 1);
    }

    fn recovered(&self, took: Duration) {
        self.observe("recovery_time_seconds", &[], took);
    }

    fn bytes(&self, dependency: &str, direction: Direction, count: u64) {
        if dependency == "s3" {
            let labels = [("direction", direction.as_str())];
            self.count("s3_bytes_transferred_total", &labels, count);
        }
    }
}
