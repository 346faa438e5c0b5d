//! What the controller publishes: one immutable view of everything it has decided, for readers without a lock.

use alloc::vec::Vec;
use core::ops::Range;
use core::time::Duration;

use mainstay_breaker::{FailureKind, LastFailure, Mode, Moment, Rule, State};
use serde::{Deserialize, Serialize};

use crate::cascade::patterns::Patterns;
use crate::events::Alert;
use crate::features::FeatureState;
use crate::health::{Machine, Trend};
use crate::level::{HeldBy, Level, Pin};
use crate::recovery::{Prediction, Recoveries};
use crate::settings::{DependencyId, EndpointId, FeatureId, Presence, Tuning};

/// Everything that was decided, at one moment. `target` is always the band of `score`; `level` differs from it only
/// with `held_by`.
#[derive(Debug, Clone, PartialEq)]
pub struct Snapshot {
    /// Grows by one with every publication.
    pub seq: u64,
    /// When it was made.
    pub at: Moment,
    /// Overall score, 0 to 100, capped by what is down.
    pub score: f64,
    /// The band of the score.
    pub target: Level,
    /// The level.
    pub level: Level,
    /// Since when.
    pub level_since: Moment,
    /// Why the level isn't the target, and whether an operator pinned it.
    pub held_by: Option<HeldBy>,
    /// The operator's hold.
    pub pin: Option<Pin>,
    /// By [`DependencyId`].
    pub components: Vec<Component>,
    /// By [`EndpointId`].
    pub endpoints: Vec<EndpointStatus>,
    /// By [`FeatureId`].
    pub features: Vec<FeatureState>,
    /// What the target is due to, worst first. Empty at target OPTIMAL.
    pub causes: Vec<Cause>,
    /// What must happen for the level above.
    pub next_up: NextUp,
    /// What the level asks of calls and caches.
    pub tuning: Tuning,
    /// Every endpoint has been heard of, or has had its second to answer.
    pub first_round_over: bool,
    /// What may go wrong next.
    pub warnings: Vec<Warning>,
    /// What the last failures have in common.
    pub patterns: Patterns,
    /// The alerts that were raised and are not over. A slow recovery is told once and never lasts.
    pub alerts: Vec<Alert>,
}

impl Snapshot {
    /// A dependency's component.
    ///
    /// # Panics
    /// When `id` comes from other rules and is out of range; so do the other lookups.
    #[must_use]
    pub fn component(&self, id: DependencyId) -> &Component {
        &self.components[id.index()]
    }

    /// A feature's state.
    #[must_use]
    pub fn feature(&self, id: FeatureId) -> &FeatureState {
        &self.features[id.index()]
    }

    /// An endpoint's status.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> &EndpointStatus {
        &self.endpoints[id.index()]
    }

    /// The endpoints of a dependency.
    #[must_use]
    pub fn endpoints_of(&self, id: DependencyId) -> &[EndpointStatus] {
        let range = &self.component(id).endpoints;
        &self.endpoints[usize::from(range.start)..usize::from(range.end)]
    }
}

/// How a dependency is, in one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Status {
    /// As it should be.
    Healthy,
    /// Working, not as it should.
    Degraded,
    /// No endpoint can do its main work.
    Down,
    /// Not observed yet.
    Unknown,
    /// Not configured.
    Absent,
}

impl Status {
    /// The word for replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Down => "down",
            Self::Unknown => "unknown",
            Self::Absent => "absent",
        }
    }
}

/// One dependency.
#[derive(Debug, Clone, PartialEq)]
pub struct Component {
    /// Which.
    pub id: DependencyId,
    /// Whether it is there.
    pub presence: Presence,
    /// It has been observed.
    pub known: bool,
    /// How it is, in one word.
    pub status: Status,
    /// The state machine over its score.
    pub state: Machine,
    /// Its own score, 0 to 100; 0 while unknown or absent.
    pub score: f64,
    /// The score less what others being down does to it. Warns, never enters the overall score.
    pub effective_score: f64,
    /// Where the score is going.
    pub trend: Trend,
    /// State of the best endpoint that can do its main work.
    pub breaker: State,
    /// Its endpoints, as indices into [`Snapshot::endpoints`].
    pub endpoints: Range<u16>,
    /// Since when it is down.
    pub down_since: Option<Moment>,
    /// When it will be back; `None`: it is not down, or that can't be told.
    pub prediction: Option<Prediction>,
    /// How it recovered from earlier outages; `None` without any.
    pub recoveries: Option<Recoveries>,
    /// The rule that opened its breaker.
    pub opened_by: Option<Rule>,
    /// Share of calls and probes that succeeded, `0.0..=1.0`; 1 without any.
    pub success_rate: f64,
    /// 95th percentile of their latency.
    pub p95: Option<Duration>,
    /// Share of probes that passed, in percent.
    pub availability: f64,
    /// The target is due to it.
    pub is_live_cause: bool,
    /// Factor on its in-flight limit: the level's, if it is a live cause, less its cascade impact.
    pub limit_factor: f64,
}

