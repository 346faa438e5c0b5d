//! The world: a virtual clock over a queue of what is to happen, and the real controller and breakers in it.
//!
//! How endpoints, probes and the controller are joined follows the runtime's monitor, guard and probes. Calls aren't
//! retried: a retry is a call of its own, and traffic can be made as dense as wanted.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use mainstay_breaker::{Moment, Rule, Snapshot as BreakerSnapshot, State, Ticket, Transition};
use mainstay_degradation::{Controller, EndpointId, Input, OutageHistory, Rules, Snapshot};

use crate::call::Call;
use crate::checks::Inspector;
use crate::condition::{Answer, Condition, Health};
use crate::endpoint::Endpoint;
use crate::facts::{Book, Fact};
use crate::figures::Figures;
use crate::operator::Ends;
use crate::random::Random;
use crate::recorder::Recorder;
use crate::report::{BreakerChange, Record, Report, time_at};
use crate::scenario::{Order, Scenario, Traffic};

/// Where a world's clock begins: far enough from zero for everything that looks back.
pub(crate) const START: Moment = Moment::from_nanos(1_000_000_000_000);

/// What is to happen at a moment.
#[derive(Debug)]
pub(crate) enum Happening {
    Phase {
        endpoint: usize,
        condition: Condition,
    },
    Order(Order),
    Sign(Fact),
    Tick,
    Burst {
        stream: usize,
    },
    SlowMark {
        call: u64,
    },
    CallEnds {
        call: u64,
    },
    NoPlaceCame {
        call: u64,
    },
    ProbeBegins {
        endpoint: usize,
    },
    ProbeEnds(RunningProbe),
}

#[derive(Debug)]
pub(crate) struct RunningProbe {
    pub(crate) endpoint: usize,
    pub(crate) started: Moment,
    pub(crate) answer: Answer,
    pub(crate) ticket: Option<(u64, Ticket)>,
}

/// A scenario can't be played.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScenarioError(pub String);

impl std::fmt::Display for ScenarioError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for ScenarioError {}

/// A world that plays a scenario. The same scenario and seed give the same trace, byte for byte.
#[derive(Debug)]
pub struct World {
    pub(crate) now: Moment,
    pub(crate) rules: Rules,
    pub(crate) controller: Controller,
    /// Fed with the same inputs: must decide the same.
    pub(crate) twin: Controller,
    pub(crate) endpoints: Vec<Endpoint>,
    pub(crate) traffic: Vec<(usize, Traffic)>,
    pub(crate) calls: BTreeMap<u64, Call>,
    pub(crate) queue: BTreeMap<(Moment, u64), Happening>,
    pub(crate) pending: VecDeque<Input>,
    pub(crate) ends: Ends,
    pub(crate) random: Random,
    pub(crate) number: u64,
    pub(crate) request_deadline: Duration,
    pub(crate) record: Record,
    pub(crate) inspector: Inspector,
    pub(crate) shown: String,
    pub(crate) recorder: Option<Recorder>,
    pub(crate) facts: Book,
}

impl World {
    /// A world at its start.
    ///
    /// # Errors
    /// When the settings or figures make no sense or the scenario names an endpoint or feature that isn't there.
    pub fn new(scenario: Scenario, seed: u64) -> Result<Self, ScenarioError> {
        let rules = scenario.settings.clone().validate().map_err(|errors| {
            let all: Vec<String> = errors.iter().map(ToString::to_string).collect();
            ScenarioError(all.join("; "))
        })?;
        let mut random = Random::new(seed);
        let endpoints = rules
            .endpoints()
            .map(|(_, rule)| {
                let figures = scenario.figures.get(&rule.name).copied();
                let figures = figures.unwrap_or_else(|| Figures::of(&rule.name));
                Endpoint::new(&rule.name, figures, random.next())
            })
            .collect::<Result<Vec<_>, _>>()
            .map_err(|error| ScenarioError(error.to_string()))?;
        let figures = endpoints.iter().map(|one| one.figures).collect();
        let mut world = Self {
            now: START,
            controller: Controller::new(rules.clone(), START),
            twin: Controller::new(rules.clone(), START),
            request_deadline: rules
                .tuning(mainstay_degradation::Level::Emergency)
                .request_deadline,
            inspector: Inspector::new(rules.clone(), figures, START),
            rules,
            endpoints,
            traffic: Vec::new(),
            calls: BTreeMap::new(),
            queue: BTreeMap::new(),
            pending: VecDeque::new(),
            ends: Ends::default(),
            random,
            number: 0,
            record: Record::default(),
            shown: String::new(),
            recorder: None,
            facts: Book::default(),
        };
        world.facts = Book::new(world.rules.dependencies().count());
        world.schedule_all(scenario)?;
        Ok(world)
    }

