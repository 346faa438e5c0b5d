//! The defaults: four dependencies with their weights, thresholds and probes.

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::time::Duration;

use super::{
    AlertSettings, Criticality, DependencySettings, EndpointSettings, FactSettings, Gating,
    HealthRules, Impact, LevelSettings, PatternSettings, Presence, ProbeSchedule, RecentError,
    Settings, Tuning, matrix,
};

impl Settings {
    /// The four dependencies, each configured with one endpoint of its own name, and all tables.
    #[must_use]
    pub fn standard() -> Self {
        Self {
            dependencies: vec![
                DependencySettings::database(),
                DependencySettings::openai(),
                DependencySettings::redis(),
                DependencySettings::s3(),
            ],
            level: LevelSettings::default(),
            gating: Gating::default(),
            features: matrix::standard(),
            tuning: Tuning::defaults(),
            cascade: cascade(),
            alerts: AlertSettings::default(),
            facts: FactSettings::default(),
            patterns: PatternSettings::default(),
            seed: 0,
        }
    }

    /// The dependency of this name, to change it before validation.
    pub fn dependency_mut(&mut self, name: &str) -> Option<&mut DependencySettings> {
        self.dependencies
            .iter_mut()
            .find(|dependency| dependency.name == name)
    }
}

fn cascade() -> Vec<Impact> {
    let impact = |from: &str, to: &str, share| Impact {
        from: from.to_string(),
        to: to.to_string(),
        share,
    };
    vec![
        impact("database", "redis", 0.2),
        impact("database", "s3", 0.1),
        impact("redis", "database", 0.3),
    ]
}

impl DependencySettings {
    /// A dependency without weight or criticality, with one endpoint of the same name.
    #[must_use]
    pub fn other(name: impl Into<String>) -> Self {
        let name = name.into();
        Self {
            endpoints: vec![EndpointSettings::main(name.clone())],
            name,
            weight: 0.0,
            criticality: Criticality::None,
            presence: Presence::Configured,
            health: HealthRules::with_p95(Duration::from_secs(1)),
            probes: ProbeSchedule::default(),
        }
    }

    fn database() -> Self {
        Self {
            weight: 0.50,
            criticality: Criticality::Critical,
            health: HealthRules {
                latency_alert: true,
                ..HealthRules::with_p95(Duration::from_millis(500))
            },
            ..Self::other("database")
        }
    }

    fn openai() -> Self {
        let second = Duration::from_secs(1);
        Self {
            weight: 0.30,
            criticality: Criticality::High,
            health: HealthRules::with_p95(10 * second),
            probes: ProbeSchedule {
                failing: vec![10 * second, 20 * second, 40 * second],
                jitter: 0.0,
                deadline: 5 * second,
                ..ProbeSchedule::default()
            },
            ..Self::other("openai")
        }
    }

    fn redis() -> Self {
        Self {
            weight: 0.15,
            criticality: Criticality::Medium,
            health: HealthRules {
                latency_cap: 30.0,
                recent_error: Some(RecentError {
                    points: 20.0,
                    fade: Duration::from_secs(60),
                }),
                latency_alert: true,
                ..HealthRules::with_p95(Duration::from_millis(100))
            },
            ..Self::other("redis")
        }
    }

    fn s3() -> Self {
        Self {
            weight: 0.05,
            criticality: Criticality::Low,
            health: HealthRules {
                recent_error: Some(RecentError {
                    points: 30.0,
                    fade: Duration::from_secs(120),
                }),
                ..HealthRules::with_p95(Duration::from_secs(5))
            },
            ..Self::other("s3")
        }
    }
}

impl HealthRules {
    /// The default rules with this threshold.
    #[must_use]
    pub fn with_p95(p95_threshold: Duration) -> Self {
        Self {
            window: Duration::from_secs(60),
            p95_threshold,
            latency_points: 20.0,
            latency_cap: 40.0,
            open_penalty: 50.0,
            half_open_penalty: 10.0,
            availability_points: 20.0,
            recent_error: None,
            worse_below: [75.0, 60.0, 40.0],
            better_from: [80.0, 65.0, 45.0],
            trend_window: Duration::from_secs(300),
            trend_step: Duration::from_secs(5),
            trend_points: 5.0,
            latency_alert: false,
        }
    }
}

impl Default for ProbeSchedule {
    fn default() -> Self {
        let second = Duration::from_secs(1);
        Self {
            heartbeat: 30 * second,
            recovered: second,
            recovered_for: 60 * second,
            failing: vec![second],
            jitter: 0.2,
            confirm: Duration::from_millis(200),
            deadline: second,
            trip_after: 3,
            early_after: 2,
            request_interval: second,
        }
    }
}
