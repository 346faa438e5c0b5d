//! Short words for the tests.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{
    Breaker, FailureKind, HalfOpen, Mode, Moment, Outcome, Permit, RateRule, Rejected, Rule,
    Settings, SlowRule, State, Transition,
};

pub(crate) const FAIL: Outcome = Outcome::Failure(FailureKind::Connect);
pub(crate) const OK: Outcome = Outcome::Success;

/// `millis` ms after an origin far from zero, as a real clock's would be.
pub(crate) fn at(millis: u64) -> Moment {
    Moment::from_nanos((1_800_000_000_000 + millis) * 1_000_000)
}

pub(crate) fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// Three in a row, no window rules, no jitter; 10 s open, one probe, one success.
pub(crate) fn plain() -> Settings {
    Settings {
        consecutive: NonZeroU32::new(3),
        rate: None,
        slow: None,
        reset_timeout: ms(10_000),
        jitter: 0.0,
        half_open: HalfOpen {
            probes: 1,
            successes: 1,
            lease: ms(2_000),
        },
        ..Settings::default()
    }
}

/// Half of at least 20 calls failed.
pub(crate) fn rate() -> Settings {
    let rate = Some(RateRule {
        threshold: 0.5,
        min_calls: 20,
    });
    Settings {
        consecutive: None,
        rate,
        ..plain()
    }
}

/// Four fifths of at least 20 calls slow.
pub(crate) fn slow() -> Settings {
    let slow = Some(SlowRule {
        after: ms(500),
        threshold: 0.8,
        min_calls: 20,
    });
    Settings {
        consecutive: None,
        slow,
        ..plain()
    }
}

pub(crate) fn breaker(settings: Settings) -> Breaker {
    Breaker::new(settings, 7).expect("the tests' settings make sense")
}

/// Half-open at 10,000 ms, without a probe.
pub(crate) fn half_open(settings: Settings) -> Breaker {
    let breaker = breaker(settings);
    breaker
        .trip(Rule::Probes, FailureKind::Connect, at(0))
        .expect("it was closed");
    breaker.half_open_early(at(10_000)).expect("it was open");
    breaker
}

pub(crate) fn admitted(breaker: &Breaker, now: Moment) -> Permit<'_> {
    breaker.admit(now).result.expect("a permit")
}

pub(crate) fn rejected(breaker: &Breaker, now: Moment) -> Rejected {
    breaker.admit(now).result.expect_err("a rejection")
}

pub(crate) fn call(breaker: &Breaker, outcome: Outcome, now: Moment) -> Option<Transition> {
    admitted(breaker, now).settle(outcome, false, now)
}

/// `count` calls, none of which may change the state.
pub(crate) fn quiet(breaker: &Breaker, count: u32, outcome: Outcome, slow: bool, now: Moment) {
    for _ in 0..count {
        assert_eq!(admitted(breaker, now).settle(outcome, slow, now), None);
    }
}

/// The transition's rule, after checking that it opened a closed breaker.
pub(crate) fn opened(transition: Option<Transition>) -> Option<Rule> {
    let transition = transition.expect("a transition");
    assert_eq!(
        (transition.from, transition.to),
        (State::Closed, State::Open)
    );
    transition.rule
}

pub(crate) fn mode(breaker: &Breaker, mode: Mode, now: Moment) -> Option<(State, State)> {
    let transition = breaker.set_mode(mode, now);
    transition.map(|transition| (transition.from, transition.to))
}
