//! Decisions in words.

use std::time::Duration;

use mainstay_degradation::cascade::Effect;
use mainstay_degradation::{
    Alert, Command, Event, FeatureMode, Language, Level, MostFailing, Patterns, Prediction,
    Recoveries, Repeating,
};

use crate::world::{Behaviour, SECOND, World};

pub(crate) const PREDICTION: Prediction = Prediction {
    back: 0.1,
    median: Duration::from_secs(40),
    p90: Duration::from_secs(300),
    outages: 12,
};

pub(crate) const RECOVERIES: Recoveries = Recoveries {
    count: 3,
    median: Duration::from_secs(7),
    p90: Duration::from_secs(60),
    longest: Duration::from_secs(60),
    last: Duration::from_secs(5),
};

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
            "MINIMAL when database works at the next try of its circuit breaker, within 19 s",
            "it requires database, which is a cause of the level",
            "database being down may cost redis 20 % of its health",
        ]
    );
    assert_eq!(
        told(&world, Language::Spanish),
        [
            "database no funciona desde hace 10 s, abierto por fallas seguidas (última falla: sin conexión)",
            "MINIMAL cuando database funciona en la próxima prueba de su circuito, dentro de 19 s",
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
    let prediction = PREDICTION;
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
    assert_eq!(
        RECOVERIES.words(Language::English),
        "3 earlier outages: half took up to 7 s, nine in ten up to 60 s, the longest 60 s, the last 5 s"
    );
}

#[test]
fn every_alert_is_told_while_it_lasts_and_when_it_is_over() {
    let world = World::healthy();
    let (rules, now) = (world.controller.rules(), world.now);
    let minute = 60 * SECOND;
    let dependency = rules.dependency_id("redis").expect("it is there");
    let alerts = [
        Alert::Degraded {
            since: now - 4 * minute,
            level: Level::Limited,
        },
        Alert::Latency {
            dependency,
            p95: SECOND / 4,
            threshold: SECOND / 5,
        },
        Alert::FallbackInUse {
            dependency,
            lasted: 20 * minute,
        },
        Alert::FallbackUnexercised {
            dependency,
            age: 25 * 60 * minute,
        },
        Alert::JournalBehind { oldest: 6 * minute },
        Alert::JournalFaulted,
    ];
    let told = |language| {
        let lasting = alerts.map(|alert| alert.words(language, rules, now));
        let over = alerts.map(|alert| alert.end_words(language, rules, now));
        lasting.into_iter().zip(over).collect::<Vec<_>>()
    };
    let pairs = |pairs: [(&str, &str); 6]| {
        pairs
            .map(|(lasting, over)| (lasting.to_owned(), over.to_owned()))
            .to_vec()
    };
    assert_eq!(
        told(Language::English),
        pairs([
            (
                "the level has been worse than OPTIMAL for 4 min and is LIMITED",
                "the level was worse than OPTIMAL for 4 min"
            ),
            (
                "95 % of calls to redis take up to 250 ms; the level allows 200 ms",
                "calls to redis no longer take longer than the level allows"
            ),
            (
                "the fallback of redis has been in use for 20 min",
                "the fallback of redis was in use for 20 min"
            ),
            (
                "the fallback of redis has not been exercised for 25 h",
                "the fallback of redis has been exercised again"
            ),
            (
                "accepted work has been waiting for 6 min",
                "accepted work no longer waits for long"
            ),
            (
                "the journal can't keep what it is given",
                "the journal keeps again what it is given"
            ),
        ])
    );
    assert_eq!(
        told(Language::Spanish),
        pairs([
            (
                "el nivel es peor que OPTIMAL desde hace 4 min; ahora LIMITED",
                "el nivel fue peor que OPTIMAL durante 4 min"
            ),
            (
                "el 95 % de las llamadas a redis tarda hasta 250 ms; el nivel admite 200 ms",
                "las llamadas a redis ya no tardan más de lo que el nivel admite"
            ),
            (
                "el respaldo de redis está en uso desde hace 20 min",
                "el respaldo de redis estuvo en uso durante 20 min"
            ),
            (
                "el respaldo de redis no se ejercita desde hace 25 h",
                "el respaldo de redis volvió a ejercitarse"
            ),
            (
                "hay trabajo aceptado que espera desde hace 6 min",
                "el trabajo aceptado ya no espera mucho"
            ),
            (
                "el registro no puede guardar lo que recibe",
                "el registro vuelve a guardar lo que recibe"
            ),
        ])
    );
    let recovery = Alert::SlowRecovery { took: 2 * minute };
    assert_eq!(
        recovery.words(Language::English, rules, now),
        "the recovery took 2 min"
    );
}

#[test]
fn levels_have_words_and_gauges_and_are_read_from_nothing_else() {
    let words = ["OPTIMAL", "DEGRADED", "LIMITED", "MINIMAL", "EMERGENCY"];
    assert_eq!(Level::ALL.map(|level| level.to_string()), words);
    assert_eq!(Level::ALL.map(Level::gauge), [1, 2, 3, 4, 5]);
    for level in Level::ALL {
        assert_eq!(level.as_str().to_lowercase().parse(), Ok(level));
    }
    let unknown = "FINE".parse::<Level>().expect_err("no such level");
    assert_eq!(
        unknown.to_string(),
        "not a level: use OPTIMAL, DEGRADED, LIMITED, MINIMAL or EMERGENCY"
    );
}
