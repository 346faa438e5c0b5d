//! Whether a controller that was read from bytes is one that could have been written: every index points somewhere.

use super::Controller;
use crate::settings::DependencyId;

impl Controller {
    /// Rules are checked as they are read, and so are counts; this is the rest that anything relies on.
    pub(crate) fn is_sound(&self) -> bool {
        let settings = self.rules.settings();
        let (known, features) = (settings.dependencies.len(), settings.features.len());
        let lengths = self.endpoints.len() == self.rules.endpoints().count()
            && self.units.len() == known
            && self.live.len() == known;
        let knobs = self
            .knobs
            .iter()
            .all(|knob| knob.feature.index() < features);
        lengths && knobs && self.named().all(|id| id.index() < known)
    }

    fn named(&self) -> impl Iterator<Item = DependencyId> {
        let causes = self.causes.iter().map(|cause| cause.dependency);
        let effects = self.effects_of_down.iter();
        causes
            .chain(effects.flat_map(|effect| [effect.from, effect.to]))
            .chain(self.alerts.dependencies())
            .chain(self.patterns.dependencies())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cascade::Effect;
    use crate::features::{FeatureMode, Knob};
    use crate::level::Level;
    use crate::settings::{FeatureId, Settings};
    use crate::snapshot::{Cause, CauseKind};
    use mainstay_breaker::Moment;

    /// Something of each kind that has an index, each the last there is.
    fn full(dependency: u16, feature: u16) -> Controller {
        let rules = Settings::standard().validate().unwrap();
        let mut controller = Controller::new(rules, Moment::default());
        controller.knobs.push(Knob {
            feature: FeatureId(feature),
            mode: FeatureMode::Off,
            until: None,
        });
        controller.causes.push(Cause {
            dependency: DependencyId(dependency),
            kind: CauseKind::Unwell { score: 0.0 },
            forces: Level::Optimal,
        });
        controller
    }

    #[test]
    fn a_controller_is_sound_while_every_index_points_somewhere() {
        assert!(full(3, 21).is_sound());
        assert!(!full(4, 21).is_sound(), "there are four dependencies");
        assert!(!full(3, 22).is_sound(), "and twenty-two features");
        for (from, to) in [(4, 0), (0, 4)] {
            let (from, to) = (DependencyId(from), DependencyId(to));
            let mut controller = full(3, 21);
            let impact = 0.5;
            controller.effects_of_down.push(Effect { from, to, impact });
            assert!(!controller.is_sound());
        }
    }

    #[test]
    fn a_controller_with_a_list_of_another_length_is_not_sound() {
        let changes: [fn(&mut Controller); 3] = [
            |one| one.endpoints.truncate(3),
            |one| one.units.truncate(3),
            |one| one.live.truncate(3),
        ];
        for change in changes {
            let mut controller = full(3, 21);
            change(&mut controller);
            assert!(!controller.is_sound());
        }
    }
}
