//! Patterns among failures: the pure rules against naive models, and what the controller makes of whole stories.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_degradation::cascade::Effect;
use mainstay_degradation::cascade::patterns::{
    Failure, critical_path, most_failing, repeating, simultaneous,
};
use mainstay_degradation::{DependencyId, Event, Input, Language, Machine, Presence, Settings};
use proptest::prelude::*;

use crate::world::{Behaviour, SECOND, World, at};

const A: DependencyId = DependencyId(0);
const B: DependencyId = DependencyId(1);
const C: DependencyId = DependencyId(2);

fn failures(order: &[DependencyId]) -> Vec<Failure> {
    let failure = |(second, dependency): (u64, &DependencyId)| Failure {
        at: at(second * 60_000),
        dependency: *dependency,
    };
    (0..).zip(order).map(failure).collect()
}

fn sequence(order: &[DependencyId]) -> Option<(Vec<DependencyId>, u32)> {
    repeating(&failures(order), 5).map(|found| (found.sequence, found.repeats))
}

#[test]
fn the_shortest_sequence_that_explains_everything_and_ran_twice_repeats() {
    assert_eq!(sequence(&[A, B, C, A, B, C]), Some((vec![A, B, C], 2)));
    assert_eq!(sequence(&[A, B, C, A, B, C, A]), Some((vec![A, B, C], 2)));
    assert_eq!(sequence(&[A, A, A, A]), Some((vec![A], 4)));
    assert_eq!(sequence(&[A, B, A, B, A, B, A, B]), Some((vec![A, B], 4)));
    assert_eq!(sequence(&[A, B, C, A, B]), None, "not twice in full");
    assert_eq!(
        sequence(&[A, B, C, A, B, C, C]),
        None,
        "the last one isn't explained"
    );
    assert_eq!(
        sequence(&[C, A, A, B, A, B, A, B]),
        Some((vec![A, B], 3)),
        "whatever was before"
    );
    assert_eq!(sequence(&[B, A, A]), None, "two in a row, after others");
    assert_eq!(sequence(&[A]), None);
    assert_eq!(sequence(&[]), None);
    let six = [A, A, A, A, A, B];
    assert_eq!(sequence(&[six, six].concat()), None, "longer than five");
    let next = repeating(&failures(&[A, B, C, A, B, C, A]), 5)
        .unwrap()
        .next;
    assert_eq!(next, B);
}

#[test]
fn failures_ten_seconds_apart_are_together_and_later_ones_are_not() {
    let at_seconds = |list: &[(u64, DependencyId)]| -> Vec<DependencyId> {
        let failure = |(second, dependency): &(u64, DependencyId)| Failure {
            at: at(second * 1_000),
            dependency: *dependency,
        };
        let list: Vec<Failure> = list.iter().map(failure).collect();
        simultaneous(&list, 10 * SECOND)
    };
    assert_eq!(at_seconds(&[(0, A), (10, B)]), [A, B]);
    assert!(at_seconds(&[(0, A), (11, B)]).is_empty());
    assert!(
        at_seconds(&[(0, A), (1, A)]).is_empty(),
        "one alone isn't together"
    );
    assert_eq!(at_seconds(&[(0, C), (20, A), (25, B), (26, A)]), [A, B]);
    assert!(at_seconds(&[]).is_empty());
}

#[test]
fn the_critical_path_has_the_largest_sum_and_not_the_largest_impact() {
    let effect = |from, to, impact| Effect { from, to, impact };
    let events = [
        effect(A, B, 0.4),
        effect(B, A, 0.3),
        effect(B, A, 0.3),
        effect(A, C, 0.5),
    ];
    let path = critical_path(&events).unwrap();
    assert_eq!((path.from, path.to), (B, A));
    assert!((path.impact - 0.6).abs() < 1e-9);
    let equal = [effect(A, B, 0.3), effect(B, A, 0.3)];
    assert_eq!(critical_path(&equal), Some(equal[1]), "the one harmed last");
    assert_eq!(critical_path(&[]), None);
}

#[test]
fn of_those_that_failed_equally_often_the_last_is_named() {
    let named = |order: &[DependencyId]| most_failing(&failures(order)).map(|most| most.dependency);
    assert_eq!(named(&[A, B, A, B]), Some(B));
    assert_eq!(named(&[A, B, A, B, A]), Some(A));
    assert_eq!(named(&[]), None);
}

