//! Since when each dependency has been failing: what detection and recovery are counted from.
//!
//! Calls are counted once a second, so that nobody knows when in a second the first of them failed: it counts from that
//! second's beginning, and a detection time is never shorter than it was.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::{Moment, Rule, State};
use mainstay_degradation::{Cause, CauseKind, EndpointId, Input, ProbeResult, Rules};

/// Failures of one dependency less than this apart are of one trouble.
const CALM: Duration = Duration::from_secs(10);

/// Every dependency's trouble since all was well, by name.
#[derive(Debug)]
pub(super) struct Troubles {
    all: BTreeMap<String, Trouble>,
    /// The last tick, or when all was last well if that was later: no failure of a call that is counted with the next
    /// one was before.
    counted: Moment,
}

#[derive(Debug, Clone, Copy)]
struct Trouble {
    /// No failure of the present or last trouble came before this.
    first: Moment,
    /// When its last failure was seen.
    last: Moment,
    /// The level was lower because of it.
    blamed: bool,
}

impl Troubles {
    pub(super) const fn new(now: Moment) -> Self {
        Self {
            all: BTreeMap::new(),
            counted: now,
        }
    }

    /// Takes note of what fails in an input. `rules`: those its indices belong to.
    pub(super) fn note(&mut self, rules: &Rules, at: Moment, input: &Input) {
        match input {
            Input::Tick { observed } => {
                for (endpoint, one) in observed {
                    if one.failures.iter().any(|count| *count > 0) {
                        self.failed(rules, *endpoint, self.counted, at);
                    }
                }
                self.counted = at;
            }
            Input::Probe {
                endpoint,
                result: ProbeResult::Failed { .. },
                ..
            } => self.failed(rules, *endpoint, at, at),
            Input::Transition {
                endpoint,
                transition,
            } if transition.to == State::Open => {
                // Calls opened it, which the next tick tells of.
                let calls = matches!(
                    transition.rule,
                    Some(Rule::Consecutive | Rule::Rate | Rule::Slow)
                );
                let from = if calls { self.counted } else { at };
                self.failed(rules, *endpoint, from, at);
            }
            _ => {}
        }
    }

    /// Something failed between `from` and `at`.
    fn failed(&mut self, rules: &Rules, endpoint: EndpointId, from: Moment, at: Moment) {
        // Nobody has checked the indices of a damaged recording.
        if endpoint.index() >= rules.endpoints().count() {
            return;
        }
        let dependency = rules.endpoint(endpoint).dependency;
        let name = rules.dependency(dependency).name.clone();
        let trouble = self.all.entry(name).or_insert(Trouble {
            first: from,
            last: at,
            blamed: false,
        });
        if at.saturating_since(trouble.last) > CALM || from < trouble.first {
            trouble.first = from;
        }
        trouble.last = at;
    }

    /// The level is lower because of the worst of these.
    pub(super) fn blame(&mut self, rules: &Rules, causes: &[Cause]) {
        let worst = worst(rules, causes);
        if let Some(trouble) = worst.and_then(|name| self.all.get_mut(name)) {
            trouble.blamed = true;
        }
    }

    /// No later than the first failure of the trouble that the worst of these causes is still in.
    pub(super) fn first(&self, rules: &Rules, causes: &[Cause], now: Moment) -> Option<Moment> {
        let trouble = self.all.get(worst(rules, causes)?)?;
        let fresh = now.saturating_since(trouble.last) <= CALM;
        fresh.then_some(trouble.first)
    }

    /// The last failure of what was blamed.
    pub(super) fn last(&self) -> Option<Moment> {
        let blamed = self.all.values().filter(|one| one.blamed);
        blamed.map(|one| one.last).max()
    }

    /// All is well: what fails from here on is another trouble.
    pub(super) fn end(&mut self, now: Moment) {
        self.all.clear();
        self.counted = now;
    }
}

/// The dependency that costs most.
fn worst<'a>(rules: &'a Rules, causes: &[Cause]) -> Option<&'a str> {
    let score = |cause: &Cause| match cause.kind {
        CauseKind::Unwell { score } => score,
        CauseKind::Down { .. } | CauseKind::NeverAnswered { .. } => 0.0,
    };
    let order = |one: &&Cause, other: &&Cause| {
        let forces = other.forces.cmp(&one.forces);
        forces.then_with(|| score(one).total_cmp(&score(other)))
    };
    let cause = causes.iter().min_by(order)?;
    Some(&rules.dependency(cause.dependency).name)
}
