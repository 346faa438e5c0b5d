//! The overall score: the mean of what is known, and what is forced by what is down.

use super::Level;
use crate::settings::{Criticality, LevelSettings};

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