/// One endpoint.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct EndpointStatus {
    /// Which.
    pub id: EndpointId,
    /// It has been observed.
    pub known: bool,
    /// Its breaker lets calls pass, and it has answered at least once if it has been observed.
    pub usable: bool,
    /// Its breaker.
    pub view: EndpointView,
    /// Share of its calls and probes that succeeded, `0.0..=1.0`; 1 without any.
    pub success_rate: f64,
    /// When its next probe starts; `None`: it has no probe.
    pub next_probe_at: Option<Moment>,
}

/// What the controller knows of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct EndpointView {
    /// State as exported.
    pub state: State,
    /// The operator's mode.
    pub mode: Mode,
    /// Counts its transitions.
    pub generation: u64,
    /// Failures since the last success.
    pub failures_in_row: u32,
    /// Failures in a row that open it; `None`: that rule is off.
    pub fail_max: Option<u32>,
    /// Since when it is open.
    pub opened_at: Option<Moment>,
    /// The rule that opened it.
    pub opened_by: Option<Rule>,
    /// End of its open time.
    pub retry_at: Option<Moment>,
    /// Until when the server asked us to stay away.
    pub hint_until: Option<Moment>,
    /// Re-openings in a row.
    pub reopenings: u32,
    /// The last failure of a call or a probe.
    pub last_failure: Option<LastFailure>,
}

impl EndpointView {
    /// Calls pass: it is closed, or its breaker only reports.
    #[must_use]
    pub fn is_usable(&self) -> bool {
        self.acting() == State::Closed
    }

    /// The state that calls meet.
    pub(crate) fn acting(&self) -> State {
        match self.mode {
            Mode::Shadow => State::Closed,
            Mode::Auto | Mode::ForcedOpen | Mode::Disabled => self.state,
        }
    }
}

impl From<&mainstay_breaker::Snapshot> for EndpointView {
    fn from(breaker: &mainstay_breaker::Snapshot) -> Self {
        Self {
            state: breaker.state,
            mode: breaker.mode,
            generation: breaker.generation,
            failures_in_row: breaker.failures_in_row,
            fail_max: breaker.fail_max,
            opened_at: breaker.opened_at,
            opened_by: breaker.opened_by,
            retry_at: breaker.retry_at,
            hint_until: breaker.hint_until,
            reopenings: breaker.reopenings,
            last_failure: breaker.last_failure,
        }
    }
}

/// A dependency that the target is due to.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Cause {
    /// Which.
    pub dependency: DependencyId,
    /// What is wrong with it.
    pub kind: CauseKind,
    /// The level that it alone would force.
    pub forces: Level,
}

/// What is wrong with a dependency.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum CauseKind {
    /// Its breaker is open, or half-open and not closed yet.
    Down {
        /// Since when.
        since: Moment,
        /// The rule that opened it.
        rule: Option<Rule>,
        /// The failure that came last.
        failure: Option<FailureKind>,
    },
    /// It has not answered once since the start.
    NeverAnswered {
        /// The start.
        since: Moment,
        /// What its probe found; `None`: no answer yet.
        failure: Option<FailureKind>,
    },
    /// It works, and its score pulls the mean down.
    Unwell {
        /// Its score.
        score: f64,
    },
}

/// What must happen for the level above.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct NextUp {
    /// The level above; `None` at OPTIMAL.
    pub level: Option<Level>,
    /// All that must happen; empty when it comes with the next evaluation.
    pub needs: Vec<Need>,
}

/// One thing that must happen for the level above.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Need {
    /// The first round of probes is over.
    FirstRound,
    /// The pin ends.
    Unpin {
        /// When it ends; `None`: when it is taken back.
        until: Option<Moment>,
    },
    /// This dependency comes back.
    Back(DependencyId),
    /// It works, once its open breaker lets a call through again.
    Retried {
        /// Which.
        dependency: DependencyId,
        /// When its breaker does at the latest.
        by: Moment,
    },
    /// An operator lets go of its breaker, which they hold open.
    Released(DependencyId),
    /// All but one of the dependencies that are down come back.
    Fewer {
        /// How many may be down then.
        at_most: u16,
        /// How many are.
        down: u16,
    },
    /// The score rises.
    Score {
        /// To this.
        at_least: f64,
        /// From this.
        now: f64,
    },
    /// The present level grows old enough.
    Wait {
        /// When it is.
        until: Moment,
    },
}

/// What may go wrong next.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Warning {
    /// One dependency's being down threatens another.
    Cascade {
        /// The one that is down.
        from: DependencyId,
        /// The one that is threatened.
        to: DependencyId,
        /// How much, above 0 and at most 1.
        impact: f64,
    },
}
