//! A small world around a controller: real breakers, endpoints that work, refuse or hang, and a clock that is a number.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, FailureKind, Outcome, Rule, Settings as BreakerSettings, State, Transition,
};
use mainstay_degradation::{
    Alert, Command, Component, Controller, Effect, EndpointId, EndpointView, Event, FeatureState,
    Input, Level, Moment, Observed, ProbeResult, Retuning, Rules, Settings, Snapshot,
};

/// What an endpoint does when it is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Works,
    Refuses,
    Hangs,
    /// Probes pass and calls fail.
    OnlyProbesPass,
}

/// When a probe ends, which number it has, whose it is, when it began.
type Ending = (Moment, u64);

pub(crate) struct World {
    pub(crate) controller: Controller,
    pub(crate) now: Moment,
    pub(crate) breakers: Vec<Breaker>,
    pub(crate) behaviours: Vec<Behaviour>,
    pub(crate) events: Vec<(Moment, Event)>,
    pub(crate) alerts: Vec<(Moment, Alert)>,
    pub(crate) snapshot: Option<Snapshot>,
    pub(crate) retuning: Option<Retuning>,
    pub(crate) drain: Option<f64>,
    /// Everything the controller was told, and what it answered.
    pub(crate) log: Vec<(Moment, Input, Vec<Effect>)>,
    pub(crate) probes: Vec<(Moment, EndpointId)>,
    observed: Vec<Observed>,
    asked: BTreeMap<Ending, EndpointId>,
    running: BTreeMap<Ending, (EndpointId, Moment)>,
    next_tick: Moment,
    number: u64,
}

pub(crate) const SECOND: Duration = Duration::from_secs(1);

pub(crate) fn at(millis: u64) -> Moment {
    Moment::default() + Duration::from_millis(millis)
}

