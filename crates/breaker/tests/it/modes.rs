//! What an operator can make a breaker do.

use mainstay_breaker::{FailureKind, Mode, RejectedWhy, Rule, State};

use crate::support::*;

#[test]
fn forced_open_rejects_whatever_the_state_and_gives_it_back() {
    let breaker = breaker(plain());
    quiet(&breaker, 2, FAIL, false, at(0));
    let transition = breaker
        .set_mode(Mode::ForcedOpen, at(5))
        .expect("exported as open");
    assert_eq!(
        (transition.to, transition.rule),
        (State::Open, Some(Rule::Operator))
    );
    assert_eq!(transition.retry_at, None);
    let rejected = rejected(&breaker, at(1_000_000));
    assert_eq!(
        (rejected.why, rejected.retry_at),
        (RejectedWhy::ForcedOpen, None)
    );
    let snapshot = breaker.snapshot(at(6));
    assert_eq!(
        (snapshot.opened_at, snapshot.opened_by),
        (Some(at(5)), Some(Rule::Operator))
    );
    assert_eq!(
        breaker.trip(Rule::Probes, FailureKind::Connect, at(6)),
        None
    );
    assert_eq!(breaker.half_open_early(at(6)), None);
    assert_eq!(
        mode(&breaker, Mode::Auto, at(7)),
        Some((State::Open, State::Closed))
    );
    assert_eq!(breaker.ramp_percent(at(7)), 25);
    assert_eq!(opened(call(&breaker, FAIL, at(7))), Some(Rule::Consecutive));
}

#[test]
fn disabled_lets_everything_pass_and_counts_nothing() {
    let breaker = breaker(plain());
    breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
    let totals = breaker.snapshot(at(0)).totals;
    assert_eq!(
        mode(&breaker, Mode::Disabled, at(0)),
        Some((State::Open, State::Closed))
    );
    quiet(&breaker, 100, FAIL, true, at(1));
    drop(breaker.try_admit().expect("without asking the time"));
    assert_eq!(breaker.snapshot(at(1)).totals, totals);
    let back = breaker
        .set_mode(Mode::Auto, at(2))
        .expect("open shows again");
    assert_eq!((back.to, back.rule), (State::Open, Some(Rule::Probes)));
    assert_eq!(back.retry_at, Some(at(10_000)));
}

#[test]
fn calls_in_flight_across_a_forced_mode_change_nothing() {
    for between in [Mode::ForcedOpen, Mode::Disabled] {
        let breaker = breaker(plain());
        let stale: Vec<_> = (0..5).map(|_| admitted(&breaker, at(0))).collect();
        breaker.set_mode(between, at(1));
        breaker.set_mode(Mode::Auto, at(2));
        for permit in stale {
            assert_eq!(permit.settle(FAIL, false, at(3)), None);
        }
        assert_eq!(breaker.snapshot(at(3)).failures_in_row, 0);
    }
}

#[test]
fn shadow_decides_and_reports_but_never_rejects() {
    let breaker = breaker(plain());
    assert_eq!(mode(&breaker, Mode::Shadow, at(0)), None);
    quiet(&breaker, 2, FAIL, false, at(0));
    assert_eq!(opened(call(&breaker, FAIL, at(0))), Some(Rule::Consecutive));
    for _ in 0..10 {
        let permit = admitted(&breaker, at(1));
        assert!(permit.would_be_rejected() && !permit.is_probe());
        assert_eq!(permit.settle(FAIL, false, at(1)), None);
    }
    let snapshot = breaker.snapshot(at(1));
    assert_eq!((snapshot.state, snapshot.failures_in_row), (State::Open, 3));
    assert_eq!(
        (snapshot.totals.would_reject, snapshot.totals.rejected),
        (10, 0)
    );
    let probe = admitted(&breaker, at(10_000));
    let beside = admitted(&breaker, at(10_000));
    assert!(probe.is_probe() && beside.would_be_rejected());
    assert!(probe.settle(OK, false, at(10_001)).is_some());
    assert_eq!(
        (breaker.state(), breaker.ramp_percent(at(10_001))),
        (State::Closed, 100)
    );
}

#[test]
fn switching_it_off_and_on_again_while_closed_starts_no_ramp() {
    let breaker = breaker(plain());
    breaker.set_mode(Mode::Disabled, at(0));
    assert_eq!(breaker.ramp_percent(at(1)), 100);
    breaker.set_mode(Mode::Auto, at(2));
    assert_eq!(breaker.ramp_percent(at(2)), 100);
}

#[test]
fn from_shadow_to_auto_the_state_stays() {
    let breaker = breaker(plain());
    breaker.set_mode(Mode::Shadow, at(0));
    breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
    assert_eq!(mode(&breaker, Mode::Auto, at(1)), None);
    assert_eq!(rejected(&breaker, at(1)).retry_at, Some(at(10_000)));
}

#[test]
fn a_mode_put_on_in_half_open_takes_the_probes_places_back() {
    let breaker = half_open(plain());
    let probe = admitted(&breaker, at(10_000));
    breaker.set_mode(Mode::ForcedOpen, at(10_001));
    breaker.set_mode(Mode::Auto, at(10_002));
    assert_eq!(probe.settle(OK, false, at(10_003)), None);
    assert!(
        admitted(&breaker, at(10_003))
            .settle(OK, false, at(10_003))
            .is_some()
    );
}

#[test]
fn reset_closes_and_forgets_but_keeps_totals_and_mode() {
    let breaker = breaker(plain());
    breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
    call(&breaker, FAIL, at(10_000));
    let transition = breaker.reset(at(10_001)).expect("it closes");
    assert_eq!(
        (transition.from, transition.to),
        (State::Open, State::Closed)
    );
    let snapshot = breaker.snapshot(at(10_001));
    assert_eq!(
        (
            snapshot.failures_in_row,
            snapshot.reopenings,
            snapshot.totals.failures
        ),
        (0, 0, 1)
    );
    assert_eq!(breaker.ramp_percent(at(10_001)), 25);
    assert_eq!(breaker.reset(at(10_002)), None);
    let opened = breaker.trip(Rule::Probes, FailureKind::Connect, at(10_003));
    assert_eq!(opened.and_then(|opened| opened.retry_at), Some(at(20_003)));
    breaker.set_mode(Mode::ForcedOpen, at(10_004));
    assert_eq!(breaker.reset(at(10_005)), None);
    assert_eq!(breaker.mode(), Mode::ForcedOpen);
}
