//! Features: monotone for a fixed set of causes, and gated by live causes only.

use mainstay_degradation::{Criticality, FeatureReason, FeatureState, Gating, Level, Snapshot};

use super::{Check, Inspector};

/// What decides the matrix, and the level whose cells were seen with it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    causes: Vec<bool>,
    many_down: bool,
    pinned: bool,
    first_round_over: bool,
    level: Level,
}

impl Inspector {
    pub(super) fn look_at_features(&mut self, snapshot: &Snapshot) {
        self.look_at_causes(snapshot);
        let level = self.gating_level(snapshot);
        let many_down = self.down(snapshot) >= 2;
        if self.rules.gating() == Gating::Causal && snapshot.pin.is_none() {
            for feature in &snapshot.features {
                self.look_for_a_cause(snapshot, feature, level, many_down);
            }
        }
        self.compare_with_seen(snapshot, level, many_down);
    }

    /// The level whose cells may apply: a level that the target has left holds nobody back.
    fn gating_level(&self, snapshot: &Snapshot) -> Level {
        if snapshot.pin.is_some() || self.rules.gating() == Gating::Strict {
            snapshot.level
        } else {
            snapshot.level.better(snapshot.target)
        }
    }

    fn down(&self, snapshot: &Snapshot) -> usize {
        let counts = |index: usize| {
            let dependency = &self.rules.settings().dependencies[index];
            dependency.criticality > Criticality::None
        };
        let down = snapshot.components.iter().enumerate();
        down.filter(|(index, one)| one.down_since.is_some() && counts(*index))
            .count()
    }

    fn look_at_causes(&mut self, snapshot: &Snapshot) {
        let live = snapshot
            .components
            .iter()
            .filter(|one| one.is_live_cause)
            .count();
        let expected = snapshot.target != Level::Optimal && snapshot.first_round_over;
        let right = live == snapshot.causes.len() && expected == (live > 0);
        if !right {
            let detail = format!(
                "target {}, {} causes, {live} live",
                snapshot.target,
                snapshot.causes.len()
            );
            self.violated(Check::Causes, snapshot.at, detail);
        }
    }

    fn look_for_a_cause(
        &mut self,
        snapshot: &Snapshot,
        feature: &FeatureState,
        level: Level,
        many_down: bool,
    ) {
        let by_hand = matches!(
            feature.reason,
            FeatureReason::Knob { .. } | FeatureReason::Absent(_)
        );
        let requires = self.rules.requires(feature.id);
        let live = requires
            .iter()
            .any(|id| snapshot.component(*id).is_live_cause);
        // Until the first round is over, EMERGENCY says only that nobody knows better: it has no cause and sheds
        // nothing, whoever has failed already.
        let trouble = many_down && level >= Level::Minimal && snapshot.first_round_over;
        let gated = live || trouble;
        let row = self.rules.feature(feature.id);
        let allowed = if gated {
            row.modes[level.index()]
        } else {
            row.modes[0]
        };
        if !by_hand && feature.mode != allowed {
            let detail = format!("{} is {} and not {allowed}", row.name, feature.mode);
            self.violated(Check::GatesWithoutCause, snapshot.at, detail);
        }
    }

    /// Two snapshots with the same causes: the one at the worse level gives no more.
    fn compare_with_seen(&mut self, snapshot: &Snapshot, level: Level, many_down: bool) {
        let knob = |feature: &FeatureState| matches!(feature.reason, FeatureReason::Knob { .. });
        if snapshot.features.iter().any(knob) {
            return;
        }
        let mut seen = Seen {
            causes: snapshot
                .components
                .iter()
                .map(|one| one.is_live_cause)
                .collect(),
            many_down,
            pinned: snapshot.pin.is_some(),
            first_round_over: snapshot.first_round_over,
            level,
        };
        let ranks: Vec<u8> = snapshot
            .features
            .iter()
            .map(|one| one.mode.rank())
            .collect();
        if self.seen.get(&seen) == Some(&ranks) {
            return;
        }
        let mut wrong = None;
        for other in Level::ALL {
            seen.level = other;
            let Some(others) = self.seen.get(&seen) else {
                continue;
            };
            let (better, worse) = if other <= level {
                (others, &ranks)
            } else {
                (&ranks, others)
            };
            if better
                .iter()
                .zip(worse)
                .any(|(better, worse)| worse < better)
            {
                wrong = Some(format!("{level} gives {ranks:?}, {other} gave {others:?}"));
            }
        }
        seen.level = level;
        self.seen.insert(seen, ranks);
        if let Some(detail) = wrong {
            self.violated(Check::Monotone, snapshot.at, detail);
        }
    }
}
