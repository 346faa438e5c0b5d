//! What a replay shows.

use std::time::Duration;

use mainstay_breaker::{Moment, State};
use mainstay_degradation::Level;
use mainstay_degradation::recording::RecordingError;

use super::unplayed::Unplayed;

/// A recording, told.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// Who recorded.
    pub program: String,
    /// When it begins, in milliseconds since 1970; all other times count from here.
    pub wall_ms: i64,
    /// The same by the clock of its moments.
    pub began: Moment,
    /// How long it lasts.
    pub lasted: Duration,
    /// Everything that happened, in order.
    pub happened: Vec<Happened>,
    /// The overall score wherever it changed.
    pub scores: Vec<(Duration, f64)>,
    /// The levels, in order; each lasts until the next begins.
    pub levels: Vec<LevelSpan>,
    /// Every endpoint's breaker.
    pub lanes: Vec<Lane>,
    /// Figures to be compared.
    pub summary: Summary,
    /// How far it can be relied on.
    pub fidelity: Fidelity,
    /// Why it ends where it ends; `None`: the recording is whole.
    pub broken: Option<RecordingError>,
}

/// How far a story can be relied on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fidelity {
    /// As recorded, and every decision came out as it was recorded.
    Exact,
    /// As recorded, and a decision came out otherwise: another version of the program decides otherwise.
    Differs {
        /// When that is first seen.
        at: Duration,
    },
    /// Other rules, on exactly what was recorded.
    Recomputed {
        /// Where the other rules would have made other calls or probes; empty: nowhere, and all is exact.
        unplayed: Vec<Unplayed>,
    },
    /// With other breaker settings, estimated from the counts of each second.
    Estimated {
        /// The endpoints whose breakers are estimated.
        endpoints: Vec<String>,
        /// As above.
        unplayed: Vec<Unplayed>,
    },
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub struct Happened {
    /// When.
    pub at: Duration,
    /// The event's word, as in streams and logs.
    pub kind: &'static str,
    /// One sentence.
    pub what: String,
    /// The overall score then.
    pub score: f64,
    /// The level then.
    pub level: Level,
    /// What holds the level, or what its target is due to; empty when all is well.
    pub why: String,
}

/// A level from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LevelSpan {
    /// Since when.
    pub from: Duration,
    /// Which.
    pub level: Level,
}

/// One endpoint's breaker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lane {
    /// The endpoint.
    pub endpoint: String,
    /// Its states, in order; each lasts until the next begins.
    pub states: Vec<(Duration, State)>,
}

/// What two stories are compared by.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Summary {
    /// Time at each level, best first.
    pub time_at: [Duration; 5],
    /// Changes of the level; the first one that a start arrives at is none.
    pub transitions: usize,
    /// Openings of breakers.
    pub openings: usize,
    /// How long each feature was off, in the order of the rules; those that never were are left out.
    pub features_off: Vec<(String, Duration)>,
    /// Every time away from OPTIMAL.
    pub away: Vec<Away>,
}

/// A time away from OPTIMAL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Away {
    /// Since when.
    pub from: Duration,
    /// From the first failure that was seen of what took the level down (failures of a dependency less than ten seconds
    /// apart are of one trouble, and none from before all was last well) until OPTIMAL was left; `None`: nothing was
    /// seen to fail before. How long nobody looked isn't in it. At most: calls are counted once a second, and those of
    /// a second count from its beginning.
    pub detected: Option<Duration>,
    /// How long; `None`: it still was when the recording ended.
    pub lasted: Option<Duration>,
    /// From the last failure that was seen of what kept the level down until OPTIMAL was back; `None` as above.
    pub recovered: Option<Duration>,
    /// The worst level.
    pub worst: Level,
}

impl Summary {
    /// The mean of detection times.
    #[must_use]
    pub fn detection(&self) -> Option<Duration> {
        mean(self.away.iter().filter_map(|one| one.detected))
    }

    /// The mean of recovery times.
    #[must_use]
    pub fn recovery(&self) -> Option<Duration> {
        mean(self.away.iter().filter_map(|one| one.recovered))
    }
}

fn mean(times: impl Iterator<Item = Duration>) -> Option<Duration> {
    let (count, sum) = times.fold((0_u32, Duration::ZERO), |(count, sum), one| {
        (count + 1, sum + one)
    });
    sum.checked_div(count)
}
