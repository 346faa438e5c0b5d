//! What operators want: pins and knobs, until they end.

use alloc::vec::Vec;

use mainstay_breaker::Moment;

use super::evaluate::Why;
use super::{Command, Controller, Effect};
use crate::events::Event;
use crate::features::Knob;
use crate::level::Pin;
use crate::settings::FeatureId;

impl Controller {
    pub(super) fn command(&mut self, now: Moment, command: Command, effects: &mut Vec<Effect>) {
        let why = match command {
            Command::Pin { level, until } => {
                self.ladder.set_pin(Some(Pin { level, until }));
                effects.push(Effect::Record(Event::Pinned { level, until }));
                Why::Moved
            }
            Command::Unpin => {
                self.unpin(false, effects);
                Why::Unpinned
            }
            Command::Knob {
                feature,
                mode,
                until,
            } => {
                self.set_knob(
                    Knob {
                        feature,
                        mode,
                        until,
                    },
                    effects,
                );
                Why::Moved
            }
            Command::Unknob { feature } => {
                self.clear_knobs(|knob| knob.feature == feature, false, effects);
                Why::Moved
            }
        };
        if self.first_round_over || self.ladder.pin().is_some() {
            self.follow_command(now, why, effects);
        }
        self.publish(now, effects);
    }

    /// Only a pin moves the level: an evaluation in between would count towards a confirmation.
    fn follow_command(&mut self, now: Moment, why: Why, effects: &mut Vec<Effect>) {
        if let Some(pin) = self.ladder.pin() {
            self.pin_level(now, pin, effects);
        } else if why == Why::Unpinned {
            self.evaluate(now, why, effects);
        }
    }

    fn set_knob(&mut self, knob: Knob, effects: &mut Vec<Effect>) {
        let Knob {
            feature,
            mode,
            until,
        } = knob;
        if !self.holds_feature(feature) {
            let (what, index) = ("feature", feature.0);
            effects.push(Effect::Record(Event::Refused { what, index }));
            return;
        }
        self.knobs.retain(|old| old.feature != feature);
        self.knobs.push(knob);
        effects.push(Effect::Record(Event::KnobSet {
            feature,
            mode,
            until,
        }));
    }

    fn holds_feature(&self, feature: FeatureId) -> bool {
        feature.index() < self.rules.settings().features.len()
    }

    fn clear_knobs(
        &mut self,
        over: impl Fn(&Knob) -> bool,
        expired: bool,
        effects: &mut Vec<Effect>,
    ) {
        self.knobs.retain(|knob| {
            let over = over(knob);
            if over {
                let feature = knob.feature;
                effects.push(Effect::Record(Event::KnobCleared { feature, expired }));
            }
            !over
        });
    }

    fn unpin(&mut self, expired: bool, effects: &mut Vec<Effect>) -> bool {
        let pinned = self.ladder.pin().is_some();
        if pinned {
            self.ladder.set_pin(None);
            effects.push(Effect::Record(Event::Unpinned { expired }));
        }
        pinned
    }

    /// Ends what has run out. True if a pin did.
    pub(super) fn expire(&mut self, now: Moment, effects: &mut Vec<Effect>) -> bool {
        let over = |until: Option<Moment>| until.is_some_and(|until| now >= until);
        self.clear_knobs(|knob| over(knob.until), true, effects);
        self.ladder.pin().is_some_and(|pin| over(pin.until)) && self.unpin(true, effects)
    }
}
