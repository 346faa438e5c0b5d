//! A change of state, as a value for whoever acts on it.

use crate::{FailureKind, Moment, Rule, State};

/// One change of the exported state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Transition {
    /// The state before.
    pub from: State,
    /// The state after.
    pub to: State,
    /// When it happened.
    pub at: Moment,
    /// The generation that began with it; permits of earlier ones change nothing any more.
    pub generation: u64,
    /// What opened it; `None` for other transitions, and when a failed half-open probe re-opened it.
    pub rule: Option<Rule>,
    /// The failure that opened it, if one did.
    pub kind: Option<FailureKind>,
    /// When the open time ends, for a transition to open; `None` while an operator forces it open.
    pub retry_at: Option<Moment>,
}
