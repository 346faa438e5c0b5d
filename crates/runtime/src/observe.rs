//! What the outside may watch. Logic never reads any of it back: metrics and logs live behind [`Observer`].

use std::time::Duration;

use mainstay_breaker::{FailureKind, Transition};
use mainstay_degradation::{Alert, Level};

use crate::answer::Source;

/// How an operation the caller asked for ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Status {
    /// Answered by the dependency, a correct "no" included.
    Success,
    /// Not answered.
    Failure,
    /// Refused by a breaker or a limit, and nothing else could answer.
    Rejected,
    /// Answered by a fallback.
    Fallback,
}

impl Status {
    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
            Self::Rejected => "rejected",
            Self::Fallback => "fallback",
        }
    }
}

/// One operation that a caller asked for, when it has ended. Exactly one per operation, attempts and fallbacks included.
#[derive(Clone, Debug)]
pub struct Report {
    /// A name from the adapter's closed set, e.g. `get`.
    pub operation: &'static str,
    /// How it ended.
    pub status: Status,
    /// Who answered, when somebody did.
    pub source: Option<Source>,
    /// What kind of failure the dependency showed, also when a fallback answered.
    pub error: Option<FailureKind>,
    /// From the request's arrival at the adapter to its answer.
    pub elapsed: Duration,
}

/// Which way bytes went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the caller to the store.
    Upload,
    /// From the store to the caller.
    Download,
}

impl Direction {
    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Upload => "upload",
            Self::Download => "download",
        }
    }
}

/// Watches; must not block. Every method may be called from any thread, outside every lock.
#[expect(unused_variables, reason = "the default is to look away")]
pub trait Observer: Send + Sync + 'static {
    /// An operation ended.
    fn operation(&self, dependency: &str, report: &Report) {}
    /// An attempt failed at an endpoint.
    fn failure(&self, dependency: &str, kind: FailureKind) {}
    /// A breaker refused a call.
    fn rejection(&self, dependency: &str) {}
    /// A breaker changed its state.
    fn breaker(&self, endpoint: &str, transition: &Transition) {}
    /// The level changed.
    fn level(&self, from: Level, to: Level) {}
    /// Back at OPTIMAL; how long ago it was left.
    fn recovered(&self, took: Duration) {}
    /// Somebody should know of this.
    fn alert(&self, alert: &Alert) {}
    /// Bytes went to or came from a store.
    fn bytes(&self, dependency: &str, direction: Direction, count: u64) {}
}

/// Watches nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoObserver;

impl Observer for NoObserver {}
