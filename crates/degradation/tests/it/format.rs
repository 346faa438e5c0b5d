//! The format of recordings: one that was kept is still read, word for word.
//!
//! `recording.hex` was written by this format's first program; its last entry, of a kind that came later, was added. Whoever
//! changes a type that is written changes the format, perhaps without noticing: recordings of earlier programs would then
//! be read as nonsense.

use std::path::Path;

use mainstay_breaker::{FailureKind, Mode, Rule, State, Transition};
use mainstay_degradation::recording::{Bounds, Encoder, Entry, Head, VERSION, read};
use mainstay_degradation::{
    Command, Controller, DependencyId, Effect, EndpointId, EndpointView, Facts, Fallback,
    FeatureId, FeatureMode, Histogram, Input, Journal, Level, Moment, Observed, Outage,
    OutageHistory, ProbeResult, Settings, Snapshot, Standing,
};

use crate::world::{SECOND, at};

const KEPT: &str = include_str!("recording.hex");

const ADVICE: &str = "the format of recordings has changed: raise `recording::VERSION`, so that older ones are refused and \
                      not misread, and put what this program writes in place of `recording.hex`; it lies in";

/// Two dependencies and two features, with figures that nobody takes for others.
fn settings() -> Settings {
    let mut settings = Settings::standard();
    settings.dependencies.truncate(2);
    settings.dependencies[0].weight = 0.625;
    settings.dependencies[1].weight = 0.375;
    settings.features.truncate(2);
    for (feature, needs) in settings.features.iter_mut().zip(["database", "openai"]) {
        feature.requires = vec![needs.to_owned()];
    }
    settings.cascade.clear();
    settings.level.dwell = 7 * SECOND;
    settings.level.confirm = 4;
    settings.seed = 77;
    settings
}

/// Every kind of input with every field set.
fn inputs() -> Vec<(Moment, Input)> {
    let (one, other) = (EndpointId(0), EndpointId(1));
    let breaker = EndpointView {
        state: State::Open,
        mode: Mode::Shadow,
        generation: 5,
        failures_in_row: 3,
        fail_max: Some(4),
        opened_at: Some(at(990_000)),
        opened_by: Some(Rule::Slow),
        retry_at: Some(at(1_030_000)),
        hint_until: Some(at(1_020_000)),
        reopenings: 2,
        last_failure: None,
    };
    let mut latency = Histogram::new();
    latency.record(3 * SECOND);
    let observed = Observed {
        calls: 9,
        successes: 6,
        failures: [1, 0, 2, 0, 0, 0, 0],
        slow: 1,
        latency,
        breaker,
    };
    let quiet = Observed::default();
    let transition = Transition {
        from: State::Closed,
        to: State::Open,
        at: at(1_001_000),
        generation: 6,
        rule: Some(Rule::Consecutive),
        kind: Some(FailureKind::Timeout),
        retry_at: Some(at(1_031_000)),
    };
    let probe = |endpoint, result| Input::Probe {
        endpoint,
        started: at(1_001_500),
        result,
    };
    let failed = ProbeResult::Failed {
        kind: FailureKind::Connect,
        latency: SECOND,
    };
    let facts = Facts {
        fallbacks: vec![Fallback {
            dependency: DependencyId(1),
            in_use: Some(1_000 * SECOND),
            exercised: Some(90_000 * SECOND),
        }],
        journal: Journal {
            oldest: Some(400 * SECOND),
            faulted: true,
        },
    };
    let mut history = OutageHistory::default();
    let outage = Outage {
        lasted: 9 * SECOND,
        complete: true,
        worked: Some(900 * SECOND),
    };
    history.push("database", outage);
    let lasts = 77 * SECOND;
    let down = Standing::Down {
        lasts,
        seen: 66 * SECOND,
        worked: Some(55 * SECOND),
        begun: true,
    };
    history.standing.insert("database".to_owned(), down);
    let works = Standing::Works { lasts };
    history.standing.insert("openai".to_owned(), works);
    let (feature, until) = (FeatureId(1), Some(at(1_060_000)));
    let knob = Command::Knob {
        feature,
        mode: FeatureMode::Partial,
        until,
    };
    let level = Level::Limited;
    let all = [
        Input::History(history),
        Input::Tick {
            observed: vec![(one, quiet.clone()), (other, quiet)],
        },
        Input::Tick {
            observed: vec![(one, observed.clone()), (other, observed)],
        },
        Input::Transition {
            endpoint: one,
            transition,
        },
        probe(one, ProbeResult::Passed { latency: SECOND }),
        probe(other, failed),
        probe(one, ProbeResult::Nothing),
        Input::ProbeNow { endpoint: other },
        Input::Facts(facts),
        Input::Command(Command::Pin { level, until }),
        Input::Command(Command::Unpin),
        Input::Command(knob),
        Input::Command(Command::Unknob { feature }),
        Input::Settings(Box::new(settings().validate().unwrap())),
    ];
    (0..)
        .zip(all)
        .map(|(n, input)| (at(1_001_000 + 250 * n), input))
        .collect()
}

