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
