//! The picture's shape: what must be in it, and nothing outside it.

use std::time::Duration;

use mainstay_degradation::Language;
use mainstay_simulator::{Condition, Fidelity, Scenario, Unplayed, WhatIf, World, replay};

use super::*;

fn told(name: &str) -> Told {
    let seconds = Duration::from_secs;
    let hang = Scenario::quiet().calls("redis", 1, seconds(1)).outage(
        "redis",
        seconds(60),
        seconds(90),
        Condition::Hangs,
    );
    let mut world = World::new(hang, 7).expect("a sound scenario");
    world.record();
    world.run(seconds(180));
    let story = replay(&world.recording(), &WhatIf::default(), Language::English);
    Told {
        name: name.to_owned(),
        story: story.expect("a sound recording"),
    }
}

/// The values of an attribute, wherever it stands.
fn values(picture: &str, attribute: &str) -> Vec<f64> {
    let start = format!(" {attribute}=\"");
    let parts = picture.split(&start).skip(1);
    let text = parts.map(|part| part.split('"').next().unwrap_or_default());
    text.filter_map(|text| text.parse().ok()).collect()
}

#[test]
fn it_has_a_lane_for_each_breaker_a_band_for_each_level_and_nothing_outside_its_edges() {
    let told = told("as recorded");
    let picture = svg(&[&told]);
    for name in [
        "database",
        "openai",
        "redis",
        "s3",
        "as recorded",
        "DEGRADED",
        "redis open",
    ] {
        assert!(picture.contains(name), "{name}");
    }
    let height = values(&picture, "height")[0];
    for (attribute, most) in [("x", WIDTH), ("x1", WIDTH), ("y", height), ("y2", height)] {
        let all = values(&picture, attribute);
        assert!(all.len() > 8, "{attribute}: {all:?}");
        let inside = all.iter().all(|value| (0.0..=most).contains(value));
        assert!(inside, "{attribute}: {all:?}");
    }
    for (open, closed) in [
        ("<text", "</text>"),
        ("<title", "</title>"),
        ("<svg", "</svg>"),
    ] {
        assert_eq!(
            picture.matches(open).count(),
            picture.matches(closed).count()
        );
    }
}

#[test]
fn what_an_estimate_leaves_out_is_told_within_the_edges() {
    let mut told = told("with other.toml");
    let names = [
        "database",
        "database/replica",
        "openai/primary",
        "redis",
        "s3",
    ];
    told.story.fidelity = Fidelity::Estimated {
        endpoints: names.map(str::to_owned).into(),
        unplayed: names.map(|name| Unplayed::Limit(name.to_owned())).into(),
    };
    let picture = svg(&[&told]);
    let texts = picture.lines().filter(|line| line.starts_with("<text"));
    for text in texts.filter(|text| text.contains("\"start\"")) {
        let words = text.split(['<', '>']).nth(2).expect("a text");
        let x = values(text, "x")[0];
        let ends = x + 6.4 * words.chars().count() as f64;
        assert!(ends < WIDTH, "{ends}: {words}");
    }
    assert!(picture.contains("which is not replayed"), "{picture}");
    let height = values(&picture, "height")[0];
    let lowest = values(&picture, "y").into_iter().fold(0.0, f64::max);
    assert!(lowest < height, "{lowest} {height}");
}

#[test]
fn two_stories_stand_one_above_the_other_and_names_are_escaped() {
    let (one, other) = (told("as recorded"), told("with <a&b>.toml"));
    let picture = svg(&[&one, &other]);
    assert!(picture.contains("with &lt;a&amp;b&gt;.toml"));
    assert_eq!(picture.matches(">redis</text>").count(), 2);
    let alone = values(&svg(&[&one]), "height")[0];
    assert!(values(&picture, "height")[0] > 1.8 * alone);
}

#[test]
fn marks_on_the_axis_are_few_and_even_however_long_it_is() {
    for seconds in [1, 59, 600, 86_400, 7 * 86_400, 90 * 86_400] {
        let axis = Axis {
            length: Duration::from_secs(seconds),
        };
        let marks: Vec<_> = axis.marks().collect();
        assert!((2..=14).contains(&marks.len()), "{seconds}: {marks:?}");
    }
}
