//! Protection: what is down takes from others exactly what the rules say, and nothing else holds anybody back but the
//! level.

use mainstay_degradation::{Component, DependencyId, Machine, Presence, Snapshot, Warning};

use super::{Check, Inspector};

/// Figures of one formula, worked out in two ways.
const ALIKE: f64 = 1e-9;

fn alike(one: f64, other: f64) -> bool {
    (one - other).abs() < ALIKE
}

impl Inspector {
    pub(super) fn look_at_protection(&mut self, snapshot: &Snapshot) {
        let wrong = self.wrong_impact(snapshot).or_else(|| {
            let mut components = snapshot.components.iter();
            components.find_map(|one| self.wrongly_held_back(snapshot, one))
        });
        if let Some(detail) = wrong {
            self.violated(Check::Protection, snapshot.at, detail);
        }
    }

    /// Every pair of the rules: nothing while the one works, its share by severity while it is down, and more only where
    /// the other is failing by itself.
    fn wrong_impact(&self, snapshot: &Snapshot) -> Option<String> {
        let wrong = |&(from, to, share): &(DependencyId, DependencyId, f64)| {
            let (one, other) = (snapshot.component(from), snapshot.component(to));
            let counts = one.down_since.is_some() && other.presence != Presence::Absent;
            let counts = counts && snapshot.first_round_over;
            let least = if counts {
                share * (1.0 - one.score / 100.0)
            } else {
                0.0
            };
            let found: f64 = impacts(snapshot, to)
                .filter(|(by, _)| *by == from)
                .map(|(_, n)| n)
                .sum();
            let more = counts && found > least && found <= 1.0 && other.state >= Machine::Failing;
            (!alike(found, least) && !more).then(|| {
                let name = |id| &self.rules.dependency(id).name;
                format!(
                    "{} takes {found} from {} and not {least}",
                    name(from),
                    name(to)
                )
            })
        };
        let known = self.rules.impacts();
        let pair = |from, to| known.iter().any(|one| (one.0, one.1) == (from, to));
        let stray = snapshot.warnings.iter().find(|warning| {
            let Warning::Cascade { from, to, .. } = **warning;
            !pair(from, to)
        });
        let stray = stray.map(|warning| format!("{warning:?} is of no pair"));
        known.iter().find_map(wrong).or(stray)
    }

    /// The effective score and the limit are less by the same share; the level's factor is for live causes.
    fn wrongly_held_back(&self, snapshot: &Snapshot, component: &Component) -> Option<String> {
        let taken: f64 = impacts(snapshot, component.id)
            .map(|(_, impact)| impact)
            .sum();
        let left = 1.0 - taken.min(1.0);
        let level = if component.is_live_cause {
            snapshot.tuning.limit
        } else {
            1.0
        };
        let right = alike(component.effective_score, component.score * left)
            && alike(component.limit_factor, left * level);
        (!right).then(|| {
            let name = &self.rules.dependency(component.id).name;
            let (score, limit) = (component.effective_score, component.limit_factor);
            format!("{name}: {taken} is taken, effective score {score}, limit × {limit}")
        })
    }
}

/// Who takes how much from this one.
fn impacts(snapshot: &Snapshot, of: DependencyId) -> impl Iterator<Item = (DependencyId, f64)> {
    snapshot.warnings.iter().filter_map(move |warning| {
        let Warning::Cascade { from, to, impact } = *warning;
        (to == of).then_some((from, impact))
    })
}
