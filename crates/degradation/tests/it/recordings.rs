//! Recordings: what is read is what was written, a replay decides as the original did, and no bytes do harm.

use std::time::Duration;

use mainstay_degradation::recording::{
    Decided, Encoder, Entry, Head, RecordingError, VERSION, digest, read,
};
use mainstay_degradation::{
    Command, Controller, Effect, EndpointId, Facts, Fallback, FeatureMode, Input, Journal, Level,
    Moment, Observed, Outage, OutageHistory, Settings,
};
use proptest::prelude::*;

use crate::world::{Behaviour, SECOND, World, at};

type Step = (Moment, Input, Vec<Effect>);

/// A troubled quarter of an hour with every kind of input.
fn story() -> World {
    let mut world = World::new(Settings::standard());
    let mut history = OutageHistory::default();
    let outage = Outage {
        lasted: 9 * SECOND,
        complete: true,
        worked: Some(900 * SECOND),
    };
    history.push("redis", outage);
    world.tell(Input::History(history));
    world.run(5 * SECOND);
    world.calls("database", 4);
    world.behave("redis", Behaviour::Refuses);
    world.calls("redis", 6);
    world.run(20 * SECOND);
    world.behave("database", Behaviour::Hangs);
    world.run(60 * SECOND);
    let feature = world.controller.rules().feature_id("batch_processing");
    world.command(Command::Knob {
        feature: feature.unwrap(),
        mode: FeatureMode::Off,
        until: Some(world.now + 30 * SECOND),
    });
    world.command(Command::Pin {
        level: Level::Limited,
        until: Some(world.now + 9 * SECOND),
    });
    let redis = world.controller.rules().dependency_id("redis").unwrap();
    world.tell(Input::Facts(Facts {
        fallbacks: vec![Fallback {
            dependency: redis,
            in_use: Some(1_000 * SECOND),
            exercised: None,
        }],
        journal: Journal {
            oldest: Some(SECOND),
            faulted: true,
        },
    }));
    world.run(20 * SECOND);
    world.behave("redis", Behaviour::Works);
    world.behave("database", Behaviour::OnlyProbesPass);
    let mut other = Settings::standard();
    other.level.dwell = 3 * SECOND;
    world.tell(Input::Settings(Box::new(other.validate().unwrap())));
    world.run(200 * SECOND);
    world.behave("database", Behaviour::Works);
    world.run(600 * SECOND);
    world
}

/// Records the steps as a controller goes through them from the one `from` on.
fn record(rules: Settings, steps: &[Step], from: usize) -> (Vec<u8>, Vec<Option<Decided>>) {
    let mut controller = Controller::new(rules.validate().unwrap(), at(1_000_000));
    for (now, input, _) in &steps[..from] {
        controller.handle(*now, input.clone(), &mut Vec::new());
    }
    let head = Head {
        at: steps.get(from).map_or(at(1_000_000), |step| step.0),
        wall_ms: 1_700_000_000_000,
        program: "tests".into(),
        breakers: vec![mainstay_breaker::Settings::default(); 4],
        controller,
    };
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&head, &mut bytes);
    let mut decided = Vec::new();
    for (now, input, effects) in &steps[from..] {
        encoder.input(*now, input, &mut bytes);
        encoder.effects(effects, &mut bytes);
        decided.push(Decided::by(effects));
    }
    encoder.flush(&mut bytes);
    (bytes, decided)
}

fn entries(bytes: &[u8]) -> (Head, Vec<Result<Entry, RecordingError>>) {
    let (head, entries) = read(bytes).unwrap();
    (head, entries.collect())
}

