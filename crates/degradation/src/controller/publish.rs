//! The snapshot, made of everything that was decided.

use alloc::boxed::Box;
use alloc::vec::Vec;

use mainstay_breaker::{Moment, State};

use super::component::rate;
use super::{Controller, Effect};
use crate::cascade;
use crate::features::{FeatureState, Gate};
use crate::health::Machine;
use crate::level::Level;
use crate::settings::{DependencyId, EndpointId};
use crate::snapshot::{
    Component, EndpointStatus, EndpointView, Need, NextUp, Snapshot, Status, Warning,
};

impl Controller {
    pub(super) fn publish(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        self.seq += 1;
        effects.push(Effect::Publish(Box::new(self.snapshot(now))));
    }

    /// Everything that was decided, as of the last input.
    #[must_use]
    pub fn snapshot(&self, now: Moment) -> Snapshot {
        let level = self.ladder.level();
        Snapshot {
            seq: self.seq,
            at: now,
            score: self.score,
            target: self.target(),
            level,
            level_since: self.ladder.since(),
            held_by: self.ladder.held_by(),
            pin: self.ladder.pin(),
            components: self.components(now),
            endpoints: self.statuses(),
            features: self.features(),
            causes: self.causes.clone(),
            next_up: self.next_up(now),
            tuning: self.rules.tuning(level).clone(),
            first_round_over: self.first_round_over,
            warnings: self.warnings(),
            patterns: self.patterns.patterns().clone(),
            alerts: self.lasting_alerts(),
        }
    }

    fn components(&self, now: Moment) -> Vec<Component> {
        let impacts = cascade::totals(&self.effects_of_down, self.live.len());
        let limits = self.limits();
        let ids = self.rules.dependencies().map(|(id, _)| id);
        let figures = impacts.into_iter().zip(limits);
        ids.zip(figures)
            .map(|(id, (impact, limit))| self.component(id, now, impact, limit))
            .collect()
    }

    fn component(
        &self,
        id: DependencyId,
        now: Moment,
        impact: f64,
        limit_factor: f64,
    ) -> Component {
        let unit = &self.units[id.index()];
        let best = self.group(id).best();
        let evidence = unit.evidence.as_ref();
        Component {
            id,
            presence: self.rules.dependency(id).presence,
            known: unit.known,
            status: self.status(id),
            state: unit.history.state(),
            score: unit.score,
            effective_score: unit.score * (1.0 - impact),
            trend: unit.trend.trend(),
            breaker: best.map_or(State::Closed, |best| best.view.state),
            endpoints: self.rules.endpoint_range(id),
            down_since: unit.down_since,
            prediction: self.prediction(id, now),
            recoveries: unit.recoveries,
            opened_by: best.and_then(|best| best.view.opened_by),
            success_rate: evidence.map_or(1.0, |evidence| evidence.success_rate),
            p95: evidence.and_then(|evidence| evidence.p95),
            availability: evidence.map_or(100.0, |evidence| evidence.availability),
            is_live_cause: self.live[id.index()],
            limit_factor,
        }
    }

    fn status(&self, id: DependencyId) -> Status {
        let unit = &self.units[id.index()];
        if self.rules.is_absent(id) {
            Status::Absent
        } else if !unit.known {
            Status::Unknown
        } else if unit.down_since.is_some() {
            Status::Down
        } else if unit.history.state() == Machine::Healthy {
            Status::Healthy
        } else {
            Status::Degraded
        }
    }

    fn statuses(&self) -> Vec<EndpointStatus> {
        let status = |(id, endpoint): (u16, &super::Endpoint)| {
            let (good, bad) = endpoint.window.verdicts();
            EndpointStatus {
                id: EndpointId(id),
                known: endpoint.known,
                usable: endpoint.is_usable(),
                view: EndpointView {
                    last_failure: endpoint.last_failure(),
                    ..endpoint.view
                },
                success_rate: rate(good, bad),
                next_probe_at: endpoint.prober.next_at(),
            }
        };
        (0..).zip(&self.endpoints).map(status).collect()
    }

    fn features(&self) -> Vec<FeatureState> {
        let gate = Gate {
            level: self.ladder.level(),
            target: self.target(),
            pinned: self.ladder.pin().is_some(),
            causes: &self.live,
            down: self.down,
            knobs: &self.knobs,
        };
        self.rules
            .features()
            .map(|(id, _)| gate.state(&self.rules, id))
            .collect()
    }

    fn warnings(&self) -> Vec<Warning> {
        let warning = |effect: &cascade::Effect| Warning::Cascade {
            from: effect.from,
            to: effect.to,
            impact: effect.impact,
        };
        self.effects_of_down.iter().map(warning).collect()
    }

    fn next_up(&self, now: Moment) -> NextUp {
        let Some(level) = self.ladder.level().next_up() else {
            return NextUp::default();
        };
        NextUp {
            level: Some(level),
            needs: self.needs(now, level),
        }
    }

    fn needs(&self, now: Moment, next: Level) -> Vec<Need> {
        if let Some(pin) = self.ladder.pin() {
            return alloc::vec![Need::Unpin { until: pin.until }];
        }
        if !self.first_round_over {
            return alloc::vec![Need::FirstRound];
        }
        let settings = &self.rules.settings().level;
        if self.tally().floor() > next {
            return self.returns(now, next);
        }
        let mut needs = Vec::new();
        let at_least = settings.bands[next.index()] + settings.margin;
        if self.score < at_least {
            let now = self.score;
            needs.push(Need::Score { at_least, now });
        }
        let until = self.ladder.since() + settings.dwell;
        if now < until {
            needs.push(Need::Wait { until });
        }
        needs
    }

    /// Who has to come back before `next` is possible.
    fn returns(&self, now: Moment, next: Level) -> Vec<Need> {
        let alone = self.causes.iter().filter(|cause| cause.forces > next);
        let needs: Vec<Need> = alone
            .map(|cause| self.return_of(now, cause.dependency))
            .collect();
        if !needs.is_empty() {
            return needs;
        }
        let down = self.down;
        let at_most = match next {
            Level::Optimal => 0,
            Level::Degraded => 1,
            Level::Limited => 2,
            Level::Minimal | Level::Emergency => down.saturating_sub(1),
        };
        let at_most = at_most.min(down.saturating_sub(1));
        alloc::vec![Need::Fewer { at_most, down }]
    }

    /// What a dependency's return waits for: while its breaker is held open, or makes its pause, it may work by now.
    fn return_of(&self, now: Moment, dependency: DependencyId) -> Need {
        let Some(best) = self.group(dependency).best() else {
            return Need::Back(dependency);
        };
        match (best.view.state, best.view.retry_at) {
            (State::Open, Some(by)) if by > now => Need::Retried { dependency, by },
            // Only who forces it open knows for how long.
            (State::Open, None) => Need::Released(dependency),
            _ => Need::Back(dependency),
        }
    }
}
