//! What breakers with other settings would have done, as far as the recorded counts tell.
//!
//! Each second's calls are put to a real breaker with the other settings, failures spread evenly among them, all at
//! the end of the second. Calls that the recorded breaker rejected were never made, so only probes speak for that
//! time; calls that the other breaker rejects are left out of what the controller hears.
//!
//! Under another `slow.after` those calls are slow that took longer, within 3.2 %: calls that were still running at the
//! end of the second aren't among them before they end, nor are those that nobody waited for, or that the dependency
//! gave up by itself before.

use std::collections::BTreeMap;

use mainstay_breaker::{Breaker, FailureKind, Moment, Outcome, Rule, Settings, State, Transition};
use mainstay_degradation::{
    Effect, EndpointId, EndpointView, Histogram, Input, Observed, ProbeResult, Rules,
};

/// Of one second at one endpoint, no more calls than these are put to a breaker.
const MOST_CALLS: u64 = 1_000_000;

/// The estimated breakers, by endpoint.
#[derive(Debug, Default)]
pub(super) struct Estimates {
    breakers: BTreeMap<String, Breaker>,
    /// Each endpoint's settings that were in force.
    recorded: Vec<Settings>,
}

impl Estimates {
    /// Those of `wanted` that differ from what was in force at any time of the recording: one that differs later than
    /// at first is estimated from the beginning, since nobody can tell in which state it would have been by then.
    /// `recorded`: each endpoint's, as the recording begins and after every reload; a reload keeps the endpoints.
    /// Settings that make no sense are left out.
    pub(super) fn new<'a>(
        wanted: &BTreeMap<String, Settings>,
        recorded: impl Iterator<Item = &'a Vec<Settings>> + Clone,
        rules: &Rules,
    ) -> Self {
        let differs = |name: &str, settings: &Settings| {
            let Some(id) = rules.endpoint_id(name) else {
                return false;
            };
            let same = |one: &Settings| alike(one, settings);
            !recorded
                .clone()
                .all(|all| all.get(id.index()).is_some_and(same))
        };
        let differing = wanted.iter().filter(|(name, one)| differs(name, one));
        let made =
            differing.filter_map(|(name, one)| Some((name.clone(), Breaker::new(*one, 0).ok()?)));
        Self {
            breakers: made.collect(),
            recorded: recorded.clone().next().cloned().unwrap_or_default(),
        }
    }

    /// Other settings were in force from here on.
    pub(super) fn reloaded(&mut self, recorded: Vec<Settings>) {
        self.recorded = recorded;
    }

    pub(super) fn endpoints(&self) -> Vec<String> {
        self.breakers.keys().cloned().collect()
    }

    fn of(&self, rules: &Rules, id: EndpointId) -> Option<&Breaker> {
        if self.breakers.is_empty() || id.index() >= rules.endpoints().count() {
            return None;
        }
        self.breakers.get(&rules.endpoint(id).name)
    }

    /// What the controller hears instead of a recorded input. `rules`: those the recorded indices belong to.
    pub(super) fn instead(&self, rules: &Rules, now: Moment, input: Input) -> Vec<Input> {
        match input {
            Input::Transition { endpoint, .. } if self.of(rules, endpoint).is_some() => Vec::new(),
            Input::Probe {
                endpoint, result, ..
            } => {
                let breaker = self.of(rules, endpoint);
                let moved = breaker.map_or_else(Vec::new, |one| probed(one, now, result));
                let mut inputs = told(endpoint, moved);
                inputs.push(input);
                inputs
            }
            Input::Tick { mut observed } => {
                let mut inputs = Vec::new();
                for (endpoint, one) in &mut observed {
                    if let Some(breaker) = self.of(rules, *endpoint) {
                        one.slow = self.slow(*endpoint, breaker, one);
                        inputs.extend(told(*endpoint, called(breaker, now, one)));
                    }
                }
                inputs.push(Input::Tick { observed });
                inputs
            }
            other => vec![other],
        }
    }

    /// How many of a second's calls are slow to this breaker.
    fn slow(&self, id: EndpointId, breaker: &Breaker, observed: &Observed) -> u64 {
        let recorded = self.recorded.get(id.index()).and_then(|one| one.slow);
        match breaker.slow_after() {
            Some(after) if recorded.is_none_or(|one| one.after != after) => {
                observed.latency.longer_than(after)
            }
            _ => observed.slow,
        }
    }

    /// Carries out what the controller asks of an estimated breaker. `rules`: the controller's own.
    pub(super) fn carry_out(
        &self,
        rules: &Rules,
        now: Moment,
        effect: &Effect,
    ) -> Option<(String, Transition)> {
        let (endpoint, moved) = match effect {
            Effect::Trip { endpoint, kind } => {
                let breaker = self.of(rules, *endpoint)?;
                (endpoint, breaker.trip(Rule::Probes, *kind, now))
            }
            Effect::HalfOpenEarly { endpoint } => {
                (endpoint, self.of(rules, *endpoint)?.half_open_early(now))
            }
            _ => return None,
        };
        Some((rules.endpoint(*endpoint).name.clone(), moved?))
    }
}

