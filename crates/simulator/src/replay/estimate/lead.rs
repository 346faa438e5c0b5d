//! Leads a breaker along the recorded one, by what a breaker can be told.

use mainstay_breaker::{Breaker, FailureKind, Mode, Moment, Outcome, Rule, State, Transition};
use mainstay_degradation::EndpointView;

/// Re-openings in a row that make an open time longer, at most.
const MOST_REOPENINGS: u32 = 32;
/// Half-open successes that are ever asked for.
const MOST_SUCCESSES: u32 = 1_000;

/// Brings a new breaker to where a recording begins.
pub(super) fn begin(breaker: &Breaker, view: &EndpointView, now: Moment) {
    let known = view.last_failure.map(|one| one.kind);
    let kind = known.unwrap_or(FailureKind::Unavailable);
    let opened = view.opened_at.unwrap_or(now).min(now);
    if view.state != State::Closed || view.reopenings > 0 {
        breaker.trip(view.opened_by.unwrap_or(Rule::Probes), kind, opened);
        // More would make no open time longer.
        for _ in 0..view.reopenings.min(MOST_REOPENINGS) {
            breaker.half_open_early(opened);
            fail(breaker, kind, opened);
        }
        if view.state != State::Open {
            breaker.half_open_early(opened);
        }
    }
    align(breaker, view, now);
}

/// Makes a breaker's state and mode those of the recorded one, where changes were made without a word.
pub(super) fn align(breaker: &Breaker, view: &EndpointView, now: Moment) {
    breaker.set_mode(view.mode, now);
    if breaker.state() != view.state {
        let known = view.last_failure.map(|one| one.kind);
        bring(breaker, view.state, view.opened_by, known, now);
    }
}

/// Leads a breaker along the recorded one.
pub(super) fn lead(breaker: &Breaker, transition: &Transition) {
    if transition.rule == Some(Rule::Operator) {
        breaker.set_mode(Mode::ForcedOpen, transition.at);
        return;
    }
    if breaker.mode() == Mode::ForcedOpen {
        breaker.set_mode(Mode::Auto, transition.at);
    }
    let (to, rule, kind) = (transition.to, transition.rule, transition.kind);
    bring(breaker, to, rule, kind, transition.at);
}

fn bring(breaker: &Breaker, to: State, rule: Option<Rule>, kind: Option<FailureKind>, now: Moment) {
    let kind = kind.unwrap_or(FailureKind::Unavailable);
    match (breaker.state(), to) {
        (State::HalfOpen, State::Open) => fail(breaker, kind, now),
        (State::Closed, State::Open) => {
            breaker.trip(rule.unwrap_or(Rule::Probes), kind, now);
        }
        (State::Open, State::HalfOpen) => {
            breaker.half_open_early(now);
        }
        (State::Closed, State::HalfOpen) => {
            breaker.trip(rule.unwrap_or(Rule::Probes), kind, now);
            breaker.half_open_early(now);
        }
        (State::HalfOpen, State::Closed) => succeed(breaker, now),
        (State::Open, State::Closed) => {
            breaker.reset(now);
        }
        _ => {}
    }
}

fn fail(breaker: &Breaker, kind: FailureKind, now: Moment) {
    if let Ok(permit) = breaker.admit(now).result {
        permit.settle(outcome(Some(kind)), false, now);
    }
}

fn succeed(breaker: &Breaker, now: Moment) {
    for _ in 0..MOST_SUCCESSES {
        if breaker.state() != State::HalfOpen {
            return;
        }
        if let Ok(permit) = breaker.admit(now).result {
            permit.settle(Outcome::Success, false, now);
        }
    }
}

pub(super) fn outcome(fails: Option<FailureKind>) -> Outcome {
    match fails {
        None => Outcome::Success,
        Some(FailureKind::Overload) => Outcome::Overload { retry_after: None },
        Some(kind) => Outcome::Failure(kind),
    }
}