proptest! {
    #[test]
    fn a_repeating_sequence_is_the_one_that_brute_force_finds(
        period in prop::collection::vec(0_u16..3, 1..7),
        length in 0_usize..20,
        stray in prop::option::weighted(0.3, 0_usize..20),
    ) {
        let mut order: Vec<DependencyId> = period.iter().cycle().take(length).map(|id| DependencyId(*id)).collect();
        if let Some(one) = stray.and_then(|index| order.get_mut(index)) {
            *one = DependencyId(9);
        }
        let least = |first: usize| if first == 0 { 2 } else { 4 };
        let ends = (0..order.len()).filter(|first| order.len() - first >= least(*first));
        let naive = ends.map(|first| &order[first..]).find_map(|end| {
            let explains = |length: &usize| (0..end.len()).all(|i| end[i] == end[i % length]);
            (1..=5).filter(|length| 2 * length <= end.len()).find(explains).map(|length| (end, length))
        });
        let found = repeating(&failures(&order), 5);
        prop_assert_eq!(found.as_ref().map(|found| found.sequence.len()), naive.map(|(_, length)| length));
        if let (Some(found), Some((end, length))) = (found, naive) {
            prop_assert_eq!(&found.sequence[..], &end[..length]);
            prop_assert_eq!(found.repeats as usize, end.len() / length);
            prop_assert_eq!(found.next, end[end.len() % length]);
        }
    }

    #[test]
    fn counts_and_sums_are_those_of_a_naive_table(events in prop::collection::vec((0_u16..4, 0_u16..4, 1_u32..100), 1..20)) {
        let order: Vec<DependencyId> = events.iter().map(|(id, ..)| DependencyId(*id)).collect();
        let mut counts = BTreeMap::<DependencyId, u32>::new();
        order.iter().for_each(|id| *counts.entry(*id).or_default() += 1);
        let most = most_failing(&failures(&order)).unwrap();
        prop_assert_eq!(most.failures, *counts.values().max().unwrap());
        prop_assert_eq!(most.failures, counts[&most.dependency]);
        let effects: Vec<Effect> = events.iter().map(|(from, to, impact)| Effect { from: DependencyId(*from), to: DependencyId(*to), impact: f64::from(*impact) }).collect();
        let mut sums = BTreeMap::<_, f64>::new();
        effects.iter().for_each(|one| *sums.entry((one.from, one.to)).or_default() += one.impact);
        let path = critical_path(&effects).unwrap();
        let largest = sums.values().copied().fold(0.0, f64::max);
        prop_assert_eq!(path.impact, largest);
        prop_assert_eq!(sums[&(path.from, path.to)], largest);
    }

    #[test]
    fn those_together_are_all_within_ten_seconds_of_the_last(steps in prop::collection::vec((0_u64..9_000, 0_u16..4), 1..20)) {
        let mut now = 0;
        let list: Vec<Failure> = steps.iter().map(|(pause, id)| {
            now += pause;
            Failure { at: at(now), dependency: DependencyId(*id) }
        }).collect();
        let near = |id: u16| list.iter().any(|one| one.dependency.0 == id && one.at + 10 * SECOND >= at(now));
        let naive: Vec<u16> = (0..4).filter(|id| near(*id)).collect();
        let mut found: Vec<u16> = simultaneous(&list, 10 * SECOND).iter().map(|id| id.0).collect();
        found.sort_unstable();
        prop_assert_eq!(found, if naive.len() < 2 { Vec::new() } else { naive });
    }
}

/// One outage of some seconds, and some time of working after it.
fn outage(world: &mut World, name: &str) {
    world.behave(name, Behaviour::Refuses);
    world.calls(name, 5);
    world.run(5 * SECOND);
    world.behave(name, Behaviour::Works);
    world.run(40 * SECOND);
}

fn id(world: &World, name: &str) -> DependencyId {
    world.controller.rules().dependency_id(name).unwrap()
}

