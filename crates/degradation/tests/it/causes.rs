//! What the target is put down to, what made the level change, and what is asked for when neither did.

use mainstay_breaker::{FailureKind, Rule, State};
use mainstay_degradation::level::Tally;
use mainstay_degradation::{
    CauseKind, DependencySettings, Effect, EndpointId, Event, HeldBy, Input, Level, LevelCause,
    Moment, Settings, Status, Warning,
};

use crate::told::{START, Told};
use crate::world::{Behaviour, SECOND, World, at};

/// The dependencies that the target is due to, in their order.
fn causes(world: &World) -> Vec<&str> {
    let rules = world.controller.rules();
    let causes = world.snapshot().causes.iter();
    causes
        .map(|cause| rules.dependency(cause.dependency).name.as_str())
        .collect()
}

/// So many calls of which so many failed, without the breaker's knowing.
fn fail(world: &mut World, name: &str, calls: u64, failed: u32) {
    world.observe(name, |observed| {
        observed.successes += calls - u64::from(failed);
        observed.failures[FailureKind::Internal as usize] += failed;
    });
}

fn changes(world: &World) -> Vec<(Level, Level, LevelCause)> {
    let change = |(_, event): &(Moment, Event)| match event {
        Event::LevelChanged {
            from, to, cause, ..
        } => Some((*from, *to, *cause)),
        _ => None,
    };
    world.events.iter().filter_map(change).collect()
}

/// Redis DEGRADED and S3 down, with the lower edge of OPTIMAL there.
fn with_edge(edge: f64) -> World {
    let mut settings = Settings::standard();
    settings.level.bands[0] = edge;
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    fail(&mut world, "redis", 99, 10);
    world.behave("s3", Behaviour::Refuses);
    world.calls("s3", 5);
    world.run(SECOND);
    world
}

#[test]
fn what_is_unwell_is_a_cause_only_where_the_mean_alone_would_not_be_optimal() {
    let world = with_edge(90.0);
    let mut tally = Tally::default();
    for (id, rule) in world.controller.rules().dependencies() {
        let score = world.snapshot().component(id).score;
        tally.add(rule.criticality, rule.weight, Some(score), false);
    }
    let mean = tally.mean().unwrap();
    assert!(mean > 90.0 && mean < 91.0, "{mean}");
    assert_eq!(world.snapshot().target, Level::Degraded);
    assert_eq!(causes(&world), ["s3"]);
    assert_eq!(causes(&with_edge(mean)), ["s3"], "just enough");
    assert_eq!(causes(&with_edge(91.0)), ["s3", "redis"]);
}

#[test]
fn where_all_are_healthy_whatever_is_below_the_edge_is_a_cause() {
    let mut world = World::healthy();
    // Each with the probe that has passed.
    fail(&mut world, "database", 99, 24);
    fail(&mut world, "openai", 99, 10);
    world.run(SECOND);
    assert_eq!(world.component("openai").score, 90.0);
    assert_eq!(world.snapshot().target, Level::Degraded);
    assert_eq!(causes(&world), ["database"]);
}

#[test]
fn what_neither_weighs_nor_forces_is_no_cause() {
    let mut settings = Settings::standard();
    let other = DependencySettings::other("billing");
    settings.dependencies.push(other);
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    world.behave("billing", Behaviour::Refuses);
    world.calls("billing", 5);
    fail(&mut world, "database", 99, 50);
    world.run(SECOND);
    assert_eq!(world.component("billing").status, Status::Down);
    assert_eq!(causes(&world), ["database"]);
}

#[test]
fn failures_in_a_row_add_to_an_impact_only_on_what_is_failing() {
    for (failed, times) in [(2, 1.0), (60, 1.2)] {
        let mut world = World::healthy();
        world.behave("redis", Behaviour::Refuses);
        world.calls("redis", 2);
        world.behave("redis", Behaviour::Works);
        fail(&mut world, "redis", 97, failed - 2);
        world.behave("database", Behaviour::Refuses);
        world.calls("database", 3);
        world.run(SECOND);
        let severity = 1.0 - world.component("database").score / 100.0;
        let Warning::Cascade { impact, .. } = world.snapshot().warnings[0];
        assert!(
            (impact - 0.2 * severity * times).abs() < 1e-9,
            "{failed}: {impact}"
        );
    }
}

#[test]
fn a_change_of_level_says_what_made_it() {
    use Level::{Degraded, Emergency, Limited, Minimal, Optimal};
    let mut world = World::healthy();
    fail(&mut world, "database", 99, 30);
    world.run(100 * SECOND);
    assert_eq!(
        changes(&world),
        [
            (Optimal, Degraded, LevelCause::Confirmed),
            (Degraded, Optimal, LevelCause::Recovered),
        ]
    );
    world.events.clear();
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.run(3 * SECOND);
    world.behave("database", Behaviour::Works);
    world.run_until_level(Minimal, 10 * SECOND);
    let risen = world.snapshot().level_since;
    world.run_until(risen + 10 * SECOND);
    world.behave("s3", Behaviour::Refuses);
    world.calls("s3", 5);
    let opened = LevelCause::Opened(world.endpoint("database"));
    assert_eq!(
        changes(&world),
        [
            (Optimal, Emergency, opened),
            (Emergency, Minimal, LevelCause::Recovered),
            (Minimal, Limited, LevelCause::Recovered),
        ],
        "a breaker that opens lets no level rise"
    );
}

