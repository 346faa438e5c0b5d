//! Alerts on what only the runtime sees: fallbacks and the journal.

use std::time::Duration;

use mainstay_degradation::{
    Alert, DependencyId, Event, Facts, Fallback, Input, Journal, Language, Settings,
};

use crate::world::{SECOND, World};

const MINUTE: Duration = Duration::from_secs(60);
const DAY: Duration = Duration::from_secs(86_400);

fn fallback(
    dependency: DependencyId,
    in_use: Option<Duration>,
    exercised: Option<Duration>,
) -> Facts {
    Facts {
        fallbacks: vec![Fallback {
            dependency,
            in_use,
            exercised,
        }],
        ..Facts::default()
    }
}

fn journal(oldest: Option<Duration>, faulted: bool) -> Facts {
    Facts {
        journal: Journal { oldest, faulted },
        ..Facts::default()
    }
}

/// The alerts that these facts, told one after the other, raise and end.
fn told(facts: Vec<Facts>) -> (Vec<Alert>, Vec<Alert>) {
    let mut world = World::healthy();
    for one in facts {
        world.tell(Input::Facts(one));
        world.run(SECOND);
    }
    let over = world.events.iter().filter_map(|(_, event)| match event {
        Event::AlertOver(alert) => Some(*alert),
        _ => None,
    });
    let over = over.collect();
    (world.alerts.iter().map(|(_, alert)| *alert).collect(), over)
}

#[test]
fn a_fallback_in_use_for_a_quarter_of_an_hour_is_told_once_and_ends_with_its_use() {
    let redis = DependencyId(2);
    let used = |minutes: u32| fallback(redis, Some(minutes * MINUTE), None);
    let (raised, over) = told(vec![
        used(14),
        used(15),
        used(16),
        fallback(redis, None, None),
    ]);
    let expected = |minutes: u32| Alert::FallbackInUse {
        dependency: redis,
        lasted: minutes * MINUTE,
    };
    assert_eq!(raised, [expected(15)]);
    assert_eq!(over, [expected(16)], "with its last figure");
}

#[test]
fn a_fallback_not_exercised_for_a_day_is_told_until_it_is() {
    let redis = DependencyId(2);
    let exercised = |age| fallback(redis, None, Some(age));
    let (raised, over) = told(vec![
        exercised(DAY - SECOND),
        exercised(DAY),
        exercised(SECOND),
        exercised(2 * DAY),
    ]);
    assert_eq!(raised.len(), 2);
    assert!(matches!(raised[0], Alert::FallbackUnexercised { age, .. } if age == DAY));
    assert_eq!(over.len(), 1);
}

#[test]
fn a_journal_that_is_behind_or_faulted_is_told() {
    let (raised, over) = told(vec![
        journal(Some(5 * MINUTE), false),
        journal(Some(5 * MINUTE + SECOND), false),
        journal(Some(6 * MINUTE), true),
        journal(None, true),
        journal(None, false),
    ]);
    let behind = Alert::JournalBehind {
        oldest: 5 * MINUTE + SECOND,
    };
    assert_eq!(raised, [behind, Alert::JournalFaulted]);
    assert_eq!(over.len(), 2);
}

#[test]
fn each_dependency_has_its_own_alert_and_an_unknown_one_has_none() {
    let both = Facts {
        fallbacks: [0, 2, 4]
            .map(|id| Fallback {
                dependency: DependencyId(id),
                in_use: Some(20 * MINUTE),
                exercised: None,
            })
            .into(),
        ..Facts::default()
    };
    let (raised, over) = told(vec![
        both,
        fallback(DependencyId(2), Some(21 * MINUTE), None),
    ]);
    assert_eq!(raised.len(), 2);
    assert_eq!(
        over.iter().map(Alert::dependency).collect::<Vec<_>>(),
        [Some(DependencyId(0))]
    );
}

#[test]
fn an_alert_follows_its_dependency_through_new_settings() {
    let mut world = World::healthy();
    let facts = |world: &World| {
        let redis = world.controller.rules().dependency_id("redis").unwrap();
        Input::Facts(fallback(redis, Some(20 * MINUTE), None))
    };
    world.tell(facts(&world));
    let mut settings = Settings::standard();
    settings.dependencies.reverse();
    world.tell(Input::Settings(Box::new(settings.validate().unwrap())));
    world.tell(facts(&world));
    assert_eq!(world.alerts.len(), 1, "it is still the same alert");
}

#[test]
fn alerts_on_facts_are_told_in_both_languages() {
    let world = World::healthy();
    let rules = world.controller.rules();
    let dependency = DependencyId(2);
    let alerts = [
        Alert::FallbackInUse {
            dependency,
            lasted: 15 * MINUTE,
        },
        Alert::FallbackUnexercised {
            dependency,
            age: DAY,
        },
        Alert::JournalBehind { oldest: 6 * MINUTE },
        Alert::JournalFaulted,
    ];
    let words = |language| alerts.map(|alert| alert.words(language, rules, world.now));
    assert_eq!(
        words(Language::English),
        [
            "the fallback of redis has been in use for 15 min",
            "the fallback of redis has not been exercised for 24 h",
            "accepted work has been waiting for 6 min",
            "the journal can't keep what it is given",
        ]
    );
    assert_eq!(
        words(Language::Spanish)[0],
        "el respaldo de redis está en uso desde hace 15 min"
    );
    let kinds = alerts.map(|alert| alert.kind());
    assert_eq!(
        kinds,
        [
            "fallback_in_use",
            "fallback_unexercised",
            "journal_behind",
            "journal_faulted"
        ]
    );
}
