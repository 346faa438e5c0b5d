//! Successes told without a moment: every one counted, dated as well as can be known.

use std::thread;

use mainstay_breaker::{Breaker, Lane, Mode, Rule, Settings, State, Window};

use crate::support::*;

fn succeed(breaker: &Breaker, count: u32, lane: &Lane) {
    for _ in 0..count {
        let permit = breaker.try_admit().expect("closed");
        assert!(permit.try_success(lane).is_ok());
    }
}

fn calls(breaker: &Breaker, millis: u64) -> u64 {
    breaker.snapshot(at(millis)).window.calls
}

#[test]
fn a_success_without_a_moment_counts_in_the_window_and_the_totals() {
    let breaker = breaker(rate());
    for lane in [Lane::claim(), Lane::shared()] {
        succeed(&breaker, 5, &lane);
    }
    let snapshot = breaker.snapshot(at(0));
    assert_eq!(snapshot.window.calls, 10);
    assert_eq!(snapshot.totals.successes, Some(10));
    quiet(&breaker, 9, FAIL, false, at(1));
    assert_eq!(breaker.state(), State::Closed);
    assert_eq!(opened(call(&breaker, FAIL, at(1))), Some(Rule::Rate));
}

#[test]
fn it_ends_the_row_of_failures() {
    for made in [Breaker::new, Breaker::without_window] {
        let breaker = made(plain(), 7).expect("sensible");
        quiet(&breaker, 2, FAIL, false, at(0));
        succeed(&breaker, 1, &Lane::shared());
        assert_eq!(breaker.snapshot(at(0)).failures_in_row, 0);
        quiet(&breaker, 2, FAIL, false, at(0));
        assert!(call(&breaker, FAIL, at(0)).is_some());
    }
}

#[test]
fn a_probe_needs_a_moment_and_keeps_its_place_until_it_has_one() {
    let breaker = half_open(plain());
    let probe = admitted(&breaker, at(10_000));
    let probe = probe.try_success(&Lane::shared()).expect_err("a probe");
    assert_eq!(breaker.snapshot(at(10_000)).probes_in_flight, 1);
    let ticket = probe.into_ticket();
    let ticket = ticket
        .try_success(&breaker, &Lane::shared())
        .expect_err("a probe");
    assert!(ticket.settle(&breaker, OK, false, at(10_000)).is_some());
    assert_eq!(breaker.state(), State::Closed);
}

#[test]
fn late_ones_and_slow_ones_count_in_the_totals_alone() {
    let breaker = breaker(slow());
    let lane = Lane::claim();
    let late = admitted(&breaker, at(0));
    let mut slow = admitted(&breaker, at(0));
    breaker.reset(at(0));
    assert!(late.try_success(&lane).is_ok());
    assert_eq!(slow.mark_slow(at(0)), None);
    assert!(slow.try_success(&lane).is_ok());
    let mut slow = admitted(&breaker, at(0));
    assert_eq!(slow.mark_slow(at(0)), None);
    assert!(slow.try_success(&lane).is_ok());
    let snapshot = breaker.snapshot(at(0));
    assert_eq!((snapshot.window.calls, snapshot.window.slow), (1, 1));
    assert_eq!(snapshot.totals.successes, Some(3));
    assert_eq!((snapshot.totals.slow, snapshot.totals.neutral), (2, 0));
}

#[test]
fn a_slow_one_that_was_marked_ends_the_row_as_well() {
    let breaker = breaker(Settings {
        consecutive: plain().consecutive,
        ..slow()
    });
    quiet(&breaker, 2, FAIL, false, at(0));
    let mut slow = admitted(&breaker, at(0));
    assert_eq!(slow.mark_slow(at(0)), None);
    assert_eq!(breaker.snapshot(at(0)).failures_in_row, 2);
    assert!(slow.try_success(&Lane::shared()).is_ok());
    assert_eq!(breaker.snapshot(at(0)).failures_in_row, 0);
}