#[test]
fn a_replay_from_any_time_on_has_exactly_the_effects_of_the_original() {
    let steps = story().log;
    for from in [0, 1, 7, steps.len() / 3, steps.len() / 2, steps.len() - 1] {
        let (bytes, _) = record(Settings::standard(), &steps, from);
        let (head, entries) = entries(&bytes);
        let mut controller = head.controller;
        let mut rest = steps[from..].iter();
        let (mut last, mut done) = (None, None);
        for entry in entries {
            match entry.unwrap() {
                Entry::Input { at, input } => {
                    let (now, expected, effects) = rest.next().unwrap();
                    assert_eq!((&at, &input), (now, expected));
                    let mut again = Vec::new();
                    controller.handle(at, input, &mut again);
                    assert_eq!(&again, effects);
                    last = Decided::by(&again);
                    done = digest(&again);
                }
                Entry::Decided(decided) => assert_eq!(Some(decided), last),
                Entry::Done(digest) => assert_eq!(Some(digest), done.take()),
                Entry::Breakers(_) | Entry::Bounds(_) => unreachable!("none were set"),
            }
        }
        assert!(rest.next().is_none());
    }
}

#[test]
fn what_is_decided_anew_is_recorded_once() {
    let steps = story().log;
    let (bytes, decided) = record(Settings::standard(), &steps, 0);
    let mut changes: Vec<Decided> = decided.into_iter().flatten().collect();
    changes.dedup();
    let read = entries(&bytes).1.into_iter();
    let recorded: Vec<Decided> = read
        .filter_map(|entry| match entry {
            Ok(Entry::Decided(decided)) => Some(decided),
            _ => None,
        })
        .collect();
    assert_eq!(recorded, changes);
}

#[test]
fn an_idle_hour_takes_little_more_than_its_probes() {
    let mut world = World::healthy();
    world.run(Duration::from_secs(60));
    let begin = world.log.len();
    world.run(Duration::from_secs(3_600));
    let (bytes, _) = record(Settings::standard(), &world.log, begin);
    let (head_only, _) = record(Settings::standard(), &world.log, world.log.len());
    let per_hour = bytes.len() - head_only.len();
    assert!(per_hour < 15_000, "{per_hour} bytes");
}

#[test]
fn a_recording_that_was_cut_off_is_good_up_to_its_last_whole_entry() {
    let steps = story().log;
    let (bytes, _) = record(Settings::standard(), &steps[..300], 0);
    let whole = entries(&bytes).1;
    let middle = bytes.len() / 2;
    let ends = [bytes.len() - 1].into_iter().chain(middle..middle + 60);
    let mut within = 0;
    for end in ends {
        let mut cut = entries(&bytes[..end]).1;
        // Between two entries nothing shows that more has followed.
        within += usize::from(
            cut.pop_if(|last| *last == Err(RecordingError::CutOff))
                .is_some(),
        );
        assert_eq!(cut, whole[..cut.len()], "{end}");
    }
    assert!(within > 30, "{within} of 61 cuts are within an entry");
    assert_eq!(
        read(&bytes[..5]).unwrap_err(),
        RecordingError::NotARecording
    );
    assert_eq!(read(&bytes[..9]).unwrap_err(), RecordingError::CutOff);
    assert_eq!(read(&bytes[..200]).unwrap_err(), RecordingError::CutOff);
}

#[test]
fn an_entry_that_no_program_writes_is_damage() {
    let (begun, _) = record(Settings::standard(), &[], 0);
    let after = |length: u32, own: &[u8]| {
        let mut bytes = begun.clone();
        bytes.extend(length.to_le_bytes());
        bytes.extend(own);
        entries(&bytes).1
    };
    let entry = |own: Vec<u8>| after(u32::try_from(own.len()).unwrap(), &own);
    let idle = |count: u32| entry(postcard::to_allocvec(&(0_u32, 1_i64, count)).unwrap());
    let tick = |id: u16| {
        let news = vec![(EndpointId(id), Observed::default())];
        entry(postcard::to_allocvec(&(1_u32, 1_i64, news)).unwrap())
    };
    let damaged = [Err(RecordingError::Damaged { at: begun.len() })];
    assert_eq!(idle(600).iter().filter(|one| one.is_ok()).count(), 600);
    assert_eq!(tick(3).iter().filter(|one| one.is_ok()).count(), 1);
    for wrong in [idle(0), idle(601), tick(4), after((64 << 20) + 1, &[])] {
        assert_eq!(wrong, damaged);
    }
    assert_eq!(after(64 << 20, &[]), [Err(RecordingError::CutOff)]);
}

