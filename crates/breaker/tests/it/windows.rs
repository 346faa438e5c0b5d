//! The window slides, and keeps its counts when its shape changes.

use mainstay_breaker::{Rule, Settings, Window};

use crate::support::*;

#[test]
fn an_outage_after_a_million_successes_opens_as_fast_as_after_ten() {
    let healthy = if cfg!(miri) { 1_000 } else { 1_000_000 };
    let failures_to_open = |successes: u32| {
        let breaker = breaker(rate());
        quiet(&breaker, successes, OK, false, at(0));
        let after = at(60_000);
        (1..100).find(|_| call(&breaker, FAIL, after).is_some())
    };
    assert_eq!(failures_to_open(healthy), Some(20));
    assert_eq!(failures_to_open(10), Some(20));
}

#[test]
fn a_bucket_leaves_after_the_length_of_the_window() {
    let breaker = breaker(rate());
    quiet(&breaker, 3, OK, false, at(0));
    quiet(&breaker, 2, FAIL, false, at(6_000));
    let seen = |millis| {
        let window = breaker.snapshot(at(millis)).window;
        (window.calls, window.failures)
    };
    assert_eq!(seen(59_999), (5, 2));
    assert_eq!(seen(60_000), (2, 2));
    assert_eq!(seen(66_000), (0, 0));
}

#[test]
fn a_success_at_the_very_end_of_a_bucket_is_in_the_next() {
    let breaker = breaker(rate());
    for millis in [0, 5_999, 6_000, 6_001] {
        quiet(&breaker, 1, OK, false, at(millis));
    }
    let calls = |millis| breaker.snapshot(at(millis)).window.calls;
    assert_eq!((calls(59_999), calls(60_000), calls(66_000)), (4, 2, 0));
}

#[test]
fn a_bucket_is_reused_for_its_next_turn_only() {
    let breaker = breaker(rate());
    quiet(&breaker, 9, OK, false, at(0));
    quiet(&breaker, 1, FAIL, false, at(60_000));
    let window = breaker.snapshot(at(60_000)).window;
    assert_eq!(
        (window.calls, window.failures, window.failure_rate),
        (1, 1, 1.0)
    );
}

#[test]
fn counts_return_after_a_pause_of_days() {
    let breaker = breaker(rate());
    quiet(&breaker, 9, FAIL, false, at(0));
    let days = 86_400_000 * 24;
    quiet(&breaker, 1, FAIL, false, at(days));
    assert_eq!(breaker.snapshot(at(days)).window.calls, 1);
}

#[test]
fn a_clock_reading_a_little_behind_loses_nothing() {
    let breaker = breaker(rate());
    quiet(&breaker, 3, FAIL, false, at(60_000));
    quiet(&breaker, 2, FAIL, false, at(59_999));
    assert_eq!(breaker.snapshot(at(60_000)).window.failures, 5);
}

#[test]
fn a_thread_that_stalled_for_a_whole_window_destroys_no_newer_count() {
    let breaker = breaker(rate());
    quiet(&breaker, 3, FAIL, false, at(60_000));
    quiet(&breaker, 2, FAIL, false, at(0));
    assert_eq!(breaker.snapshot(at(60_000)).window.failures, 5);
}

#[test]
fn a_place_in_the_ring_taken_over_by_another_shape_keeps_its_live_counts() {
    let breaker = breaker(rate());
    quiet(&breaker, 5, OK, false, at(6_000));
    let window = Window {
        length: ms(60_000),
        buckets: 2,
    };
    breaker
        .reconfigure(Settings { window, ..rate() }, at(31_000))
        .expect("they make sense");
    quiet(&breaker, 1, OK, false, at(31_000));
    assert_eq!(breaker.snapshot(at(31_000)).window.calls, 6);
}

/// The rate rule over a window of ten buckets.
fn shaped(millis: u64) -> Settings {
    Settings {
        window: Window {
            length: ms(millis),
            buckets: 10,
        },
        ..rate()
    }
}

