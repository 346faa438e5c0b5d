//! How long it stays open: growing, jittered, never before a server's hint.

use mainstay_breaker::{Breaker, FailureKind, Moment, Outcome, Rule, Settings, State};

use crate::support::*;

fn trip(breaker: &Breaker, now: Moment) -> Moment {
    let opened = breaker.trip(Rule::Probes, FailureKind::Connect, now);
    opened
        .and_then(|transition| transition.retry_at)
        .expect("it opens for a time")
}

fn overload(seconds: u64) -> Outcome {
    Outcome::Overload {
        retry_after: Some(ms(seconds * 1_000)),
    }
}

/// Opens on the first failure.
fn touchy() -> Settings {
    Settings {
        consecutive: std::num::NonZeroU32::new(1),
        ..plain()
    }
}

#[test]
fn an_open_breaker_rejects_until_its_time_is_over() {
    let breaker = breaker(plain());
    trip(&breaker, at(0));
    let rejected = rejected(&breaker, at(9_999));
    assert_eq!(
        (rejected.state, rejected.retry_at),
        (State::Open, Some(at(10_000)))
    );
    let admission = breaker.admit(at(10_000));
    let transition = admission.transition.expect("it turns half-open");
    assert_eq!(
        (transition.from, transition.to),
        (State::Open, State::HalfOpen)
    );
    assert!(admission.result.expect("a probe").is_probe());
    assert_eq!(breaker.snapshot(at(10_000)).totals.rejected, 1);
}

#[test]
fn every_reopening_doubles_the_open_time_up_to_ten_times() {
    let breaker = breaker(plain());
    let mut now = at(0);
    let mut retry_at = trip(&breaker, now);
    let mut times = Vec::new();
    for reopenings in 0..6 {
        times.push(retry_at.saturating_since(now).as_secs());
        assert_eq!(breaker.snapshot(now).reopenings, reopenings);
        now = retry_at;
        let transition = call(&breaker, FAIL, now).expect("it opens again");
        assert_eq!((transition.from, transition.rule), (State::HalfOpen, None));
        retry_at = transition.retry_at.expect("a time");
    }
    assert_eq!(times, [10, 20, 40, 80, 100, 100]);
}

#[test]
fn opening_soon_after_closing_goes_on_growing() {
    let breaker = breaker(plain());
    trip(&breaker, at(0));
    call(&breaker, OK, at(10_000));
    assert_eq!(trip(&breaker, at(59_999)), at(59_999 + 20_000));
}

#[test]
fn staying_closed_for_five_reset_timeouts_forgets_the_exponent() {
    let breaker = breaker(plain());
    trip(&breaker, at(0));
    call(&breaker, FAIL, at(10_000));
    call(&breaker, OK, at(30_000));
    assert_eq!(breaker.snapshot(at(79_999)).reopenings, 1);
    assert_eq!(breaker.snapshot(at(80_000)).reopenings, 0);
    assert_eq!(trip(&breaker, at(80_000)), at(90_000));
}

#[test]
fn jitter_stays_within_a_fifth_and_differs_by_seed_only() {
    let open_time = |seed| {
        let breaker = Breaker::new(
            Settings {
                jitter: 0.2,
                ..plain()
            },
            seed,
        )
        .expect("sensible");
        trip(&breaker, at(0)).saturating_since(at(0))
    };
    let times: Vec<_> = (0..50).map(open_time).collect();
    assert!(
        times
            .iter()
            .all(|time| (ms(8_000)..=ms(12_000)).contains(time))
    );
    assert!(
        times.iter().any(|time| *time < ms(9_000)) && times.iter().any(|time| *time > ms(11_000))
    );
    assert_eq!(times, (0..50).map(open_time).collect::<Vec<_>>());
}

#[test]
fn a_servers_hint_is_a_floor_and_jitter_only_lengthens_it() {
    for seed in 0..50 {
        let settings = Settings {
            jitter: 0.2,
            ..touchy()
        };
        let breaker = Breaker::new(settings, seed).expect("sensible");
        let opened = call(&breaker, overload(25), at(0)).expect("it opens");
        let retry_at = opened.retry_at.expect("a time");
        assert!(
            (at(25_000)..=at(30_000)).contains(&retry_at),
            "{retry_at:?}"
        );
    }
}

