//! Probes: when they come, and what they do to the breakers.

use std::time::Duration;

use mainstay_breaker::{FailureKind, Mode, Outcome, Rule, State, Transition};
use mainstay_degradation::{Effect, Event, Input, Level, Moment, ProbeResult, Settings};

use crate::world::{Behaviour, SECOND, World};

#[test]
fn what_is_healthy_is_probed_every_thirty_seconds() {
    let mut world = World::new(Settings::standard());
    let start = world.now;
    world.run(100 * SECOND);
    let probes = world.probes_of("database", start);
    assert_eq!(probes.len(), 4, "{probes:?}");
    for (index, at) in probes.iter().enumerate() {
        assert!((at - 30.0 * index as f64).abs() < 0.1, "{probes:?}");
    }
}

#[test]
fn what_fails_is_probed_every_second_give_or_take_a_fifth_and_three_in_a_row_open_the_breaker() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.run(31 * SECOND);
    let start = world.now;
    world.run(5 * SECOND);
    assert_eq!(world.breaker("redis").state(), State::Open);
    let rule = world.breaker("redis").snapshot(world.now).opened_by;
    assert_eq!(rule, Some(Rule::Probes));
    assert_eq!(world.snapshot().level, Level::Degraded);
    world.run(30 * SECOND);
    let probes = world.probes_of("redis", start);
    assert!((30..=45).contains(&probes.len()), "{}", probes.len());
    for pair in probes.windows(2) {
        assert!(pair[1] - pair[0] <= 1.21, "{probes:?}");
    }
}

#[test]
fn openai_is_probed_after_ten_twenty_and_forty_seconds() {
    let mut world = World::healthy();
    world.behave("openai", Behaviour::Refuses);
    world.calls("openai", 5);
    let opened = world.now;
    let retry = world
        .breaker("openai")
        .snapshot(world.now)
        .retry_at
        .unwrap();
    world.run_until(retry);
    let probes = world.probes_of("openai", opened);
    let close = |at: f64, to: f64| (at - to).abs() < 0.1;
    assert!(
        close(probes[0], 10.0) && close(probes[1], 30.0),
        "{probes:?}"
    );
}

#[test]
fn a_hung_probe_delays_no_other() {
    let mut world = World::healthy();
    world.behave("openai", Behaviour::Hangs);
    let start = world.now;
    world.run(35 * SECOND);
    assert_eq!(world.probes_of("database", start).len(), 1);
    assert_eq!(world.probes_of("s3", start).len(), 1);
}

#[test]
fn after_a_recovery_it_is_probed_every_second_for_a_minute() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(3 * SECOND);
    world.behave("redis", Behaviour::Works);
    world.run(3 * SECOND);
    assert_eq!(world.breaker("redis").state(), State::Closed);
    let start = world.now;
    world.run(50 * SECOND);
    let busy = world.probes_of("redis", start).len();
    assert!((49..=51).contains(&busy), "{busy}");
    world.run(20 * SECOND);
    let start = world.now;
    world.run(60 * SECOND);
    assert!(world.probes_of("redis", start).len() <= 3);
}

#[test]
fn two_passes_in_a_row_let_the_breaker_try_early_once_a_probe_has_failed() {
    let mut world = World::healthy();
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.behave("database", Behaviour::Works);
    world.run(10 * SECOND);
    assert_eq!(
        world.breaker("database").state(),
        State::Open,
        "no probe has failed since it opened"
    );
    world.behave("database", Behaviour::Refuses);
    world.run(2 * SECOND);
    world.behave("database", Behaviour::Works);
    world.run(3 * SECOND);
    assert_eq!(world.breaker("database").state(), State::Closed);
    let passed = world
        .events
        .iter()
        .filter(|(_, event)| matches!(event, Event::ProbesPassed { .. }));
    assert_eq!(passed.count(), 1);
}

