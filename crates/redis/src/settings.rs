//! What the adapter is told at start.

use std::time::Duration;

use mainstay_breaker as breaker;
use mainstay_runtime::{EndpointSpec, Error, ErrorKind, Secret};

use crate::classify::DEPENDENCY;

use crate::class::{Class, ClassRule};

/// Where the data is.
#[derive(Clone, Debug)]
pub enum Target {
    /// The embedded store: in this process, gone with it.
    Memory,
    /// A Redis server: `redis://[user[:password]@]host[:port][/db]`, or `rediss://…` for TLS.
    Server(Secret),
}

/// Everything the adapter is told. [`Settings::new`] has the defaults.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the data is.
    pub target: Target,
    /// Most connections, at least 1.
    pub pool_size: usize,
    /// Most calls in flight, at least 1.
    pub limit: usize,
    /// Longest time for one call.
    pub call_deadline: Duration,
    /// When the breaker opens and closes.
    pub breaker: breaker::Settings,
    /// Bound of the store in memory, in bytes, at least 64 KiB.
    pub memory_bytes: usize,
    /// Most keys that may be written to memory during one outage, at least 1. Each has to be deleted in Redis afterwards, so
    /// they can't be forgotten: a write to a further key is refused.
    pub touched_keys: usize,
    /// Which keys are of which class.
    pub classes: Vec<ClassRule>,
}

impl Settings {
    /// The defaults for a target.
    pub fn new(target: Target) -> Self {
        Self {
            target,
            pool_size: 50,
            limit: 50,
            call_deadline: Duration::from_millis(250),
            breaker: default_breaker(),
            memory_bytes: 64 * 1024 * 1024,
            touched_keys: 100_000,
            classes: Vec::new(),
        }
    }

    /// What the engine is told of its endpoint, at the start and whenever settings change.
    pub fn endpoint(&self) -> EndpointSpec {
        EndpointSpec {
            name: DEPENDENCY.into(),
            breaker: self.breaker,
            limit: self.limit,
            call_deadline: self.call_deadline,
        }
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        let wrong = |field: &str, detail: &str| {
            Err(Error::new(ErrorKind::InvalidInput, detail).field(field))
        };
        if self.pool_size == 0 {
            return wrong("redis.pool_size", "is at least 1");
        }
        if self.memory_bytes < 64 * 1024 {
            return wrong("redis.memory_bytes", "is at least 65536");
        }
        if self.touched_keys == 0 {
            return wrong("redis.touched_keys", "is at least 1");
        }
        match ClassRule::mistakes(&self.classes).next() {
            Some(mistake) => Err(mistake),
            None => Ok(()),
        }
    }

    /// The class of a key.
    pub fn class_of(&self, key: &str) -> Class {
        self.rule_of(key).map_or(Class::Cache, |rule| rule.class)
    }

    /// Whether there can be debts that a script settles.
    pub(crate) fn settles_by_script(&self) -> bool {
        let by_script = |rule: &ClassRule| matches!(rule.class, Class::Counter | Class::Session);
        self.classes.iter().any(by_script)
    }

    /// The rule that gives a key its class: the one with the longest matching prefix.
    pub fn rule_of(&self, key: &str) -> Option<&ClassRule> {
        let matching = self
            .classes
            .iter()
            .filter(|rule| key.starts_with(&rule.prefix));
        matching.max_by_key(|rule| rule.prefix.len())
    }
}

/// Five failures in a row, 20 s, two probes, slow after 100 ms.
fn default_breaker() -> breaker::Settings {
    let standard = breaker::Settings::default();
    breaker::Settings {
        consecutive: std::num::NonZeroU32::new(5),
        reset_timeout: Duration::from_secs(20),
        slow: standard.slow.map(|rule| breaker::SlowRule {
            after: Duration::from_millis(100),
            ..rule
        }),
        half_open: breaker::HalfOpen {
            probes: 2,
            successes: 2,
            lease: Duration::from_millis(1250),
        },
        ..standard
    }
}
