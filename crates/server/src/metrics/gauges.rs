//! Gauges: read from what the system shows when somebody scrapes.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_runtime::degradation::{FeatureMode, Level};

use super::Metrics;
use crate::app::Core;
use crate::routes::health::known;

impl Metrics {
    pub(super) fn read_gauges(&self, core: &Core) {
        self.read_level(core);
        self.read_components(core);
        self.read_features(core);
        self.read_breakers(core);
        self.read_adapters(core);
        self.read_forecast(core);
        self.read_webhooks(core);
        self.read_limits(core);
        let handle = &core.handle;
        self.total("recording_dropped_total", &[], handle.dropped_recording());
        self.total("recording_removed_total", &[], handle.removed_recordings());
        let lost = self.lost_log_lines.get().map_or(0, |count| count());
        self.total("log_lines_lost_total", &[], lost);
    }

    /// What each endpoint takes at once, and what came in the place of other dependencies.
    fn read_limits(&self, core: &Core) {
        for one in core.handle.limits() {
            let endpoint = ("endpoint", one.endpoint.as_str());
            for (kind, usual, now) in [
                ("all", one.usual, one.now),
                ("instead_of", one.instead_usual, one.instead_now),
            ] {
                let labels = [endpoint, ("calls", kind)];
                self.set("in_flight_limit_configured", &labels, usual as f64);
                self.set("in_flight_limit", &labels, now as f64);
            }
            for (status, count) in [
                ("admitted", one.instead_admitted),
                ("refused", one.instead_refused),
            ] {
                let labels = [endpoint, ("status", status)];
                self.total("instead_of_calls_total", &labels, count);
            }
        }
        for (dependency, joined) in [
            ("database", core.database.joined_reads()),
            ("redis", core.redis.joined_reads()),
        ] {
            let labels = [("dependency", dependency)];
            self.total("single_flight_joined_total", &labels, joined);
        }
    }

    fn read_webhooks(&self, core: &Core) {
        for one in core.webhooks.figures() {
            let webhook = ("webhook", one.name.as_str());
            self.set("webhook_queue_length", &[webhook], one.queued as f64);
            for (status, count) in [
                ("delivered", one.delivered),
                ("given_up", one.given_up),
                ("dropped", one.dropped),
            ] {
                let labels = [webhook, ("status", status)];
                self.total("webhook_deliveries_total", &labels, count);
            }
            let failed = one.failed_attempts;
            self.total("webhook_failed_attempts_total", &[webhook], failed);
        }
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
        let rules = core.handle.rules();
        for (id, dependency) in rules.dependencies() {
            let component = snapshot.component(id);
            let name = dependency.name.as_str();
            let score_of = known(component, component.score);
            if let Some(score) = score_of {
                self.set("component_health_score", &[("component_name", name)], score);
            }
            let (breaker, score) = match name {
                "openai" => ("openai_breaker_state", None),
                "database" => ("db_breaker_state", None),
                "redis" => ("redis_circuit_breaker_state", Some("redis_health_score")),
                "s3" => ("s3_circuit_breaker_state", Some("s3_health_score")),
                _ => continue,
            };
            self.set(breaker, &[], f64::from(component.breaker.gauge()));
            if let (Some(name), Some(score)) = (score, score_of) {
                self.set(name, &[], score);
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
        self.set(
            "redis_keys_to_reconcile",
            &[],
            core.redis.keys_to_reconcile() as f64,
        );
        let writes = core.database.write_mode() == mainstay_database::WriteMode::Enabled;
        self.set("db_write_mode", &[], f64::from(u8::from(writes)));
        self.set(
            "redis_cache_hit_ratio",
            &[],
            hit_ratio(core.redis.hits(), core.redis.misses()),
        );
        let names = [
            "journal_entries",
            "journal_bytes",
            "journal_oldest_seconds",
            "journal_full",
        ];
        for (name, value) in names
            .into_iter()
            .zip(crate::routes::journal::figures(core).gauges())
        {
            self.set(name, &[], value);
        }
        self.read_fallbacks(core);
    }

    /// Of each dependency the exercised fallback that is most neglected: nobody is told of those that nobody wants tried.
    fn read_fallbacks(&self, core: &Core) {
        let mut ages: BTreeMap<String, Duration> = BTreeMap::new();
        let all = core.handle.fallbacks().into_iter();
        for one in all.filter(|one| one.exercised) {
            let age = ages.entry(one.dependency).or_default();
            *age = one.age.max(*age);
        }
        for (dependency, age) in ages {
            let labels = [("dependency", dependency.as_str())];
            self.set(
                "fallback_last_exercised_seconds",
                &labels,
                age.as_secs_f64(),
            );
        }
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