#[test]
fn two_that_fail_within_seconds_are_told_once_and_shown_until_both_are_back() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(7 * SECOND);
    assert!(world.snapshot().patterns.together.is_empty());
    world.behave("s3", Behaviour::Refuses);
    world.calls("s3", 5);
    world.run(30 * SECOND);
    let expected = vec![id(&world, "redis"), id(&world, "s3")];
    assert_eq!(world.snapshot().patterns.together, expected);
    let told = |event: &&(_, Event)| matches!(event.1, Event::FailingTogether { .. });
    assert_eq!(world.events.iter().filter(told).count(), 1);
    world.behave("redis", Behaviour::Works);
    world.run(60 * SECOND);
    assert_eq!(
        world.snapshot().patterns.together,
        expected,
        "s3 is still down"
    );
    world.behave("s3", Behaviour::Works);
    world.run(60 * SECOND);
    assert!(world.snapshot().patterns.together.is_empty());
}

#[test]
fn dependencies_that_fail_in_turn_are_told_with_the_next_one() {
    let mut world = World::healthy();
    for _ in 0..2 {
        for name in ["redis", "s3", "openai"] {
            outage(&mut world, name);
            world.run(60 * SECOND);
        }
    }
    let repeating = world.snapshot().patterns.repeating.clone().unwrap();
    let expected = ["redis", "s3", "openai"].map(|name| id(&world, name));
    assert_eq!((repeating.repeats, repeating.next), (2, expected[0]));
    assert_eq!(repeating.sequence, expected);
    let words = world
        .snapshot()
        .patterns
        .words(Language::English, world.controller.rules());
    assert_eq!(
        words[0],
        "failures repeat in the order redis → s3 → openai (2 times so far); next would be redis"
    );
    (0..2).for_each(|_| {
        ["redis", "s3"]
            .iter()
            .for_each(|name| outage(&mut world, name))
    });
    let told = |event: &&(_, Event)| matches!(event.1, Event::FailingInTurn { .. });
    assert_eq!(world.events.iter().filter(told).count(), 2);
    let repeating = world.snapshot().patterns.repeating.clone().unwrap();
    assert_eq!(
        repeating.sequence,
        expected[..2],
        "openai was left out twice"
    );
}

#[test]
fn the_most_failing_and_the_critical_path_are_shown_and_survive_new_settings() {
    let mut world = World::healthy();
    outage(&mut world, "redis");
    outage(&mut world, "database");
    outage(&mut world, "redis");
    let most = world.snapshot().patterns.most_failing.unwrap();
    assert_eq!((most.dependency, most.failures), (id(&world, "redis"), 2));
    let path = world.snapshot().patterns.critical_path.unwrap();
    assert_eq!(
        (path.from, path.to),
        (id(&world, "redis"), id(&world, "database"))
    );
    assert!(path.impact > 0.3 && path.impact <= 0.6, "{path:?}");
    let mut settings = Settings::standard();
    settings.dependencies.reverse();
    world.tell(Input::Settings(Box::new(settings.validate().unwrap())));
    let patterns = world.snapshot().patterns.clone();
    assert_eq!(
        patterns.most_failing.unwrap().dependency,
        id(&world, "redis")
    );
    let path = patterns.critical_path.unwrap();
    assert_eq!(
        (path.from, path.to),
        (id(&world, "redis"), id(&world, "database"))
    );
}

#[test]
fn what_works_badly_without_being_down_counts_as_a_failure_once() {
    let mut world = World::healthy();
    world.observe("database", |observed| {
        observed.successes = 50;
        observed.failures[0] = 50;
    });
    world.run(20 * SECOND);
    assert_eq!(world.component("database").state, Machine::Failing);
    assert_eq!(world.component("database").down_since, None);
    let most = world.snapshot().patterns.most_failing.unwrap();
    assert_eq!(
        (most.dependency, most.failures),
        (id(&world, "database"), 1)
    );
}

#[test]
fn failing_together_again_and_again_is_told_each_time_it_begins() {
    let mut world = World::healthy();
    let together = |world: &World| {
        let told = |event: &&(_, Event)| matches!(event.1, Event::FailingTogether { .. });
        world.events.iter().filter(told).count()
    };
    for round in 1..=2 {
        for name in ["redis", "s3"] {
            world.behave(name, Behaviour::Refuses);
            world.calls(name, 5);
        }
        world.run(5 * SECOND);
        assert_eq!(together(&world), round);
        ["redis", "s3"]
            .iter()
            .for_each(|name| world.behave(name, Behaviour::Works));
        world.run(120 * SECOND);
    }
}