#[test]
fn under_disabled_it_counts_nowhere_and_under_shadow_in_the_totals() {
    let breaker = breaker(rate());
    breaker.set_mode(Mode::Disabled, at(0));
    succeed(&breaker, 3, &Lane::shared());
    assert_eq!(breaker.snapshot(at(0)).totals.successes, Some(0));
    breaker.set_mode(Mode::Shadow, at(0));
    succeed(&breaker, 2, &Lane::shared());
    assert_eq!(calls(&breaker, 0), 2);
    breaker.trip(Rule::Probes, mainstay_breaker::FailureKind::Connect, at(0));
    let shadowed = admitted(&breaker, at(0));
    assert!(shadowed.try_success(&Lane::shared()).is_ok());
    let snapshot = breaker.snapshot(at(0));
    assert_eq!(
        (snapshot.totals.successes, snapshot.window.calls),
        (Some(3), 2)
    );
}

#[test]
fn ticks_date_them_to_the_bucket() {
    let breaker = breaker(rate());
    let lane = Lane::claim();
    for second in 0..60 {
        breaker.tick(at(second * 1_000));
        succeed(&breaker, 10, &lane);
    }
    breaker.tick(at(60_000));
    // Ten of each second; the first bucket has left, with what was counted in it before 6 s.
    assert_eq!(calls(&breaker, 60_000), 540);
    assert_eq!(calls(&breaker, 66_000), 480);
    assert_eq!(calls(&breaker, 120_000), 0);
}

#[test]
fn without_ticks_they_are_spread_over_the_time_since_the_last_moment() {
    let breaker = breaker(rate());
    breaker.tick(at(0));
    succeed(&breaker, 1_200, &Lane::claim());
    // Two minutes: the window has 54 to 60 s of them.
    assert_eq!(calls(&breaker, 120_000), 540);
    assert_eq!(calls(&breaker, 119_999), 599);
    breaker.tick(at(120_000));
    assert_eq!(calls(&breaker, 120_000), 540);
    assert_eq!(calls(&breaker, 150_000), 240);
    assert_eq!(breaker.snapshot(at(120_000)).totals.successes, Some(1_200));
}

#[test]
fn before_the_first_moment_they_count_as_new() {
    let breaker = breaker(rate());
    succeed(&breaker, 7, &Lane::claim());
    breaker.tick(at(0));
    assert_eq!((calls(&breaker, 0), calls(&breaker, 59_999)), (7, 7));
}

#[test]
fn looking_moves_nothing() {
    let breaker = breaker(rate());
    breaker.tick(at(0));
    succeed(&breaker, 60, &Lane::claim());
    assert_eq!(calls(&breaker, 600_000), 5);
    assert_eq!(calls(&breaker, 30_000), 60);
    breaker.tick(at(30_000));
    assert_eq!(calls(&breaker, 30_000), 60);
}

#[test]
fn a_reset_forgets_those_not_yet_in_a_bucket() {
    let breaker = breaker(rate());
    succeed(&breaker, 5, &Lane::claim());
    quiet(&breaker, 5, OK, false, at(0));
    breaker.reset(at(0));
    assert_eq!(calls(&breaker, 0), 0);
    succeed(&breaker, 2, &Lane::claim());
    quiet(&breaker, 3, OK, false, at(0));
    assert_eq!(calls(&breaker, 0), 5);
    assert_eq!(breaker.snapshot(at(0)).totals.successes, Some(15));
}

#[test]
fn another_shape_of_the_window_keeps_those_not_yet_in_a_bucket() {
    let breaker = breaker(rate());
    breaker.tick(at(0));
    succeed(&breaker, 5, &Lane::claim());
    let window = Window {
        length: ms(30_000),
        buckets: 3,
    };
    breaker
        .reconfigure(Settings { window, ..rate() }, at(1_000))
        .expect("sensible");
    assert_eq!(calls(&breaker, 1_000), 5);
    quiet(&breaker, 1, OK, false, at(12_000));
    assert_eq!((calls(&breaker, 29_999), calls(&breaker, 30_000)), (6, 1));
}

