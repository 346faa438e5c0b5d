//! Carries out what the controller has decided.

use std::sync::Arc;

use mainstay_breaker::{Moment, Rule, State};
use mainstay_degradation::{Alert, Effect, Event, Language, Level, Retuning, Snapshot, Status};

use crate::changes;
use crate::handle::LevelChange;
use crate::monitor::Monitor;
use crate::protection;

impl Monitor {
    pub(crate) fn carry_out(&mut self, effect: Effect, now: Moment) {
        match effect {
            Effect::Probe { endpoint, at } => self.probe(endpoint, at),
            Effect::Trip { endpoint, kind } => {
                let found = &self.inner.endpoints[endpoint.index()];
                let hint = found.hint(now);
                found.tell(found.breaker.trip_with_hint(Rule::Probes, kind, hint, now));
            }
            Effect::HalfOpenEarly { endpoint } => {
                let found = &self.inner.endpoints[endpoint.index()];
                found.tell(found.breaker.half_open_early(now));
            }
            Effect::Retune(retuning) => self.retune(*retuning),
            Effect::Publish(snapshot) => self.publish(*snapshot),
            Effect::Record(event) => self.record(&event),
            Effect::Drain { share } => {
                self.inner.drain_share.send_replace(share);
            }
            Effect::Alert(alert) => self.alert(&alert),
        }
    }

    fn retune(&mut self, retuning: Retuning) {
        self.inner.shared.tuning.store(Arc::new(retuning.tuning));
        let rules = self.controller.rules();
        for ((dependency, _), factor) in rules.dependencies().zip(&retuning.limits) {
            for endpoint in rules.endpoint_range(dependency) {
                self.factors[usize::from(endpoint)] = *factor;
            }
        }
    }

    fn publish(&self, snapshot: Snapshot) {
        let seq = snapshot.seq;
        for (component, fallbacks) in snapshot.components.iter().zip(&self.inner.fallbacks) {
            let mut endpoints = snapshot.endpoints_of(component.id).iter();
            let well = component.status == Status::Healthy && snapshot.level <= Level::Degraded;
            fallbacks.set_calm(well && endpoints.all(|one| one.view.state == State::Closed));
        }
        for endpoint in &self.inner.endpoints {
            let threatened = protection::is_threatened(&snapshot, endpoint.dependency_id);
            endpoint.protection.set_threatened(threatened);
        }
        self.inner.snapshot.store(Arc::new(snapshot));
        self.inner.published.send_replace(seq);
    }

    fn record(&mut self, event: &Event) {
        let inner = Arc::clone(&self.inner);
        let now = inner.shared.clock.now();
        let rules = self.controller.rules();
        let message = event.words(Language::English, rules, now);
        // A raised alert reaches the log by its own effect, at a level that wakes people.
        if !matches!(event, Event::AlertRaised(_)) {
            tracing::info!(event = event.kind(), "{message}");
        }
        let data = crate::event_data::of(event, rules);
        inner.events.push(
            inner.shared.clock.wall(),
            event.kind(),
            message.clone(),
            data,
        );
        match event {
            Event::LevelChanged { from, to, .. } => {
                inner.shared.observer.level(*from, *to);
                let change = LevelChange {
                    from: *from,
                    to: *to,
                    cause: message,
                };
                changes::announce(&inner, change);
            }
            Event::FirstRoundOver { .. }
            | Event::DependencyDown { .. }
            | Event::DependencyUp { .. } => self.remember_outages(now),
            Event::Recovered { took } => inner.shared.observer.recovered(*took),
            _ => {}
        }
    }

    /// Alerts are recorded as events by the controller too; here they reach the log at a level that wakes people.
    fn alert(&self, alert: &Alert) {
        self.inner.shared.observer.alert(alert);
        let event = Event::AlertRaised(*alert);
        let now = self.inner.shared.clock.now();
        let message = event.words(Language::English, self.controller.rules(), now);
        tracing::warn!(target: "alert", alert = alert.kind(), "{message}");
    }
}