/// What bounds the calls of both.
fn bounds() -> [Bounds; 2] {
    let one = Bounds {
        limit: 300,
        deadline: 5 * SECOND + SECOND / 4,
    };
    [one, Bounds { limit: 16, ..one }]
}

/// What this program writes of it, the controller half-way through included.
fn written() -> Vec<u8> {
    let rules = settings().validate().unwrap();
    let mut controller = Controller::new(rules, at(1_000_000));
    let mut effects = Vec::new();
    for (now, input) in inputs() {
        controller.handle(now, input, &mut effects);
    }
    let head = Head {
        at: at(1_000_900),
        wall_ms: 1_700_000_000_123,
        program: "mainstay of the tests".to_owned(),
        breakers: vec![mainstay_breaker::Settings::default(); 2],
        controller,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&head, &mut bytes);
    let mut controller = head.controller.clone();
    for (now, input) in inputs() {
        effects.clear();
        encoder.input(now, &input, &mut bytes);
        controller.handle(now, input, &mut effects);
        encoder.effects(&effects, &mut bytes);
    }
    encoder.breakers(&head.breakers, &mut bytes);
    encoder.bounds(&bounds(), &mut bytes);
    encoder.flush(&mut bytes);
    bytes
}

/// The same entries written by this program; it writes what it has understood.
fn again(head: &Head, entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(head, &mut bytes);
    let shown = head.controller.snapshot(head.at);
    for entry in entries {
        match entry {
            Entry::Input { at, input } => encoder.input(*at, input, &mut bytes),
            Entry::Breakers(breakers) => encoder.breakers(breakers, &mut bytes),
            Entry::Done(digest) => encoder.done(*digest, &mut bytes),
            Entry::Bounds(bounds) => encoder.bounds(bounds, &mut bytes),
            Entry::Decided(decided) => {
                let mut features = shown.features.clone();
                for (feature, mode) in features.iter_mut().zip(&decided.features) {
                    feature.mode = *mode;
                }
                let snapshot = Snapshot {
                    score: decided.score,
                    target: decided.target,
                    level: decided.level,
                    held_by: decided.held_by,
                    features,
                    ..shown.clone()
                };
                encoder.effects(&[Effect::Publish(Box::new(snapshot))], &mut bytes);
            }
        }
    }
    encoder.flush(&mut bytes);
    bytes
}

fn hex(bytes: &[u8]) -> String {
    let line = |line: &[u8]| line.iter().map(|byte| format!("{byte:02x}")).collect();
    let lines: Vec<String> = bytes.chunks(60).map(line).collect();
    lines.join("\n") + "\n"
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.bytes().filter(u8::is_ascii_hexdigit).collect();
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap();
    digits.chunks(2).map(byte).collect()
}

#[test]
fn a_recording_of_an_earlier_program_is_read_word_for_word() {
    let fresh = Path::new(env!("CARGO_TARGET_TMPDIR")).join("recording.hex");
    std::fs::write(&fresh, hex(&written())).unwrap();
    let advice = format!("{ADVICE} {}", fresh.display());
    let kept = bytes(KEPT);
    let (head, entries) = read(&kept).unwrap_or_else(|error| panic!("{error}; {advice}"));
    let entries: Result<Vec<_>, _> = entries.collect();
    let entries = entries.unwrap_or_else(|error| panic!("{error}; {advice}"));

    assert_eq!(again(&head, &entries), kept, "{advice}");
    let read_inputs: Vec<_> = entries
        .iter()
        .filter_map(|entry| match entry {
            Entry::Input { at, input } => Some((*at, input.clone())),
            _ => None,
        })
        .collect();
    // The settings' own figures may change without the format.
    let but_settings = |all: Vec<(Moment, Input)>| {
        let all = all.into_iter();
        let all = all.filter(|(_, input)| !matches!(input, Input::Settings(_)));
        all.collect::<Vec<_>>()
    };
    assert_eq!(
        but_settings(read_inputs),
        but_settings(inputs()),
        "{advice}"
    );
    let decided = entries
        .iter()
        .filter(|one| matches!(one, Entry::Decided(_)));
    assert!(decided.count() >= 2, "decisions are among them");

    let last = Entry::Bounds(bounds().into());
    assert_eq!(entries.last(), Some(&last), "{advice}");

    let rules = head.controller.rules().settings();
    let figures = (rules.level.dwell, rules.level.confirm, rules.seed);
    assert_eq!(figures, (7 * SECOND, 4, 77), "{advice}");
    let weights: Vec<_> = rules.dependencies.iter().map(|one| one.weight).collect();
    assert_eq!(weights, [0.625, 0.375], "{advice}");
    assert_eq!((head.at, head.wall_ms), (at(1_000_900), 1_700_000_000_123));
    assert_eq!(kept[8..10], VERSION.to_le_bytes(), "{advice}");
}
