//! Every interleaving of a few threads over a small breaker:
//! `RUSTFLAGS="--cfg loom" cargo test -p mainstay-breaker --release --test loom --target-dir target/loom`
#![cfg(loom)]

use std::num::NonZeroU32;
use std::time::Duration;

use loom::sync::Arc;
use loom::sync::atomic::{AtomicUsize, Ordering};
use loom::thread;
use mainstay_breaker::{
    Breaker, FailureKind, HalfOpen, Lane, Mode, Moment, Outcome, RateRule, Rule, Settings, State,
    Transition, Window,
};

const FAIL: Outcome = Outcome::Failure(FailureKind::Connect);
const OK: Outcome = Outcome::Success;

fn at(millis: u64) -> Moment {
    Moment::from_nanos((1_000_000 + millis) * 1_000_000)
}

/// Two failures in a row open it for 10 ms, one probe closes it.
fn plain() -> Settings {
    Settings {
        consecutive: NonZeroU32::new(2),
        window: Window {
            length: Duration::from_millis(20),
            buckets: 2,
        },
        rate: None,
        slow: None,
        reset_timeout: Duration::from_millis(10),
        jitter: 0.0,
        half_open: HalfOpen {
            probes: 1,
            successes: 1,
            lease: Duration::from_millis(5),
        },
        ramp: None,
        ..Settings::default()
    }
}

fn rate(min_calls: u32) -> Settings {
    Settings {
        consecutive: None,
        rate: Some(RateRule {
            threshold: 0.5,
            min_calls,
        }),
        ..plain()
    }
}

fn small(settings: Settings) -> Arc<Breaker> {
    Arc::new(Breaker::without_window(settings, 1).expect("sensible"))
}

fn windowed(settings: Settings) -> Arc<Breaker> {
    Arc::new(Breaker::new(settings, 1).expect("sensible"))
}

fn half_open(breaker: &Breaker) {
    breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
    breaker.half_open_early(at(1));
}

fn call(breaker: &Breaker, outcome: Outcome, now: Moment) -> Vec<Transition> {
    let admission = breaker.admit(now);
    let settled = admission
        .result
        .ok()
        .and_then(|permit| permit.settle(outcome, false, now));
    admission.transition.into_iter().chain(settled).collect()
}

/// Runs `one` and `other` at once and gives what both gave.
fn both<T: 'static>(
    breaker: &Arc<Breaker>,
    one: fn(&Breaker) -> T,
    other: fn(&Breaker) -> T,
) -> (T, T) {
    let shared = Arc::clone(breaker);
    let spawned = thread::spawn(move || one(&shared));
    let mine = other(breaker);
    (spawned.join().expect("no panic"), mine)
}

fn one_chain(breaker: &Breaker, mut seen: Vec<Transition>) {
    seen.sort_by_key(|transition| transition.generation);
    assert_eq!(
        seen.last().map_or(State::Closed, |last| last.to),
        breaker.state()
    );
    for pair in seen.windows(2) {
        assert!(pair[0].generation < pair[1].generation);
        assert_eq!(pair[0].to, pair[1].from);
    }
}

#[test]
fn two_failures_in_a_row_open_it_once_whoever_comes_first() {
    loom::model(|| {
        let breaker = small(plain());
        let fail = |breaker: &Breaker| call(breaker, FAIL, at(0));
        let (mut seen, more) = both(&breaker, fail, fail);
        seen.extend(more);
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].rule, Some(Rule::Consecutive));
        one_chain(&breaker, seen);
    });
}

#[test]
fn a_success_between_failures_ends_the_row_or_comes_too_late() {
    loom::model(|| {
        let breaker = small(plain());
        call(&breaker, FAIL, at(0));
        let fail = |breaker: &Breaker| call(breaker, FAIL, at(0));
        let (failed, _) = both(&breaker, fail, |breaker| call(breaker, OK, at(0)));
        let (row, state) = (breaker.snapshot(at(0)).failures_in_row, breaker.state());
        match failed.len() {
            1 => assert_eq!((row, state), (2, State::Open)),
            _ => assert!(row <= 1 && state == State::Closed),
        }
    });
}

#[test]
fn an_open_breaker_turns_half_open_once_and_has_one_probe_in_flight() {
    loom::model(|| {
        let breaker = small(plain());
        breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
        let ask = |breaker: &Breaker| {
            let admission = breaker.admit(at(10));
            let ticket = admission.result.ok().map(|permit| permit.into_ticket());
            (admission.transition, ticket)
        };
        let (one, other) = both(&breaker, ask, ask);
        assert!(one.0.is_some() != other.0.is_some());
        assert!(one.1.is_some() != other.1.is_some());
        assert_eq!(breaker.snapshot(at(10)).probes_in_flight, 1);
        for ticket in [one.1, other.1].into_iter().flatten() {
            assert!(ticket.is_probe());
            ticket.settle(&breaker, OK, false, at(11));
        }
        assert_eq!(breaker.state(), State::Closed);
    });
}

