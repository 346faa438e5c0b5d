//! What is to happen in a world: what fails and when, who calls, what operators do.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::Mode;
use mainstay_degradation::{FeatureMode, Level, OutageHistory, Settings};

use crate::condition::Condition;
use crate::facts::Sign;
use crate::figures::Figures;

/// A world's script. Times count from its start.
#[derive(Debug, Clone, PartialEq)]
pub struct Scenario {
    /// What the controller is told.
    pub settings: Settings,
    /// The deployment's numbers, by endpoint; those of whoever isn't named are [`Figures::of`] it.
    pub figures: BTreeMap<String, Figures>,
    /// Changes of endpoints' conditions; of two at the same time the later one in the list counts.
    pub phases: Vec<Phase>,
    /// Who calls.
    pub traffic: Vec<Traffic>,
    /// What operators do.
    pub orders: Vec<Order>,
    /// What happens to fallbacks and to the journal.
    pub signs: Vec<Sign>,
    /// The outages that an earlier process remembered.
    pub history: OutageHistory,
}

/// From `at` on, `endpoint` is in this condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Phase {
    /// When.
    pub at: Duration,
    /// Whose.
    pub endpoint: String,
    /// What.
    pub condition: Condition,
}

/// Calls of one caller to one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traffic {
    /// Whom it calls.
    pub endpoint: String,
    /// Who calls.
    pub caller: u64,
    /// The first burst comes then.
    pub from: Duration,
    /// No burst comes after.
    pub until: Duration,
    /// Time between bursts, drawn from half to one and a half of it.
    pub every: Duration,
    /// Calls at once.
    pub burst: u32,
    /// The caller walks away after this; `None`: it waits.
    pub patience: Option<Duration>,
}

/// What an operator does.
#[derive(Debug, Clone, PartialEq)]
pub struct Order {
    /// When.
    pub at: Duration,
    /// What.
    pub action: Action,
    /// It ends by itself after this; `None`: it stays.
    pub lasts: Option<Duration>,
}

/// Something an operator can do.
#[derive(Debug, Clone, PartialEq)]
pub enum Action {
    /// Put a breaker in this mode.
    Mode {
        /// Whose.
        endpoint: String,
        /// Which.
        mode: Mode,
    },
    /// Close a breaker and forget its failures.
    Reset {
        /// Whose.
        endpoint: String,
    },
    /// Set the level.
    Pin(Level),
    /// Let the level follow again.
    Unpin,
    /// Set a feature.
    Knob {
        /// Which.
        feature: String,
        /// To this; `None`: it follows the matrix again.
        mode: Option<FeatureMode>,
    },
    /// Have the configuration read anew, with the same dependencies, endpoints and features in it.
    Reload(Box<Reload>),
}

/// A configuration that is read anew.
#[derive(Debug, Clone, PartialEq)]
pub struct Reload {
    /// What the controller is told.
    pub settings: Settings,
    /// The numbers of the endpoints that have others now. How fast they are when well is nothing that can be configured.
    pub figures: BTreeMap<String, Figures>,
}

impl Scenario {
    /// The four standard dependencies, all well, without traffic.
    #[must_use]
    pub fn quiet() -> Self {
        Self {
            settings: Settings::standard(),
            figures: BTreeMap::new(),
            phases: Vec::new(),
            traffic: Vec::new(),
            orders: Vec::new(),
            signs: Vec::new(),
            history: OutageHistory::default(),
        }
    }

    /// From `from` to `until`, `endpoint` is in this condition, then well.
    #[must_use]
    pub fn outage(self, endpoint: &str, from: Duration, until: Duration, what: Condition) -> Self {
        self.phase(endpoint, from, what)
            .phase(endpoint, until, Condition::Well)
    }

    /// From `at` on, `endpoint` is in this condition.
    #[must_use]
    pub fn phase(mut self, endpoint: &str, at: Duration, condition: Condition) -> Self {
        self.phases.push(Phase {
            at,
            endpoint: endpoint.to_owned(),
            condition,
        });
        self
    }

    /// From `from` to `until` the condition comes and goes, half of each `period`; well after.
    #[must_use]
    pub fn square_wave(
        mut self,
        endpoint: &str,
        from: Duration,
        until: Duration,
        period: Duration,
        what: Condition,
    ) -> Self {
        let half = (period / 2).max(Duration::from_millis(1));
        let mut at = from;
        while at < until {
            self = self.outage(endpoint, at, (at + half).min(until), what);
            at += 2 * half;
        }
        self
    }

    /// A patient caller who calls `endpoint` once every so often, as long as the world runs.
    #[must_use]
    pub fn calls(mut self, endpoint: &str, caller: u64, every: Duration) -> Self {
        self.traffic.push(Traffic {
            endpoint: endpoint.to_owned(),
            caller,
            from: Duration::ZERO,
            until: Duration::MAX,
            every,
            burst: 1,
            patience: None,
        });
        self
    }

    /// An operator does something at `at`.
    #[must_use]
    pub fn order(mut self, at: Duration, action: Action, lasts: Option<Duration>) -> Self {
        self.orders.push(Order { at, action, lasts });
        self
    }
}
