//! The one place where everything is decided: what was observed goes in, what has to be done comes out.

mod alerts;
mod commands;
mod component;
mod endpoint;
mod evaluate;
mod inputs;
mod outage;
mod publish;
mod reload;
mod sound;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Transition};
use serde::{Deserialize, Serialize};

use crate::cascade::patterns::PatternLog;
use crate::events::{Alert, Event};
use crate::facts::Facts;
use crate::features::{FeatureMode, Knob};
use crate::health::{Histogram, MachineChange};
use crate::level::{Ladder, Level};
use crate::random::SplitMix64;
use crate::recovery::OutageHistory;
use crate::settings::{DependencyId, EndpointId, FeatureId, Rules, Tuning};
use crate::snapshot::{Cause, EndpointView, Snapshot};
use alerts::Alerts;
use component::Unit;
use endpoint::Endpoint;

/// What the controller is told.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Input {
    /// A second has passed.
    Tick {
        /// What was observed since the last one; endpoints without news may be left out.
        observed: Vec<(EndpointId, Observed)>,
    },
    /// A breaker changed its state.
    Transition {
        /// Whose.
        endpoint: EndpointId,
        /// How.
        transition: Transition,
    },
    /// A probe has ended.
    Probe {
        /// Whose.
        endpoint: EndpointId,
        /// When it began.
        started: Moment,
        /// What it found.
        result: ProbeResult,
    },
    /// Somebody wants an endpoint's verdict at once.
    ProbeNow {
        /// Whose.
        endpoint: EndpointId,
    },
    /// What the runtime sees besides calls and probes. Expected about once a second to once a minute: what it has
    /// to tell is told, or taken back, when it arrives.
    Facts(Facts),
    /// The outages that an earlier run remembered, see [`Controller::outages`]. Expected once, at the start.
    History(OutageHistory),
    /// An operator wants something.
    Command(Command),
    /// New settings; what has the same name keeps its state.
    Settings(Box<Rules>),
}

/// What was observed of an endpoint since the last tick.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// Calls that were settled, neutral ones included.
    pub calls: u64,
    /// Of these, successes.
    pub successes: u64,
    /// Of these, failures, by [`FailureKind`] in the order of its discriminants.
    pub failures: [u32; 7],
    /// Of these, slow ones.
    pub slow: u64,
    /// How long they took.
    pub latency: Histogram,
    /// Its breaker as it is now.
    pub breaker: EndpointView,
}

/// What a probe found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProbeResult {
    /// It works.
    Passed {
        /// How long the probe took.
        latency: Duration,
    },
    /// It doesn't.
    Failed {
        /// Why.
        kind: FailureKind,
        /// How long the probe took.
        latency: Duration,
    },
    /// It could find nothing out: no half-open place was free for it, or we ourselves were in its way.
    Nothing,
}

/// What an operator wants. Who and why stay with whoever passes it on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Command {
    /// Set the level, and nothing else.
    Pin {
        /// To this.
        level: Level,
        /// Until then; `None`: until taken back.
        until: Option<Moment>,
    },
    /// Let the level follow the target again.
    Unpin,
    /// Set a feature.
    Knob {
        /// Which.
        feature: FeatureId,
        /// To this.
        mode: FeatureMode,
        /// Until then; `None`: until taken back.
        until: Option<Moment>,
    },
    /// Let a feature follow the matrix again.
    Unknob {
        /// Which.
        feature: FeatureId,
    },
}

/// What has to be done.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Probe an endpoint.
    Probe {
        /// Which.
        endpoint: EndpointId,
        /// When to begin: now, or within a second or so.
        at: Moment,
    },
    /// Open its breaker with [`Rule::Probes`](mainstay_breaker::Rule::Probes).
    Trip {
        /// Whose.
        endpoint: EndpointId,
        /// What the last failed probe found.
        kind: FailureKind,
    },
    /// Let its breaker enter half-open before its open time is over.
    HalfOpenEarly {
        /// Whose.
        endpoint: EndpointId,
    },
    /// Apply other limits and tuning.
    Retune(Box<Retuning>),
    /// Show this to readers.
    Publish(Box<Snapshot>),
    /// Keep this.
    Record(Event),
    /// Drain journals at this share of their full rate.
    Drain {
        /// `0.0..=1.0`.
        share: f64,
    },
    /// Tell somebody.
    Alert(Alert),
}

