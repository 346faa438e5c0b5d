//! What the controller keeps of one endpoint.

use mainstay_breaker::{LastFailure, Moment};
use serde::{Deserialize, Serialize};

use super::{Observed, ProbeResult};
use crate::health::Window;
use crate::recovery::Prober;
use crate::snapshot::EndpointView;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Endpoint {
    pub(super) view: EndpointView,
    pub(super) window: Window,
    pub(super) prober: Prober,
    pub(super) probed: bool,
    /// It has been observed.
    pub(super) known: bool,
    /// It has succeeded at something since the start.
    pub(super) answered: bool,
    last_miss: Option<LastFailure>,
    /// An epoch began since the last tick: what the next one reports may still be the outage's.
    new_epoch: bool,
}

impl Endpoint {
    pub(super) fn new(now: Moment, probed: bool) -> Self {
        Self {
            view: EndpointView::default(),
            window: Window::default(),
            prober: Prober::new(now, probed),
            probed,
            known: false,
            answered: false,
            last_miss: None,
            new_epoch: false,
        }
    }

    /// Calls pass, and nothing says that they are in vain.
    pub(super) fn is_usable(&self) -> bool {
        self.view.is_usable() && !self.never_answered()
    }

    /// It was tried and has not answered once since the start: that it might work would be a guess.
    pub(super) const fn never_answered(&self) -> bool {
        self.known && !self.answered
    }

    /// The last failure of a call or a probe.
    pub(super) fn last_failure(&self) -> Option<LastFailure> {
        let (call, probe) = (self.view.last_failure, self.last_miss);
        match (call, probe) {
            (Some(call), Some(probe)) => Some(if probe.at > call.at { probe } else { call }),
            (call, probe) => call.or(probe),
        }
    }

    /// Takes in what was observed since the last tick. True if its breaker opened without a word.
    pub(super) fn absorb(&mut self, now: Moment, observed: Observed) -> bool {
        let failures = observed
            .failures
            .iter()
            .map(|count| u64::from(*count))
            .sum::<u64>();
        if !core::mem::take(&mut self.new_epoch) {
            self.window
                .add_calls(now, observed.successes, failures, observed.latency);
        }
        self.known |= observed.successes > 0 || failures > 0;
        self.answered |= observed.successes > 0;
        let before = core::mem::replace(&mut self.view, observed.breaker);
        let closed_again = self.view.generation > before.generation && self.view.is_usable();
        if closed_again {
            self.window.start_epoch();
        }
        before.is_usable() && !self.view.is_usable()
    }

    /// What was counted before says nothing about now.
    pub(super) fn start_epoch(&mut self) {
        self.window.start_epoch();
        self.new_epoch = true;
    }

    /// Counts a probe's result.
    pub(super) fn count_probe(&mut self, now: Moment, result: ProbeResult) {
        self.known |= result != ProbeResult::Nothing;
        match result {
            ProbeResult::Nothing => {}
            ProbeResult::Passed { latency } => {
                self.answered = true;
                self.window.add_probe(now, Some(latency));
            }
            ProbeResult::Failed { kind, .. } => {
                self.last_miss = Some(LastFailure { kind, at: now });
                self.window.add_probe(now, None);
            }
        }
    }

    /// The first round is over and it has said nothing: that counts as a failure.
    pub(super) fn miss_first_round(&mut self, now: Moment) {
        if self.probed && !self.known {
            self.known = true;
            self.window.add_probe(now, None);
        }
    }
}
