//! `[breakers.<dependency>]`: every figure of a circuit breaker.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{HalfOpen, RateRule, Settings, SlowRule, Window};

use super::read::Reader;

/// What one dependency's breaker has of its own; the rest is the breaker's own default.
pub(super) struct Standard {
    pub(super) fail_max: u32,
    pub(super) reset_timeout: Duration,
    pub(super) slow_after: Duration,
    pub(super) probes: u32,
}

pub(super) const DATABASE: Standard = standard(3, 30, 500, 1);
pub(super) const OPENAI: Standard = standard(5, 60, 20_000, 2);
pub(super) const REDIS: Standard = standard(5, 20, 100, 2);
pub(super) const S3: Standard = standard(5, 30, 5_000, 2);

const fn standard(fail_max: u32, reset_seconds: u64, slow_ms: u64, probes: u32) -> Standard {
    Standard {
        fail_max,
        reset_timeout: Duration::from_secs(reset_seconds),
        slow_after: Duration::from_millis(slow_ms),
        probes,
    }
}

/// Above the call deadline, so that a probe that runs into it still holds its place when it settles.
const LEASE_MARGIN: Duration = Duration::from_secs(1);
const SHORTEST: Duration = Duration::from_millis(1);
const LONGEST: Duration = Duration::from_secs(86_400);
const MOST_CALLS: u32 = 1_000_000;

/// Reads one breaker's settings. `call_deadline` decides how long a half-open probe may hold its place.
pub(super) fn breaker(
    r: &mut Reader,
    dependency: &str,
    standard: &Standard,
    call_deadline: Duration,
) -> Settings {
    let base = Settings::default();
    let at = format!("breakers.{dependency}");
    let key = |name: &str| format!("{at}.{name}");
    let settings = Settings {
        consecutive: r
            .or_off(&key("fail_max"), Some(standard.fail_max), 1..=65_535)
            .and_then(NonZeroU32::new),
        reset_timeout: r.within(
            &key("reset_timeout"),
            standard.reset_timeout,
            SHORTEST..=LONGEST,
        ),
        max_open: r.within(&key("max_open"), base.max_open, 1..=1_000),
        forget_after: r.within(&key("forget_after"), base.forget_after, 1..=1_000),
        jitter: r.within(&key("jitter"), base.jitter, 0.0..=0.99),
        ramp: r.or_off(&key("ramp"), base.ramp, SHORTEST..=LONGEST),
        window: Window {
            length: r.within(
                &key("window.length"),
                base.window.length,
                SHORTEST..=LONGEST,
            ),
            buckets: r.within(&key("window.buckets"), base.window.buckets, 1..=32),
        },
        rate: rate(r, &key("rate"), base.rate),
        slow: slow(r, &key("slow"), base.slow, standard.slow_after),
        half_open: HalfOpen {
            probes: r.within(&key("half_open.probes"), standard.probes, 1..=32),
            successes: r.within(&key("half_open.successes"), standard.probes, 1..=1_000),
            lease: call_deadline + LEASE_MARGIN,
        },
    };
    if let Err(error) = settings.validate() {
        r.reject(&key(error.field), format!("must be {}", error.allowed));
    }
    settings
}

fn rate(r: &mut Reader, at: &str, default: Option<RateRule>) -> Option<RateRule> {
    let off = r.is_off(at);
    let default = default.expect("the breaker's default has this rule");
    let rule = RateRule {
        threshold: r.within(&format!("{at}.threshold"), default.threshold, 0.01..=1.0),
        min_calls: r.within(
            &format!("{at}.min_calls"),
            default.min_calls,
            1..=MOST_CALLS,
        ),
    };
    (!off).then_some(rule)
}

fn slow(r: &mut Reader, at: &str, default: Option<SlowRule>, after: Duration) -> Option<SlowRule> {
    let off = r.is_off(at);
    let default = default.expect("the breaker's default has this rule");
    let rule = SlowRule {
        after: r.within(&format!("{at}.after"), after, SHORTEST..=LONGEST),
        threshold: r.within(&format!("{at}.threshold"), default.threshold, 0.01..=1.0),
        min_calls: r.within(
            &format!("{at}.min_calls"),
            default.min_calls,
            1..=MOST_CALLS,
        ),
    };
    (!off).then_some(rule)
}
