//! Who should be told, and when: degraded for long, a slow recovery, latency beyond what the level allows, a fallback
//! in use or out of use for long, a journal that is behind or at fault.

use alloc::vec::Vec;
use core::time::Duration;

use mainstay_breaker::Moment;
use serde::{Deserialize, Serialize};

use super::{Controller, Effect, Unit};
use crate::events::{Alert, Event};
use crate::facts::{Facts, Fallback};
use crate::level::Level;
use crate::settings::{DependencyId, FactSettings};

/// Fewer calls and probes than this within a window tell nothing of the slowest twentieth.
const FEWEST: u64 = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Alerts {
    /// Since when the level is worse than OPTIMAL.
    away_since: Option<Moment>,
    /// It has been OPTIMAL before that: coming back is a recovery, not the start.
    left_optimal: bool,
    degraded: Option<Alert>,
    /// What the last facts gave reason for.
    facts: Vec<Alert>,
}

impl Alerts {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            away_since: Some(now),
            left_optimal: false,
            degraded: None,
            facts: Vec::new(),
        }
    }

    pub(super) fn start(&mut self, started: Moment, level: Level) {
        self.away_since = (level != Level::Optimal).then_some(started);
    }

    /// Every dependency that an alert names.
    pub(super) fn dependencies(&self) -> impl Iterator<Item = DependencyId> {
        self.facts.iter().filter_map(Alert::dependency)
    }

    /// Other rules: what an alert is about may have another index, or be gone.
    pub(super) fn renumber(&mut self, new_id: impl Fn(DependencyId) -> Option<DependencyId>) {
        self.facts.retain_mut(|alert| match alert {
            Alert::FallbackInUse { dependency, .. }
            | Alert::FallbackUnexercised { dependency, .. } => {
                new_id(*dependency).map(|new| *dependency = new).is_some()
            }
            _ => true,
        });
    }
}

impl Controller {
    /// Notes how long the level is away from OPTIMAL.
    pub(super) fn follow_level(
        &mut self,
        now: Moment,
        from: Level,
        to: Level,
        effects: &mut Vec<Effect>,
    ) {
        if from == Level::Optimal {
            self.alerts.away_since = Some(now);
            self.alerts.left_optimal = true;
        }
        if to != Level::Optimal {
            return;
        }
        if let Some(alert) = self.alerts.degraded.take() {
            effects.push(Effect::Record(Event::AlertOver(alert)));
        }
        let since = self.alerts.away_since.take();
        let Some(since) = since.filter(|_| self.alerts.left_optimal) else {
            return;
        };
        let took = now.saturating_since(since);
        effects.push(Effect::Record(Event::Recovered { took }));
        if took > self.rules.settings().alerts.recovery_over {
            raise(Alert::SlowRecovery { took }, effects);
        }
    }

    pub(super) fn raise_alerts(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let patience = self.rules.settings().alerts.degraded_for;
        let level = self.ladder.level();
        // Whoever was told of a level has to hear of a worse one, too.
        let is_news = match self.alerts.degraded {
            Some(Alert::Degraded { level: told, .. }) => level > told,
            _ => true,
        };
        let since = self.alerts.away_since.filter(|_| is_news);
        if let Some(since) = since.filter(|since| now.saturating_since(*since) >= patience) {
            let alert = Alert::Degraded { since, level };
            self.alerts.degraded = Some(alert);
            raise(alert, effects);
        }
        self.raise_latency_alerts(effects);
    }

    /// Raises what the facts give reason for, once, and takes back what they no longer do.
    pub(super) fn raise_fact_alerts(&mut self, facts: &Facts, effects: &mut Vec<Effect>) {
        let known = self.rules.settings().dependencies.len();
        let mut wanted = reasons(facts, &self.rules.settings().facts);
        wanted.retain(|alert| alert.dependency().is_none_or(|id| id.index() < known));
        let raised = core::mem::take(&mut self.alerts.facts);
        let holds =
            |alert: &Alert, all: &[Alert]| all.iter().any(|one| one.is_about_the_same(alert));
        for over in raised.iter().filter(|alert| !holds(alert, &wanted)) {
            effects.push(Effect::Record(Event::AlertOver(*over)));
        }
        for new in wanted.iter().filter(|alert| !holds(alert, &raised)) {
            raise(*new, effects);
        }
        self.alerts.facts = wanted;
    }

    /// The alerts that were raised and are not over.
    pub(super) fn lasting_alerts(&self) -> Vec<Alert> {
        let threshold = self.rules.tuning(self.ladder.level()).latency_alert_p95;
        let level = self.ladder.level();
        let degraded = self.alerts.degraded.map(|alert| match alert {
            Alert::Degraded { since, .. } => Alert::Degraded { since, level },
            other => other,
        });
        let mut alerts: Vec<Alert> = degraded.into_iter().collect();
        let slow = self.rules.dependencies().zip(&self.units);
        let slow = slow.filter(|(_, unit)| unit.slow);
        alerts.extend(slow.map(|((dependency, _), unit)| Alert::Latency {
            dependency,
            p95: p95(unit),
            threshold,
        }));
        alerts.extend(&self.alerts.facts);
        alerts
    }

    fn raise_latency_alerts(&mut self, effects: &mut Vec<Effect>) {
        let threshold = self.rules.tuning(self.ladder.level()).latency_alert_p95;
        for index in 0..self.units.len() {
            // Rules hold at most 65,535 dependencies.
            let dependency = DependencyId(u16::try_from(index).unwrap_or(u16::MAX));
            // What is watched no more has its alert taken back.
            let watched = self.rules.dependency(dependency).health.latency_alert;
            let is_told = watched && self.group(dependency).heard() >= FEWEST;
            let unit = &mut self.units[index];
            let p95 = if is_told { p95(unit) } else { Duration::ZERO };
            let alert = Alert::Latency {
                dependency,
                p95,
                threshold,
            };
            match (unit.slow, p95 > threshold) {
                (false, true) => raise(alert, effects),
                (true, false) => effects.push(Effect::Record(Event::AlertOver(alert))),
                _ => {}
            }
            unit.slow = p95 > threshold;
        }
    }
}

/// Zero without any call.
fn p95(unit: &Unit) -> Duration {
    let p95 = unit.evidence.and_then(|evidence| evidence.p95);
    p95.unwrap_or_default()
}

/// What these facts give reason for.
fn reasons(facts: &Facts, settings: &FactSettings) -> Vec<Alert> {
    let in_use = |one: &Fallback| {
        let (dependency, lasted) = (one.dependency, one.in_use?);
        let long = lasted >= settings.fallback_for;
        long.then_some(Alert::FallbackInUse { dependency, lasted })
    };
    let unexercised = |one: &Fallback| {
        let (dependency, age) = (one.dependency, one.exercised?);
        let long = age >= settings.unexercised_for;
        long.then_some(Alert::FallbackUnexercised { dependency, age })
    };
    let oldest = facts.journal.oldest;
    let behind = oldest.filter(|oldest| *oldest > settings.journal_oldest);
    let mut alerts: Vec<Alert> = facts.fallbacks.iter().filter_map(in_use).collect();
    alerts.extend(facts.fallbacks.iter().filter_map(unexercised));
    alerts.extend(behind.map(|oldest| Alert::JournalBehind { oldest }));
    alerts.extend(facts.journal.faulted.then_some(Alert::JournalFaulted));
    alerts
}

fn raise(alert: Alert, effects: &mut Vec<Effect>) {
    effects.push(Effect::Record(Event::AlertRaised(alert)));
    effects.push(Effect::Alert(alert));
}
