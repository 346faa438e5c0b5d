//! Score, target and level: the weighted mean, what is forced by what is down, and the hysteresis between.

use core::fmt;
use core::str::FromStr;

use mainstay_breaker::Moment;

use crate::settings::{Criticality, LevelSettings};

/// How far the whole system is degraded, best first: a worse level is greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Everything works.
    Optimal,
    /// Something of little weight is missing.
    Degraded,
    /// Something important is missing.
    Limited,
    /// Little is left.
    Minimal,
    /// What it can't do without is missing.
    Emergency,
}

impl Level {
    /// Every level, best first.
    pub const ALL: [Self; 5] = [
        Self::Optimal,
        Self::Degraded,
        Self::Limited,
        Self::Minimal,
        Self::Emergency,
    ];

    /// The word for labels, headers and replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Optimal => "OPTIMAL",
            Self::Degraded => "DEGRADED",
            Self::Limited => "LIMITED",
            Self::Minimal => "MINIMAL",
            Self::Emergency => "EMERGENCY",
        }
    }

    /// The exported gauge, 1 OPTIMAL to 5 EMERGENCY.
    #[must_use]
    pub const fn gauge(self) -> u8 {
        self as u8 + 1
    }

    /// Index into tables with a column for each level, 0 OPTIMAL to 4 EMERGENCY.
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }

    /// The better of the two.
    #[must_use]
    pub fn better(self, other: Self) -> Self {
        self.min(other)
    }

    /// The worse of the two.
    #[must_use]
    pub fn worse(self, other: Self) -> Self {
        self.max(other)
    }

    /// The next level up; `None` at OPTIMAL.
    #[must_use]
    pub fn next_up(self) -> Option<Self> {
        Self::ALL.get(self.index().checked_sub(1)?).copied()
    }

    /// The level that one dependency of this criticality forces by being down.
    #[must_use]
    pub const fn forced_by(criticality: Criticality) -> Self {
        match criticality {
            Criticality::None => Self::Optimal,
            Criticality::Low | Criticality::Medium => Self::Degraded,
            Criticality::High => Self::Limited,
            Criticality::Critical => Self::Emergency,
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.as_str())
    }
}

impl FromStr for Level {
    type Err = UnknownLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL
            .into_iter()
            .find(|level| level.as_str().eq_ignore_ascii_case(text));
        found.ok_or(UnknownLevel)
    }
}

/// The text names no level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLevel;

impl fmt::Display for UnknownLevel {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("not a level: use OPTIMAL, DEGRADED, LIMITED, MINIMAL or EMERGENCY")
    }
}

impl core::error::Error for UnknownLevel {}

/// The level whose band holds this score.
#[must_use]
pub fn band(settings: &LevelSettings, score: f64) -> Level {
    let better = settings.bands.iter().position(|edge| score >= *edge);
    Level::ALL[better.unwrap_or(4)]
}

/// What the dependencies say together: the mean of those that are known, and what is forced by those that are down.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tally {
    weighted: f64,
    weight: f64,
    present: u32,
    down: u32,
    counted_down: u16,
    worst_single: Option<Level>,
}

impl Tally {
    /// Counts a dependency that is there. `score`: `None` while it is unknown, which leaves the mean to the others.
    pub fn add(&mut self, criticality: Criticality, weight: f64, score: Option<f64>, down: bool) {
        self.present += 1;
        if let Some(score) = score {
            self.weighted += weight * score;
            self.weight += weight;
        }
        if down {
            self.down += 1;
            self.counted_down += u16::from(criticality > Criticality::None);
            self.worst_single = self.worst_single.max(Some(Level::forced_by(criticality)));
        }
    }

    /// The weighted mean, 0 to 100; `None` while nothing that weighs is known.
    #[must_use]
    pub fn mean(&self) -> Option<f64> {
        (self.weight > 0.0).then(|| self.weighted / self.weight)
    }

    /// How many of criticality low or more are down.
    #[must_use]
    pub const fn down(&self) -> u16 {
        self.counted_down
    }

    /// Whether anything at all is down.
    #[must_use]
    pub const fn any_down(&self) -> bool {
        self.down > 0
    }

    /// The level that is forced by what is down; OPTIMAL when nothing is.
    #[must_use]
    pub fn floor(&self) -> Level {
        let by_count = match self.counted_down {
            0 | 1 => Level::Optimal,
            2 => Level::Limited,
            _ => Level::Minimal,
        };
        let single = self.worst_single.unwrap_or(Level::Optimal);
        if self.counted_down > 0 && self.down == self.present {
            return Level::Emergency;
        }
        single.worse(by_count)
    }

    /// The overall score: the mean, capped by the floor. The cap bends the score itself, so that the target is
    /// always the band of the score.
    #[must_use]
    pub fn score(&self, settings: &LevelSettings, otherwise: f64) -> f64 {
        let mean = self.mean().unwrap_or(otherwise);
        match self.floor().index().checked_sub(1) {
            Some(row) => mean.min(settings.caps[row]),
            None => mean,
        }
    }
}

