//! What opens a closed breaker, and what doesn't.

use mainstay_breaker::{FailureKind, Outcome, RateRule, Rule, Settings, State};

use crate::support::*;

#[test]
fn failures_in_a_row_open_it_on_the_very_call() {
    let breaker = breaker(plain());
    quiet(&breaker, 2, FAIL, false, at(0));
    let transition =
        call(&breaker, Outcome::Failure(FailureKind::Timeout), at(1)).expect("it opens");
    assert_eq!(transition.rule, Some(Rule::Consecutive));
    assert_eq!(transition.kind, Some(FailureKind::Timeout));
    assert_eq!(transition.retry_at, Some(at(10_001)));
    assert_eq!(transition.generation, breaker.generation());
    assert_eq!(
        (breaker.state(), breaker.snapshot(at(1)).failures_in_row),
        (State::Open, 3)
    );
}

#[test]
fn every_kind_of_failure_has_its_word_and_is_remembered() {
    let words = [
        "connect",
        "timeout",
        "protocol",
        "unavailable",
        "internal",
        "config",
        "overload",
    ];
    assert_eq!(FailureKind::ALL.map(|kind| kind.to_string()), words);
    let breaker = breaker(Settings {
        consecutive: None,
        ..plain()
    });
    for kind in FailureKind::ALL {
        quiet(&breaker, 1, Outcome::Failure(kind), false, at(0));
        let last = breaker.snapshot(at(0)).last_failure;
        assert_eq!(last.map(|last| last.kind), Some(kind));
    }
}

#[test]
fn a_permit_is_of_the_generation_that_gave_it() {
    let breaker = breaker(plain());
    for count in 0..3 {
        let permit = admitted(&breaker, at(0));
        assert_eq!(permit.generation(), breaker.generation(), "round {count}");
        drop(permit);
        breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
        breaker.reset(at(0));
    }
    assert!(breaker.generation() > 1);
}

#[test]
fn moments_and_durations_add_up_and_stop_at_the_ends() {
    let (long, moment) = (std::time::Duration::MAX, at(5));
    assert_eq!((moment - ms(5), moment + ms(5)), (at(0), at(10)));
    assert_eq!((moment - long).as_nanos(), 0);
    assert_eq!((moment + long).as_nanos(), u64::MAX);
}

#[test]
fn a_success_ends_the_row() {
    let breaker = breaker(plain());
    for _ in 0..10 {
        quiet(&breaker, 2, FAIL, false, at(0));
        quiet(&breaker, 1, OK, false, at(0));
    }
    assert_eq!(breaker.snapshot(at(0)).failures_in_row, 0);
}

#[test]
fn neutral_neither_ends_nor_lengthens_the_row() {
    let breaker = breaker(plain());
    quiet(&breaker, 2, FAIL, false, at(0));
    quiet(&breaker, 5, Outcome::Neutral, false, at(0));
    assert_eq!(opened(call(&breaker, FAIL, at(0))), Some(Rule::Consecutive));
}

#[test]
fn a_caller_that_goes_away_is_no_failure() {
    let breaker = breaker(plain());
    for _ in 0..100 {
        drop(admitted(&breaker, at(0)));
    }
    let snapshot = breaker.snapshot(at(0));
    assert_eq!(
        (snapshot.state, snapshot.failures_in_row),
        (State::Closed, 0)
    );
    assert_eq!(
        (snapshot.totals.neutral, snapshot.totals.failures),
        (100, 0)
    );
}

#[test]
fn overload_counts_as_failure() {
    let breaker = breaker(plain());
    let overload = Outcome::Overload { retry_after: None };
    quiet(&breaker, 2, overload, false, at(0));
    let transition = call(&breaker, overload, at(0)).expect("it opens");
    assert_eq!(transition.kind, Some(FailureKind::Overload));
}

#[test]
fn half_of_the_window_failing_opens_it_and_the_failure_that_meets_it_does() {
    let breaker = breaker(rate());
    quiet(&breaker, 10, OK, false, at(0));
    quiet(&breaker, 9, FAIL, false, at(0));
    assert_eq!(opened(call(&breaker, FAIL, at(0))), Some(Rule::Rate));
}