#[test]
fn the_oldest_live_bucket_is_kept_too_when_another_shape_takes_its_place() {
    let breaker = breaker(shaped(10_000));
    quiet(&breaker, 5, FAIL, false, at(18_000));
    breaker
        .reconfigure(shaped(20_000), at(18_500))
        .expect("they make sense");
    // The eighth of ten places, before and after; a window of 20 s that ends with 38 s begins with 18 s.
    quiet(&breaker, 1, FAIL, false, at(36_000));
    assert_eq!(breaker.snapshot(at(36_000)).window.calls, 6);
}

#[test]
fn another_shape_keeps_no_count_longer_than_the_window_is_long() {
    let breaker = breaker(shaped(10_000));
    quiet(&breaker, 5, FAIL, false, at(18_000));
    breaker
        .reconfigure(shaped(20_000), at(18_500))
        .expect("they make sense");
    // The eighth of ten places before: whoever takes it now must not make its counts younger.
    quiet(&breaker, 1, FAIL, false, at(36_000));
    assert_eq!(breaker.snapshot(at(40_000)).window.calls, 1);
    assert_eq!(breaker.snapshot(at(50_000)).window.calls, 1);
}

#[test]
fn closing_starts_an_empty_window() {
    let breaker = breaker(rate());
    quiet(&breaker, 19, FAIL, false, at(0));
    assert_eq!(opened(call(&breaker, FAIL, at(0))), Some(Rule::Rate));
    assert_eq!(breaker.snapshot(at(0)).window.failures, 20);
    call(&breaker, OK, at(10_000));
    assert_eq!(breaker.snapshot(at(10_000)).window.calls, 0);
    quiet(&breaker, 1, FAIL, false, at(10_000));
}

#[test]
fn reconfiguring_keeps_state_and_counts() {
    let breaker = breaker(rate());
    quiet(&breaker, 5, OK, false, at(0));
    quiet(&breaker, 5, FAIL, false, at(7_000));
    for (length, buckets) in [(60_000, 3), (30_000, 32), (60_000, 7), (60_000, 10)] {
        let window = Window {
            length: ms(length),
            buckets,
        };
        let settings = Settings { window, ..rate() };
        breaker
            .reconfigure(settings, at(7_500))
            .expect("they make sense");
        let seen = breaker.snapshot(at(7_500)).window;
        assert_eq!((seen.calls, seen.failures), (10, 5), "{buckets} buckets");
    }
    quiet(&breaker, 1, FAIL, false, at(7_500));
    let snapshot = breaker.snapshot(at(7_500));
    assert_eq!((snapshot.window.calls, snapshot.failures_in_row), (11, 6));
}

#[test]
fn what_is_slow_is_told_while_the_rule_is_on() {
    let breaker = breaker(slow());
    assert_eq!(breaker.slow_after(), Some(ms(500)));
    breaker.reconfigure(plain(), at(1)).expect("sensible");
    assert_eq!(breaker.slow_after(), None);
}

#[test]
fn reconfiguring_keeps_an_open_breaker_open() {
    let breaker = breaker(plain());
    quiet(&breaker, 2, FAIL, false, at(0));
    call(&breaker, FAIL, at(0));
    let before = breaker.snapshot(at(1));
    let settings = Settings {
        reset_timeout: ms(1_000),
        ..plain()
    };
    breaker
        .reconfigure(settings, at(1))
        .expect("they make sense");
    assert_eq!(breaker.snapshot(at(1)), before);
    assert_eq!(breaker.settings(), settings);
}

#[test]
fn settings_that_make_no_sense_change_nothing() {
    let breaker = breaker(plain());
    let settings = Settings {
        max_open: 0,
        ..rate()
    };
    assert_eq!(
        breaker
            .reconfigure(settings, at(0))
            .expect_err("refused")
            .field,
        "max_open"
    );
    assert_eq!(breaker.settings(), plain());
}