#[test]
fn an_early_entry_that_failed_is_not_tried_again_in_this_outage() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(3 * SECOND);
    world.behave("redis", Behaviour::OnlyProbesPass);
    while world.breaker("redis").state() != State::HalfOpen {
        world.run(Duration::from_millis(10));
    }
    world.call("redis");
    assert_eq!(world.breaker("redis").state(), State::Open);
    world.run(2 * SECOND);
    world.behave("redis", Behaviour::Refuses);
    world.run(3 * SECOND);
    world.behave("redis", Behaviour::OnlyProbesPass);
    world.run(10 * SECOND);
    assert_eq!(
        world.breaker("redis").state(),
        State::Open,
        "it waits for the end of its open time"
    );
    let retry = world.breaker("redis").snapshot(world.now).retry_at.unwrap();
    world.behave("redis", Behaviour::Works);
    world.run_until(retry + SECOND);
    assert_eq!(
        world.breaker("redis").state(),
        State::Closed,
        "a probe comes when the open time ends"
    );
}

#[test]
fn a_servers_hint_is_never_cut_short() {
    let mut world = World::healthy();
    world.behave("openai", Behaviour::Refuses);
    let id = world.endpoint("openai");
    for _ in 0..5 {
        let permit = world.breaker("openai").try_admit().unwrap();
        let retry_after = Some(Duration::from_secs(100));
        let transition = permit.settle(Outcome::Overload { retry_after }, false, world.now);
        world.transition(id, transition);
    }
    let opened = world.now;
    world.run(12 * SECOND);
    world.behave("openai", Behaviour::Works);
    world.run_until(opened + Duration::from_secs(99));
    assert_eq!(world.breaker("openai").state(), State::Open);
    world.run(60 * SECOND);
    assert_eq!(world.breaker("openai").state(), State::Closed);
}

#[test]
fn probes_asked_for_out_of_turn_are_limited_to_one_a_second() {
    let mut world = World::healthy();
    let endpoint = world.endpoint("database");
    let start = world.now;
    for _ in 0..50 {
        world.tell(Input::ProbeNow { endpoint });
        world.run(Duration::from_millis(100));
    }
    let probes = world.probes_of("database", start);
    assert!((4..=6).contains(&probes.len()), "{probes:?}");
    assert!(probes[0] < 0.01, "the first comes at once: {probes:?}");
}

#[test]
fn a_probe_that_is_never_heard_of_again_is_asked_for_again() {
    let mut world = World::healthy();
    let mut asked = 0;
    for second in 0..120 {
        let mut effects = Vec::new();
        let now = world.now + Duration::from_secs(second);
        world.controller.handle(
            now,
            Input::Tick {
                observed: Vec::new(),
            },
            &mut effects,
        );
        let database = world.endpoint("database");
        asked += effects
            .iter()
            .filter(|effect| matches!(effect, mainstay_degradation::Effect::Probe { endpoint, .. } if *endpoint == database))
            .count();
    }
    assert!((2..=4).contains(&asked), "{asked}");
}

/// The probes of the database that a controller asks for on this input.
fn asked(world: &mut World, now: Moment, input: Input) -> Vec<Moment> {
    let (mut effects, database) = (Vec::new(), world.endpoint("database"));
    world.controller.handle(now, input, &mut effects);
    let probe = |effect: &Effect| match effect {
        Effect::Probe { endpoint, at } if *endpoint == database => Some(*at),
        _ => None,
    };
    effects.iter().filter_map(probe).collect()
}

fn tick() -> Input {
    let observed = Vec::new();
    Input::Tick { observed }
}

#[test]
fn a_probe_that_could_find_nothing_out_is_begun_again_soon_and_says_nothing_of_the_endpoint() {
    let mut world = World::healthy();
    let due = world.now + 40 * SECOND;
    let endpoint = world.endpoint("database");
    let first = asked(&mut world, due, tick())[0];
    let before = world.controller.snapshot(due);
    let again = asked(
        &mut world,
        due + SECOND,
        Input::Probe {
            endpoint,
            started: first,
            result: ProbeResult::Nothing,
        },
    );
    assert_eq!(again, [due + SECOND + Duration::from_millis(200)]);
    let after = world.controller.snapshot(due);
    assert_eq!(after.components, before.components);
    assert_eq!(asked(&mut world, due + 2 * SECOND, tick()), []);
}