#[test]
fn a_success_never_trips_even_when_it_completes_the_minimum() {
    let breaker = breaker(rate());
    quiet(&breaker, 19, FAIL, false, at(0));
    quiet(&breaker, 1, OK, false, at(0));
    assert_eq!(opened(call(&breaker, FAIL, at(0))), Some(Rule::Rate));
}

#[test]
fn a_slow_success_never_trips_the_failure_rate() {
    let settings = Settings {
        rate: rate().rate,
        ..slow()
    };
    let breaker = breaker(settings);
    quiet(&breaker, 19, FAIL, false, at(0));
    quiet(&breaker, 1, OK, true, at(0));
}

#[test]
fn a_threshold_of_one_can_trip() {
    let all = Some(RateRule {
        threshold: 1.0,
        min_calls: 20,
    });
    let breaker = breaker(Settings {
        rate: all,
        ..rate()
    });
    quiet(&breaker, 19, FAIL, false, at(0));
    assert_eq!(opened(call(&breaker, FAIL, at(0))), Some(Rule::Rate));
}

#[test]
fn alternating_failures_open_it() {
    let breaker = breaker(rate());
    let open_after = (1..100).find(|number| {
        let outcome = if number % 2 == 0 { FAIL } else { OK };
        call(&breaker, outcome, at(0)).is_some()
    });
    assert_eq!(open_after, Some(20));
}

#[test]
fn slow_calls_open_it_although_they_succeed() {
    let breaker = breaker(slow());
    quiet(&breaker, 4, OK, false, at(0));
    quiet(&breaker, 15, OK, true, at(0));
    let transition = admitted(&breaker, at(0)).settle(OK, true, at(0));
    assert_eq!(opened(transition), Some(Rule::Slow));
}

#[test]
fn calls_that_hang_open_it_while_they_run() {
    let breaker = breaker(slow());
    let mut running: Vec<_> = (0..20).map(|_| admitted(&breaker, at(0))).collect();
    let last = running.pop().map(|mut permit| {
        for permit in &mut running {
            assert_eq!(permit.mark_slow(at(500)), None);
        }
        permit.mark_slow(at(500))
    });
    assert_eq!(opened(last.flatten()), Some(Rule::Slow));
}

#[test]
fn a_call_marked_slow_is_counted_once() {
    let breaker = breaker(slow());
    let mut permit = admitted(&breaker, at(0));
    permit.mark_slow(at(500));
    permit.mark_slow(at(600));
    permit.settle(FAIL, true, at(900));
    let snapshot = breaker.snapshot(at(900));
    let window = snapshot.window;
    assert_eq!((window.calls, window.slow, window.failures), (1, 1, 1));
    assert_eq!((snapshot.totals.slow, snapshot.totals.failures), (1, 1));
}

#[test]
fn a_caller_that_leaves_after_the_slow_mark_counts_as_slow() {
    let breaker = breaker(slow());
    let mut marked = admitted(&breaker, at(0));
    marked.mark_slow(at(500));
    drop(marked);
    admitted(&breaker, at(0)).settle(Outcome::Neutral, true, at(600));
    let window = breaker.snapshot(at(600)).window;
    assert_eq!((window.calls, window.slow, window.failures), (2, 2, 0));
}

#[test]
fn failed_probes_open_it_without_traffic() {
    let breaker = breaker(plain());
    assert_eq!(
        opened(breaker.trip(Rule::Probes, FailureKind::Connect, at(0))),
        Some(Rule::Probes)
    );
    assert_eq!(
        breaker.trip(Rule::Probes, FailureKind::Connect, at(0)),
        None
    );
    let last = breaker.snapshot(at(0)).last_failure.expect("a failure");
    assert_eq!((last.kind, last.at), (FailureKind::Connect, at(0)));
}

#[test]
fn with_the_consecutive_rule_alone_successes_are_not_counted_and_the_snapshot_says_so() {
    let bare = breaker(plain());
    quiet(&bare, 5, OK, false, at(0));
    assert_eq!(bare.snapshot(at(0)).totals.successes, None);
    let windowed = breaker(rate());
    quiet(&windowed, 5, OK, false, at(0));
    assert_eq!(windowed.snapshot(at(0)).totals.successes, Some(5));
}