impl World {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::with(settings.validate().unwrap(), Behaviour::Works)
    }

    pub(crate) fn with(rules: Rules, behaviour: Behaviour) -> Self {
        let count = rules.endpoints().count();
        let now = at(1_000_000);
        Self {
            breakers: rules
                .endpoints()
                .map(|(_, rule)| breaker(&rule.name))
                .collect(),
            controller: Controller::new(rules, now),
            now,
            behaviours: vec![behaviour; count],
            events: Vec::new(),
            alerts: Vec::new(),
            snapshot: None,
            retuning: None,
            drain: None,
            log: Vec::new(),
            probes: Vec::new(),
            observed: vec![Observed::default(); count],
            asked: BTreeMap::new(),
            running: BTreeMap::new(),
            next_tick: now,
            number: 0,
        }
    }

    /// A standard world in which everything works, some seconds after its start.
    pub(crate) fn healthy() -> Self {
        let mut world = Self::new(Settings::standard());
        world.run(Duration::from_secs(2));
        assert_eq!(world.snapshot().level, Level::Optimal);
        world.events.clear();
        world
    }

    pub(crate) fn endpoint(&self, name: &str) -> EndpointId {
        self.controller.rules().endpoint_id(name).unwrap()
    }

    pub(crate) fn behave(&mut self, name: &str, behaviour: Behaviour) {
        let id = self.endpoint(name);
        self.behaviours[id.index()] = behaviour;
    }

    pub(crate) fn breaker(&self, name: &str) -> &Breaker {
        &self.breakers[self.endpoint(name).index()]
    }

    pub(crate) fn snapshot(&self) -> &Snapshot {
        self.snapshot.as_ref().unwrap()
    }

    pub(crate) fn component(&self, name: &str) -> &Component {
        let id = self.controller.rules().dependency_id(name).unwrap();
        self.snapshot().component(id)
    }

    pub(crate) fn feature(&self, name: &str) -> &FeatureState {
        let id = self.controller.rules().feature_id(name).unwrap();
        self.snapshot().feature(id)
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.tell(Input::Command(command));
    }

    /// One call of a user, at once; its latency is made up.
    pub(crate) fn call(&mut self, name: &str) {
        let id = self.endpoint(name);
        let mainstay_breaker::Admission {
            result,
            transition: entered,
        } = self.breakers[id.index()].admit(self.now);
        let settled = result.ok().map(|permit| {
            let works = self.behaviours[id.index()] == Behaviour::Works;
            let outcome = if works {
                Outcome::Success
            } else {
                Outcome::Failure(FailureKind::Connect)
            };
            let observed = &mut self.observed[id.index()];
            observed.calls += 1;
            if works {
                observed.successes += 1;
                observed.latency.record(Duration::from_millis(2));
            } else {
                observed.failures[FailureKind::Connect as usize] += 1;
            }
            permit.settle(outcome, false, self.now)
        });
        self.transition(id, entered);
        self.transition(id, settled.flatten());
    }

    pub(crate) fn calls(&mut self, name: &str, count: usize) {
        (0..count).for_each(|_| self.call(name));
    }

    /// What calls outside of the breaker's view would have shown.
    pub(crate) fn observe(&mut self, name: &str, change: impl FnOnce(&mut Observed)) {
        let id = self.endpoint(name);
        change(&mut self.observed[id.index()]);
    }

    pub(crate) fn transition(&mut self, endpoint: EndpointId, transition: Option<Transition>) {
        if let Some(transition) = transition {
            self.tell(Input::Transition {
                endpoint,
                transition,
            });
        }
    }

    pub(crate) fn run(&mut self, span: Duration) {
        self.run_until(self.now + span);
    }

    pub(crate) fn run_until(&mut self, end: Moment) {
        while let Some(next) = self.next(end) {
            self.now = next;
            if self
                .asked
                .first_key_value()
                .is_some_and(|(key, _)| key.0 <= next)
            {
                self.begin_probe();
            } else if self
                .running
                .first_key_value()
                .is_some_and(|(key, _)| key.0 <= next)
            {
                self.end_probe();
            } else {
                self.next_tick = next + SECOND;
                self.tick();
            }
        }
        self.now = end;
    }

    /// Runs until the level is this one, and says how long that took.
    pub(crate) fn run_until_level(&mut self, level: Level, patience: Duration) -> Duration {
        let started = self.now;
        while self.snapshot().level != level {
            let waited = self.now.saturating_since(started);
            assert!(
                waited < patience,
                "{level} not reached: {:#?}",
                self.snapshot().next_up
            );
            self.run(Duration::from_millis(100));
        }
        self.now.saturating_since(started)
    }

    /// The changes of level, with the moments in seconds since `since`.
    pub(crate) fn levels(&self, since: Moment) -> Vec<(f64, Level, Level)> {
        let change = |(at, event): &(Moment, Event)| match event {
            Event::LevelChanged { from, to, .. } => {
                Some((at.saturating_since(since).as_secs_f64(), *from, *to))
            }
            _ => None,
        };
        self.events.iter().filter_map(change).collect()
    }

    pub(crate) fn probes_of(&self, name: &str, since: Moment) -> Vec<f64> {
        let id = self.endpoint(name);
        let mine = self
            .probes
            .iter()
            .filter(|(at, whose)| *whose == id && *at >= since);
        mine.map(|(at, _)| at.saturating_since(since).as_secs_f64())
            .collect()
    }

    fn next(&self, end: Moment) -> Option<Moment> {
        let asked = self.asked.first_key_value().map(|(key, _)| key.0);
        let running = self.running.first_key_value().map(|(key, _)| key.0);
        let next = [asked, running, Some(self.next_tick)]
            .into_iter()
            .flatten()
            .min()?;
        (next < end).then_some(next.max(self.now))
    }

    fn tick(&mut self) {
        let mut observed = Vec::new();
        for (index, breaker) in self.breakers.iter().enumerate() {
            let mut one = std::mem::take(&mut self.observed[index]);
            one.breaker = EndpointView::from(&breaker.snapshot(self.now));
            observed.push((EndpointId(index as u16), one));
        }
        self.tell(Input::Tick { observed });
    }

    fn begin_probe(&mut self) {
        let (_, id) = self.asked.pop_first().unwrap();
        self.probes.push((self.now, id));
        let takes = match self.behaviours[id.index()] {
            Behaviour::Works | Behaviour::OnlyProbesPass => Duration::from_millis(3),
            Behaviour::Refuses => Duration::from_millis(1),
            Behaviour::Hangs => {
                let dependency = self.controller.rules().endpoint(id).dependency;
                self.controller
                    .rules()
                    .dependency(dependency)
                    .probes
                    .deadline
            }
        };
        self.number += 1;
        self.running
            .insert((self.now + takes, self.number), (id, self.now));
    }

    /// As the runtime does it: a half-open breaker grants the probe a place, and gets its verdict.
    fn end_probe(&mut self) {
        let (_, (endpoint, started)) = self.running.pop_first().unwrap();
        let latency = self.now.saturating_since(started);
        let (outcome, result) = match self.behaviours[endpoint.index()] {
            Behaviour::Works | Behaviour::OnlyProbesPass => {
                (Outcome::Success, ProbeResult::Passed { latency })
            }
            Behaviour::Refuses => failed(FailureKind::Connect, latency),
            Behaviour::Hangs => failed(FailureKind::Timeout, latency),
        };
        let breaker = &self.breakers[endpoint.index()];
        let view = breaker.snapshot(self.now);
        let (mut entered, mut settled) = (None, None);
        if view.state == State::HalfOpen || view.ready_for_half_open {
            let admission = breaker.admit(self.now);
            entered = admission.transition;
            settled = admission
                .result
                .ok()
                .and_then(|permit| permit.settle(outcome, false, self.now));
        }
        self.transition(endpoint, entered);
        self.transition(endpoint, settled);
        self.tell(Input::Probe {
            endpoint,
            started,
            result,
        });
    }

    pub(crate) fn tell(&mut self, input: Input) {
        let mut effects = Vec::new();
        self.controller
            .handle(self.now, input.clone(), &mut effects);
        self.log.push((self.now, input, effects.clone()));
        for effect in effects {
            self.carry_out(effect);
        }
    }

    fn carry_out(&mut self, effect: Effect) {
        let now = self.now;
        match effect {
            Effect::Probe { endpoint, at } => {
                self.number += 1;
                self.asked.insert((at, self.number), endpoint);
            }
            Effect::Trip { endpoint, kind } => {
                let transition = self.breakers[endpoint.index()].trip(Rule::Probes, kind, now);
                self.transition(endpoint, transition);
            }
            Effect::HalfOpenEarly { endpoint } => {
                let transition = self.breakers[endpoint.index()].half_open_early(now);
                self.transition(endpoint, transition);
            }
            Effect::Retune(retuning) => self.retuning = Some(*retuning),
            Effect::Publish(snapshot) => {
                check(&snapshot, self.controller.rules());
                self.snapshot = Some(*snapshot);
            }
            Effect::Record(event) => self.events.push((now, event)),
            Effect::Drain { share } => self.drain = Some(share),
            Effect::Alert(alert) => self.alerts.push((now, alert)),
        }
    }
}

