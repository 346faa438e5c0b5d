//! One tick of the controller. Aim: under 10 µs with 4 dependencies, under 1 ms with 1,000.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]

use std::time::Duration;

use mainstay_degradation::{
    Controller, DependencySettings, EndpointId, Histogram, Input, Moment, Observed, ProbeResult,
    Rules, Settings,
};

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
    let rules = rules(dependencies);
    let mut now = Moment::from_nanos(1_000_000_000);
    let mut controller = Controller::new(rules, now);
    let mut effects = Vec::new();
    for i in 0..dependencies {
        let result = ProbeResult::Passed {
            latency: Duration::from_millis(1),
        };
        let endpoint = EndpointId(i as u16);
        controller.handle(
            now,
            Input::Probe {
                endpoint,
                started: now,
                result,
            },
            &mut effects,
        );
    }
    let one = observed();
    bencher
        .with_inputs(|| {
            (0..dependencies)
                .map(|i| (EndpointId(i as u16), one.clone()))
                .collect::<Vec<_>>()
        })
        .bench_local_values(|observed| {
            now = now + Duration::from_secs(1);
            effects.clear();
            controller.handle(now, Input::Tick { observed }, &mut effects);
            effects.len()
        });
}
