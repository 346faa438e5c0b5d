//! The level follows the target: down after confirmation or at once, up step by step.

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use super::{HeldBy, Level, Pin, band};
use crate::settings::LevelSettings;

/// The level with its hysteresis.
#[derive(Debug, Clone, Serialize, Deserialize)]
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
            match Self::obstacle(self.since, now, score, next, settings) {
                Some(obstacle) => (self.level, Some(obstacle)),
                None => Self::risen(now, score, next, settings, target),
            }
        } else {
            (target, None)
        };
        self.held_by = held_by;
        self.go(now, level);
    }

    /// The same under other settings: what was confirmed stays confirmed, and nothing is confirmed twice by them.
    pub fn reconsider(&mut self, now: Moment, score: f64, settings: &LevelSettings) {
        self.confirming = self.confirming.saturating_sub(1);
        self.evaluate(now, score, settings, false);
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
        now: Moment,
        score: f64,
        next: Level,
        settings: &LevelSettings,
        target: Level,
    ) -> (Level, Option<HeldBy>) {
        if next == target {
            return (next, None);
        }
        let above = next
            .next_up()
            .and_then(|above| Self::obstacle(now, now, score, above, settings));
        // Without any dwell it waits for no more than the next evaluation.
        (next, Some(above.unwrap_or(HeldBy::Dwell { until: now })))
    }

    /// What keeps a level that is held `since` then from rising to `next`.
    fn obstacle(
        since: Moment,
        now: Moment,
        score: f64,
        next: Level,
        settings: &LevelSettings,
    ) -> Option<HeldBy> {
        let needed = settings.bands[next.index()] + settings.margin;
        if score < needed {
            return Some(HeldBy::Margin { needed });
        }
        let until = since + settings.dwell;
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