fn failed(kind: FailureKind, latency: Duration) -> (Outcome, ProbeResult) {
    (
        Outcome::Failure(kind),
        ProbeResult::Failed { kind, latency },
    )
}

/// What holds for every snapshot (invariant 5).
fn check(snapshot: &Snapshot, rules: &Rules) {
    let band = mainstay_degradation::level::band(&rules.settings().level, snapshot.score);
    assert_eq!(snapshot.target, band, "the target is the band of the score");
    assert!(
        snapshot.level == snapshot.target || snapshot.held_by.is_some(),
        "{} is not {} and nothing holds it",
        snapshot.level,
        snapshot.target
    );
}

fn breaker(name: &str) -> Breaker {
    let (fail_max, reset, probes) = match name.split('/').next().unwrap() {
        "database" => (3, 30, 1),
        "openai" => (5, 60, 2),
        "redis" => (5, 20, 2),
        _ => (5, 30, 2),
    };
    let settings = BreakerSettings {
        consecutive: std::num::NonZeroU32::new(fail_max),
        reset_timeout: Duration::from_secs(reset),
        half_open: mainstay_breaker::HalfOpen {
            probes,
            successes: probes,
            lease: Duration::from_secs(6),
        },
        ..BreakerSettings::default()
    };
    Breaker::new(settings, 7).unwrap()
}
