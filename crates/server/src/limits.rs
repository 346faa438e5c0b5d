//! The rate limit of each key, by class of scope, with the headers that tell a client what is left.

use std::num::NonZeroU32;
use std::time::Duration;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use axum::response::{IntoResponse, Response};
use governor::clock::{Clock, DefaultClock};
use governor::middleware::StateInformationMiddleware;
use governor::state::keyed::DashMapStateStore;
use governor::{Quota, RateLimiter};

use crate::keys::Scope;
use crate::problem::Problem;

/// Requests a minute and how many of them at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// Requests a minute.
    pub per_minute: NonZeroU32,
    /// How many may come at once.
    pub burst: NonZeroU32,
}

/// Rates by class of scope; `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateSettings {
    /// Scopes `admin` and `retail`.
    pub control: Option<Rate>,
    /// Scopes `db:*`, `cache`, `objects`, `ai`.
    pub data: Option<Rate>,
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            control: Some(Rate {
                per_minute: NonZeroU32::MIN.saturating_add(119),
                burst: NonZeroU32::MIN.saturating_add(59),
            }),
            data: None,
        }
    }
}

type Limiter =
    RateLimiter<String, DashMapStateStore<String>, DefaultClock, StateInformationMiddleware>;

/// The limits in force.
#[derive(Debug)]
pub struct Limits {
    control: Option<Class>,
    data: Option<Class>,
}

#[derive(Debug)]
struct Class {
    name: &'static str,
    rate: Rate,
    limiter: Limiter,
}

/// What a key may still do, for the reply's headers.
#[derive(Clone, Debug)]
pub struct Allowance {
    class: &'static str,
    rate: Rate,
    left: u32,
}

/// A request that came too soon: the problem, and the allowance that is used up.
#[derive(Debug)]
pub struct Refusal {
    problem: Problem,
    allowance: Allowance,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let mut response = self.problem.into_response();
        self.allowance.write_headers(response.headers_mut());
        response
    }
}

static RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
static RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

impl Limits {
    /// Limits by these settings.
    pub fn new(settings: RateSettings) -> Self {
        Self {
            control: settings.control.map(|rate| Class::new("control", rate)),
            data: settings.data.map(|rate| Class::new("data", rate)),
        }
    }

    /// Takes one request from the key's allowance.
    ///
    /// # Errors
    /// A 429 with Retry-After and the headers of a grant when none is left.
    pub fn check(&self, scope: Scope, key_id: &str) -> Result<Option<Allowance>, Refusal> {
        let class = match scope {
            Scope::Admin | Scope::Retail => &self.control,
            Scope::Status | Scope::Metrics => &None,
            Scope::DbRead | Scope::DbWrite | Scope::Cache | Scope::Objects | Scope::Ai => {
                &self.data
            }
        };
        class.as_ref().map(|class| class.check(key_id)).transpose()
    }

    /// Forgets keys that have their whole allowance again.
    pub fn tidy(&self) {
        for class in [&self.control, &self.data].into_iter().flatten() {
            class.limiter.retain_recent();
        }
    }
}

impl Class {
    fn new(name: &'static str, rate: Rate) -> Self {
        let quota = Quota::per_minute(rate.per_minute).allow_burst(rate.burst);
        let limiter = RateLimiter::dashmap(quota).with_middleware::<StateInformationMiddleware>();
        Self {
            name,
            rate,
            limiter,
        }
    }

    fn check(&self, key_id: &str) -> Result<Allowance, Refusal> {
        match self.limiter.check_key(&key_id.to_owned()) {
            Ok(state) => Ok(self.allowance(state.remaining_burst_capacity())),
            Err(not_until) => {
                let wait = not_until.wait_time_from(DefaultClock::default().now());
                Err(Refusal {
                    problem: Problem::rate_limited(wait.max(Duration::from_secs(1))),
                    allowance: self.allowance(0),
                })
            }
        }
    }

    fn allowance(&self, left: u32) -> Allowance {
        Allowance {
            class: self.name,
            rate: self.rate,
            left,
        }
    }
}

impl Allowance {
    /// Writes `RateLimit` and `RateLimit-Policy`.
    pub fn write_headers(&self, headers: &mut HeaderMap) {
        let Self { class, rate, left } = self;
        let refill = 60u32.div_ceil(rate.per_minute.get()).max(1);
        let limit = format!("\"{class}\";r={left};t={refill}");
        let policy = format!("\"{class}\";q={};w=60", rate.per_minute);
        for (name, value) in [(&RATE_LIMIT, limit), (&RATE_LIMIT_POLICY, policy)] {
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(name.clone(), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_over_the_allowance_is_refused_with_a_time_and_other_keys_are_not() {
        let limits = Limits::new(RateSettings::default());
        let granted = (0..61)
            .filter(|_| limits.check(Scope::Admin, "a").is_ok())
            .count();
        assert_eq!(granted, 60);
        let refused = limits.check(Scope::Admin, "a").unwrap_err().problem;
        assert!(refused.retry_after.is_some() && refused.retryable);
        assert!(limits.check(Scope::Admin, "b").is_ok());
        assert!(limits.check(Scope::Cache, "a").unwrap().is_none());
    }

    #[test]
    fn the_headers_say_what_is_left() {
        let limits = Limits::new(RateSettings::default());
        let mut headers = HeaderMap::new();
        let allowance = limits.check(Scope::Retail, "a").unwrap().unwrap();
        allowance.write_headers(&mut headers);
        assert_eq!(headers["ratelimit"], "\"control\";r=59;t=1");
        assert_eq!(headers["ratelimit-policy"], "\"control\";q=120;w=60");
    }
}
