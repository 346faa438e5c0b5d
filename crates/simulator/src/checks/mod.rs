//! What must hold at every step of every world. The inspector only looks; nothing that is decided reads it.

mod alerts;
mod breakers;
mod features;
mod level;
mod probes;
mod protection;
mod reload;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::time::Duration;

use mainstay_breaker::{Moment, Snapshot as BreakerSnapshot, Transition};
use mainstay_degradation::{Effect, Event, LevelCause, Rules, Snapshot};

use crate::condition::Health;
use crate::figures::Figures;
use alerts::About;
use breakers::Watched;
use features::Seen;

pub use reload::Known;

/// One thing that must hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Check {
    /// The target is the band of the score.
    TargetIsBand,
    /// Every difference between target and level says what holds it, and says it rightly.
    HeldBy,
    /// The level rises by one, after its dwell, with its margin.
    Rise,
    /// The level falls at once when a breaker opened, else confirmed.
    Fall,
    /// Snapshots only move forward, and `level_since` with the level.
    Forward,
    /// The same inputs give the same effects.
    SameEffects,
    /// No more half-open calls than places, probes included.
    HalfOpenPlaces,
    /// Open times lie between their shortest and their longest.
    OpenTime,
    /// A breaker is closed again within its bound after its dependency is well.
    StuckOpen,
    /// A breaker doesn't open for a dependency that is well.
    OpenedForNothing,
    /// A dependency that fails everything is noticed within its bound, with and without traffic.
    LateDetection,
    /// With everything well, the level is OPTIMAL within its bound.
    NotBack,
    /// A neutral outcome changes nothing.
    Neutral,
    /// One probe at a time, begun within the horizon, none of what is absent.
    ProbeSchedule,
    /// Every probed endpoint is probed as often as its schedule says, and not more often.
    ProbePace,
    /// For a fixed set of causes a worse level never gives more.
    Monotone,
    /// Under causal gating, what has no live cause gates nothing.
    GatesWithoutCause,
    /// A target below OPTIMAL names its causes, and OPTIMAL has none.
    Causes,
    /// What is down takes from others what the rules say, and limits and effective scores are less by just that.
    Protection,
    /// Every alert is raised once and taken back once, and shown as long as it lasts.
    Alerts,
    /// A reload loses no breaker's state, no counter and no history, and the same settings once more change nothing.
    Reload,
}

impl Check {
    /// Every check.
    pub const ALL: [Self; 21] = [
        Self::TargetIsBand,
        Self::HeldBy,
        Self::Rise,
        Self::Fall,
        Self::Forward,
        Self::SameEffects,
        Self::HalfOpenPlaces,
        Self::OpenTime,
        Self::StuckOpen,
        Self::OpenedForNothing,
        Self::LateDetection,
        Self::NotBack,
        Self::Neutral,
        Self::ProbeSchedule,
        Self::ProbePace,
        Self::Monotone,
        Self::GatesWithoutCause,
        Self::Causes,
        Self::Protection,
        Self::Alerts,
        Self::Reload,
    ];

    /// It has a bound that is made for standard settings. Another policy may be beyond it and yet do as it says: one
    /// that calls every answer slow opens breakers of what is well.
    #[must_use]
    pub const fn depends_on_policy(self) -> bool {
        matches!(
            self,
            Self::OpenTime
                | Self::StuckOpen
                | Self::OpenedForNothing
                | Self::LateDetection
                | Self::NotBack
                | Self::ProbePace
        )
    }
}

/// What always holds, in words, and the checks that look for its breach in every world.
pub const INVARIANTS: [(&str, &[Check]); 17] = [
    ("target and score agree", &[Check::TargetIsBand]),
    (
        "every difference between target and level has its held_by",
        &[Check::HeldBy],
    ),
    (
        "no level change up before the dwell and never by two; at most one per dwell, whatever wave drives it",
        &[Check::Rise],
    ),
    (
        "a level falls at once with a breaker or when confirmed, and for nothing else",
        &[Check::Fall],
    ),
    (
        "never more half-open calls than allowed",
        &[Check::HalfOpenPlaces],
    ),
    (
        "no breaker stays open longer than its bound after its dependency is healthy",
        &[Check::StuckOpen, Check::OpenTime],
    ),
    (
        "no breaker opens without reason, and none stays closed over an outage",
        &[Check::OpenedForNothing, Check::LateDetection],
    ),
    ("snapshots only move forward", &[Check::Forward]),
    (
        "effects obey the probe budget",
        &[Check::ProbeSchedule, Check::ProbePace],
    ),
    (
        "the same inputs give the same effects",
        &[Check::SameEffects],
    ),
    ("a neutral outcome changes nothing", &[Check::Neutral]),
    (
        "for a fixed set of causes the matrix is monotone",
        &[Check::Monotone],
    ),
    (
        "after a repair everything is back within its bound with and without traffic",
        &[Check::NotBack, Check::StuckOpen],
    ),
    (
        "a level held without a live cause gates nothing",
        &[Check::GatesWithoutCause, Check::Causes],
    ),
    (
        "limits and effective scores are less by the share that outages take, and by nothing else but the level",
        &[Check::Protection],
    ),
    (
        "an alert is raised once, and shown until it is taken back",
        &[Check::Alerts],
    ),
    (
        "a reload loses no breaker state, counters or history",
        &[Check::Reload],
    ),
];

