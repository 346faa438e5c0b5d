//! What each kind of input does before anything is evaluated.

use alloc::vec::Vec;

use mainstay_breaker::{FailureKind, LastFailure, Moment, State, Transition};

use super::evaluate::Why;
use super::{Controller, Effect, Observed, ProbeResult};
use crate::events::Event;
use crate::recovery::Pace;
use crate::settings::EndpointId;

impl Controller {
    pub(super) fn tick(
        &mut self,
        now: Moment,
        observed: Vec<(EndpointId, Observed)>,
        effects: &mut Vec<Effect>,
    ) {
        let mut why = Why::Tick;
        for (id, observed) in observed {
            if !self.holds(id, effects) {
                continue;
            }
            let endpoint = &mut self.endpoints[id.index()];
            let (before, after) = (endpoint.view.mode, observed.breaker.mode);
            if endpoint.absorb(now, observed) {
                why = Why::Opened(id);
            }
            if before != after {
                let rule = self.rules.endpoint(id);
                let schedule = &self.rules.dependency(rule.dependency).probes;
                let (prober, view) = (&mut endpoint.prober, &endpoint.view);
                prober.mode_changed(now, view, schedule, &mut self.random);
                effects.push(Effect::Record(Event::ModeChanged {
                    endpoint: id,
                    from: before,
                    to: after,
                }));
            }
        }
        if self.expire(now, effects) {
            why = Why::Unpinned;
        }
        self.slide(now);
        if !self.end_first_round(now, effects) {
            self.evaluate(now, why, effects);
        }
        self.ask_for_all_probes(now, effects);
        self.raise_alerts(now, effects);
        self.publish(now, effects);
    }

    fn slide(&mut self, now: Moment) {
        for (endpoint, (_, rule)) in self.endpoints.iter_mut().zip(self.rules.endpoints()) {
            let length = self.rules.dependency(rule.dependency).health.window;
            endpoint.window.slide(now, length);
        }
    }

    pub(super) fn transition(
        &mut self,
        now: Moment,
        id: EndpointId,
        transition: &Transition,
        effects: &mut Vec<Effect>,
    ) {
        if !self.holds(id, effects) {
            return;
        }
        let schedule = &self
            .rules
            .dependency(self.rules.endpoint(id).dependency)
            .probes;
        let endpoint = &mut self.endpoints[id.index()];
        // A tick may have brought a later state already.
        if transition.generation > endpoint.view.generation {
            endpoint.view.generation = transition.generation;
            endpoint.view.state = transition.to;
            endpoint.view.retry_at = transition.retry_at;
            // What is known of calls comes with the next tick.
            if let Some(kind) = transition.kind {
                let at = transition.at;
                endpoint.view.last_failure = Some(LastFailure { at, kind });
            }
            match transition.to {
                State::Open => {
                    let opened_at = endpoint.view.opened_at.unwrap_or(transition.at);
                    endpoint.view.opened_at = Some(opened_at);
                    endpoint.view.opened_by = transition.rule.or(endpoint.view.opened_by);
                }
                State::HalfOpen => {}
                State::Closed => {
                    endpoint.view.opened_at = None;
                    endpoint.view.opened_by = None;
                    endpoint.view.failures_in_row = 0;
                    endpoint.start_epoch();
                }
            }
        }
        // Only an operator closes a breaker that has not tried.
        if (transition.from, transition.to) == (State::Open, State::Closed) {
            self.units[self.rules.endpoint(id).dependency.index()].reset_outage();
        }
        endpoint.known = true;
        endpoint.answered |= transition.to == State::Closed;
        let view = endpoint.view;
        endpoint
            .prober
            .transition(now, transition, &view, schedule, &mut self.random);
        effects.push(Effect::Record(Event::Breaker {
            endpoint: id,
            transition: *transition,
        }));
        let opened = transition.to == State::Open && !view.is_usable();
        let why = if opened { Why::Opened(id) } else { Why::Moved };
        if self.first_round_over {
            self.evaluate(now, why, effects);
        } else {
            self.end_first_round(now, effects);
        }
        self.ask_for_probe(now, id, effects);
        self.publish(now, effects);
    }

    pub(super) fn probe(
        &mut self,
        now: Moment,
        id: EndpointId,
        started: Moment,
        result: ProbeResult,
        effects: &mut Vec<Effect>,
    ) {
        if !self.holds(id, effects) {
            return;
        }
        let dependency = self.rules.endpoint(id).dependency;
        let prediction = self.prediction(dependency, now);
        // Without a history a prediction is worth no hurry, and no delay.
        let expected = prediction
            .filter(|one| one.outages > 0)
            .map(|one| one.median);
        let schedule = &self.rules.dependency(dependency).probes;
        let endpoint = &mut self.endpoints[id.index()];
        let view = endpoint.view;
        let passed = match result {
            ProbeResult::Passed { .. } => Some(true),
            ProbeResult::Failed { .. } => Some(false),
            ProbeResult::Nothing => None,
        };
        let prober = &mut endpoint.prober;
        let pace = Pace {
            random: &mut self.random,
            expected,
        };
        let verdict = prober.result(now, started, passed, &view, schedule, pace);
        if verdict.new_epoch {
            endpoint.start_epoch();
        }
        endpoint.count_probe(now, result);
        if let (true, ProbeResult::Failed { kind, .. }) = (verdict.trip, result) {
            trip(id, kind, effects);
        }
        if verdict.half_open_early {
            effects.push(Effect::Record(Event::ProbesPassed { endpoint: id }));
            effects.push(Effect::HalfOpenEarly { endpoint: id });
        }
        self.ask_for_probe(now, id, effects);
        if !self.first_round_over && self.end_first_round(now, effects) {
            self.publish(now, effects);
        }
    }

    pub(super) fn probe_now(&mut self, now: Moment, id: EndpointId, effects: &mut Vec<Effect>) {
        if !self.holds(id, effects) || !self.endpoints[id.index()].probed {
            return;
        }
        let schedule = &self
            .rules
            .dependency(self.rules.endpoint(id).dependency)
            .probes;
        self.endpoints[id.index()].prober.request(now, schedule);
        self.ask_for_probe(now, id, effects);
    }

    fn ask_for_probe(&mut self, now: Moment, id: EndpointId, effects: &mut Vec<Effect>) {
        let schedule = &self
            .rules
            .dependency(self.rules.endpoint(id).dependency)
            .probes;
        let endpoint = &mut self.endpoints[id.index()];
        if !endpoint.probed {
            return;
        }
        if let Some(at) = endpoint.prober.due(now, schedule) {
            effects.push(Effect::Probe { endpoint: id, at });
        }
    }

    pub(super) fn ask_for_all_probes(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let first = effects.len();
        for index in 0..self.endpoints.len() {
            // Rules hold at most 65,535 endpoints.
            let index = u16::try_from(index).unwrap_or(u16::MAX);
            self.ask_for_probe(now, EndpointId(index), effects);
        }
        self.likeliest_first(&mut effects[first..]);
    }

    /// Whether there is such an endpoint; if not, that is recorded.
    fn holds(&self, id: EndpointId, effects: &mut Vec<Effect>) -> bool {
        let holds = id.index() < self.endpoints.len();
        if !holds {
            let (what, index) = ("endpoint", id.0);
            effects.push(Effect::Record(Event::Refused { what, index }));
        }
        holds
    }
}

fn trip(endpoint: EndpointId, kind: FailureKind, effects: &mut Vec<Effect>) {
    effects.push(Effect::Record(Event::ProbesFailed { endpoint, kind }));
    effects.push(Effect::Trip { endpoint, kind });
}