/// The same for an estimate: its calls end when they begin, so that none outlives its lease.
fn alike(one: &Settings, other: &Settings) -> bool {
    let mut one = *one;
    one.half_open.lease = other.half_open.lease;
    one == *other
}

fn told(endpoint: EndpointId, moved: Vec<Transition>) -> Vec<Input> {
    let tell = |transition| Input::Transition {
        endpoint,
        transition,
    };
    moved.into_iter().map(tell).collect()
}

fn probed(breaker: &Breaker, now: Moment, result: ProbeResult) -> Vec<Transition> {
    let outcome = match result {
        ProbeResult::Passed { .. } => Outcome::Success,
        ProbeResult::Failed { kind, .. } => failure(kind),
        ProbeResult::Nothing => return Vec::new(),
    };
    let snapshot = breaker.snapshot(now);
    if snapshot.state == State::HalfOpen || snapshot.ready_for_half_open {
        call(breaker, now, outcome, false).1
    } else {
        Vec::new()
    }
}

/// Puts a second's calls to the breaker, and leaves of them what it lets pass.
fn called(breaker: &Breaker, now: Moment, observed: &mut Observed) -> Vec<Transition> {
    let mut moved: Vec<Transition> = Vec::new();
    moved.extend(breaker.set_mode(observed.breaker.mode, now));
    let kinds = FailureKind::ALL.iter().zip(observed.failures);
    let failures: u64 = observed.failures.iter().copied().map(u64::from).sum();
    let mut failing = kinds
        .flat_map(|(kind, count)| std::iter::repeat_n(*kind, usize::try_from(count).unwrap_or(0)));
    let calls = observed.successes.saturating_add(failures).min(MOST_CALLS);
    let (mut passed, mut slow) = (Observed::default(), observed.slow);
    for index in 0..calls {
        let fails = failures.min(calls) * (index + 1) / calls > failures.min(calls) * index / calls;
        let kind = if fails { failing.next() } else { None };
        let outcome = kind.map_or(Outcome::Success, failure);
        let (admitted, transitions) = call(breaker, now, outcome, slow > 0);
        moved.extend(transitions);
        if admitted {
            passed.calls += 1;
            passed.slow += u64::from(slow > 0);
            slow = slow.saturating_sub(1);
            match kind {
                Some(kind) => passed.failures[kind as usize] += 1,
                None => passed.successes += 1,
            }
        }
    }
    passed.latency = if passed.calls > 0 {
        std::mem::take(&mut observed.latency)
    } else {
        Histogram::new()
    };
    passed.breaker = EndpointView::from(&breaker.snapshot(now));
    *observed = passed;
    moved
}

/// One call: whether it was let through, and what changed.
fn call(breaker: &Breaker, now: Moment, outcome: Outcome, slow: bool) -> (bool, Vec<Transition>) {
    let admission = breaker.admit(now);
    let mut moved: Vec<Transition> = admission.transition.into_iter().collect();
    let admitted = admission.result.is_ok();
    let settled = admission.result.ok();
    moved.extend(settled.and_then(|permit| permit.settle(outcome, slow, now)));
    (admitted, moved)
}

fn failure(kind: FailureKind) -> Outcome {
    match kind {
        FailureKind::Overload => Outcome::Overload { retry_after: None },
        other => Outcome::Failure(other),
    }
}