#[test]
fn lanes_are_told_apart_and_come_back() {
    let lanes: Vec<_> = (0..64).map(|_| Lane::claim()).collect();
    let own = lanes.iter().filter(|lane| lane.is_own()).count();
    // Other tests of this process may hold some.
    assert!(own > 32);
    let beyond: Vec<_> = (0..64).map(|_| Lane::claim()).collect();
    assert!(beyond.iter().any(|lane| !lane.is_own()));
    assert!(!Lane::shared().is_own());
    drop((lanes, beyond));
    assert!(Lane::claim().is_own());
}

#[test]
fn threads_lose_no_success_whatever_lane_they_have() {
    const ROUNDS: u32 = if cfg!(miri) { 50 } else { 20_000 };
    let breaker = breaker(rate());
    thread::scope(|scope| {
        for thread in 0..6 {
            let breaker = &breaker;
            scope.spawn(move || {
                // Lanes change hands between and within threads.
                for _ in 0..10 {
                    let lane = if thread < 4 {
                        Lane::claim()
                    } else {
                        Lane::shared()
                    };
                    succeed(breaker, ROUNDS / 10, &lane);
                }
            });
        }
        (0..100).for_each(|milli| breaker.tick(at(milli)));
    });
    let snapshot = breaker.snapshot(at(100));
    assert_eq!(snapshot.window.calls, u64::from(6 * ROUNDS));
    assert_eq!(snapshot.totals.successes, Some(u64::from(6 * ROUNDS)));
}

#[test]
fn without_a_window_the_window_rules_are_refused_for_ever() {
    let refused = |settings| {
        Breaker::without_window(settings, 1)
            .expect_err("refused")
            .field
    };
    assert_eq!((refused(rate()), refused(slow())), ("rate", "slow"));
    let breaker = Breaker::without_window(plain(), 1).expect("sensible");
    let error = breaker.reconfigure(rate(), at(0)).expect_err("refused");
    assert!(error.to_string().contains("no window"), "{error}");
    let mut many = plain();
    many.half_open.probes = 3;
    assert_eq!(refused(many), "half_open.probes");
    many.half_open.probes = 2;
    breaker.reconfigure(many, at(0)).expect("sensible");
    assert_eq!(breaker.settings(), many);
    breaker.tick(at(0));
    assert_eq!(breaker.snapshot(at(0)).totals.successes, None);
}

#[test]
fn a_late_success_ends_no_later_row() {
    let breaker = breaker(plain());
    let late = admitted(&breaker, at(0));
    breaker.reset(at(0));
    quiet(&breaker, 2, FAIL, false, at(0));
    assert!(late.try_success(&Lane::shared()).is_ok());
    assert_eq!(breaker.snapshot(at(0)).failures_in_row, 2);
}

#[test]
fn a_ticket_does_what_a_permit_does() {
    let breaker = breaker(slow());
    quiet(&breaker, 4, OK, false, at(0));
    quiet(&breaker, 15, OK, true, at(0));
    let mut ticket = admitted(&breaker, at(0)).into_ticket();
    assert!(!ticket.is_probe() && !ticket.would_be_rejected());
    assert_eq!(opened(ticket.mark_slow(&breaker, at(0))), Some(Rule::Slow));
    assert_eq!(ticket.mark_slow(&breaker, at(0)), None);
    ticket.release(&breaker);
    assert_eq!(breaker.snapshot(at(0)).totals.neutral, 1);

    let probe = admitted(&breaker, at(10_000)).into_ticket();
    assert!(probe.is_probe() && !probe.would_be_rejected());
    assert_eq!(probe.generation(), breaker.generation());
    probe.release(&breaker);
    assert_eq!(breaker.snapshot(at(10_000)).probes_in_flight, 0);
    breaker.set_mode(Mode::Shadow, at(10_000));
    let probe = admitted(&breaker, at(10_000)).into_ticket();
    let shadowed = admitted(&breaker, at(10_000)).into_ticket();
    assert!(probe.is_probe() && shadowed.would_be_rejected() && !shadowed.is_probe());
    shadowed.release(&breaker);
    assert!(probe.settle(&breaker, OK, false, at(10_000)).is_some());
}
