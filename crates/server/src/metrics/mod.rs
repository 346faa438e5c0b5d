//! Prometheus metrics: an observer that counts, gauges set when they are read. No decision reads any of it back.
//!
//! The recorder is this value's own, not the process's, so that several applications fit into one process.

mod forecast;
mod gauges;

use std::sync::OnceLock;
use std::time::Duration;

use axum::http::Method;
use mainstay_runtime::breaker::FailureKind;
use mainstay_runtime::degradation::{Alert, Level};
use mainstay_runtime::{Direction, Observer, Report};
use metrics::{Key, KeyName, Label, Level as Verbosity, Metadata, Recorder, Unit};
use metrics_exporter_prometheus::{
    Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder,
};

use crate::app::Core;
use forecast::Shifting;

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
    alerts: Shifting,
    critical_path: Shifting,
    protection: Shifting,
    /// How many lines of the log were lost, where somebody counts them.
    lost_log_lines: OnceLock<Box<dyn Fn() -> u64 + Send + Sync>>,
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
            alerts: Shifting::new("alert_active", ["alert", "component_name"]),
            critical_path: Shifting::new("critical_path_impact", ["from", "to"]),
            protection: Shifting::new("protection_share", ["from", "to"]),
            lost_log_lines: OnceLock::new(),
        };
        all.describe();
        all.describe_totals();
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
        gauge("alert_active", None, "1 while the alert is on, else 0");
        gauge(
            "failing_together",
            None,
            "dependencies that began to fail within seconds of each other and have not all recovered",
        );
        gauge(
            "failure_sequence_period",
            None,
            "how many failures the repeating sequence of failures has; 0 without one",
        );
        gauge(
            "most_failing_component",
            None,
            "how many of the last failures were its own, for the one that failed most often; 0 for the others",
        );
        gauge(
            "critical_path_impact",
            None,
            "where failures did most harm of late: summed impact",
        );
        gauge(
            "protection_share",
            None,
            "share by which limits of `to` are less while `from` is down, 0 to 1; 0 when that is over",
        );
        gauge(
            "in_flight_limit",
            None,
            "calls in flight at most now, all, and of those the ones in the place of another dependency",
        );
        gauge(
            "in_flight_limit_configured",
            None,
            "the same with nothing down and at level OPTIMAL",
        );
        gauge(
            "component_effective_score",
            None,
            "the score less what other outages take from it",
        );
        gauge(
            "component_limit_factor",
            None,
            "share of the in-flight limit that is in force",
        );
        gauge(
            "component_back_probability",
            None,
            "probability that it is back, 0 to 1; NaN while that can't be told",
        );
        gauge(
            "component_expected_recovery_seconds",
            Some(Unit::Seconds),
            "from now until it is back; 0 while it is up, NaN while that can't be told",
        );
        gauge(
            "component_recovery_seconds",
            Some(Unit::Seconds),
            "how long earlier outages lasted",
        );
        gauge(
            "component_outages",
            None,
            "earlier outages that were seen from beginning to end",
        );
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
            "journal_full",
            None,
            "1 while a bound of the journal leaves no room for more accepted work",
        );
        gauge(
            "fallback_last_exercised_seconds",
            Some(Unit::Seconds),
            "since the most neglected fallback last worked, in earnest or as an exercise",
        );
    }

    /// The same for counters that are kept elsewhere.
    fn describe_totals(&self) {
        let counter = |name: &'static str, text: &'static str| {
            self.recorder
                .describe_counter(KeyName::from(name), None, text.into());
        };
        counter(
            "instead_of_calls_total",
            "calls in the place of another dependency, by whether they got one of the places for those",
        );
        counter(
            "single_flight_joined_total",
            "reads that got the answer of an identical one under way",
        );
        counter(
            "recording_dropped_total",
            "pieces of the recording that were lost: the disk was too slow or took nothing",
        );
        counter(
            "recording_removed_total",
            "whole recordings, the oldest, removed to keep all within their bound",
        );
        counter(
            "log_lines_lost_total",
            "lines that standard error did not take, or not in time",
        );
    }

    /// Has the lines that the log has lost told by `count`.
    pub fn count_lost_log_lines(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        // There is one log.
        let _ = self.lost_log_lines.set(Box::new(count));
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
            ("method", known_method(method)),
            ("status", status.as_str()),
        ];
        self.observe("http_server_request_duration_seconds", &labels, took);
    }

    fn count(&self, name: &'static str, labels: Labels<'_>, by: u64) {
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
            .increment(by);
    }

    /// A counter that is kept elsewhere.
    fn total(&self, name: &'static str, labels: Labels<'_>, value: u64) {
        self.recorder
            .register_counter(&key(name, labels), &METADATA)
            .absolute(value);
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
}

/// The method as a label. Clients may invent methods, and each would be a series for good: those are `other`.
fn known_method(method: &Method) -> &str {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::CONNECT,
        Method::OPTIONS,
        Method::TRACE,
        Method::PATCH,
    ];
    if KNOWN.contains(method) {
        method.as_str()
    } else {
        "other"
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

    fn alert(&self, alert: &Alert) {
        self.count("alerts_total", &[("alert", alert.kind())], 1);
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