#[test]
fn a_hint_counts_up_to_the_maximum_open_time() {
    let breaker = breaker(touchy());
    let opened = call(&breaker, overload(100_000), at(0)).expect("it opens");
    assert_eq!(opened.retry_at, Some(at(100_000)));
    assert_eq!(breaker.snapshot(at(0)).hint_until, Some(at(100_000)));
}

#[test]
fn a_hint_given_before_the_last_failure_still_holds() {
    let breaker = breaker(plain());
    quiet(&breaker, 1, overload(40), false, at(0));
    quiet(&breaker, 1, FAIL, false, at(1_000));
    let opened = call(&breaker, FAIL, at(2_000)).expect("it opens");
    assert_eq!(opened.retry_at, Some(at(40_000)));
}

#[test]
fn half_open_comes_early_but_never_before_a_hint() {
    let hinted = breaker(touchy());
    call(&hinted, overload(5), at(0));
    assert_eq!(hinted.half_open_early(at(4_999)), None);
    let transition = hinted.half_open_early(at(5_000)).expect("the hint is over");
    assert_eq!(
        (transition.from, transition.to),
        (State::Open, State::HalfOpen)
    );
    assert_eq!(hinted.half_open_early(at(5_000)), None);
    assert_eq!(breaker(plain()).half_open_early(at(0)), None);
}

#[test]
fn looking_changes_nothing_and_an_open_breaker_whose_time_is_over_shows_as_ready() {
    let breaker = breaker(plain());
    trip(&breaker, at(0));
    assert!(!breaker.snapshot(at(9_999)).ready_for_half_open);
    let ready = breaker.snapshot(at(20_000));
    assert!(ready.ready_for_half_open);
    assert_eq!(
        (ready.state, ready.retry_at),
        (State::Open, Some(at(10_000)))
    );
    assert_eq!(breaker.snapshot(at(20_000)), ready);
    assert_eq!(
        (ready.opened_at, ready.opened_by),
        (Some(at(0)), Some(Rule::Probes))
    );
}

#[test]
fn the_limit_ramps_up_after_closing() {
    let breaker = breaker(plain());
    assert_eq!(breaker.ramp_percent(at(0)), 100);
    trip(&breaker, at(0));
    call(&breaker, OK, at(10_000));
    let percents =
        [0, 2_499, 2_500, 4_999, 5_000].map(|after| breaker.ramp_percent(at(10_000 + after)));
    assert_eq!(percents, [25, 25, 50, 50, 100]);
    breaker
        .reconfigure(
            Settings {
                ramp: None,
                ..plain()
            },
            at(10_000),
        )
        .expect("sensible");
    assert_eq!(breaker.ramp_percent(at(10_000)), 100);
}

#[test]
fn a_hint_is_shown_until_it_is_over() {
    let breaker = breaker(plain());
    breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
    breaker.hint(ms(20_000), at(0));
    let shown = |millis| breaker.snapshot(at(millis)).hint_until;
    assert_eq!((shown(19_999), shown(20_000)), (Some(at(20_000)), None));
}

#[test]
fn a_hint_told_from_outside_lengthens_the_open_time_and_never_shortens_it() {
    let breaker = breaker(plain());
    breaker.hint(ms(50_000), at(0));
    assert_eq!(
        breaker.snapshot(at(0)).hint_until,
        None,
        "closed: nothing to lengthen"
    );
    let retry_at = trip(&breaker, at(0));
    breaker.hint(ms(1_000), at(0));
    assert_eq!(breaker.snapshot(at(0)).retry_at, Some(retry_at));
    breaker.hint(ms(50_000), at(1_000));
    let snapshot = breaker.snapshot(at(1_000));
    assert_eq!(
        (snapshot.retry_at, snapshot.hint_until),
        (Some(at(51_000)), Some(at(51_000)))
    );
    assert!(breaker.half_open_early(at(50_999)).is_none());
    assert!(breaker.admit(at(50_999)).result.is_err());
    assert!(breaker.admit(at(51_000)).result.is_ok());
}

#[test]
fn a_hint_told_from_outside_is_cut_to_the_maximum_too() {
    let breaker = breaker(plain());
    trip(&breaker, at(0));
    breaker.hint(ms(100_000_000), at(0));
    assert_eq!(breaker.snapshot(at(0)).retry_at, Some(at(100_000)));
}
