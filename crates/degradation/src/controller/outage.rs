//! Outages as they begin and end: what is remembered of them, what is predicted, and who fails with whom.

use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

use mainstay_breaker::{Mode, Moment};
use serde::{Deserialize, Serialize};

use super::component::{Group, Unit};
use super::{Controller, Effect};
use crate::events::Event;
use crate::health::Machine;
use crate::recovery::{Outage, OutageHistory, Prediction, Predictor, Recoveries};
use crate::settings::DependencyId;

/// The outage that a dependency is in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Present {
    predictor: Predictor,
    /// How long the dependency had been seen working before.
    worked: Option<Duration>,
    /// An operator keeps it away: that is not the dependency's own doing.
    forced: bool,
    /// An operator closed the breaker: whether the dependency is back remains to be seen.
    reset: bool,
}

impl Unit {
    /// Notes that the dependency is down since then.
    fn begin_outage(&mut self, since: Moment, name: &str, history: &OutageHistory) {
        let worked = self.works_since.take();
        let worked = worked.map(|from| since.saturating_since(from));
        self.down_since = Some(since);
        self.outage = Some(Present {
            predictor: Predictor::new(history.of(name), worked),
            worked,
            forced: false,
            reset: false,
        });
    }

    pub(super) fn reset_outage(&mut self) {
        if let Some(outage) = &mut self.outage {
            outage.reset = true;
        }
    }

    /// Notes whether the dependency is down, and since when. Returns what has changed.
    pub(super) fn follow_outage(
        &mut self,
        now: Moment,
        (dependency, name): (DependencyId, &str),
        since: Option<Moment>,
        group: Group<'_>,
        outages: &mut OutageHistory,
    ) -> Option<Event> {
        let event = match (self.down_since, since) {
            (None, Some(since)) => {
                self.begin_outage(since, name, outages);
                Some(Event::DependencyDown { dependency })
            }
            (Some(since), None) => {
                let outage = now.saturating_since(since);
                if let Some(over) = self.end_outage(now, outage, group) {
                    outages.push(name, over);
                    self.recoveries = Recoveries::of(outages.of(name));
                }
                Some(Event::DependencyUp { dependency, outage })
            }
            _ => None,
        };
        if let Some(outage) = &mut self.outage {
            let mut modes = group.main().map(|one| one.view.mode);
            outage.forced |= modes.any(|mode| mode == Mode::ForcedOpen);
        } else if self.known {
            self.works_since.get_or_insert(now);
        }
        event
    }

    /// The dependency is up again after that long. What an operator ended was not seen to its end, and neither
    /// was what had begun before the start.
    fn end_outage(&mut self, now: Moment, lasted: Duration, group: Group<'_>) -> Option<Outage> {
        self.down_since = None;
        self.works_since = Some(now);
        let present = self.outage.take()?;
        let worked = present.worked;
        let automatic = group.main().all(|one| one.view.mode == Mode::Auto);
        let complete = worked.is_some() && automatic && !present.reset;
        (!present.forced).then_some(Outage {
            lasted,
            complete,
            worked,
        })
    }

    /// It is down, or its health is FAILING or worse.
    pub(super) fn is_failing(&self) -> bool {
        self.down_since.is_some() || self.history.state() >= Machine::Failing
    }

    fn read_history(&mut self, name: &str, history: &OutageHistory) {
        self.recoveries = Recoveries::of(history.of(name));
        if let Some(outage) = &mut self.outage {
            outage.predictor = Predictor::new(history.of(name), outage.worked);
        }
    }
}

impl Controller {
    /// Every outage that is remembered, those that last included: to be kept across restarts.
    #[must_use]
    pub fn outages(&self, now: Moment) -> OutageHistory {
        let mut history = self.outages.clone();
        for ((_, dependency), unit) in self.rules.dependencies().zip(&self.units) {
            let (Some(since), Some(outage)) = (unit.down_since, &unit.outage) else {
                continue;
            };
            if !outage.forced {
                let unfinished = Outage {
                    lasted: now.saturating_since(since),
                    complete: false,
                    worked: outage.worked,
                };
                history.push(&dependency.name, unfinished);
            }
        }
        history
    }

    /// Takes over what an earlier run remembered.
    pub(super) fn remember(
        &mut self,
        now: Moment,
        earlier: OutageHistory,
        effects: &mut Vec<Effect>,
    ) {
        self.outages.follow(earlier);
        self.read_history();
        self.publish(now, effects);
    }

    pub(super) fn read_history(&mut self) {
        for ((_, dependency), unit) in self.rules.dependencies().zip(&mut self.units) {
            unit.read_history(&dependency.name, &self.outages);
        }
    }

    /// What to expect of a dependency that is down; `None` if it isn't, if an operator keeps it away, or if
    /// nothing was ever seen of it.
    pub(super) fn prediction(&self, id: DependencyId, now: Moment) -> Option<Prediction> {
        let unit = &self.units[id.index()];
        let (since, outage) = (unit.down_since?, unit.outage.as_ref()?);
        let stranger = outage.worked.is_none() && !outage.predictor.has_history();
        if outage.forced || stranger {
            return None;
        }
        let failures = self.group(id).main().filter_map(|one| one.last_failure());
        let seen = failures.map(|last| last.at).max().unwrap_or(since);
        let (seen_down, elapsed) = (seen.saturating_since(since), now.saturating_since(since));
        outage.predictor.predict(seen_down, elapsed)
    }

    /// Whoever has just begun to fail, and what that shows.
    pub(super) fn follow_failures(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let mut new = Vec::new();
        for ((id, _), unit) in self.rules.dependencies().zip(&mut self.units) {
            let failing = unit.is_failing();
            let before = core::mem::replace(&mut unit.failing, failing);
            if unit.failing && !before {
                new.push(id);
            }
        }
        self.patterns.recovered(|id| self.units[id.index()].failing);
        if new.is_empty() {
            return;
        }
        let shown = self
            .patterns
            .failed(&self.rules.settings().patterns, now, &new);
        let patterns = self.patterns.patterns();
        if shown.together {
            let dependencies = patterns.together.clone();
            effects.push(Effect::Record(Event::FailingTogether { dependencies }));
        }
        if let Some(repeating) = patterns.repeating.clone().filter(|_| shown.repeating) {
            effects.push(Effect::Record(Event::FailingInTurn { repeating }));
        }
    }

    /// Puts the probes of what is most likely back when they begin before the others.
    pub(super) fn likeliest_first(&self, probes: &mut [Effect]) {
        if probes.len() < 2 || self.units.iter().all(|unit| unit.outage.is_none()) {
            return;
        }
        probes.sort_by_cached_key(|effect| {
            let back = match effect {
                Effect::Probe { endpoint, at } => {
                    let dependency = self.rules.endpoint(*endpoint).dependency;
                    self.prediction(dependency, *at).map_or(0.0, |one| one.back)
                }
                _ => 0.0,
            };
            // Probabilities are in the order of their bits.
            Reverse(back.to_bits())
        });
    }
}
