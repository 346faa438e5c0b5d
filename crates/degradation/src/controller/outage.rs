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
use crate::recovery::{Outage, OutageHistory, Prediction, Predictor, Recoveries, Standing};
use crate::settings::DependencyId;

/// Longest time that nobody may have watched for what was down before and is down after to be one outage: a restart
/// takes less, and how an outage stands is written down more often.
const UNWATCHED: Duration = Duration::from_secs(60);

/// The outage that a dependency is in.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Present {
    predictor: Predictor,
    /// How long the dependency had worked before.
    worked: Option<Duration>,
    /// Its beginning was seen: by this process, or by the one before.
    begun: bool,
    /// An operator keeps it away: that is not the dependency's own doing.
    forced: bool,
    /// An operator closed the breaker: whether the dependency is back remains to be seen.
    reset: bool,
}

/// How an earlier process saw a dependency last.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(super) enum Earlier {
    Works {
        since: Moment,
    },
    Down {
        since: Moment,
        seen: Duration,
        worked: Option<Duration>,
        begun: bool,
    },
}

impl Earlier {
    fn of(standing: Standing, now: Moment) -> Self {
        match standing {
            Standing::Works { lasts } => Self::Works { since: now - lasts },
            Standing::Down {
                lasts,
                seen,
                worked,
                begun,
            } => Self::Down {
                since: now - lasts,
                seen: seen.min(lasts),
                worked,
                begun,
            },
        }
    }

    fn standing(self, now: Moment) -> Standing {
        match self {
            Self::Works { since } => Standing::Works {
                lasts: now.saturating_since(since),
            },
            Self::Down {
                since,
                seen,
                worked,
                begun,
            } => Standing::Down {
                lasts: now.saturating_since(since),
                seen,
                worked,
                begun,
            },
        }
    }
}

impl Unit {
    /// Notes that the dependency is down since then, or, if this is the outage that an earlier process saw, since before.
    fn begin_outage(&mut self, since: Moment, name: &str, outages: &mut OutageHistory) {
        let works_since = self.works_since.take();
        let here = works_since.map(|from| since.saturating_since(from));
        let (since, worked, begun) = match self.earlier.take() {
            Some(Earlier::Down {
                since: from,
                seen,
                worked,
                begun,
            }) => {
                if since.saturating_since(from + seen) <= UNWATCHED {
                    (from, worked, begun)
                } else {
                    self.end_unseen(seen, worked, name, outages);
                    (since, None, false)
                }
            }
            // It went down while nobody looked.
            Some(Earlier::Works { since: from }) => {
                (since, Some(since.saturating_since(from)), false)
            }
            None => (since, here, here.is_some()),
        };
        self.down_since = Some(since);
        self.outage = Some(Present {
            predictor: Predictor::new(outages.of(name), worked),
            worked,
            begun,
            forced: false,
            reset: false,
        });
    }

    /// Of an outage that an earlier process saw, nobody knows when it ended: it lasted longer than it was seen.
    fn end_unseen(
        &mut self,
        seen: Duration,
        worked: Option<Duration>,
        name: &str,
        outages: &mut OutageHistory,
    ) {
        let outage = Outage {
            lasted: seen,
            complete: false,
            worked,
        };
        outages.push(name, outage);
        self.recoveries = Recoveries::of(outages.of(name));
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
            let over = self.first_seen_working(now, outages, name);
            let over = over.map(|outage| Event::DependencyUp { dependency, outage });
            return event.or(over);
        }
        event
    }

    /// It works. If it was down when an earlier process saw it last, that outage is over: it lasted at most as long as is
    /// returned.
    fn first_seen_working(
        &mut self,
        now: Moment,
        outages: &mut OutageHistory,
        name: &str,
    ) -> Option<Duration> {
        let earlier = self.earlier.take();
        let since = match earlier {
            Some(Earlier::Works { since }) => since,
            _ => now,
        };
        self.works_since.get_or_insert(since);
        let Some(Earlier::Down {
            since,
            seen,
            worked,
            ..
        }) = earlier
        else {
            return None;
        };
        self.end_unseen(seen, worked, name, outages);
        Some(now.saturating_since(since))
    }

    /// The dependency is up again after that long. What an operator ended was not seen to its end, and neither
    /// was what had begun before the start.
    fn end_outage(&mut self, now: Moment, lasted: Duration, group: Group<'_>) -> Option<Outage> {
        self.down_since = None;
        self.works_since = Some(now);
        let present = self.outage.take()?;
        let worked = present.worked;
        let automatic = group.main().all(|one| one.view.mode == Mode::Auto);
        let complete = present.begun && automatic && !present.reset;
        (!present.forced).then_some(Outage {
            lasted,
            complete,
            worked,
        })
    }

    /// How it stands; `None`: nothing is known of it, or an operator keeps it away.
    fn standing(&self, now: Moment) -> Option<Standing> {
        if let Some(earlier) = self.earlier {
            return Some(earlier.standing(now));
        }
        let lasts = |since: Moment| now.saturating_since(since);
        match (self.down_since, &self.outage) {
            (Some(since), Some(outage)) => (!outage.forced).then_some(Standing::Down {
                lasts: lasts(since),
                seen: lasts(since),
                worked: outage.worked,
                begun: outage.begun,
            }),
            _ => self.works_since.map(|since| Standing::Works {
                lasts: lasts(since),
            }),
        }
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
    /// Every outage that is remembered, and how each dependency stands: to be kept across restarts.
    #[must_use]
    pub fn outages(&self, now: Moment) -> OutageHistory {
        let mut history = self.outages.clone();
        for ((_, dependency), unit) in self.rules.dependencies().zip(&self.units) {
            if let Some(standing) = unit.standing(now) {
                history.standing.insert(dependency.name.clone(), standing);
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
        for (name, standing) in &earlier.standing {
            let id = self.rules.dependency_id(name);
            let id = id.filter(|id| !self.rules.is_absent(*id));
            let unit = id.map(|id| &mut self.units[id.index()]);
            // What this process has seen itself is newer.
            if let Some(unit) = unit.filter(|unit| !unit.known) {
                unit.earlier = Some(Earlier::of(*standing, now));
            }
        }
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
