//! Probes at the very moments that bound their rules.

use mainstay_breaker::{Mode, State};
use mainstay_degradation::{Controller, Input, Settings};

use crate::told::{INSTANT, MILLI, START, Told};
use crate::world::{SECOND, at};

#[test]
fn the_next_probe_is_shown_and_asked_for_once_it_is_a_second_away() {
    let told = Told::of("database", true);
    assert_eq!(told.next(), Some(at(START)), "due before anything is known");
    let (mut told, due) = Told::healthy("database");
    assert_eq!(told.next(), Some(due));
    assert_eq!(told.tick(due - SECOND - INSTANT), []);
    assert_eq!(told.tick(due - SECOND), [due]);
    assert_eq!(told.next(), Some(due), "until its result is there");
}

#[test]
fn what_has_no_probe_has_no_next_one_whatever_its_breaker_does() {
    let mut told = Told::of("database", false);
    let now = at(START);
    assert_eq!(told.tick(now), []);
    told.moves(now, State::Open, Some(now + 30 * SECOND));
    assert_eq!((told.wants(now), told.next()), (vec![], None));
    told.view.mode = Mode::Shadow;
    assert_eq!((told.tick(now + SECOND), told.next()), (vec![], None));
}

#[test]
fn a_probe_counts_as_lost_half_a_minute_after_its_deadline() {
    let mut told = Told::of("database", true);
    let begun = at(START);
    assert_eq!(told.tick(begun), [begun]);
    assert_eq!(told.tick(begun + 31 * SECOND - INSTANT), []);
    assert_eq!(told.tick(begun + 31 * SECOND), [begun + 31 * SECOND]);
}

#[test]
fn a_wanted_probe_is_the_one_that_is_yet_to_begin_and_none_that_may_have_begun() {
    let (mut told, due) = Told::healthy("database");
    assert_eq!(told.tick(due - SECOND), [due]);
    assert_eq!(told.wants(due - INSTANT), []);
    assert_eq!(told.passes(due, due + MILLI), []);
    assert_eq!(told.next(), Some(due + MILLI + 30 * SECOND), "it was that");
    let begun = due + 10 * SECOND;
    assert_eq!(told.wants(begun), [begun]);
    assert_eq!(told.wants(begun), [], "while that one runs");
    let again = told.passes(begun, begun + MILLI);
    assert_eq!(again, [begun + SECOND], "another comes after it");
}

#[test]
fn a_probe_that_was_planned_is_none_asked_for_out_of_turn() {
    let (mut told, due) = Told::healthy("database");
    assert_eq!(told.wants(due), [due], "it was due anyway");
    told.passes(due, due);
    let wanted = due + 500 * MILLI;
    assert_eq!(told.wants(wanted), [wanted]);
    told.passes(wanted, wanted);
    assert_eq!(told.wants(wanted + MILLI), [wanted + SECOND]);
}

#[test]
fn the_third_failed_probe_in_a_row_opens_the_breaker_and_no_other_does() {
    let (mut told, due) = Told::healthy("database");
    let mut now = due - 20 * SECOND;
    let mut step = |told: &mut Told, passes: bool| {
        now = now + SECOND;
        told.probe(now, passes);
        told.trips()
    };
    assert!(!step(&mut told, false) && !step(&mut told, false));
    assert!(!step(&mut told, true), "that ends the row");
    assert!(!step(&mut told, false) && !step(&mut told, false));
    assert!(step(&mut told, false));
    told.moves(due, State::Open, Some(due + 30 * SECOND));
    told.probe(due + SECOND, false);
    assert!(!told.trips(), "it is open");
}

