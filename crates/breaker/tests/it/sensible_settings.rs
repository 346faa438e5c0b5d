//! Settings that make no sense are refused by name.

use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{Breaker, Settings};

use crate::support::ms;

#[track_caller]
fn check(field: &str, change: impl Fn(&mut Settings)) {
    let mut settings = Settings::default();
    change(&mut settings);
    let error = Breaker::new(settings, 0).expect_err("refused");
    assert_eq!(error.field, field);
    assert!(error.to_string().contains("must be"), "{error}");
}

fn rate(change: impl Fn(&mut mainstay_breaker::RateRule)) -> impl Fn(&mut Settings) {
    move |settings| settings.rate.iter_mut().for_each(&change)
}

fn slow(change: impl Fn(&mut mainstay_breaker::SlowRule)) -> impl Fn(&mut Settings) {
    move |settings| settings.slow.iter_mut().for_each(&change)
}

#[test]
fn the_defaults_make_sense() {
    assert_eq!(Settings::default().validate(), Ok(()));
}

#[test]
fn a_window_has_a_length_and_a_few_buckets() {
    check("window.length", |settings| {
        settings.window.length = Duration::ZERO
    });
    check("window.length", |settings| settings.window.length = ms(9));
    check("window.length", |settings| {
        settings.window.length = Duration::MAX
    });
    check("window.buckets", |settings| settings.window.buckets = 0);
    check("window.buckets", |settings| settings.window.buckets = 33);
}

#[test]
fn a_threshold_is_a_share() {
    for threshold in [0.0, -0.5, 1.000_1, f64::NAN, f64::INFINITY] {
        check("rate.threshold", rate(|rate| rate.threshold = threshold));
        check("slow.threshold", slow(|slow| slow.threshold = threshold));
    }
    check("rate.min_calls", rate(|rate| rate.min_calls = 0));
    check("slow.min_calls", slow(|slow| slow.min_calls = 0));
    check("slow.after", slow(|slow| slow.after = Duration::ZERO));
}

#[test]
fn open_times_are_finite_and_jitter_stays_below_one() {
    check("reset_timeout", |settings| {
        settings.reset_timeout = Duration::ZERO
    });
    check("max_open", |settings| settings.max_open = 0);
    check("forget_after", |settings| settings.forget_after = 0);
    for jitter in [1.0, -0.1, f64::NAN] {
        check("jitter", |settings| settings.jitter = jitter);
    }
    check("ramp", |settings| settings.ramp = Some(Duration::ZERO));
}

#[test]
fn half_open_can_end() {
    check("half_open.probes", |settings| settings.half_open.probes = 0);
    check("half_open.probes", |settings| {
        settings.half_open.probes = 33
    });
    check("half_open.successes", |settings| {
        settings.half_open.successes = 0
    });
    check("half_open.successes", |settings| {
        settings.half_open.successes = 1_001
    });
    check("half_open.lease", |settings| {
        settings.half_open.lease = Duration::ZERO
    });
}

#[test]
fn a_row_fits_its_field() {
    check("consecutive", |settings| {
        settings.consecutive = NonZeroU32::new(65_536)
    });
}

#[test]
fn an_error_names_the_field_the_value_and_the_range() {
    let settings = Settings {
        max_open: 5_000,
        ..Settings::default()
    };
    let error = settings.validate().expect_err("refused");
    assert_eq!(error.to_string(), "max_open is 5000: must be 1 to 1000");
}
