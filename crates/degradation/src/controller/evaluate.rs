//! One evaluation: components, score, causes, level, and what changed with them.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mainstay_breaker::{Moment, Rule};

use super::component::Group;
use super::{Controller, Effect, Retuning};
use crate::cascade::{self, Standing};
use crate::events::{Event, LevelCause};
use crate::health::Machine;
use crate::level::{Level, Pin, Tally, band};
use crate::settings::{Criticality, DependencyId, EndpointId};
use crate::snapshot::{Cause, CauseKind};

/// What an evaluation is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Why {
    /// A second has passed.
    Tick,
    /// This endpoint's breaker opened.
    Opened(EndpointId),
    /// A breaker changed in another way, or an operator wants something.
    Moved,
    /// An operator's hold on the level has ended.
    Unpinned,
    /// The settings are others.
    Reloaded,
}

impl Controller {
    /// Evaluates everything. Before the first round is over there is nothing to evaluate.
    pub(super) fn evaluate(&mut self, now: Moment, why: Why, effects: &mut Vec<Effect>) {
        if !self.first_round_over {
            self.judge_all(now, effects);
            self.retune(effects);
            return;
        }
        self.assess(now, effects);
        let before = self.ladder.level();
        let at_once = matches!(why, Why::Opened(_) | Why::Unpinned);
        let settings = &self.rules.settings().level;
        if why == Why::Reloaded {
            self.ladder.reconsider(now, self.score, settings);
        } else {
            self.ladder.evaluate(now, self.score, settings, at_once);
        }
        self.level_changed(now, before, why, effects);
        self.retune(effects);
    }

    /// Ends the first round of probes if everything has answered or its time is over. True if it ended now.
    pub(super) fn end_first_round(&mut self, now: Moment, effects: &mut Vec<Effect>) -> bool {
        let patience = self.rules.settings().level.first_round;
        let all = self
            .endpoints
            .iter()
            .all(|endpoint| endpoint.known || !endpoint.probed);
        let over = all || now.saturating_since(self.started) >= patience;
        if self.first_round_over || !over {
            return false;
        }
        self.first_round_over = true;
        for endpoint in &mut self.endpoints {
            endpoint.miss_first_round(now);
        }
        self.assess(now, effects);
        self.ladder.jump(now, self.target());
        let (score, level) = (self.score, self.ladder.level());
        self.alerts.start(self.started, level);
        effects.push(Effect::Record(Event::FirstRoundOver { score, level }));
        self.retune(effects);
        true
    }

    pub(super) fn target(&self) -> Level {
        band(&self.rules.settings().level, self.score)
    }

    fn assess(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.judge_all(now, effects);
        let tally = self.tally();
        self.score = tally.score(&self.rules.settings().level, 100.0);
        self.down = tally.down();
        self.find_causes(tally.mean().unwrap_or(100.0));
        self.effects_of_down = if tally.any_down() {
            cascade::effects(&self.rules, &self.standings())
        } else {
            Vec::new()
        };
        self.patterns
            .harmed(&self.rules.settings().patterns, &self.effects_of_down);
    }