#[test]
fn the_second_pass_in_a_row_enters_half_open_early_from_the_moment_that_the_hint_allows() {
    let (mut told, due) = Told::healthy("database");
    let opened = due - 20 * SECOND;
    told.moves(opened, State::Open, Some(opened + 300 * SECOND));
    told.probe(opened + SECOND, false);
    told.probe(opened + 2 * SECOND, true);
    assert!(!told.enters_early(), "one pass");
    told.probe(opened + 3 * SECOND, true);
    assert!(told.enters_early(), "two");

    let hint = opened + 10 * SECOND;
    for (ended, allowed) in [(hint - INSTANT, false), (hint, true)] {
        let (mut told, _) = Told::healthy("database");
        told.moves(opened, State::Open, Some(opened + 300 * SECOND));
        told.view.hint_until = Some(hint);
        told.tick(opened);
        told.probe(opened + SECOND, false);
        told.probe(opened + 3 * SECOND, true);
        told.probe(ended, true);
        assert_eq!(told.enters_early(), allowed, "{ended:?}");
    }
}

#[test]
fn a_probe_begun_before_the_breaker_opened_says_nothing_about_the_time_since() {
    let (mut told, due) = Told::healthy("database");
    let begun = due - 20 * SECOND;
    let opened = begun + MILLI;
    assert_eq!(told.wants(begun), [begun]);
    told.moves(opened, State::Open, Some(opened + 300 * SECOND));
    told.fails(begun, begun + 2 * MILLI);
    (2..6).for_each(|second| {
        told.probe(begun + second * SECOND, true);
        assert!(!told.enters_early(), "no probe has failed since it opened");
    });

    let (mut told, _) = Told::healthy("openai");
    told.probe(begun - 5 * SECOND, false);
    assert_eq!(told.wants(begun), [begun]);
    told.moves(opened, State::Open, Some(opened + 300 * SECOND));
    let ended = begun + 2 * MILLI;
    told.passes(begun, ended);
    assert_eq!(
        told.next(),
        Some(ended + 10 * SECOND),
        "there is no pass to be confirmed"
    );
}

#[test]
fn the_end_of_the_open_time_is_worth_one_probe_and_not_two() {
    let (mut told, due) = Told::healthy("openai");
    let begun = due - 20 * SECOND;
    let retry_at = begun + 3 * SECOND;
    assert_eq!(told.wants(begun), [begun]);
    told.moves(begun, State::Open, Some(retry_at));
    told.fails(begun, begun + SECOND);
    assert_eq!(told.next(), Some(retry_at), "before its ten seconds");
    assert_eq!(told.tick(retry_at), [retry_at]);
    assert_eq!(told.fails(retry_at, retry_at), []);
    assert_eq!(told.next(), Some(retry_at + 20 * SECOND));
}

#[test]
fn another_mode_puts_off_and_hurries_no_probe_before_the_open_time_is_over() {
    let (mut told, due) = Told::healthy("openai");
    let opened = due - 20 * SECOND;
    told.moves(opened, State::Open, Some(opened + 300 * SECOND));
    let planned = Some(opened + 10 * SECOND);
    assert_eq!(told.next(), planned);
    for mode in [Mode::Shadow, Mode::Auto] {
        told.view.mode = mode;
        assert_eq!((told.tick(opened + SECOND), told.next()), (vec![], planned));
    }
}

#[test]
fn a_probe_that_ran_as_a_call_made_the_breaker_half_open_is_followed_at_once_by_one_with_a_place() {
    for passes in [false, true] {
        let (mut told, due) = Told::healthy("openai");
        let opened = due - 20 * SECOND;
        told.moves(opened, State::Open, Some(opened + 3 * SECOND));
        let begun = opened + 2 * SECOND;
        assert_eq!(told.wants(begun), [begun]);
        told.moves(begun + 2 * SECOND, State::HalfOpen, None);
        let ended = begun + 5 * SECOND;
        let next = if passes {
            told.passes(begun, ended)
        } else {
            told.fails(begun, ended)
        };
        assert_eq!(next, [ended], "passes: {passes}");

        // This one has a place, whose verdict counts: it is confirmed as any other.
        told.passes(ended, ended + MILLI);
        assert_eq!(told.next(), Some(ended + 201 * MILLI));
    }
    let (mut told, due) = Told::healthy("openai");
    let retry_at = due - 20 * SECOND;
    told.moves(retry_at - SECOND, State::Open, Some(retry_at));
    assert_eq!(told.asked, Some(retry_at));
    told.moves(retry_at, State::HalfOpen, None);
    told.passes(retry_at, retry_at + MILLI);
    assert_eq!(
        told.next(),
        Some(retry_at + 201 * MILLI),
        "it made it half-open itself"
    );
}