    fn schedule_all(&mut self, scenario: Scenario) -> Result<(), ScenarioError> {
        for phase in scenario.phases {
            let endpoint = self.index(&phase.endpoint)?;
            let condition = phase.condition;
            self.at(
                START + phase.at,
                Happening::Phase {
                    endpoint,
                    condition,
                },
            );
        }
        for order in scenario.orders {
            self.check(&order)?;
            self.at(START + order.at, Happening::Order(order));
        }
        for sign in scenario.signs {
            self.subject(&sign.fact)?;
            self.at(START + sign.at, Happening::Sign(sign.fact));
        }
        if scenario.history != OutageHistory::default() {
            self.pending.push_back(Input::History(scenario.history));
        }
        self.at(START, Happening::Tick);
        for traffic in scenario.traffic {
            let (endpoint, stream) = (self.index(&traffic.endpoint)?, self.traffic.len());
            self.at(START + traffic.from, Happening::Burst { stream });
            self.traffic.push((endpoint, traffic));
        }
        Ok(())
    }

    pub(crate) fn index(&self, endpoint: &str) -> Result<usize, ScenarioError> {
        let found = self.rules.endpoint_id(endpoint).map(EndpointId::index);
        found.ok_or_else(|| {
            let all = self.rules.endpoints().map(|(_, rule)| rule.name.as_str());
            let all: Vec<_> = all.collect();
            let all = all.join(", ");
            ScenarioError(format!("there is no endpoint {endpoint}: there are {all}"))
        })
    }

    pub(crate) fn at(&mut self, at: Moment, happening: Happening) {
        self.number += 1;
        self.queue
            .insert((at.max(self.now), self.number), happening);
    }

    /// Plays until this long after the start, and reports on everything since the start.
    pub fn run(&mut self, until: Duration) -> Report {
        let end = START + until;
        while let Some(entry) = self.queue.first_entry() {
            if entry.key().0 > end {
                break;
            }
            let ((now, _), happening) = entry.remove_entry();
            self.now = now;
            self.happen(happening);
            self.decide();
        }
        self.now = end.max(self.now);
        Report {
            trace: self.record.trace.clone(),
            time_at: time_at(&self.record.level_changes, until),
            level_changes: self.record.level_changes.clone(),
            breaker_changes: self.record.breaker_changes.clone(),
            outages: self.record.outages.clone(),
            calls: self.record.calls,
            violations: self.inspector.violations().to_vec(),
        }
    }

    /// Everything the controller has decided by now.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.controller.snapshot(self.now)
    }

    /// An endpoint's breaker; `None`: there is no such endpoint.
    #[must_use]
    pub fn breaker(&self, endpoint: &str) -> Option<BreakerSnapshot> {
        let endpoint = self.endpoints.iter().find(|one| one.name == endpoint)?;
        Some(endpoint.breaker.snapshot(self.now))
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Phase {
                endpoint,
                condition,
            } => self.enter(endpoint, condition),
            Happening::Order(order) => self.obey(&order),
            Happening::Sign(fact) => self.sign(&fact),
            Happening::Tick => self.tick(),
            Happening::Burst { stream } => self.burst(stream),
            Happening::SlowMark { call } => self.mark_slow(call),
            Happening::CallEnds { call } => self.end_call(call),
            Happening::NoPlaceCame { call } => self.give_up_waiting(call),
            Happening::ProbeBegins { endpoint } => self.begin_probe(endpoint),
            Happening::ProbeEnds(probe) => self.end_probe(probe),
        }
    }

    fn enter(&mut self, index: usize, condition: Condition) {
        let at = self.now.saturating_since(START);
        let endpoint = &mut self.endpoints[index];
        endpoint.condition = condition;
        let name = &endpoint.name;
        match condition.health() {
            Health::Ill => self.record.ill(at, name),
            Health::Well | Health::Uncertain => self.record.no_longer_ill(at, name),
        }
        self.record
            .trace
            .line(at, format_args!("{name} {}", condition.as_str()));
        self.inspector
            .condition(self.now, index, condition.health());
    }

    /// Passes a breaker's change on to the controller, and to those who wait for a place.
    pub(crate) fn tell(&mut self, index: usize, transition: Option<Transition>) {
        let Some(transition) = transition else { return };
        let change = BreakerChange {
            at: self.now.saturating_since(START),
            endpoint: self.endpoints[index].name.clone(),
            from: transition.from,
            to: transition.to,
            rule: transition.rule,
        };
        let rule = change.rule.map_or("", Rule::as_str);
        self.record.trace.line(
            change.at,
            format_args!("{} {}>{} {rule}", change.endpoint, change.from, change.to),
        );
        self.record.breaker(change);
        self.inspector.transition(self.now, index, &transition);
        self.pending.push_back(Input::Transition {
            endpoint: id(index),
            transition,
        });
        if transition.to == State::Open {
            self.turn_away_waiting(index);
        }
    }
}

/// Rules hold at most 65,535 endpoints.
pub(crate) fn id(index: usize) -> EndpointId {
    EndpointId(u16::try_from(index).unwrap_or(u16::MAX))
}