/// An operator's hold on the level.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pin {
    /// The level it sets.
    pub level: Level,
    /// When it ends; `None`: when it is taken back.
    pub until: Option<Moment>,
}

/// Why the level isn't where the target is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum HeldBy {
    /// A fall is being confirmed.
    Confirming {
        /// Evaluations that agreed so far.
        count: u32,
        /// Evaluations that are needed.
        of: u32,
    },
    /// The score is above the edge of the next level up, but not by enough.
    Margin {
        /// The score that is needed.
        needed: f64,
    },
    /// The present level is too young for a rise.
    Dwell {
        /// When it is old enough.
        until: Moment,
    },
    /// An operator has set the level, be it where the target is or elsewhere.
    Pin {
        /// When that ends; `None`: when it is taken back.
        until: Option<Moment>,
    },
}

/// The level with its hysteresis.
#[derive(Debug, Clone)]
pub struct Ladder {
    level: Level,
    since: Moment,
    confirming: u32,
    pin: Option<Pin>,
    held_by: Option<HeldBy>,
}

impl Ladder {
    /// Before anything is known: EMERGENCY, since "fine" would be a guess.
    #[must_use]
    pub const fn new(now: Moment) -> Self {
        Self {
            level: Level::Emergency,
            since: now,
            confirming: 0,
            pin: None,
            held_by: None,
        }
    }

    /// The present level.
    #[must_use]
    pub const fn level(&self) -> Level {
        self.level
    }

    /// Since when.
    #[must_use]
    pub const fn since(&self) -> Moment {
        self.since
    }

    /// What holds it away from the target.
    #[must_use]
    pub const fn held_by(&self) -> Option<HeldBy> {
        self.held_by
    }

    /// The operator's hold.
    #[must_use]
    pub const fn pin(&self) -> Option<Pin> {
        self.pin
    }

    /// Sets or takes away the operator's hold. The next evaluation follows.
    pub const fn set_pin(&mut self, pin: Option<Pin>) {
        self.pin = pin;
    }

    /// Goes to the target at once: at the start, when there is no level yet to hold on to.
    pub fn jump(&mut self, now: Moment, target: Level) {
        self.held_by = self.pin.map(|pin| HeldBy::Pin { until: pin.until });
        self.go(now, self.pin.map_or(target, |pin| pin.level));
    }

    /// One evaluation. `at_once`: a breaker opened, so that a fall needs no confirmation.
    pub fn evaluate(&mut self, now: Moment, score: f64, settings: &LevelSettings, at_once: bool) {
        let target = band(settings, score);
        if target <= self.level {
            self.confirming = 0;
        }
        let (level, held_by) = if let Some(pin) = self.pin {
            (pin.level, Some(HeldBy::Pin { until: pin.until }))
        } else if target > self.level {
            self.fall(target, settings, at_once)
        } else if let Some(next) = self.level.next_up().filter(|_| target < self.level) {
            match self.obstacle(now, score, next, settings) {
                Some(obstacle) => (self.level, Some(obstacle)),
                None => self.risen(now, score, next, settings, target),
            }
        } else {
            (target, None)
        };
        self.held_by = held_by;
        self.go(now, level);
    }

    fn fall(
        &mut self,
        target: Level,
        settings: &LevelSettings,
        at_once: bool,
    ) -> (Level, Option<HeldBy>) {
        self.confirming += 1;
        let (count, of) = (self.confirming, settings.confirm);
        if at_once || count >= of {
            self.confirming = 0;
            return (target, None);
        }
        (self.level, Some(HeldBy::Confirming { count, of }))
    }

    /// One level up, and what holds it there.
    fn risen(
        &self,
        now: Moment,
        score: f64,
        next: Level,
        settings: &LevelSettings,
        target: Level,
    ) -> (Level, Option<HeldBy>) {
        if next == target {
            return (next, None);
        }
        let young = Self {
            level: next,
            since: now,
            ..self.clone()
        };
        let above = next
            .next_up()
            .and_then(|above| young.obstacle(now, score, above, settings));
        let until = now + settings.dwell;
        (next, Some(above.unwrap_or(HeldBy::Dwell { until })))
    }

    /// What keeps it from rising to `next`.
    fn obstacle(
        &self,
        now: Moment,
        score: f64,
        next: Level,
        settings: &LevelSettings,
    ) -> Option<HeldBy> {
        let needed = settings.bands[next.index()] + settings.margin;
        if score < needed {
            return Some(HeldBy::Margin { needed });
        }
        let until = self.since + settings.dwell;
        (now < until).then_some(HeldBy::Dwell { until })
    }

    fn go(&mut self, now: Moment, level: Level) {
        if level != self.level {
            self.level = level;
            self.since = now;
            self.confirming = 0;
        }
    }
}
