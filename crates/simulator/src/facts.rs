//! What only the runtime knows, told as it tells it: after a tick, when something has begun or ended, or is half a
//! minute old.

use std::time::Duration;

use mainstay_breaker::Moment;
use mainstay_degradation::{DependencyId, Facts, Fallback, Journal};

use crate::world::{ScenarioError, World};

/// How often the controller is told although nothing has begun or ended: ages grow.
const EVERY: Duration = Duration::from_secs(30);

/// Something that is so from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sign {
    /// When.
    pub at: Duration,
    /// What.
    pub fact: Fact,
}

/// Something about a fallback or the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fact {
    /// A dependency's fallback gives its answers, or no longer does.
    InUse {
        /// Whose.
        dependency: String,
        /// Whether it does.
        is: bool,
    },
    /// A dependency's fallback last worked that long before.
    Exercised {
        /// Whose.
        dependency: String,
        /// How long before.
        ago: Duration,
    },
    /// The journal holds something that waits, or nothing.
    Waiting(bool),
    /// The journal can't keep what it is given, or can again.
    Faulted(bool),
}

/// What is so, since when, and what was told of it.
#[derive(Debug, Default)]
pub(crate) struct Book {
    in_use: Vec<Option<Moment>>,
    exercised: Vec<Option<(Moment, Duration)>>,
    waiting: Option<Moment>,
    faulted: bool,
    told: Option<(Moment, Signs)>,
}

/// What the controller hears of at once.
#[derive(Debug, PartialEq, Eq)]
struct Signs {
    in_use: Vec<bool>,
    waiting: bool,
    faulted: bool,
}

impl World {
    /// The dependency that a fact is about, zero where it is about none.
    pub(crate) fn subject(&self, fact: &Fact) -> Result<usize, ScenarioError> {
        let (Fact::InUse { dependency, .. } | Fact::Exercised { dependency, .. }) = fact else {
            return Ok(0);
        };
        let found = self.rules.dependency_id(dependency);
        let found = found.map(DependencyId::index);
        found.ok_or_else(|| ScenarioError(format!("there is no dependency {dependency}")))
    }

    pub(crate) fn sign(&mut self, fact: &Fact) {
        if let Ok(index) = self.subject(fact) {
            self.facts.note(self.now, fact, index);
        }
    }
}

impl Book {
    pub(crate) fn new(dependencies: usize) -> Self {
        Self {
            in_use: vec![None; dependencies],
            exercised: vec![None; dependencies],
            ..Self::default()
        }
    }

    /// `index`: the dependency's, where the fact is about one.
    fn note(&mut self, now: Moment, fact: &Fact, index: usize) {
        match fact {
            Fact::InUse { is, .. } => follow(&mut self.in_use[index], now, *is),
            Fact::Exercised { ago, .. } => self.exercised[index] = Some((now, *ago)),
            Fact::Waiting(is) => follow(&mut self.waiting, now, *is),
            Fact::Faulted(is) => self.faulted = *is,
        }
    }

    /// The facts, if they should be told now. Asked once a second.
    pub(crate) fn due(&mut self, now: Moment) -> Option<Facts> {
        let signs = Signs {
            in_use: self.in_use.iter().map(Option::is_some).collect(),
            waiting: self.waiting.is_some(),
            faulted: self.faulted,
        };
        let fresh =
            |(at, told): &(Moment, Signs)| now.saturating_since(*at) < EVERY && *told == signs;
        if self.told.as_ref().is_some_and(fresh) {
            return None;
        }
        self.told = Some((now, signs));
        let age = |since: Moment| now.saturating_since(since);
        let both = self.in_use.iter().zip(&self.exercised);
        let fallbacks = (0..).map(DependencyId).zip(both);
        let fallbacks = fallbacks.map(|(dependency, (in_use, exercised))| Fallback {
            dependency,
            in_use: in_use.map(age),
            exercised: exercised.map(|(at, before)| age(at) + before),
        });
        Some(Facts {
            fallbacks: fallbacks
                .filter(|one| one.in_use.is_some() || one.exercised.is_some())
                .collect(),
            journal: Journal {
                oldest: self.waiting.map(age),
                faulted: self.faulted,
            },
        })
    }
}

fn follow(since: &mut Option<Moment>, now: Moment, is: bool) {
    *since = is.then(|| since.unwrap_or(now));
}
