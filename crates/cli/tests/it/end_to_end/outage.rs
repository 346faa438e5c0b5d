//! What an outage of each dependency does to level, score, features and metrics, and that its end undoes it.

use super::server::{Reply, Server};

/// An outage of one dependency while all others are healthy.
pub(crate) struct Outage {
    dependency: &'static str,
    /// Its breaker's gauge.
    breaker: &'static str,
    level: &'static str,
    level_number: f64,
    /// The level's band, as far as its cap.
    score: std::ops::RangeInclusive<f64>,
    /// A feature that it restricts, and to what; and one that it leaves alone.
    restricted: (&'static str, &'static str),
    untouched: &'static str,
    /// Who answers for it.
    source: &'static str,
}

pub(crate) const DATABASE: Outage = Outage {
    dependency: "database",
    breaker: "db_breaker_state",
    level: "EMERGENCY",
    level_number: 5.0,
    score: 0.0..=39.0,
    restricted: ("write_operations", "off"),
    untouched: "redis_cache",
    source: "cache",
};

pub(crate) const REDIS: Outage = Outage {
    dependency: "redis",
    breaker: "redis_circuit_breaker_state",
    level: "DEGRADED",
    level_number: 2.0,
    score: 70.0..=89.0,
    restricted: ("realtime_updates", "off"),
    untouched: "s3_uploads",
    source: "memory",
};

pub(crate) const S3: Outage = Outage {
    dependency: "s3",
    breaker: "s3_circuit_breaker_state",
    level: "DEGRADED",
    level_number: 2.0,
    score: 70.0..=89.0,
    restricted: ("s3_uploads", "queued"),
    untouched: "realtime_updates",
    source: "journal",
};

pub(crate) const OPENAI: Outage = Outage {
    dependency: "openai",
    breaker: "openai_breaker_state",
    level: "LIMITED",
    level_number: 3.0,
    score: 60.0..=69.0,
    restricted: ("openai_api", "limited"),
    untouched: "redis_cache",
    source: "cache",
};

impl Outage {
    /// The outage is known everywhere. Its fallback has answered at least once by now.
    pub(crate) async fn assert_down(&self, server: &Server) {
        let status = server.level(self.level).await;
        assert_eq!(status.header("mainstay-level"), Some(self.level));
        let score = score(&status);
        assert!(self.score.contains(&score), "{score}: {:?}", status.body);
        let (restricted, mode) = self.restricted;
        assert_eq!(server.feature(restricted).await, mode);
        assert_eq!(server.feature(self.untouched).await, "on");

        let breaker = server.metric(self.breaker).await;
        assert!(breaker >= 1.0, "open or half-open: {breaker}");
        let score = self.level_in_metrics(server, self.level_number).await;
        assert!(self.score.contains(&score), "{score}");
        assert!(self.restriction_in_metrics(server).await);
        let told = self.count(server, "circuit_breaker_failures_total").await
            + self.count(server, "circuit_breaker_rejections_total").await;
        assert!(told >= 1.0, "failures and rejections are counted");
        let Self {
            dependency, source, ..
        } = self;
        let calls = format!(
            "circuit_breaker_fallback_calls_total{{dependency=\"{dependency}\",source=\"{source}\"}}"
        );
        assert!(server.metric(&calls).await >= 1.0, "{calls}");
    }

    /// Waits until it has ended by itself, and nothing of it is left.
    pub(crate) async fn assert_back(&self, server: &Server) {
        server.breaker(self.dependency, "closed").await;
        let status = server.level("OPTIMAL").await;
        assert_eq!(status.header("mainstay-level"), Some("OPTIMAL"));
        let score = score(&status);
        assert!(score >= 90.0, "{score}: {:?}", status.body);
        for feature in [self.restricted.0, self.untouched] {
            assert_eq!(server.feature(feature).await, "on", "{feature}");
        }
        assert_eq!(server.metric(self.breaker).await, 0.0);
        let score = self.level_in_metrics(server, 1.0).await;
        assert!(score >= 90.0, "{score}");
        assert!(!self.restriction_in_metrics(server).await);
    }

    /// The score as the metrics have it, once they have this level and no other.
    async fn level_in_metrics(&self, server: &Server, number: f64) -> f64 {
        assert_eq!(server.metric("degradation_level").await, number);
        let own = format!("degradation_level_info{{level=\"{}\"}}", self.level);
        let optimal = server
            .metric("degradation_level_info{level=\"OPTIMAL\"}")
            .await;
        let (up, down) = (
            f64::from(u8::from(number == 1.0)),
            f64::from(u8::from(number != 1.0)),
        );
        assert_eq!((optimal, server.metric(&own).await), (up, down));
        server.metric("system_health_score").await
    }

    /// Whether the metrics have the restricted feature in another mode than the untouched one.
    async fn restriction_in_metrics(&self, server: &Server) -> bool {
        let mode = async |name: &str| {
            let line = format!("feature_mode{{feature=\"{name}\"}}");
            server.metric(&line).await
        };
        mode(self.restricted.0).await != mode(self.untouched).await
    }

    async fn count(&self, server: &Server, name: &str) -> f64 {
        let label = format!("dependency=\"{}\"", self.dependency);
        server.sum(name, &label).await
    }
}

fn score(status: &Reply) -> f64 {
    status.body["score"].as_f64().expect("a score")
}