#[test]
fn the_result_of_a_probe_that_was_given_up_begins_no_second_row_of_probes() {
    let mut world = World::healthy();
    let due = world.now + 40 * SECOND;
    let endpoint = world.endpoint("database");
    let lost = asked(&mut world, due, tick())[0];
    let given_up = due + 60 * SECOND;
    let second = asked(&mut world, given_up, tick())[0];
    let passed = |started| Input::Probe {
        endpoint,
        started,
        result: ProbeResult::Passed { latency: SECOND },
    };
    asked(&mut world, given_up + SECOND, passed(lost));
    let wanted = Input::ProbeNow { endpoint };
    let beside = asked(&mut world, given_up + SECOND, wanted);
    assert_eq!(beside, [], "the second one is still running");
    let after = asked(&mut world, given_up + SECOND, passed(second));
    assert_eq!(after.len(), 1, "what was wanted meanwhile comes after it");
}

#[test]
fn the_end_of_an_open_time_that_a_running_probe_hides_is_worth_a_probe_at_once() {
    let mut world = World::healthy();
    let due = world.now + 40 * SECOND;
    let endpoint = world.endpoint("openai");
    let mut effects = Vec::new();
    world.controller.handle(due, tick(), &mut effects);
    let transition = Transition {
        from: State::Closed,
        to: State::Open,
        at: due,
        generation: 1,
        rule: Some(Rule::Rate),
        kind: Some(FailureKind::Timeout),
        retry_at: Some(due + 3 * SECOND),
    };
    let opened = Input::Transition {
        endpoint,
        transition,
    };
    world.controller.handle(due, opened, &mut effects);
    let ended = due + 5 * SECOND;
    let failed = Input::Probe {
        endpoint,
        started: due,
        result: ProbeResult::Failed {
            kind: FailureKind::Timeout,
            latency: 5 * SECOND,
        },
    };
    effects.clear();
    world.controller.handle(ended, failed, &mut effects);
    let at = ended;
    assert!(
        effects.contains(&Effect::Probe { endpoint, at }),
        "{effects:?}"
    );
}

#[test]
fn what_was_forced_open_is_probed_as_soon_as_the_force_ends() {
    let mut world = World::healthy();
    world.behave("openai", Behaviour::Refuses);
    world.calls("openai", 5);
    world
        .breaker("openai")
        .set_mode(Mode::ForcedOpen, world.now);
    world.run(200 * SECOND);
    world.behave("openai", Behaviour::Works);
    world.run(SECOND);
    let ended = world.now;
    world.breaker("openai").set_mode(Mode::Auto, ended);
    world.run(3 * SECOND);
    assert_eq!(world.breaker("openai").state(), State::Closed);
}

#[test]
fn a_slow_dependency_loses_health_by_its_latency_and_no_more_than_the_cap() {
    let mut world = World::healthy();
    world.observe("redis", |observed| {
        observed.successes = 1_000;
        (0..1_000).for_each(|_| observed.latency.record(Duration::from_millis(200)));
    });
    world.run(SECOND);
    let score = world.component("redis").score;
    assert!(
        (score - 80.0).abs() < 1.0,
        "once over its threshold: {score}"
    );
    world.observe("redis", |observed| {
        observed.successes = 100_000;
        (0..100_000).for_each(|_| observed.latency.record(Duration::from_secs(2)));
    });
    world.run(SECOND);
    assert_eq!(world.component("redis").score, 70.0);
}

#[test]
fn a_recent_error_fades_linearly() {
    let mut world = World::healthy();
    world.run(SECOND);
    world.observe("redis", |observed| {
        observed.successes = 1_000_000;
        observed.failures[FailureKind::Internal as usize] = 1;
    });
    world.run(SECOND);
    let fresh = world.component("redis").score;
    world.run(30 * SECOND);
    let faded = world.component("redis").score;
    world.run(31 * SECOND);
    assert!((fresh - 80.0).abs() < 0.1, "{fresh}");
    assert!((faded - 90.0).abs() < 0.1, "{faded}");
    assert_eq!(world.component("redis").score, 100.0);
}
