//! One tick of the controller. Aim: under 10 µs with 4 dependencies, under 1 ms with 1,000. And a day of recorded
//! ticks and ten thousand transitions, replayed. Aim: under 2 s.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::time::Duration;

use mainstay_breaker::{State, Transition};
use mainstay_degradation::recording::{Encoder, Head};
use mainstay_degradation::{
    Controller, DependencySettings, EndpointId, EndpointView, Histogram, Input, Language, Moment,
    Observed, ProbeResult, Rules, Settings,
};
use mainstay_simulator::{Fidelity, WhatIf, replay};

fn main() {
    divan::main();
}

fn rules(dependencies: usize) -> Rules {
    let mut settings = Settings::standard();
    if dependencies > 4 {
        settings.cascade.clear();
        settings.features.retain(|f| f.requires.is_empty());
        settings.dependencies = (0..dependencies)
            .map(|i| DependencySettings {
                weight: 1.0 / dependencies as f64,
                ..DependencySettings::other(format!("d{i}"))
            })
            .collect();
    }
    settings.validate().unwrap()
}

fn observed() -> Observed {
    let mut latency = Histogram::new();
    (1..50).for_each(|ms| latency.record(Duration::from_millis(ms)));
    Observed {
        calls: 49,
        successes: 49,
        latency,
        ..Observed::default()
    }
}

#[divan::bench(args = [4, 1000])]
fn tick_under_traffic(bencher: divan::Bencher<'_, '_>, dependencies: usize) {
    tick(bencher, dependencies, |_| false);
}

/// Every cause that is live is looked at, named, and weighed against all others.
#[divan::bench(args = [4, 1000])]
fn tick_with_a_third_down(bencher: divan::Bencher<'_, '_>, dependencies: usize) {
    tick(bencher, dependencies, |dependency| dependency % 3 == 1);
}

fn tick(bencher: divan::Bencher<'_, '_>, dependencies: usize, is_down: fn(usize) -> bool) {
    let rules = rules(dependencies);
    let mut now = Moment::from_nanos(1_000_000_000);
    let mut controller = Controller::new(rules, now);
    let mut effects = Vec::new();
    let all: Vec<_> = (0..dependencies)
        .map(|i| {
            let endpoint = EndpointId(i as u16);
            if is_down(i) {
                (endpoint, down(&mut controller, now, endpoint))
            } else {
                (endpoint, well(&mut controller, now, endpoint))
            }
        })
        .collect();
    bencher
        .with_inputs(|| all.clone())
        .bench_local_values(|observed| {
            now = now + Duration::from_secs(1);
            effects.clear();
            controller.handle(now, Input::Tick { observed }, &mut effects);
            effects.len()
        });
}

/// Its first probe has passed; gives what each second brings.
fn well(controller: &mut Controller, now: Moment, endpoint: EndpointId) -> Observed {
    let result = ProbeResult::Passed {
        latency: Duration::from_millis(1),
    };
    let passed = Input::Probe {
        endpoint,
        started: now,
        result,
    };
    controller.handle(now, passed, &mut Vec::new());
    observed()
}

/// Its breaker has opened; gives what each second brings.
fn down(controller: &mut Controller, now: Moment, endpoint: EndpointId) -> Observed {
    let transition = Transition {
        from: State::Closed,
        to: State::Open,
        at: now,
        generation: 1,
        rule: None,
        kind: None,
        retry_at: None,
    };
    let opened = Input::Transition {
        endpoint,
        transition,
    };
    controller.handle(now, opened, &mut Vec::new());
    Observed {
        breaker: EndpointView {
            state: State::Open,
            generation: 1,
            ..EndpointView::default()
        },
        ..Observed::default()
    }
}

/// A day of ticks, idle but for a breaker that flaps five thousand times.
fn day() -> Vec<u8> {
    let rules = rules(4);
    let mut now = Moment::from_nanos(1_000_000_000);
    let head = Head {
        at: now,
        wall_ms: 0,
        program: "bench".into(),
        breakers: Vec::new(),
        controller: Controller::new(rules, now),
    };
    let mut controller = head.controller.clone();
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&head, &mut bytes);
    let mut effects = Vec::new();
    let (mut generation, mut view) = (0, EndpointView::default());
    let redis = EndpointId(2);
    let mut tell = |now, input: Input| {
        encoder.input(now, &input, &mut bytes);
        effects.clear();
        controller.handle(now, input, &mut effects);
        encoder.effects(&effects, &mut bytes);
    };
    for second in 0..86_400_u32 {
        now = now + Duration::from_secs(1);
        if second % 8 == 0 && generation < 10_000 {
            generation += 1;
            let states = [State::Closed, State::Open];
            let (from, to) = (
                states[(generation + 1) as usize % 2],
                states[generation as usize % 2],
            );
            let transition = Transition {
                from,
                to,
                at: now,
                generation,
                rule: None,
                kind: None,
                retry_at: None,
            };
            let endpoint = redis;
            tell(
                now,
                Input::Transition {
                    endpoint,
                    transition,
                },
            );
            (view.state, view.generation) = (to, generation);
        }
        let one = |id: u16| {
            let breaker = if id == redis.0 {
                view
            } else {
                EndpointView::default()
            };
            let observed = Observed {
                breaker,
                ..Observed::default()
            };
            (EndpointId(id), observed)
        };
        let observed = (0..4).map(one).collect();
        tell(now, Input::Tick { observed });
    }
    encoder.flush(&mut bytes);
    bytes
}

#[divan::bench(sample_count = 5)]
fn replay_of_a_day(bencher: divan::Bencher<'_, '_>) {
    let recording = day();
    eprintln!(
        "a day's recording: {} KiB before compression",
        recording.len() >> 10
    );
    bencher.bench_local(|| {
        let story = replay(&recording, &WhatIf::default(), Language::English).unwrap();
        assert_eq!(story.fidelity, Fidelity::Exact);
        story.happened.len()
    });
}