#[test]
fn idle_ticks_are_counted_and_read_one_by_one() {
    let all: Vec<_> = (0..4)
        .map(|id| (EndpointId(id), Observed::default()))
        .collect();
    let tick = |observed: &[(EndpointId, Observed)]| Input::Tick {
        observed: observed.to_vec(),
    };
    let backward: Vec<_> = all.iter().rev().cloned().collect();
    let mut steps: Vec<Step> = Vec::new();
    let mut now = at(1_000_000);
    let mut add = |count: usize, pause: Duration, input: Input| {
        for _ in 0..count {
            now = now + pause;
            steps.push((now, input.clone(), vec![]));
        }
    };
    add(1_300, SECOND, tick(&all));
    add(2, 2 * SECOND, tick(&all));
    add(1, SECOND, tick(&backward));
    add(1, SECOND, tick(&all[..3]));
    let (bytes, _) = record(Settings::standard(), &steps, 0);
    let read: Vec<_> = entries(&bytes)
        .1
        .into_iter()
        .collect::<Result<_, _>>()
        .unwrap();
    let given = read.into_iter().map(|entry| match entry {
        Entry::Input { at, input } => (at, input, vec![]),
        other => panic!("{other:?}"),
    });
    assert_eq!(given.collect::<Vec<_>>(), steps);
    let whole = record(Settings::standard(), &steps[..1_302], 0).0.len();
    let empty = record(Settings::standard(), &[], 0).0.len();
    assert!(whole - empty < 60, "{} bytes", whole - empty);
}

#[test]
fn what_is_no_recording_or_of_another_format_is_refused() {
    let (mut bytes, _) = record(Settings::standard(), &[], 0);
    bytes[8] += 1;
    let refused = read(&bytes).unwrap_err();
    let found = VERSION + 1;
    assert_eq!(refused, RecordingError::Version { found });
    assert!(refused.to_string().contains("use the version"));
    assert_eq!(
        read(b"[server]\nlisten = 1").unwrap_err(),
        RecordingError::NotARecording
    );
}

/// Whatever can be read of the bytes is played; nothing may panic.
fn survive(bytes: &[u8]) -> usize {
    let Ok((mut head, entries)) = read(bytes) else {
        return 0;
    };
    let mut effects = Vec::new();
    let mut played = 0;
    for entry in entries.take(500) {
        if let Ok(Entry::Input { at, input }) = entry {
            head.controller.handle(at, input, &mut effects);
            effects.clear();
            played += 1;
        }
    }
    played
}

fn sample() -> &'static [u8] {
    static SAMPLE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    SAMPLE.get_or_init(|| record(Settings::standard(), &story().log, 150).0)
}

proptest! {
    #[test]
    fn any_bytes_after_a_good_beginning_are_read_or_refused(tail in prop::collection::vec(any::<u8>(), 0..300)) {
        let mut bytes = b"mainrec\n".to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend(u32::try_from(tail.len()).unwrap().to_le_bytes());
        bytes.extend(&tail);
        survive(&bytes);
        survive(&tail);
    }

    #[test]
    fn a_damaged_recording_is_read_or_refused(
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        late in any::<bool>(),
    ) {
        let mut bytes = sample().to_vec();
        let from = if late { bytes.len() - 3_000 } else { 10 };
        let length = bytes.len() - from;
        for (place, value) in damage {
            bytes[from + place.index(length)] = value;
        }
        survive(&bytes);
    }
}

#[test]
fn an_undamaged_recording_survives_in_full() {
    assert!(survive(sample()) > 300);
}

#[test]
fn the_digest_is_fnv_1a_over_all_effects_but_snapshots() {
    let early = |endpoint| Effect::HalfOpenEarly {
        endpoint: EndpointId(endpoint),
    };
    assert_eq!(digest(&[]), None);
    assert_eq!(digest(&[early(0)]), Some(0x0835_EE07_B4EE_5316));
    assert_eq!(digest(&[early(0), early(1)]), Some(0xED1C_BB87_F400_EBAA));
}
