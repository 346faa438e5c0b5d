//! Score, target, level, what holds it, and the order of snapshots.

use std::time::Duration;

use mainstay_degradation::level::band;
use mainstay_degradation::{HeldBy, LevelCause, Snapshot};

use super::{Check, Inspector};

/// A snapshot that an operator's command brings shows what the last evaluation said.
const EVALUATED: Duration = Duration::from_millis(1_100);

impl Inspector {
    pub(super) fn look_at_level(&mut self, snapshot: &Snapshot, cause: Option<LevelCause>) {
        let settings = &self.rules.settings().level;
        if snapshot.target != band(settings, snapshot.score) {
            let detail = format!("{} at {}", snapshot.target, snapshot.score);
            self.violated(Check::TargetIsBand, snapshot.at, detail);
        }
        if let Some(wrong) = self.wrongly_held(snapshot) {
            let Snapshot {
                target,
                level,
                held_by,
                ..
            } = snapshot;
            let detail = format!("{wrong}: target {target}, level {level}, {held_by:?}");
            self.violated(Check::HeldBy, snapshot.at, detail);
        }
        let Some(last) = self.last.clone() else {
            return;
        };
        self.look_at_order(&last, snapshot);
        let free = snapshot.pin.is_none() && last.first_round_over;
        if free && snapshot.level < last.level {
            self.look_at_rise(&last, snapshot);
        }
        if free && snapshot.level > last.level {
            self.look_at_fall(&last, snapshot, cause);
        }
    }

    fn wrongly_held(&self, snapshot: &Snapshot) -> Option<&'static str> {
        let settings = &self.rules.settings().level;
        let Snapshot { target, level, .. } = *snapshot;
        match (snapshot.pin, snapshot.held_by) {
            (Some(pin), Some(HeldBy::Pin { until }))
                if pin.level == level && pin.until == until =>
            {
                None
            }
            (Some(_), _) => Some("a pin isn't shown, or not kept"),
            (None, None) if target == level => None,
            (None, None) => Some("nothing holds it"),
            (None, Some(_)) if target == level => Some("held where it should be"),
            (None, Some(HeldBy::Pin { .. })) => Some("there is no pin"),
            (None, Some(HeldBy::Confirming { count, of })) => {
                let right = target > level && (1..of).contains(&count) && of == settings.confirm;
                (!right).then_some("not to be confirmed")
            }
            (None, Some(HeldBy::Margin { needed })) => {
                let right = target < level && snapshot.score < needed;
                (!right).then_some("the margin is there")
            }
            (None, Some(HeldBy::Dwell { until })) => {
                let dwells = until == snapshot.level_since + settings.dwell;
                let right = target < level && dwells && snapshot.at < until + EVALUATED;
                (!right).then_some("the dwell is over")
            }
        }
    }

    fn look_at_order(&mut self, last: &Snapshot, snapshot: &Snapshot) {
        let moved = last.level != snapshot.level;
        let since = if moved { snapshot.at } else { last.level_since };
        // The pin that a start restores sets the level of a system that has none yet.
        let right = snapshot.level_since == since || !last.first_round_over;
        if snapshot.seq != last.seq + 1 || snapshot.at < last.at || !right {
            let detail = format!(
                "seq {} after {}, at {:?} after {:?}, since {:?} and not {since:?}",
                snapshot.seq, last.seq, snapshot.at, last.at, snapshot.level_since
            );
            self.violated(Check::Forward, snapshot.at, detail);
        }
    }

    fn look_at_rise(&mut self, last: &Snapshot, snapshot: &Snapshot) {
        let settings = &self.rules.settings().level;
        let steps = last.level.index() - snapshot.level.index();
        let aged = snapshot.at >= self.level_changed_at + settings.dwell;
        let edge = settings.bands.get(snapshot.level.index()).copied();
        let needed = edge.unwrap_or_default() + settings.margin;
        if steps != 1 || !aged || snapshot.score < needed {
            let detail = format!(
                "{} to {} at score {}, {:?} after the last change",
                last.level,
                snapshot.level,
                snapshot.score,
                snapshot.at.saturating_since(self.level_changed_at)
            );
            self.violated(Check::Rise, snapshot.at, detail);
        }
    }

    fn look_at_fall(&mut self, last: &Snapshot, snapshot: &Snapshot, cause: Option<LevelCause>) {
        let right = match cause {
            Some(LevelCause::Opened(endpoint)) => {
                let watched = &self.watched[endpoint.index()];
                // The end of shadow mode lets an open breaker reject, which is no change of its state.
                let opened = watched.opened_at.max(watched.touched_at);
                opened.is_some_and(|at| snapshot.at.saturating_since(at) <= EVALUATED)
            }
            Some(LevelCause::Unpinned) => true,
            Some(LevelCause::Confirmed) => {
                let before = match last.held_by {
                    Some(HeldBy::Confirming { count, .. }) => count,
                    _ => 0,
                };
                before + 1 >= self.rules.settings().level.confirm
            }
            Some(LevelCause::Recovered | LevelCause::Pinned) | None => false,
        };
        if !right || snapshot.level > snapshot.target {
            let detail = format!("{} to {}: {cause:?}", last.level, snapshot.level);
            self.violated(Check::Fall, snapshot.at, detail);
        }
    }
}