#[test]
fn a_probe_that_ran_as_an_operators_mode_ended_is_followed_at_once_by_one_with_a_place() {
    let (mut told, due) = Told::healthy("openai");
    let opened = due - 20 * SECOND;
    let retry_at = opened + 3 * SECOND;
    told.moves(opened, State::Open, Some(retry_at));
    told.view.mode = Mode::ForcedOpen;
    told.tick(opened + SECOND);
    assert_eq!(told.tick(retry_at), [retry_at]);
    told.view.mode = Mode::Auto;
    assert_eq!(told.tick(retry_at + SECOND), [], "one is running");
    let ended = retry_at + 5 * SECOND;
    assert_eq!(told.fails(retry_at, ended), [ended]);

    // One that is asked for as the mode ends begins under the next, and has a place.
    let (mut told, _) = Told::healthy("openai");
    told.moves(opened, State::Open, Some(retry_at));
    told.view.mode = Mode::ForcedOpen;
    told.tick(opened + SECOND);
    let asked = retry_at + SECOND;
    assert_eq!(told.wants(asked), [asked]);
    told.view.mode = Mode::Auto;
    assert_eq!(told.tick(asked), []);
    assert_eq!(told.fails(asked, ended), []);
}

#[test]
fn another_schedule_begins_with_its_first_pause_however_long_it_has_failed() {
    let (mut told, due) = Told::healthy("openai");
    let now = due - 20 * SECOND;
    for failed in 0..3 {
        told.probe(now + failed * 100 * SECOND, false);
    }
    let now = now + 200 * SECOND;
    assert_eq!(told.next(), Some(now + 40 * SECOND));
    let mut settings = Settings::standard();
    settings.dependency_mut("openai").unwrap().probes.trip_after = 1;
    let rules = settings.validate().unwrap();
    told.tell(now + SECOND, Input::Settings(Box::new(rules)));
    assert_eq!(told.next(), Some(now + 11 * SECOND));
}

#[test]
fn what_failed_long_while_it_was_disabled_is_probed_soon_once_it_is_not() {
    let (mut told, due) = Told::healthy("openai");
    let now = due - 20 * SECOND;
    told.view.mode = Mode::Disabled;
    told.tick(now);
    for failed in 0..4 {
        told.probe(now + failed * 100 * SECOND, false);
    }
    let now = now + 300 * SECOND;
    assert_eq!(told.next(), Some(now + 40 * SECOND));
    told.view.mode = Mode::Auto;
    told.tick(now + SECOND);
    assert_eq!(told.next(), Some(now + 11 * SECOND));
}

#[test]
fn pauses_are_drawn_by_the_seed_that_is_given() {
    let next = |seed: u64| {
        let mut told = Told::of("redis", true);
        let rules = Settings::standard().validate().unwrap();
        told.controller = Controller::new(rules, at(START)).with_seed(seed);
        told.tick(at(START));
        told.fails(at(START), at(START) + MILLI);
        told.next()
    };
    assert_eq!(next(1), next(1));
    assert_ne!(next(1), next(2));
}

#[test]
fn the_minute_after_a_recovery_ends_at_its_very_moment() {
    let (healthy, due) = Told::healthy("database");
    let closed = due - 20 * SECOND;
    let over = closed + 60 * SECOND;
    for (ended, pause) in [(over - INSTANT, SECOND), (over, 30 * SECOND)] {
        let mut told = Told {
            controller: healthy.controller.clone(),
            effects: Vec::new(),
            ..healthy
        };
        told.moves(closed - SECOND, State::Open, Some(closed));
        told.moves(closed, State::Closed, None);
        told.probe(ended, true);
        assert_eq!(told.next(), Some(ended + pause));
    }
}