/// What the level asks of calls, caches and limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Retuning {
    /// The level it is for.
    pub level: Level,
    /// What it asks of calls and caches.
    pub tuning: Tuning,
    /// Factor on the in-flight limit of each dependency, by [`DependencyId`], `0.0..=1.0`.
    pub limits: Vec<f64>,
}

impl Retuning {
    /// Factor on the in-flight limit of a dependency.
    #[must_use]
    pub fn limit(&self, id: DependencyId) -> f64 {
        self.limits.get(id.index()).copied().unwrap_or(1.0)
    }
}

/// Decides. Fed by one owner, one input at a time.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Controller {
    rules: Rules,
    started: Moment,
    first_round_over: bool,
    endpoints: Vec<Endpoint>,
    units: Vec<Unit>,
    ladder: Ladder,
    score: f64,
    down: u16,
    causes: Vec<Cause>,
    live: Vec<bool>,
    knobs: Vec<Knob>,
    alerts: Alerts,
    tuned: Option<(Level, Vec<f64>)>,
    effects_of_down: Vec<crate::cascade::Effect>,
    outages: OutageHistory,
    patterns: PatternLog,
    random: SplitMix64,
    seq: u64,
}

impl Controller {
    /// Knows nothing yet: level EMERGENCY until the first round of probes is over, which begins with the first
    /// input.
    #[must_use]
    pub fn new(rules: Rules, now: Moment) -> Self {
        let random = SplitMix64::new(rules.settings().seed);
        let endpoints = rules.endpoints().map(|(_, rule)| {
            let probed = rule.probed && !rules.is_absent(rule.dependency);
            Endpoint::new(now, probed)
        });
        let endpoints = endpoints.collect();
        let units = rules.dependencies().map(|_| Unit::default()).collect();
        let live = rules.dependencies().map(|_| false).collect();
        Self {
            rules,
            started: now,
            first_round_over: false,
            endpoints,
            units,
            ladder: Ladder::new(now),
            score: 0.0,
            down: 0,
            causes: Vec::new(),
            live,
            knobs: Vec::new(),
            alerts: Alerts::new(now),
            tuned: None,
            effects_of_down: Vec::new(),
            outages: OutageHistory::default(),
            patterns: PatternLog::default(),
            random,
            seq: 0,
        }
    }

    /// With this seed instead of the rules' own.
    #[must_use]
    pub fn with_seed(self, seed: u64) -> Self {
        Self {
            random: SplitMix64::new(seed),
            ..self
        }
    }

    /// The rules in force.
    #[must_use]
    pub const fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The last hundred changes of a component's health, oldest first.
    pub fn health_changes(&self, id: DependencyId) -> impl Iterator<Item = &MachineChange> {
        self.units[id.index()].history.changes()
    }

    /// Takes one input and appends what has to be done, in order.
    pub fn handle(&mut self, now: Moment, input: Input, effects: &mut Vec<Effect>) {
        match input {
            Input::Tick { observed } => self.tick(now, observed, effects),
            Input::Transition {
                endpoint,
                transition,
            } => self.transition(now, endpoint, &transition, effects),
            Input::Probe {
                endpoint,
                started,
                result,
            } => self.probe(now, endpoint, started, result, effects),
            Input::ProbeNow { endpoint } => self.probe_now(now, endpoint, effects),
            Input::Facts(facts) => self.raise_fact_alerts(&facts, effects),
            Input::History(history) => self.remember(now, history, effects),
            Input::Command(command) => self.command(now, command, effects),
            Input::Settings(rules) => self.reload(now, *rules, effects),
        }
    }
}