    pub(super) fn group(&self, id: DependencyId) -> Group<'_> {
        let range = self.rules.endpoint_range(id);
        let range = usize::from(range.start)..usize::from(range.end);
        Group {
            rules: &self.rules.endpoint_rules()[range.clone()],
            endpoints: &self.endpoints[range],
        }
    }

    fn judge_all(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let mut units = core::mem::take(&mut self.units);
        let mut outages = core::mem::take(&mut self.outages);
        let mut changed = false;
        for ((id, dependency), unit) in self.rules.dependencies().zip(&mut units) {
            if self.rules.is_absent(id) {
                continue;
            }
            let group = self.group(id);
            unit.judge(&dependency.health, group, now);
            if unit.known {
                unit.trend.sample(now, &dependency.health, unit.score);
                if let Some(change) = unit.history.follow(now, &dependency.health, unit.score) {
                    let dependency = id;
                    effects.push(Effect::Record(Event::HealthChanged { dependency, change }));
                }
            }
            let since = group.down().then(|| self.down_since(group, now));
            let whose = (id, dependency.name.as_str());
            let event = unit.follow_outage(now, whose, since, group, &mut outages);
            effects.extend(event.map(Effect::Record));
            changed |= unit.failing != unit.is_failing();
        }
        (self.units, self.outages) = (units, outages);
        if changed {
            self.follow_failures(now, effects);
        }
    }

    fn down_since(&self, group: Group<'_>, now: Moment) -> Moment {
        let Some(best) = group.best() else { return now };
        if best.never_answered() {
            return self.started;
        }
        best.view.opened_at.unwrap_or(now)
    }

    pub(super) fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for ((id, dependency), unit) in self.rules.dependencies().zip(&self.units) {
            if self.rules.is_absent(id) {
                continue;
            }
            let score = unit.known.then_some(unit.score);
            let down = unit.down_since.is_some();
            tally.add(dependency.criticality, dependency.weight, score, down);
        }
        tally
    }

    /// What the target is due to: whatever is down, and, where the mean alone would not be OPTIMAL, whatever is
    /// not healthy (or, if all are, whatever is below the edge). What the level owes to hysteresis has no cause.
    fn find_causes(&mut self, mean: f64) {
        self.causes.clear();
        self.live.fill(false);
        let edge = self.rules.settings().level.bands[0];
        if self.target() == Level::Optimal {
            return;
        }
        let unhealthy = |unit: &super::Unit| unit.history.state() != Machine::Healthy;
        let counts = |unit: &super::Unit| mean < edge && unhealthy(unit);
        self.collect_causes(counts);
        if self.causes.is_empty() {
            self.collect_causes(|unit| unit.score < edge);
        }
        self.causes
            .sort_by_key(|cause| core::cmp::Reverse(cause.forces));
        for cause in &self.causes {
            self.live[cause.dependency.index()] = true;
        }
    }

    fn collect_causes(&mut self, unwell: impl Fn(&super::Unit) -> bool) {
        let mut causes = core::mem::take(&mut self.causes);
        for ((id, dependency), unit) in self.rules.dependencies().zip(&self.units) {
            let forcing = dependency.criticality > Criticality::None;
            let (kind, forces) = match unit.down_since {
                Some(since) if forcing => (
                    self.down_kind(id, since),
                    Level::forced_by(dependency.criticality),
                ),
                _ if unit.known && dependency.weight > 0.0 && unwell(unit) => {
                    (CauseKind::Unwell { score: unit.score }, Level::Optimal)
                }
                _ => continue,
            };
            causes.push(Cause {
                dependency: id,
                kind,
                forces,
            });
        }
        self.causes = causes;
    }

    fn down_kind(&self, id: DependencyId, since: Moment) -> CauseKind {
        let best = self.group(id).best();
        let failure = best
            .and_then(|best| best.last_failure())
            .map(|last| last.kind);
        // An outage that an earlier process has seen began before the start.
        let unseen = best.is_some_and(|best| best.never_answered()) && since >= self.started;
        if unseen {
            return CauseKind::NeverAnswered { since, failure };
        }
        let rule = best.and_then(|best| best.view.opened_by);
        CauseKind::Down {
            since,
            rule,
            // No failure has made an operator open it.
            failure: failure.filter(|_| rule != Some(Rule::Operator)),
        }
    }

    fn standings(&self) -> Vec<Standing> {
        let standing = |(id, unit): (DependencyId, &super::Unit)| {
            let row = self
                .group(id)
                .best()
                .map_or(0, |best| best.view.failures_in_row);
            Standing {
                score: unit.score,
                down: unit.down_since.is_some(),
                failing: unit.history.state() >= Machine::Failing,
                failures_in_row: row,
            }
        };
        let ids = self.rules.dependencies().map(|(id, _)| id);
        ids.zip(&self.units).map(standing).collect()
    }

    fn level_changed(&mut self, now: Moment, from: Level, why: Why, effects: &mut Vec<Effect>) {
        let to = self.ladder.level();
        if from == to {
            return;
        }
        let cause = match why {
            _ if self.ladder.pin().is_some() => LevelCause::Pinned,
            Why::Opened(endpoint) if to > from => LevelCause::Opened(endpoint),
            Why::Unpinned => LevelCause::Unpinned,
            _ if to > from => LevelCause::Confirmed,
            _ => LevelCause::Recovered,
        };
        effects.push(Effect::Record(Event::LevelChanged {
            from,
            to,
            target: self.target(),
            score: self.score,
            cause,
            causes: self.causes.clone(),
        }));
        self.follow_level(now, from, to, effects);
    }

    /// An operator's level holds at once, whatever is known.
    pub(super) fn pin_level(&mut self, now: Moment, pin: Pin, effects: &mut Vec<Effect>) {
        let before = self.ladder.level();
        self.ladder.jump(now, pin.level);
        self.level_changed(now, before, Why::Moved, effects);
        self.retune(effects);
    }

    /// Factor on each dependency's in-flight limit: the level's for live causes, less what cascades take.
    pub(super) fn limits(&self) -> Vec<f64> {
        let factor = self.rules.tuning(self.ladder.level()).limit;
        let mut limits = cascade::totals(&self.effects_of_down, self.live.len());
        for (limit, live) in limits.iter_mut().zip(&self.live) {
            *limit = (1.0 - *limit) * if *live { factor } else { 1.0 };
        }
        limits
    }

    /// Asks for other tuning and limits, if they are others.
    pub(super) fn retune(&mut self, effects: &mut Vec<Effect>) {
        let (level, limits) = (self.ladder.level(), self.limits());
        let before = self.tuned.replace((level, limits.clone()));
        let level_before = before.as_ref().map(|(level, _)| *level);
        if before.is_some_and(|(_, old)| level_before == Some(level) && old == limits) {
            return;
        }
        let tuning = self.rules.tuning(level).clone();
        if level_before != Some(level) {
            effects.push(Effect::Drain {
                share: tuning.batch,
            });
        }
        effects.push(Effect::Retune(Box::new(Retuning {
            level,
            tuning,
            limits,
        })));
    }
}
