//! Who is told, and when.

use std::time::Duration;

use mainstay_degradation::{
    Alert, Command, Event, Facts, Histogram, Input, Journal, Level, Moment, Settings,
};

use crate::world::{Behaviour, SECOND, World};

fn outage(world: &mut World, seconds: u64) {
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(Duration::from_secs(seconds));
    world.behave("redis", Behaviour::Works);
    world.run_until_level(Level::Optimal, Duration::from_secs(300));
    world.run(SECOND);
}

#[test]
fn three_minutes_of_degradation_are_told_once() {
    let mut world = World::healthy();
    let start = world.now;
    outage(&mut world, 400);
    assert!(world.snapshot().alerts.is_empty(), "it is over");
    let degraded: Vec<_> = world
        .alerts
        .iter()
        .filter(|(_, alert)| matches!(alert, Alert::Degraded { .. }))
        .collect();
    assert_eq!(degraded.len(), 1);
    let after = degraded[0].0.saturating_since(start).as_secs();
    assert!((179..=181).contains(&after), "{after}");
    let over = world
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::AlertOver(Alert::Degraded { .. })));
    assert!(over);
}

#[test]
fn the_snapshot_shows_the_alerts_that_are_on() {
    let mut world = World::healthy();
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(170 * SECOND);
    assert!(world.snapshot().alerts.is_empty());
    let facts = Facts {
        journal: Journal {
            faulted: true,
            ..Journal::default()
        },
        ..Facts::default()
    };
    world.tell(Input::Facts(facts));
    world.run(20 * SECOND);
    let shown = &world.snapshot().alerts;
    assert!(
        matches!(shown[..], [Alert::Degraded { .. }, Alert::JournalFaulted]),
        "{shown:?}"
    );
}

#[test]
fn a_recovery_over_a_minute_is_told_and_a_short_one_is_not() {
    let mut world = World::healthy();
    outage(&mut world, 5);
    assert!(world.alerts.is_empty(), "{:?}", world.alerts);
    let recovered = world
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::Recovered { .. }));
    assert!(recovered);
    world.run(100 * SECOND);
    outage(&mut world, 90);
    let slow = |alert: &Alert| matches!(alert, Alert::SlowRecovery { took } if *took > 60 * SECOND);
    assert!(
        world.alerts.iter().any(|(_, alert)| slow(alert)),
        "{:?}",
        world.alerts
    );
}

#[test]
fn latency_beyond_what_the_level_allows_is_told_until_it_is_over() {
    let mut world = World::healthy();
    world.observe("database", |observed| {
        observed.successes = 500;
        (0..500).for_each(|_| observed.latency.record(Duration::from_millis(150)));
    });
    world.run(3 * SECOND);
    let Some((_, Alert::Latency { p95, threshold, .. })) = world.alerts.first() else {
        panic!("no alert: {:?}", world.alerts);
    };
    assert!(*p95 > *threshold && *threshold == Duration::from_millis(100));
    assert_eq!(world.alerts.len(), 1);
    let shown = &world.snapshot().alerts;
    assert!(
        matches!(shown[..], [Alert::Latency { .. }]),
        "while it lasts, the snapshot has it: {shown:?}"
    );
    world.run(61 * SECOND);
    assert!(world.snapshot().alerts.is_empty());
    let over = world
        .events
        .iter()
        .any(|(_, event)| matches!(event, Event::AlertOver(Alert::Latency { .. })));
    assert!(over);
}

#[test]
fn from_the_start_on_degradation_counts_and_its_absence_does_not() {
    let mut world = World::new(Settings::standard());
    world.run(200 * SECOND);
    assert!(world.alerts.is_empty(), "{:?}", world.alerts);
    let rules = Settings::standard().validate().unwrap();
    let mut world = World::with(rules, Behaviour::Refuses);
    let started = world.now;
    world.run(180 * SECOND);
    assert!(world.alerts.is_empty(), "not yet: {:?}", world.alerts);
    world.run(SECOND);
    let degraded = Alert::Degraded {
        since: started,
        level: Level::Emergency,
    };
    assert_eq!(world.alerts, [(started + 180 * SECOND, degraded)]);
}

#[test]
fn a_recovery_of_just_a_minute_is_not_over_a_minute() {
    let minute = 60 * SECOND;
    for (took, told) in [(minute, false), (minute + Duration::from_nanos(1), true)] {
        let mut world = World::healthy();
        for (level, pause) in [(Level::Limited, took), (Level::Optimal, SECOND)] {
            let until = None;
            world.command(Command::Pin { level, until });
            world.run(pause);
        }
        let slow = Alert::SlowRecovery { took };
        let alerts: Vec<_> = world.alerts.iter().map(|(_, alert)| *alert).collect();
        assert_eq!(alerts, if told { vec![slow] } else { vec![] });
    }
}

#[test]
fn latency_that_is_just_what_the_level_allows_is_not_told() {
    // As exact as a histogram reads it.
    let allowed = Histogram::middle(Histogram::bucket(Duration::from_millis(150)));
    let mut settings = Settings::standard();
    settings.tuning[0].latency_alert_p95 = allowed;
    let mut world = World::new(settings);
    world.run(2 * SECOND);
    world.observe("database", |observed| {
        observed.successes = 500;
        (0..500).for_each(|_| observed.latency.record(allowed));
    });
    world.run(5 * SECOND);
    assert_eq!(world.component("database").p95, Some(allowed));
    assert!(world.snapshot().alerts.is_empty() && world.alerts.is_empty());
    let over = |(_, event): &(Moment, Event)| matches!(event, Event::AlertOver(_));
    assert!(!world.events.iter().any(over), "there was none");
}

#[test]
fn a_few_slow_calls_are_no_latency_to_be_told() {
    let slow = Duration::from_millis(400);
    // Its probes count, too: two in a minute, while it is healthy.
    for (calls, told) in [(17, false), (20, true)] {
        let mut world = World::healthy();
        world.observe("database", |observed| {
            observed.successes = calls;
            (0..calls).for_each(|_| observed.latency.record(slow));
        });
        world.run(3 * SECOND);
        assert_eq!(
            !world.alerts.is_empty(),
            told,
            "{calls}: {:?}",
            world.alerts
        );
    }
}

#[test]
fn who_was_told_of_a_level_hears_of_a_worse_one_and_is_shown_the_present_one() {
    let mut world = World::healthy();
    let told = |world: &World| -> Vec<Level> {
        let degraded = world.alerts.iter().filter_map(|(_, alert)| match alert {
            Alert::Degraded { level, .. } => Some(*level),
            _ => None,
        });
        degraded.collect()
    };
    let shown = |world: &World| match world.snapshot().alerts[..] {
        [Alert::Degraded { level, .. }] => level,
        ref other => panic!("{other:?}"),
    };
    let pin = |world: &mut World, level| {
        world.command(Command::Pin { level, until: None });
        world.run(2 * SECOND);
    };
    pin(&mut world, Level::Degraded);
    world.run(181 * SECOND);
    assert_eq!(told(&world), [Level::Degraded]);
    pin(&mut world, Level::Emergency);
    assert_eq!(told(&world), [Level::Degraded, Level::Emergency]);
    assert_eq!(shown(&world), Level::Emergency);
    pin(&mut world, Level::Limited);
    pin(&mut world, Level::Minimal);
    assert_eq!(told(&world).len(), 2, "worse was told already");
    assert_eq!(shown(&world), Level::Minimal);
}
