//! The estimate put to the settings that were in force: it must come to what was recorded.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_degradation::Language;
use mainstay_degradation::recording::read;

use super::super::player::Player;
use super::super::{Deployed, Story, WhatIf, replay};
use crate::{Scenario, World};

fn recorded(seed: u64) -> Vec<u8> {
    let length = Duration::from_secs(200);
    let mut world = World::new(Scenario::drawn(seed, length), seed).expect("it can be played");
    world.record();
    world.run(length);
    world.recording()
}

/// Every breaker estimated, with the settings it had at first.
fn estimated(recording: &[u8]) -> Story {
    let (head, entries) = read(recording).expect("a recording");
    let deployed = Deployed::read(entries.clone());
    let rules = head.controller.rules();
    let all = rules.endpoints().zip(&head.breakers);
    let breakers: BTreeMap<_, _> = all
        .map(|((_, rule), settings)| (rule.name.clone(), *settings))
        .collect();
    let what_if = WhatIf {
        breakers,
        ..WhatIf::default()
    };
    let language = Language::English;
    let mut player = Player::estimating(head, &what_if, &deployed, language, |_, _| true);
    for entry in entries {
        player.play(entry.expect("a whole recording"));
    }
    player.finish(None)
}

#[test]
fn under_the_settings_that_were_in_force_an_estimate_is_what_was_recorded() {
    for seed in 0..150 {
        let recording = recorded(seed);
        let (_, mut entries) = read(&recording).expect("a recording");
        let reloaded = |entry| matches!(entry, Ok(super::super::Entry::Breakers(_)));
        if entries.any(reloaded) {
            continue;
        }
        let was = replay(&recording, &WhatIf::default(), Language::English).expect("a story");
        let other = estimated(&recording);
        assert_eq!(other.lanes, was.lanes, "seed {seed}");
        assert_eq!(other.levels, was.levels, "seed {seed}");
        assert_eq!(other.happened, was.happened, "seed {seed}");
        assert_eq!(other.summary, was.summary, "seed {seed}");
    }
}
