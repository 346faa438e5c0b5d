//! What an adapter gives back: a value that says where it came from and how old it is.

use std::fmt;
use std::time::Duration;

use mainstay_breaker::Moment;
use mainstay_degradation::DependencyId;
use serde::{Serialize, Serializer};

/// Where an answer came from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The dependency itself.
    Primary,
    /// The read replica.
    Replica,
    /// An earlier answer, with its age.
    Cache,
    /// Accepted work that has not reached the dependency yet.
    Journal,
    /// The in-memory store; volatile.
    Memory,
    /// A model provider, by name.
    Provider(String),
    /// Rules, without a model.
    Rules,
}

impl Source {
    /// The closed word for metrics and logs: a provider's name is left out.
    pub fn label(&self) -> &'static str {
        match self {
            Self::Primary => "primary",
            Self::Replica => "replica",
            Self::Cache => "cache",
            Self::Journal => "journal",
            Self::Memory => "memory",
            Self::Provider(_) => "provider",
            Self::Rules => "rules",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(name) => write!(f, "provider:{name}"),
            other => f.write_str(other.label()),
        }
    }
}

impl Serialize for Source {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A value, where it came from and how old it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer<T> {
    /// The value itself.
    pub value: T,
    /// Where it came from.
    pub source: Source,
    /// How long ago the source gave it; `None` when it is fresh.
    pub age: Option<Duration>,
}

impl<T> Answer<T> {
    /// A fresh answer.
    pub fn fresh(value: T, source: Source) -> Self {
        Self {
            value,
            source,
            age: None,
        }
    }

    /// An older answer, from a cache or a copy.
    pub fn aged(value: T, source: Source, age: Duration) -> Self {
        Self {
            value,
            source,
            age: Some(age),
        }
    }

    /// The same answer with another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Answer<U> {
        Answer {
            value: f(self.value),
            source: self.source,
            age: self.age,
        }
    }
}

/// Who calls, as an opaque number: caches and timeouts are kept apart by it. Derived from the key's id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CallerId(pub u64);

impl CallerId {
    /// Mainstay itself: what is accepted being carried out, canaries, checks.
    pub const OURSELVES: Self = Self(u64::MAX);
}

/// What every operation of an adapter needs to know of its request.
#[derive(Clone, Copy, Debug)]
pub struct Context {
    /// Who calls.
    pub caller: CallerId,
    /// When the whole request must be answered.
    pub deadline: Moment,
    /// The dependency in whose place this is asked, where another would have answered if it worked: such calls get a
    /// share of the places, wait for none, and identical reads among them are made once.
    pub instead_of: Option<DependencyId>,
}

impl Context {
    /// Of a request for its own sake.
    pub const fn new(caller: CallerId, deadline: Moment) -> Self {
        Self {
            caller,
            deadline,
            instead_of: None,
        }
    }

    /// The same in the place of another dependency, or of none.
    #[must_use]
    pub const fn instead_of(self, dependency: Option<DependencyId>) -> Self {
        Self {
            instead_of: dependency,
            ..self
        }
    }
}
