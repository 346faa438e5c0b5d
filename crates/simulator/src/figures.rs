//! What a deployment says of each endpoint: its breaker, limit and deadlines, and how fast it is when well.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{HalfOpen, Settings, SlowRule};

/// One endpoint's numbers.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Figures {
    /// Its breaker's settings.
    pub breaker: Settings,
    /// Calls in flight at most.
    pub limit: u32,
    /// How long one call may take.
    pub call_deadline: Duration,
    /// The level's request deadline bounds its calls too.
    pub request_deadline: bool,
    /// Shortest and longest latency while well.
    pub latency: (Duration, Duration),
}

impl Figures {
    /// The description's numbers for the dependency that `endpoint` belongs to (`openai/second` is `openai`'s);
    /// any other has redis' numbers with a deadline of a second.
    #[must_use]
    pub fn of(endpoint: &str) -> Self {
        let dependency = endpoint.split('/').next().unwrap_or(endpoint);
        let row = |fail_max, reset, probes, deadline, slow, limit, latency: (u64, u64)| Self {
            breaker: breaker(fail_max, reset, probes, deadline, slow),
            limit,
            call_deadline: Duration::from_millis(deadline),
            request_deadline: matches!(dependency, "database" | "redis"),
            latency: (
                Duration::from_millis(latency.0),
                Duration::from_millis(latency.1),
            ),
        };
        match dependency {
            "database" => row(3, 30, 1, 5_000, 500, 20, (1, 20)),
            "openai" => row(5, 60, 2, 30_000, 20_000, 16, (300, 3_000)),
            "redis" => row(5, 20, 2, 250, 100, 50, (1, 3)),
            "s3" => row(5, 30, 2, 5_000, 5_000, 32, (10, 200)),
            _ => row(5, 20, 2, 1_000, 500, 50, (1, 10)),
        }
    }
}

fn breaker(fail_max: u32, reset: u64, probes: u32, deadline: u64, slow: u64) -> Settings {
    let standard = Settings::default();
    Settings {
        consecutive: NonZeroU32::new(fail_max),
        slow: Some(SlowRule {
            after: Duration::from_millis(slow),
            threshold: 0.8,
            min_calls: 20,
        }),
        reset_timeout: Duration::from_secs(reset),
        half_open: HalfOpen {
            probes,
            successes: probes,
            lease: Duration::from_millis(deadline + 1_000),
        },
        ..standard
    }
}
