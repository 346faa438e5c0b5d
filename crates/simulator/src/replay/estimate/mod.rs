//! What breakers with other settings would have done, as far as a recording tells.
//!
//! An estimated breaker goes with the recorded one as long as its settings would have done the same, and its changes
//! are then the recorded ones to the nanosecond: a setting that doesn't come into play changes nothing, and an outage
//! that was found is found, unless the rule that found it is laxer now. It parts where its settings act otherwise, and
//! joins again when both are in the same state: [`one`]. What it makes of calls meanwhile comes from what was counted
//! each second, put in the order that fits the recorded breaker best: [`calls`]. Calls that the recorded breaker
//! rejected were never made: [`belief`] says what would have become of them, from probes and from its own changes.

mod belief;
mod calls;
mod generations;
mod lead;
mod one;
mod stricter;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use mainstay_breaker::{Moment, Settings, Transition};
use mainstay_degradation::{Effect, EndpointId, Input, Rules, Snapshot};

use calls::{Call, Second};
use one::Estimate;

pub(super) use stricter::acts;

/// The estimated breakers, by endpoint.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    all: BTreeMap<String, Estimate>,
    /// The last tick.
    ticked: Moment,
}

/// A call that is put to an estimated breaker.
#[derive(Debug)]
pub(super) struct Due {
    pub(super) at: Moment,
    endpoint: EndpointId,
    call: Call,
}

impl Estimates {
    /// Those of `wanted` that differ from what was in force at any time of the recording.
    /// `recorded`: each endpoint's, as the recording begins and after every reload; a reload keeps the endpoints.
    /// `snapshot`: as it begins. Settings that make no sense are left out.
    pub(super) fn new<'a>(
        wanted: &BTreeMap<String, Settings>,
        recorded: impl Iterator<Item = &'a Vec<Settings>> + Clone,
        rules: &Rules,
        snapshot: &Snapshot,
        differs: impl Fn(&Settings, &Settings) -> bool,
    ) -> Self {
        let made = wanted.iter().filter_map(|(name, settings)| {
            let id = rules.endpoint_id(name)?;
            let mut all = recorded.clone();
            let same = |one: &Settings| !differs(one, settings);
            if all.all(|all| all.get(id.index()).is_some_and(same)) {
                return None;
            }
            // Of a recording that doesn't tell, nothing differs but by what comes later.
            let first = recorded.clone().next().and_then(|all| all.get(id.index()));
            let first = *first.unwrap_or(settings);
            let estimate =
                Estimate::new(*settings, first, &snapshot.endpoint(id).view, snapshot.at)?;
            Some((name.clone(), estimate))
        });
        Self {
            all: made.collect(),
            ticked: snapshot.at,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Other settings were in force from here on. `rules`: those the indices belong to.
    pub(super) fn reloaded(&mut self, rules: &Rules, recorded: &[Settings], now: Moment) {
        for (name, one) in &mut self.all {
            let id = rules.endpoint_id(name);
            if let Some(settings) = id.and_then(|id| recorded.get(id.index())) {
                one.reloaded(*settings, now);
            }
        }
    }

    pub(super) fn endpoints(&self) -> Vec<String> {
        self.all.keys().cloned().collect()
    }

    fn of(&mut self, rules: &Rules, id: EndpointId) -> Option<&mut Estimate> {
        if self.all.is_empty() || id.index() >= rules.endpoints().count() {
            return None;
        }
        self.all.get_mut(&rules.endpoint(id).name)
    }

    /// The calls of the time since the last tick, in order. `inputs`: everything that was recorded since, up to the
    /// next tick.
    pub(super) fn calls(&mut self, rules: &Rules, inputs: &[(Moment, Input)]) -> Vec<Due> {
        let Some((until, last)) = inputs.last() else {
            return Vec::new();
        };
        let Input::Tick { observed } = last else {
            return Vec::new();
        };
        // In a damaged recording time may run backwards.
        let from = self.ticked.min(*until);
        self.ticked = *until;
        let mut due = Vec::new();
        for (id, observed) in observed {
            let Some(one) = self.of(rules, *id) else {
                continue;
            };
            let moved = inputs.iter().filter_map(|(_, input)| match input {
                Input::Transition {
                    endpoint,
                    transition,
                } if endpoint == id => Some(*transition),
                _ => None,
            });
            let second = Second {
                from,
                until: *until,
                observed,
                moved: moved.collect(),
            };
            let calls = one.calls(&second);
            due.extend(calls.into_iter().map(|(at, call)| Due {
                at,
                endpoint: *id,
                call,
            }));
        }
        due.sort_by_key(|one| one.at);
        due
    }

    /// What the controller hears of a call, at `now`.
    pub(super) fn call(&mut self, rules: &Rules, due: &Due, now: Moment) -> Vec<Input> {
        let one = self.of(rules, due.endpoint);
        let moved = one.map_or_else(Vec::new, |one| one.call(now, due.call));
        told(due.endpoint, moved)
    }

    /// What the controller hears instead of a recorded input. `rules`: those the recorded indices belong to.
    pub(super) fn instead(&mut self, rules: &Rules, now: Moment, input: Input) -> Vec<Input> {
        match input {
            Input::Transition {
                endpoint,
                transition,
            } => match self.of(rules, endpoint) {
                Some(one) => told(endpoint, one.recorded(&transition)),
                None => vec![input],
            },
            Input::Probe {
                endpoint,
                started,
                result,
            } => {
                let one = self.of(rules, endpoint);
                let moved = one.map_or_else(Vec::new, |one| one.probed(now, started, result));
                let mut inputs = told(endpoint, moved);
                inputs.push(input);
                inputs
            }
            Input::Tick { mut observed } => {
                let mut inputs = Vec::new();
                for (endpoint, observed) in &mut observed {
                    if let Some(one) = self.of(rules, *endpoint) {
                        inputs.extend(told(*endpoint, one.ticked(now, observed)));
                    }
                }
                inputs.push(Input::Tick { observed });
                inputs
            }
            other => vec![other],
        }
    }

    /// Carries out what the controller asks of an estimated breaker. `rules`: the controller's own.
    pub(super) fn carry_out(
        &mut self,
        rules: &Rules,
        now: Moment,
        effect: &Effect,
    ) -> Option<Input> {
        let (endpoint, moved) = match *effect {
            Effect::Trip { endpoint, kind } => {
                (endpoint, self.of(rules, endpoint)?.trip(kind, now)?)
            }
            Effect::HalfOpenEarly { endpoint } => {
                (endpoint, self.of(rules, endpoint)?.half_open_early(now)?)
            }
            _ => return None,
        };
        Some(Input::Transition {
            endpoint,
            transition: moved,
        })
    }
}

fn told(endpoint: EndpointId, moved: Vec<Transition>) -> Vec<Input> {
    let tell = |transition| Input::Transition {
        endpoint,
        transition,
    };
    moved.into_iter().map(tell).collect()
}
