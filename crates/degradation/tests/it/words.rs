//! Decisions in words.

use mainstay_degradation::cascade::Effect;
use mainstay_degradation::{
    Command, Event, FeatureMode, Language, Level, MostFailing, Patterns, Prediction, Recoveries,
    Repeating,
};

use crate::world::{Behaviour, SECOND, World};

fn told(world: &World, language: Language) -> Vec<String> {
    let (rules, snapshot, now) = (world.controller.rules(), world.snapshot(), world.now);
    let mut words = vec![snapshot.causes[0].words(language, rules, now)];
    words.extend(snapshot.held_by.map(|held| held.words(language, now)));
    words.push(snapshot.next_up.words(language, rules, now));
    words.push(
        world
            .feature("write_operations")
            .words(language, rules, now),
    );
    words.push(snapshot.warnings[0].words(language, rules));
    words
}

#[test]
fn an_outage_is_told_in_english_and_spanish() {
    let mut world = World::healthy();
    world.behave("database", Behaviour::Refuses);
    world.calls("database", 3);
    world.run(10 * SECOND);
    assert_eq!(
        told(&world, Language::English),
        [
            "database has been down for 10 s, opened by failures in a row (last failure: no connection)",
            "MINIMAL when database works again",
            "it requires database, which is a cause of the level",
            "database being down may cost redis 20 % of its health",
        ]
    );
    assert_eq!(
        told(&world, Language::Spanish),
        [
            "database no funciona desde hace 10 s, abierto por fallas seguidas (última falla: sin conexión)",
            "MINIMAL cuando database vuelve a funcionar",
            "requiere database, que es causa del nivel",
            "la caída de database puede costarle a redis 20 % de su salud",
        ]
    );
}

#[test]
fn every_event_has_a_word_and_a_sentence_in_both_languages() {
    let mut world = World::healthy();
    let feature = world.feature("recommendations").id;
    let until = Some(world.now + 2 * SECOND);
    world.command(Command::Knob {
        feature,
        mode: FeatureMode::Off,
        until,
    });
    world.command(Command::Pin {
        level: Level::Minimal,
        until,
    });
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 5);
    world.run(200 * SECOND);
    world.behave("redis", Behaviour::Works);
    world.run_until_level(Level::Optimal, 100 * SECOND);
    let mut kinds: Vec<_> = world.events.iter().map(|(_, event)| event.kind()).collect();
    for (at, event) in &world.events {
        let english = event.words(Language::English, world.controller.rules(), *at);
        let spanish = event.words(Language::Spanish, world.controller.rules(), *at);
        assert!(!english.is_empty() && english != spanish, "{english}");
    }
    kinds.sort_unstable();
    kinds.dedup();
    assert!(kinds.len() >= 12, "{kinds:?}");
    let refused = Event::Refused {
        what: "feature",
        index: 9,
    };
    let words = refused.words(Language::English, world.controller.rules(), world.now);
    assert_eq!(words, "there is no feature number 9");
}

#[test]
fn patterns_recoveries_and_predictions_are_told_in_both_languages() {
    let world = World::healthy();
    let rules = world.controller.rules();
    let id = |name| rules.dependency_id(name).unwrap();
    let repeating = Repeating {
        sequence: vec![id("redis"), id("s3")],
        repeats: 3,
        next: id("s3"),
    };
    let patterns = Patterns {
        together: vec![id("s3"), id("openai")],
        repeating: Some(repeating.clone()),
        most_failing: Some(MostFailing {
            dependency: id("redis"),
            failures: 4,
        }),
        critical_path: Some(Effect {
            from: id("redis"),
            to: id("database"),
            impact: 0.456,
        }),
    };
    assert_eq!(
        patterns.words(Language::English, rules),
        [
            "began to fail within seconds of each other: s3, openai",
            "failures repeat in the order redis → s3 (3 times so far); next would be s3",
            "redis fails most: 4 of the last failures",
            "critical path: redis → database (summed impact 0.46)",
        ]
    );
    assert_eq!(
        patterns.words(Language::Spanish, rules)[3],
        "camino crítico: redis → database (impacto acumulado 0.46)"
    );
    assert!(
        Patterns::default()
            .words(Language::English, rules)
            .is_empty()
    );
    let event = Event::FailingTogether {
        dependencies: patterns.together.clone(),
    };
    let words = event.words(Language::Spanish, rules, world.now);
    assert_eq!(
        words,
        "empezaron a fallar con segundos de diferencia: s3, openai"
    );
    assert_eq!(Event::FailingInTurn { repeating }.kind(), "failing_in_turn");
    let prediction = Prediction {
        back: 0.1,
        median: 40 * SECOND,
        p90: 300 * SECOND,
        outages: 12,
    };
    assert_eq!(
        prediction.words(Language::English),
        "probably back within 40 s, in nine cases of ten within 5 min (earlier outages: 12)"
    );
    let guess = Prediction {
        outages: 0,
        ..prediction
    };
    assert_eq!(
        guess.words(Language::English),
        "no earlier outage is known; half of all are over within another 40 s"
    );
    let recoveries = Recoveries {
        count: 3,
        median: 7 * SECOND,
        p90: 60 * SECOND,
        longest: 60 * SECOND,
        last: 5 * SECOND,
    };
    assert_eq!(
        recoveries.words(Language::English),
        "3 earlier outages: half took up to 7 s, nine in ten up to 60 s, the longest 60 s, the last 5 s"
    );
}
