//! Since when each dependency has been failing: what detection and recovery are counted from.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_breaker::{Moment, State};
use mainstay_degradation::{Cause, CauseKind, EndpointId, Input, ProbeResult, Rules};

/// Failures of one dependency less than this apart are of one trouble.
const CALM: Duration = Duration::from_secs(10);

/// Every dependency's trouble since all was well, by name.
#[derive(Debug, Default)]
pub(super) struct Troubles(BTreeMap<String, Trouble>);

#[derive(Debug, Clone, Copy)]
struct Trouble {
    /// First and last failure of the present or last trouble.
    first: Moment,
    last: Moment,
    /// The level was lower because of it.
    blamed: bool,
}

impl Troubles {
    /// Takes note of what fails in an input. `rules`: those its indices belong to.
    pub(super) fn note(&mut self, rules: &Rules, at: Moment, input: &Input) {
        match input {
            Input::Tick { observed } => {
                for (endpoint, one) in observed {
                    if one.failures.iter().any(|count| *count > 0) {
                        self.failed(rules, *endpoint, at);
                    }
                }
            }
            Input::Probe {
                endpoint,
                result: ProbeResult::Failed { .. },
                ..
            } => self.failed(rules, *endpoint, at),
            Input::Transition {
                endpoint,
                transition,
            } if transition.to == State::Open => self.failed(rules, *endpoint, at),
            _ => {}
        }
    }

    fn failed(&mut self, rules: &Rules, endpoint: EndpointId, at: Moment) {
        // Nobody has checked the indices of a damaged recording.
        if endpoint.index() >= rules.endpoints().count() {
            return;
        }
        let dependency = rules.endpoint(endpoint).dependency;
        let name = rules.dependency(dependency).name.clone();
        let trouble = self.0.entry(name).or_insert(Trouble {
            first: at,
            last: at,
            blamed: false,
        });
        if at.saturating_since(trouble.last) > CALM {
            trouble.first = at;
        }
        trouble.last = at;
    }

    /// The level is lower because of the worst of these.
    pub(super) fn blame(&mut self, rules: &Rules, causes: &[Cause]) {
        let worst = worst(rules, causes);
        if let Some(trouble) = worst.and_then(|name| self.0.get_mut(name)) {
            trouble.blamed = true;
        }
    }

    /// The first failure of the trouble that the worst of these causes is still in.
    pub(super) fn first(&self, rules: &Rules, causes: &[Cause], now: Moment) -> Option<Moment> {
        let trouble = self.0.get(worst(rules, causes)?)?;
        let fresh = now.saturating_since(trouble.last) <= CALM;
        fresh.then_some(trouble.first)
    }

    /// The last failure of what was blamed.
    pub(super) fn last(&self) -> Option<Moment> {
        let blamed = self.0.values().filter(|one| one.blamed);
        blamed.map(|one| one.last).max()
    }

    /// All is well: what fails from here on is another trouble.
    pub(super) fn end(&mut self) {
        self.0.clear();
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