#[test]
fn a_probe_that_gives_its_place_back_lets_another_in_and_never_two() {
    loom::model(|| {
        let breaker = small(plain());
        half_open(&breaker);
        let probe = |breaker: &Breaker| {
            let permit = breaker.admit(at(2)).result.ok();
            assert!(breaker.snapshot(at(2)).probes_in_flight <= 1);
            u32::from(permit.is_some())
        };
        let (one, other) = both(&breaker, probe, probe);
        assert!(one + other >= 1);
        let snapshot = breaker.snapshot(at(2));
        assert_eq!(snapshot.probes_in_flight, 0);
        assert_eq!(snapshot.totals.neutral, u64::from(one + other));
        assert_eq!(snapshot.totals.rejected, u64::from(2 - one - other));
    });
}

#[test]
fn a_hung_probe_loses_its_place_and_its_verdict_races_harmlessly_with_the_next() {
    loom::model(|| {
        let breaker = small(plain());
        half_open(&breaker);
        let hung = breaker.admit(at(2)).result.expect("a probe").into_ticket();
        let shared = Arc::clone(&breaker);
        let late = thread::spawn(move || hung.settle(&shared, FAIL, false, at(8)));
        let next = breaker.admit(at(8)).result;
        let closed = next.map(|permit| permit.settle(OK, false, at(8)));
        assert_eq!(late.join().expect("no panic"), None);
        let closed = closed.expect("the lease was over").expect("it closes");
        assert_eq!((closed.to, breaker.state()), (State::Closed, State::Closed));
    });
}

#[test]
fn of_two_probes_that_fail_and_pass_one_decides_and_the_other_is_late_or_reopens() {
    loom::model(|| {
        let breaker = small(Settings {
            half_open: HalfOpen {
                probes: 2,
                ..plain().half_open
            },
            ..plain()
        });
        half_open(&breaker);
        let (mut seen, more) = both(
            &breaker,
            |breaker| call(breaker, FAIL, at(2)),
            |breaker| call(breaker, OK, at(2)),
        );
        seen.extend(more);
        seen.sort_by_key(|transition| transition.generation);
        // The second may have been refused, have come late, or have found it closed and counted there.
        assert_eq!(seen.len(), 1);
        assert_eq!(seen[0].from, State::HalfOpen);
        assert_eq!(seen[0].to, breaker.state());
    });
}

#[test]
fn a_probe_of_an_earlier_half_open_time_counts_among_those_in_flight() {
    loom::model(|| {
        let breaker = small(plain());
        half_open(&breaker);
        let in_flight = Arc::new(AtomicUsize::new(0));
        let begin = |in_flight: &AtomicUsize| {
            assert_eq!(in_flight.fetch_add(1, Ordering::SeqCst), 0);
        };
        let early = breaker.admit(at(2)).result.expect("a place").into_ticket();
        begin(&in_flight);
        let (shared, counted) = (Arc::clone(&breaker), Arc::clone(&in_flight));
        let ending = thread::spawn(move || {
            counted.fetch_sub(1, Ordering::SeqCst);
            early.settle(&shared, OK, false, at(3))
        });
        breaker.trip(Rule::Probes, FailureKind::Connect, at(2));
        breaker.half_open_early(at(2));
        if let Ok(permit) = breaker.admit(at(2)).result
            && permit.is_probe()
        {
            begin(&in_flight);
        }
        ending.join().expect("no panic");
    });
}

#[test]
fn a_verdict_from_before_the_reset_changes_nothing_after_it() {
    loom::model(|| {
        let breaker = small(Settings {
            consecutive: NonZeroU32::new(1),
            ..plain()
        });
        let ticket = breaker.try_admit().expect("closed").into_ticket();
        let shared = Arc::clone(&breaker);
        let failing = thread::spawn(move || ticket.settle(&shared, FAIL, false, at(0)));
        let reset = breaker.reset(at(0));
        let opened = failing.join().expect("no panic");
        assert_eq!(opened.is_some(), reset.is_some());
        assert_eq!(breaker.state(), State::Closed);
        assert_eq!(breaker.snapshot(at(0)).failures_in_row, 0);
    });
}

#[test]
fn a_mode_that_masks_makes_verdicts_in_flight_late() {
    for mode in [Mode::ForcedOpen, Mode::Disabled, Mode::Shadow] {
        loom::model(move || {
            let breaker = small(Settings {
                consecutive: NonZeroU32::new(1),
                ..plain()
            });
            let shared = Arc::clone(&breaker);
            let failing = thread::spawn(move || call(&shared, FAIL, at(0)).len());
            breaker.set_mode(mode, at(0));
            let opened = failing.join().expect("no panic");
            assert_eq!(breaker.mode(), mode);
            breaker.set_mode(Mode::Auto, at(1));
            let open = breaker.state() == State::Open;
            assert_eq!(open, opened == 1);
        });
    }
}

#[test]
fn a_trip_and_an_early_half_open_form_one_chain_with_a_call() {
    loom::model(|| {
        let breaker = small(plain());
        let (mut seen, more) = both(
            &breaker,
            |breaker| {
                let tripped = breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
                let entered = breaker.half_open_early(at(1));
                tripped.into_iter().chain(entered).collect()
            },
            |breaker| call(breaker, OK, at(2)),
        );
        seen.extend(more);
        one_chain(&breaker, seen);
    });
}

