//! Decisions in words.

use mainstay_degradation::{Command, Event, FeatureMode, Language, Level};

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
