//! Half-open: few probes, leased, and deaf to the past.

use mainstay_breaker::{FailureKind, HalfOpen, Mode, Outcome, RejectedWhy, Rule, Settings, State};

use crate::support::*;

fn probing(probes: u32, successes: u32) -> Settings {
    Settings {
        half_open: HalfOpen {
            probes,
            successes,
            lease: ms(2_000),
        },
        ..plain()
    }
}

#[test]
fn no_more_probes_than_allowed_are_in_flight() {
    let breaker = half_open(probing(3, 3));
    let now = at(10_000);
    let admitted: Vec<_> = (0..30)
        .filter_map(|_| breaker.admit(now).result.ok())
        .collect();
    assert_eq!(admitted.len(), 3);
    assert!(admitted.iter().all(mainstay_breaker::Permit::is_probe));
    let rejected = rejected(&breaker, now);
    assert_eq!(
        (rejected.state, rejected.why),
        (State::HalfOpen, RejectedWhy::HalfOpenFull)
    );
    assert_eq!(breaker.snapshot(now).probes_in_flight, 3);
}

#[test]
fn the_needed_successes_close_it() {
    let breaker = half_open(probing(2, 2));
    assert_eq!(call(&breaker, OK, at(10_000)), None);
    let transition = call(&breaker, OK, at(10_001)).expect("it closes");
    assert_eq!(
        (transition.from, transition.to),
        (State::HalfOpen, State::Closed)
    );
    let snapshot = breaker.snapshot(at(10_001));
    assert_eq!(
        (
            snapshot.failures_in_row,
            snapshot.opened_at,
            snapshot.retry_at
        ),
        (0, None, None)
    );
}

#[test]
fn one_failure_reopens_it() {
    let breaker = half_open(probing(2, 2));
    call(&breaker, OK, at(10_000));
    let transition = call(&breaker, FAIL, at(10_000)).expect("it opens again");
    assert_eq!(
        (transition.to, transition.retry_at),
        (State::Open, Some(at(30_000)))
    );
    call(&breaker, OK, at(30_000));
    assert_eq!(
        breaker.state(),
        State::HalfOpen,
        "successes of the last attempt don't count"
    );
}

#[test]
fn a_dropped_probe_gives_its_place_back() {
    let breaker = half_open(probing(1, 1));
    for _ in 0..100 {
        drop(admitted(&breaker, at(10_000)));
    }
    admitted(&breaker, at(10_000))
        .into_ticket()
        .release(&breaker);
    admitted(&breaker, at(10_000)).settle(Outcome::Neutral, false, at(10_000));
    assert_eq!(breaker.snapshot(at(10_000)).probes_in_flight, 0);
    assert_eq!(breaker.state(), State::HalfOpen);
}

#[test]
fn a_panicking_probe_gives_its_place_back() {
    let breaker = half_open(probing(1, 1));
    let panicked = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        let _probe = admitted(&breaker, at(10_000));
        std::panic::resume_unwind(Box::new("the driver's fault"));
    }));
    assert!(panicked.is_err());
    assert!(admitted(&breaker, at(10_000)).is_probe());
}

#[test]
fn a_hung_probes_place_comes_back_and_its_late_verdict_changes_nothing() {
    for late in [OK, FAIL] {
        let breaker = half_open(probing(1, 1));
        let hung = admitted(&breaker, at(10_000));
        rejected(&breaker, at(11_999));
        let next = admitted(&breaker, at(12_000));
        let before = breaker.snapshot(at(12_000));
        assert_eq!(hung.settle(late, false, at(12_001)), None);
        let after = breaker.snapshot(at(12_000));
        assert_eq!((after.state, after.probes_in_flight), (before.state, 1));
        assert_eq!(after.failures_in_row, before.failures_in_row);
        rejected(&breaker, at(12_001));
        assert!(next.settle(OK, false, at(12_001)).is_some());
    }
}

#[test]
fn a_probe_in_flight_keeps_its_place_across_half_open_times() {
    let again: [fn(&mainstay_breaker::Breaker); 3] = [
        |breaker| {
            breaker.half_open_early(at(10_002));
        },
        |breaker| {
            breaker.reset(at(10_002));
            breaker.trip(Rule::Probes, FailureKind::Connect, at(10_002));
            breaker.half_open_early(at(10_002));
        },
        |breaker| {
            breaker.set_mode(Mode::ForcedOpen, at(10_002));
            breaker.set_mode(Mode::Auto, at(10_002));
            breaker.half_open_early(at(10_002));
        },
    ];
    for half_open_again in again {
        let breaker = half_open(probing(2, 2));
        let hung = admitted(&breaker, at(10_001));
        call(&breaker, FAIL, at(10_001)).expect("it opens again");
        half_open_again(&breaker);
        let second = admitted(&breaker, at(10_002));
        rejected(&breaker, at(10_002));
        // Its verdict is late, and its place is free again.
        assert_eq!(hung.settle(OK, false, at(10_003)), None);
        let third = admitted(&breaker, at(10_003));
        rejected(&breaker, at(10_003));
        assert_eq!(second.settle(OK, false, at(10_004)), None);
        assert!(third.settle(OK, false, at(10_004)).is_some());
    }
}