#[test]
fn a_rejection_carries_the_end_of_its_own_opening() {
    loom::model(|| {
        let breaker = small(plain());
        breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
        let (rejected, _) = both(
            &breaker,
            |breaker| breaker.admit(at(5)).result.err().and_then(|no| no.retry_at),
            |breaker| {
                breaker.half_open_early(at(1));
                breaker.trip(Rule::Probes, FailureKind::Connect, at(2));
                None
            },
        );
        // The first opening ends at 10 ms, the second is twice as long.
        assert!(rejected.is_none_or(|at_| at_ == at(10) || at_ == at(22)));
    });
}

#[test]
fn successes_in_lanes_are_all_counted_while_a_failure_sums_them() {
    loom::model(|| {
        let breaker = windowed(rate(100));
        let succeed = |breaker: &Breaker| {
            let lane = Lane::claim();
            let permit = breaker.try_admit().expect("closed");
            assert!(permit.try_success(&lane).is_ok());
        };
        let shared = Arc::clone(&breaker);
        let spawned = thread::spawn(move || succeed(&shared));
        succeed(&breaker);
        call(&breaker, FAIL, at(0));
        spawned.join().expect("no panic");
        let snapshot = breaker.snapshot(at(0));
        assert_eq!((snapshot.window.calls, snapshot.window.failures), (3, 1));
        assert_eq!(snapshot.totals.successes, Some(2));
    });
}

#[test]
fn the_rate_rule_sees_every_success_that_settled_before_the_failure() {
    loom::model(|| {
        let breaker = windowed(rate(2));
        let permit = breaker.try_admit().expect("closed");
        assert!(permit.try_success(&Lane::shared()).is_ok());
        let (failed, succeeded) = both(
            &breaker,
            |breaker| call(breaker, FAIL, at(0)).len(),
            |breaker| {
                let permit = breaker.try_admit();
                let lane = Lane::shared();
                usize::from(permit.is_some_and(|permit| permit.try_success(&lane).is_ok()))
            },
        );
        // One of two failed and opens it; one of three doesn't.
        let calls = breaker.snapshot(at(0)).window.calls;
        assert_eq!(breaker.state() == State::Open, failed == 1);
        assert!(failed == 1 || succeeded == 1);
        assert!(calls >= 2);
    });
}

#[test]
fn a_bucket_ends_for_two_successes_at_once_and_no_count_is_lost() {
    loom::model(|| {
        let breaker = windowed(rate(100));
        call(&breaker, OK, at(0));
        let next = |breaker: &Breaker| call(breaker, OK, at(10)).len();
        both(&breaker, next, next);
        assert_eq!(breaker.snapshot(at(10)).window.calls, 3);
        assert_eq!(breaker.snapshot(at(10)).totals.successes, Some(3));
    });
}

#[test]
fn three_failures_open_it_once_and_the_third_is_late() {
    loom::model(|| {
        let breaker = small(plain());
        let fail = |breaker: &Arc<Breaker>| {
            let shared = Arc::clone(breaker);
            let ticket = breaker.try_admit().expect("closed").into_ticket();
            thread::spawn(move || ticket.settle(&shared, FAIL, false, at(0)))
        };
        let settled = [fail(&breaker), fail(&breaker), fail(&breaker)];
        let seen = settled.map(|thread| thread.join().expect("no panic"));
        assert_eq!(seen.iter().flatten().count(), 1);
        let snapshot = breaker.snapshot(at(0));
        assert_eq!((snapshot.generation, snapshot.failures_in_row), (1, 2));
        assert_eq!(snapshot.totals.failures, 3);
    });
}

#[test]
fn three_callers_at_the_end_of_the_open_time_make_one_probe() {
    loom::model(|| {
        let breaker = small(plain());
        breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
        let ask = |breaker: &Arc<Breaker>| {
            let shared = Arc::clone(breaker);
            thread::spawn(move || {
                let admission = shared.admit(at(10));
                let probe = admission.result.ok().map(|permit| permit.into_ticket());
                (admission.transition.is_some(), probe.is_some())
            })
        };
        let asked = [ask(&breaker), ask(&breaker), ask(&breaker)];
        let seen = asked.map(|thread| thread.join().expect("no panic"));
        assert_eq!(seen.iter().filter(|seen| seen.0).count(), 1);
        assert_eq!(seen.iter().filter(|seen| seen.1).count(), 1);
        assert_eq!(breaker.snapshot(at(10)).totals.rejected, 2);
    });
}

#[test]
fn a_lane_that_changes_hands_takes_its_count_along() {
    loom::model(|| {
        let breaker = windowed(rate(100));
        let succeed = |breaker: &Breaker| {
            for _ in 0..2 {
                let lane = Lane::claim();
                let permit = breaker.try_admit().expect("closed");
                assert!(permit.try_success(&lane).is_ok());
            }
        };
        both(&breaker, succeed, succeed);
        assert_eq!(breaker.snapshot(at(0)).window.calls, 4);
    });
}