#[test]
fn what_has_not_changed_is_not_asked_for_again() {
    let mut world = World::healthy();
    world.log.clear();
    world.run(60 * SECOND);
    let retuned = |world: &World| {
        let effects = world.log.iter().flat_map(|(_, _, effects)| effects);
        let retunes = effects.filter(|effect| matches!(effect, Effect::Retune(_)));
        retunes.count()
    };
    assert_eq!(retuned(&world), 0);
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    let level = world.snapshot().level;
    let once = retuned(&world);
    assert!(once > 0);
    world.run(5 * SECOND);
    assert!(
        retuned(&world) > once,
        "the others' limits go down with its score"
    );
    assert_eq!(world.snapshot().level, level);
}

#[test]
fn a_breaker_that_tries_again_hurries_no_fall() {
    let mut world = World::healthy();
    world.behave("s3", Behaviour::Refuses);
    world.calls("s3", 5);
    fail(&mut world, "database", 999, 999);
    world.run(SECOND);
    let held = |world: &World| (world.snapshot().level, world.snapshot().held_by);
    let confirming = |count| (Level::Degraded, Some(HeldBy::Confirming { count, of: 3 }));
    assert_eq!(held(&world), confirming(1));
    let transition = world.breaker("s3").half_open_early(world.now);
    world.transition(world.endpoint("s3"), transition);
    assert_eq!(held(&world), confirming(2), "one evaluation more");
}

#[test]
fn an_endpoint_that_is_not_there_is_refused_and_no_other_is() {
    let mut world = World::healthy();
    world.run(5 * SECOND);
    let refused = |(_, event): &(Moment, Event)| matches!(event, Event::Refused { .. });
    assert!(!world.events.iter().any(refused));
    let index = u16::try_from(world.snapshot().endpoints.len()).unwrap();
    let endpoint = EndpointId(index);
    world.tell(Input::ProbeNow { endpoint });
    let what = "endpoint";
    let event = Event::Refused { what, index };
    assert_eq!(world.events.last(), Some(&(world.now, event)));
}

#[test]
fn what_never_answered_is_told_so_even_once_its_breaker_is_open() {
    let rules = Settings::standard().validate().unwrap();
    let mut world = World::with(rules, Behaviour::Refuses);
    let started = world.now;
    world.run(20 * SECOND);
    assert_eq!(world.breaker("redis").state(), State::Open);
    for cause in &world.snapshot().causes {
        let expected = CauseKind::NeverAnswered {
            since: started,
            failure: Some(FailureKind::Connect),
        };
        assert_eq!(cause.kind, expected);
    }

    let mut told = Told::of("s3", false);
    let now = at(START) + 2 * SECOND;
    told.counts(now, 0, 1);
    assert_eq!(told.component().status, Status::Down, "calls alone say so");
    told.moves(now, State::Open, Some(now + SECOND));
    told.moves(now + SECOND, State::HalfOpen, None);
    assert_eq!(told.component().status, Status::Down);
    told.moves(now + SECOND, State::Closed, None);
    assert_ne!(told.component().status, Status::Down, "that is an answer");
}

#[test]
fn of_a_call_and_a_probe_that_fail_at_one_moment_the_call_is_told() {
    let (mut told, due) = Told::healthy("redis");
    let now = due - 20 * SECOND;
    told.probe(now, false);
    let mut call = |at: Moment| {
        let kind = FailureKind::Protocol;
        told.view.last_failure = Some(mainstay_breaker::LastFailure { kind, at });
        told.tick(now);
        let snapshot = told.controller.snapshot(now);
        let last = snapshot.endpoint(told.endpoint).view.last_failure;
        last.map(|last| last.kind)
    };
    assert_eq!(call(now - SECOND), Some(FailureKind::Connect));
    assert_eq!(call(now), Some(FailureKind::Protocol));
}

#[test]
fn a_breaker_that_closed_between_two_ticks_begins_one_new_epoch() {
    let (mut told, due) = Told::healthy("redis");
    let now = due - 20 * SECOND;
    told.moves(now, State::Open, Some(now + SECOND));
    told.counts(now, 0, 100);
    assert!(told.component().success_rate < 0.1);
    let closed = told.moves_unheard(now + SECOND, State::Closed, None);
    told.counts(now + SECOND, 0, 50);
    assert_eq!(told.component().success_rate, 1.0, "the outage's are gone");
    let endpoint = told.endpoint;
    let late = Input::Transition {
        endpoint,
        transition: closed,
    };
    told.tell(now + SECOND, late);
    told.counts(now + 2 * SECOND, 1, 1);
    assert_eq!(
        told.component().success_rate,
        0.5,
        "and these are the new ones"
    );
    assert_eq!(closed.rule, Some(Rule::Rate));
}