#[test]
fn one_that_is_taken_out_of_the_settings_is_no_longer_failing_with_others() {
    let mut world = World::healthy();
    for name in ["redis", "s3"] {
        world.behave(name, Behaviour::Refuses);
        world.calls(name, 5);
    }
    world.run(5 * SECOND);
    assert_eq!(world.snapshot().patterns.together.len(), 2);
    let same = Settings::standard().validate().unwrap();
    world.tell(Input::Settings(Box::new(same)));
    assert_eq!(world.snapshot().patterns.together.len(), 2, "both remain");
    let mut without = Settings::standard();
    without.dependency_mut("redis").unwrap().presence = Presence::Absent;
    world.tell(Input::Settings(Box::new(without.validate().unwrap())));
    assert!(world.snapshot().patterns.together.is_empty());
    let most = world.snapshot().patterns.most_failing.unwrap();
    assert_eq!(most.dependency, id(&world, "s3"));
}

#[test]
fn the_same_two_are_not_told_again_while_one_of_them_is_down() {
    let mut world = World::healthy();
    for name in ["redis", "s3"] {
        world.behave(name, Behaviour::Refuses);
        world.calls(name, 5);
    }
    world.run(2 * SECOND);
    world.behave("redis", Behaviour::Works);
    world.run(4 * SECOND);
    assert_eq!(world.component("redis").down_since, None);
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(2 * SECOND);
    let most = world.snapshot().patterns.most_failing.unwrap();
    assert_eq!((most.dependency, most.failures), (id(&world, "redis"), 2));
    let told = |event: &&(_, Event)| matches!(event.1, Event::FailingTogether { .. });
    assert_eq!(world.events.iter().filter(told).count(), 1);
}

#[test]
fn only_as_many_failures_count_as_the_settings_say() {
    let mut settings = Settings::standard();
    settings.patterns.last = 3;
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    outage(&mut world, "redis");
    outage(&mut world, "redis");
    (0..3).for_each(|_| outage(&mut world, "s3"));
    let most = world.snapshot().patterns.most_failing.unwrap();
    assert_eq!((most.dependency, most.failures), (id(&world, "s3"), 3));
    let repeating = world.snapshot().patterns.repeating.clone().unwrap();
    assert_eq!(
        (repeating.sequence, repeating.repeats),
        (vec![id(&world, "s3")], 3)
    );
}

#[test]
fn while_the_database_is_down_redis_serves_no_more_than_its_health_allows() {
    let mut world = World::healthy();
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.run(Duration::from_secs(10));
    let database = world.component("database").score;
    let expected = 1.0 - 0.2 * (1.0 - database / 100.0);
    let redis = id(&world, "redis");
    assert!((world.retuning.as_ref().unwrap().limit(redis) - expected).abs() < 1e-9);
    assert!((world.component("redis").effective_score - 100.0 * expected).abs() < 1e-9);
    world.behave("database", Behaviour::Works);
    world.run(40 * SECOND);
    assert_eq!(world.retuning.as_ref().unwrap().limit(redis), 1.0);
}

#[test]
fn a_sequence_is_told_when_it_is_found_and_not_as_it_turns() {
    let mut settings = Settings::standard();
    settings.patterns.last = 4;
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    let told = |world: &World| {
        let told = |event: &&(_, Event)| matches!(event.1, Event::FailingInTurn { .. });
        world.events.iter().filter(told).count()
    };
    for (name, expected) in [
        ("redis", 0),
        ("s3", 0),
        ("redis", 0),
        ("s3", 1),
        ("redis", 1),
        ("redis", 1),
        ("redis", 1),
        ("redis", 2),
    ] {
        outage(&mut world, name);
        assert_eq!(told(&world), expected, "{name}");
    }
}

#[test]
fn one_that_is_all_there_is_fails_like_any_other() {
    let mut settings = Settings::standard();
    for dependency in &mut settings.dependencies {
        if dependency.name != "redis" {
            dependency.presence = Presence::Absent;
            dependency.endpoints.clear();
        }
    }
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    outage(&mut world, "redis");
    let most = world.snapshot().patterns.most_failing.unwrap();
    assert_eq!((most.dependency, most.failures), (id(&world, "redis"), 1));
}