#[test]
fn a_verdict_after_the_lease_changes_nothing_even_if_nobody_took_the_place() {
    let breaker = half_open(probing(1, 1));
    assert_eq!(
        admitted(&breaker, at(10_000)).settle(OK, false, at(12_000)),
        None
    );
    assert_eq!(breaker.state(), State::HalfOpen);
    assert!(
        admitted(&breaker, at(10_000))
            .settle(OK, false, at(11_999))
            .is_some()
    );
}

#[test]
fn late_verdicts_from_the_closed_era_change_no_state() {
    let breaker = breaker(probing(1, 1));
    let stale: Vec<_> = (0..8).map(|_| admitted(&breaker, at(0))).collect();
    quiet(&breaker, 2, FAIL, false, at(0));
    call(&breaker, FAIL, at(0)).expect("it opens");
    let mut stale = stale.into_iter();
    let mut verdict = |outcome, now| {
        let before = breaker.snapshot(now);
        assert_eq!(
            stale.next().expect("one left").settle(outcome, true, now),
            None
        );
        let after = breaker.snapshot(now);
        assert_eq!(
            (after.state, after.failures_in_row),
            (before.state, before.failures_in_row)
        );
        assert_eq!(
            (after.retry_at, after.window),
            (before.retry_at, before.window)
        );
        assert_eq!(
            (after.last_failure, after.hint_until),
            (before.last_failure, before.hint_until)
        );
        assert_eq!(after.probes_in_flight, before.probes_in_flight);
    };
    let hint = Outcome::Overload {
        retry_after: Some(ms(60_000)),
    };
    verdict(OK, at(1));
    verdict(hint, at(1));
    let probe = admitted(&breaker, at(10_000));
    verdict(OK, at(10_000));
    verdict(FAIL, at(10_000));
    rejected(&breaker, at(10_000));
    probe.settle(OK, false, at(10_000)).expect("it closes");
    verdict(FAIL, at(10_001));
    verdict(FAIL, at(10_001));
    verdict(FAIL, at(10_001));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(
        breaker.snapshot(at(10_001)).totals.failures,
        3 + 5,
        "totals count them"
    );
}

#[test]
fn a_slow_probe_that_succeeds_closes_it() {
    let breaker = half_open(Settings {
        slow: slow().slow,
        ..probing(1, 1)
    });
    let mut probe = admitted(&breaker, at(10_000));
    assert_eq!(probe.mark_slow(at(10_500)), None);
    assert!(probe.settle(OK, true, at(10_600)).is_some());
    assert_eq!(breaker.snapshot(at(10_600)).totals.slow, 1);
}

#[test]
fn gauge_values_are_exact_over_several_cycles() {
    let breaker = breaker(probing(1, 1));
    let mut now = 0;
    for _ in 0..5 {
        assert_eq!(breaker.state().gauge(), 0);
        quiet(&breaker, 2, FAIL, false, at(now));
        let retry_at = call(&breaker, FAIL, at(now)).and_then(|opened| opened.retry_at);
        assert_eq!(
            (breaker.state().gauge(), breaker.state().as_str()),
            (1, "open")
        );
        let probe = admitted(&breaker, retry_at.expect("a time"));
        assert_eq!(
            (breaker.state().gauge(), breaker.state().as_str()),
            (2, "half_open")
        );
        probe.settle(OK, false, retry_at.expect("a time"));
        now += 1_000_000;
    }
}

#[test]
fn as_many_probes_as_settings_can_ask_for_are_in_flight_and_no_more() {
    let mut settings = plain();
    settings.half_open.probes = 32;
    let breaker = half_open(settings);
    let probes: Vec<_> = (0..32).map(|_| admitted(&breaker, at(10_000))).collect();
    rejected(&breaker, at(10_000));
    assert_eq!(breaker.snapshot(at(10_000)).probes_in_flight, 32);
    drop(probes);
    assert_eq!(breaker.snapshot(at(10_000)).probes_in_flight, 0);
}
