//! One endpoint, and a controller that is told everything by hand, at the very moment that matters.

use std::time::Duration;

use mainstay_breaker::{FailureKind, Rule, State, Transition};
use mainstay_degradation::{
    Component, Controller, Effect, EndpointId, EndpointView, Input, Moment, Observed, ProbeResult,
    Settings,
};

use crate::world::{SECOND, at};

pub(crate) const START: u64 = 1_000_000;
pub(crate) const INSTANT: Duration = Duration::from_nanos(1);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

/// One endpoint, its breaker as the controller was last told of it, and what the last input asked for.
pub(crate) struct Told {
    pub(crate) controller: Controller,
    pub(crate) endpoint: EndpointId,
    pub(crate) view: EndpointView,
    pub(crate) effects: Vec<Effect>,
    /// The last probe that was asked for and has not ended.
    pub(crate) asked: Option<Moment>,
}

impl Told {
    /// Nothing has been asked for yet.
    pub(crate) fn of(name: &str, probed: bool) -> Self {
        let mut settings = Settings::standard();
        let dependency = settings.dependency_mut(name).unwrap();
        dependency.probes.jitter = 0.0;
        dependency.endpoints[0].probed = probed;
        let rules = settings.validate().unwrap();
        Self {
            endpoint: rules.endpoint_id(name).unwrap(),
            controller: Controller::new(rules, at(START)),
            view: EndpointView::default(),
            effects: Vec::new(),
            asked: None,
        }
    }

    /// Its first probe has passed: the next one is due at the moment given back.
    pub(crate) fn healthy(name: &str) -> (Self, Moment) {
        let mut told = Self::of(name, true);
        assert_eq!(told.tick(at(START)), [at(START)]);
        assert_eq!(told.passes(at(START), at(START) + 3 * MILLI), []);
        (told, at(START) + 3 * MILLI + 30 * SECOND)
    }

    /// The probes that this input asks for.
    pub(crate) fn tell(&mut self, now: Moment, input: Input) -> Vec<Moment> {
        self.effects.clear();
        self.controller.handle(now, input, &mut self.effects);
        let probe = |effect: &Effect| match effect {
            Effect::Probe { endpoint, at } if *endpoint == self.endpoint => Some(*at),
            _ => None,
        };
        let asked: Vec<Moment> = self.effects.iter().filter_map(probe).collect();
        self.asked = asked.last().copied().or(self.asked);
        asked
    }

    pub(crate) fn tick(&mut self, now: Moment) -> Vec<Moment> {
        self.counts(now, 0, 0)
    }

    /// A tick that brings so many good and bad calls.
    pub(crate) fn counts(&mut self, now: Moment, successes: u64, failures: u32) -> Vec<Moment> {
        let mut observed = Observed {
            calls: successes + u64::from(failures),
            successes,
            breaker: self.view,
            ..Observed::default()
        };
        observed.failures[FailureKind::Connect as usize] = failures;
        let observed = vec![(self.endpoint, observed)];
        self.tell(now, Input::Tick { observed })
    }

    pub(crate) fn wants(&mut self, now: Moment) -> Vec<Moment> {
        let endpoint = self.endpoint;
        self.tell(now, Input::ProbeNow { endpoint })
    }

    pub(crate) fn ends(
        &mut self,
        started: Moment,
        now: Moment,
        result: ProbeResult,
    ) -> Vec<Moment> {
        self.asked = self.asked.filter(|asked| *asked != started);
        let endpoint = self.endpoint;
        let ended = Input::Probe {
            endpoint,
            started,
            result,
        };
        self.tell(now, ended)
    }

    pub(crate) fn passes(&mut self, started: Moment, now: Moment) -> Vec<Moment> {
        let latency = now.saturating_since(started);
        self.ends(started, now, ProbeResult::Passed { latency })
    }

    pub(crate) fn fails(&mut self, started: Moment, now: Moment) -> Vec<Moment> {
        let (kind, latency) = (FailureKind::Connect, now.saturating_since(started));
        self.ends(started, now, ProbeResult::Failed { kind, latency })
    }

    /// The probe that was asked for, or is now, ends at this moment.
    pub(crate) fn probe(&mut self, now: Moment, passes: bool) {
        if self.asked.is_none() {
            self.wants(now);
        }
        let started = self.asked.filter(|asked| *asked <= now);
        let started = started.expect("it has begun");
        if passes {
            self.passes(started, now);
        } else {
            self.fails(started, now);
        }
    }

    /// Its breaker moves, and the controller is told.
    pub(crate) fn moves(&mut self, now: Moment, to: State, retry_at: Option<Moment>) {
        let transition = self.moves_unheard(now, to, retry_at);
        let endpoint = self.endpoint;
        let moved = Input::Transition {
            endpoint,
            transition,
        };
        self.tell(now, moved);
    }

    /// Its breaker moves: the next tick shows it.
    pub(crate) fn moves_unheard(
        &mut self,
        now: Moment,
        to: State,
        retry_at: Option<Moment>,
    ) -> Transition {
        let from = self.view.state;
        self.view.generation += 1;
        self.view.state = to;
        self.view.retry_at = retry_at;
        self.view.opened_at = (to != State::Closed).then(|| self.view.opened_at.unwrap_or(now));
        Transition {
            from,
            to,
            at: now,
            generation: self.view.generation,
            rule: Some(Rule::Rate),
            kind: Some(FailureKind::Connect),
            retry_at,
        }
    }

    /// Its dependency as it stands after the last input.
    pub(crate) fn component(&self) -> Component {
        let dependency = self.controller.rules().endpoint(self.endpoint).dependency;
        let snapshot = self.controller.snapshot(at(START));
        snapshot.component(dependency).clone()
    }

    pub(crate) fn next(&self) -> Option<Moment> {
        let snapshot = self.controller.snapshot(at(START));
        snapshot.endpoint(self.endpoint).next_probe_at
    }

    pub(crate) fn trips(&self) -> bool {
        let trip = |effect: &Effect| matches!(effect, Effect::Trip { .. });
        self.effects.iter().any(trip)
    }

    pub(crate) fn enters_early(&self) -> bool {
        let enter = |effect: &Effect| matches!(effect, Effect::HalfOpenEarly { .. });
        self.effects.iter().any(enter)
    }
}
