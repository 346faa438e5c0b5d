//! Reloads: what breakers, controller and history know outlives them, and the same settings once more change nothing.

use mainstay_breaker::{Moment, Snapshot as BreakerSnapshot};
use mainstay_degradation::{FeatureReason, HeldBy, OutageHistory, Rules, Snapshot};

use super::alerts::about;
use super::{Check, Inspector};
use crate::figures::Figures;

/// What is known at one moment.
#[derive(Debug, Clone, PartialEq)]
pub struct Known {
    /// Every breaker, in the rules' order.
    pub breakers: Vec<BreakerSnapshot>,
    /// The outages that are remembered.
    pub outages: OutageHistory,
    /// Changes of health that are kept.
    pub health_changes: usize,
    /// What was decided.
    pub snapshot: Snapshot,
}

impl Inspector {
    /// Other settings are coming into force: bounds are those of the new ones from here on. `figures` as in
    /// [`Inspector::new`]; the rules name the same things as before.
    pub fn reloads(&mut self, now: Moment, rules: Rules, figures: Vec<Figures>) {
        let late: Vec<_> = (0..self.watched.len())
            .map(|index| self.schedule(index).deadline)
            .collect();
        self.same_rules = rules.settings() == self.rules.settings();
        for ((watched, figures), deadline) in self.watched.iter_mut().zip(figures).zip(late) {
            watched.same_figures = watched.has(&figures);
            if !(self.same_rules && watched.same_figures) {
                watched.reloaded(now, figures, deadline);
            }
        }
        if !self.same_rules {
            self.rules = rules;
            self.reloaded_at = now;
            // What another matrix gave says nothing about this one.
            self.seen.clear();
        }
    }

    /// What was known before new settings and after them.
    pub fn reloaded(&mut self, now: Moment, before: &Known, after: &Known) {
        let wrong = self
            .lost_by_breakers(before, after)
            .or_else(|| lost_by_controller(before, after))
            .or_else(|| {
                let same = self.same_rules && self.watched.iter().all(|one| one.same_figures);
                let moved = || self.moved_by_nothing(now, &before.snapshot, &after.snapshot);
                same.then(moved).flatten()
            });
        if let Some(detail) = wrong {
            self.violated(Check::Reload, now, detail);
        }
    }

    fn lost_by_breakers(&self, before: &Known, after: &Known) -> Option<String> {
        let pairs = before.breakers.iter().zip(&after.breakers);
        pairs.enumerate().find_map(|(index, (old, new))| {
            let mut expected = *old;
            if !self.watched[index].same_figures {
                // These show the settings themselves, or what they make of the same counts.
                expected.fail_max = new.fail_max;
                expected.window = new.window;
                expected.reopenings = new.reopenings;
                expected.totals.successes = new.totals.successes;
                let (had, has) = (old.totals.successes, new.totals.successes);
                if had.zip(has).is_some_and(|(had, has)| had != has) {
                    return Some(format!(
                        "{}: {had:?} successes became {has:?}",
                        self.name(index)
                    ));
                }
            }
            (expected != *new).then(|| format!("{}: {old:?} became {new:?}", self.name(index)))
        })
    }

    /// The same settings once more: only what time brings.
    fn moved_by_nothing(&self, now: Moment, old: &Snapshot, new: &Snapshot) -> Option<String> {
        let confirm = self.rules.settings().level.confirm;
        let count = |held_by| match held_by {
            Some(HeldBy::Confirming { count, .. }) => count,
            _ => 0,
        };
        let confirmed = count(new.held_by) > count(old.held_by).max(1);
        let fell = new.level > old.level && confirm > 1;
        if confirmed || fell {
            let (was, is) = (old.held_by, new.held_by);
            return Some(format!(
                "{} held by {was:?} became {} held by {is:?}",
                old.level, new.level
            ));
        }
        let both = old.endpoints.iter().zip(&new.endpoints).enumerate();
        let mut both =
            both.map(|(index, (old, new))| (index, old.next_probe_at, new.next_probe_at));
        both.find_map(|(index, was, is)| {
            let wanted = was.map(|at| at.max(now));
            let kept = is == was || is == wanted;
            (!kept).then(|| format!("{}: next probe {was:?} became {is:?}", self.name(index)))
        })
    }
}

fn lost_by_controller(before: &Known, after: &Known) -> Option<String> {
    let (old, new) = (&before.snapshot, &after.snapshot);
    // A probe that has passed since the last evaluation ends an outage with this one.
    if before.outages != after.outages && down(old) == down(new) {
        return Some("outages were forgotten or made".to_owned());
    }
    if after.health_changes < before.health_changes {
        return Some("changes of health were forgotten".to_owned());
    }
    let moved = old.level != new.level;
    let kept = [
        ("pin", old.pin == new.pin),
        ("level_since", moved || old.level_since == new.level_since),
        (
            "alerts",
            moved
                || old
                    .alerts
                    .iter()
                    .map(about)
                    .eq(new.alerts.iter().map(about)),
        ),
        (
            "patterns",
            patterns(old) == patterns(new) || states(old) != states(new),
        ),
        (
            "first_round_over",
            old.first_round_over == new.first_round_over,
        ),
        ("knobs", knobs(old) == knobs(new)),
        ("components", components(old, new)),
        ("endpoints", endpoints(old) == endpoints(new)),
    ];
    let lost = kept.iter().find(|(_, kept)| !kept);
    lost.map(|(what, _)| format!("{what} changed"))
}

/// All but the critical path, which is by the shares in force.
fn patterns(snapshot: &Snapshot) -> impl PartialEq + '_ {
    let all = &snapshot.patterns;
    (&all.together, &all.repeating, all.most_failing)
}

fn knobs(snapshot: &Snapshot) -> Vec<bool> {
    let all = snapshot.features.iter();
    all.map(|one| matches!(one.reason, FeatureReason::Knob { .. }))
        .collect()
}

/// Whether each is still known, and in the outage it was in if it is in one.
fn components(old: &Snapshot, new: &Snapshot) -> bool {
    let mut pairs = old.components.iter().zip(&new.components);
    pairs.all(|(old, new)| {
        let outages = old.down_since.zip(new.down_since);
        let same_outage = outages.is_none_or(|(was, is)| was == is);
        let same_past = old.recoveries == new.recoveries || old.down_since != new.down_since;
        new.known >= old.known && same_outage && same_past && old.breaker == new.breaker
    })
}

fn down(snapshot: &Snapshot) -> Vec<(bool, Option<Moment>)> {
    let all = snapshot.components.iter();
    all.map(|one| (one.known, one.down_since)).collect()
}

/// Where one of these changes, somebody has just begun or ceased to fail.
fn states(snapshot: &Snapshot) -> Vec<impl PartialEq + use<>> {
    let all = snapshot.components.iter();
    all.map(|one| (one.state, one.down_since)).collect()
}

fn endpoints(snapshot: &Snapshot) -> Vec<impl PartialEq + use<>> {
    let all = snapshot.endpoints.iter();
    all.map(|one| (one.known, one.usable, one.view)).collect()
}
