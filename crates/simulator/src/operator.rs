//! Operators' orders, and their ends: as in the runtime, a mode's end is seen at the tick.

use mainstay_breaker::{Mode, Moment};
use mainstay_degradation::{Command, Input};

use crate::scenario::{Action, Order};
use crate::world::{START, ScenarioError, World};

/// When the modes that are in force end.
#[derive(Debug, Default)]
pub(crate) struct Ends(Vec<(usize, Moment)>);

impl World {
    /// Whether an order names only what is there.
    pub(crate) fn check(&self, order: &Order) -> Result<(), ScenarioError> {
        match &order.action {
            Action::Mode { endpoint, .. } | Action::Reset { endpoint } => {
                self.index(endpoint).map(drop)
            }
            Action::Knob { feature, .. } => {
                let found = self.rules.feature_id(feature).map(drop);
                found.ok_or_else(|| ScenarioError(format!("there is no feature {feature}")))
            }
            Action::Pin(_) | Action::Unpin => Ok(()),
            Action::Reload(reload) => self.check_reload(reload).map(drop),
        }
    }

    pub(crate) fn obey(&mut self, order: &Order) {
        let at = self.now.saturating_since(START);
        let trace = &mut self.record.trace;
        match &order.action {
            Action::Reload(_) => trace.line(at, format_args!("order reload")),
            action => trace.line(at, format_args!("order {action:?} for {:?}", order.lasts)),
        }
        let until = order.lasts.map(|lasts| self.now + lasts);
        match &order.action {
            Action::Mode { endpoint, mode } => {
                let Ok(index) = self.index(endpoint) else {
                    return;
                };
                self.ends.0.retain(|(other, _)| *other != index);
                self.ends.0.extend(until.map(|until| (index, until)));
                self.set_mode(index, *mode);
            }
            Action::Reset { endpoint } => {
                let Ok(index) = self.index(endpoint) else {
                    return;
                };
                self.inspector.operator(self.now, index);
                let transition = self.endpoints[index].breaker.reset(self.now);
                self.tell(index, transition);
            }
            Action::Pin(level) => self.command(Command::Pin {
                level: *level,
                until,
            }),
            Action::Unpin => self.command(Command::Unpin),
            Action::Knob { feature, mode } => {
                let Some(feature) = self.rules.feature_id(feature) else {
                    return;
                };
                self.command(match *mode {
                    Some(mode) => Command::Knob {
                        feature,
                        mode,
                        until,
                    },
                    None => Command::Unknob { feature },
                });
            }
            Action::Reload(reload) => self.reload(reload),
        }
    }

    /// Takes back the modes that have ended.
    pub(crate) fn expire_modes(&mut self) {
        let now = self.now;
        let (over, live) = self.ends.0.drain(..).partition(|(_, end)| *end <= now);
        self.ends.0 = live;
        let over: Vec<(usize, Moment)> = over;
        for (index, _) in over {
            self.set_mode(index, Mode::Auto);
        }
    }

    fn set_mode(&mut self, index: usize, mode: Mode) {
        self.inspector.operator(self.now, index);
        let transition = self.endpoints[index].breaker.set_mode(mode, self.now);
        self.tell(index, transition);
    }

    fn command(&mut self, command: Command) {
        self.pending.push_back(Input::Command(command));
    }
}