/// Something that must never happen, and did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What should have held.
    pub check: Check,
    /// When, nanoseconds of the world's clock.
    pub at: Moment,
    /// What was seen.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = self.at.saturating_since(crate::world::START);
        write!(formatter, "{:?} at {at:?}: {}", self.check, self.detail)
    }
}

/// A world with one fault shows it at every step; nobody reads more than these.
const MOST: usize = 50;

/// Looks at everything that goes in and out of the controller and the breakers.
#[derive(Debug)]
pub struct Inspector {
    rules: Rules,
    violations: Vec<Violation>,
    last: Option<Snapshot>,
    level_changed_at: Moment,
    /// When an operator last held the level.
    level_free_since: Moment,
    seen: BTreeMap<Seen, Vec<u8>>,
    watched: Vec<Watched>,
    /// Alerts that last.
    raised: BTreeSet<About>,
    /// When other settings last came into force.
    reloaded_at: Moment,
    /// The last reload brought the rules that were in force.
    same_rules: bool,
}

impl Inspector {
    /// Knows nothing yet. `figures`: of each endpoint, in the rules' order.
    #[must_use]
    pub fn new(rules: Rules, figures: Vec<Figures>, now: Moment) -> Self {
        let watched = figures.into_iter().map(|one| Watched::new(one, now));
        Self {
            watched: watched.collect(),
            rules,
            violations: Vec::new(),
            last: None,
            level_changed_at: now,
            level_free_since: now,
            seen: BTreeMap::new(),
            raised: BTreeSet::new(),
            reloaded_at: now,
            same_rules: true,
        }
    }

    /// Everything that was found, at most fifty.
    #[must_use]
    pub fn violations(&self) -> &[Violation] {
        &self.violations
    }

    fn violated(&mut self, check: Check, at: Moment, detail: String) {
        if self.violations.len() < MOST {
            self.violations.push(Violation { check, at, detail });
        }
    }

    /// What the controller decided on one input, and what its twin did.
    pub fn effects(&mut self, now: Moment, ours: &[Effect], twins: &[Effect]) {
        if ours != twins {
            let pairs = ours.iter().zip(twins);
            let first = pairs.into_iter().find(|(our, twin)| our != twin);
            let detail = format!("{} and {} effects: {first:?}", ours.len(), twins.len());
            self.violated(Check::SameEffects, now, detail);
        }
        let mut cause = None;
        for effect in ours {
            match effect {
                Effect::Record(event) => {
                    self.look_at_alert(now, event);
                    if let Event::LevelChanged { cause: why, .. } = event {
                        cause = Some(*why);
                    }
                }
                Effect::Publish(snapshot) => {
                    self.snapshot(snapshot, cause.take());
                    self.look_at_lasting_alerts(snapshot);
                }
                Effect::Probe { endpoint, at } => self.probe_asked(now, *endpoint, *at),
                _ => {}
            }
        }
    }

    /// A snapshot was published; `cause`: of the change of level since the last one.
    pub fn snapshot(&mut self, snapshot: &Snapshot, cause: Option<LevelCause>) {
        self.look_at_level(snapshot, cause);
        self.look_at_features(snapshot);
        self.look_at_protection(snapshot);
        if self
            .last
            .as_ref()
            .is_none_or(|last| last.level != snapshot.level)
        {
            self.level_changed_at = snapshot.at;
        }
        // A pin may come and go between two ticks.
        let was_pinned = self.last.as_ref().is_some_and(|last| last.pin.is_some());
        if was_pinned || snapshot.pin.is_some() {
            self.level_free_since = snapshot.at;
        }
        self.last = Some(snapshot.clone());
    }

    /// An endpoint's condition has changed.
    pub fn condition(&mut self, now: Moment, endpoint: usize, health: Health) {
        self.watched[endpoint].condition(now, health);
    }

    /// A second has passed; `breakers` as they are.
    pub fn tick(&mut self, now: Moment, breakers: &[BreakerSnapshot]) {
        for (index, breaker) in breakers.iter().enumerate() {
            self.look_at_breaker(now, index, breaker);
            self.look_at_pace(now, index);
        }
        self.look_for_the_way_back(now, breakers);
    }

    /// A breaker has changed.
    pub fn transition(&mut self, now: Moment, endpoint: usize, transition: &Transition) {
        self.look_at_opening(now, endpoint, transition);
        self.watched[endpoint].moved(now, transition);
    }

    /// An operator has put his hand on a breaker: what was in flight there counts no more.
    pub fn operator(&mut self, now: Moment, endpoint: usize) {
        self.watched[endpoint].operator(now);
    }

    /// Something has just counted against an endpoint.
    pub fn bad(&mut self, now: Moment, endpoint: usize) {
        self.watched[endpoint].last_bad = now;
    }

    fn name(&self, endpoint: usize) -> &str {
        let found = self.rules.endpoints().nth(endpoint);
        found.map_or("?", |(_, rule)| rule.name.as_str())
    }

    fn schedule(&self, endpoint: usize) -> &mainstay_degradation::ProbeSchedule {
        let rule = self.rules.endpoint(crate::world::id(endpoint));
        &self.rules.dependency(rule.dependency).probes
    }
}

/// `base` and whatever jitter may add to it.
fn longest(base: Duration, jitter: f64) -> Duration {
    base.mul_f64(1.0 + jitter)
}
