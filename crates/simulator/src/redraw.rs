//! Settings as another hand would have set them: what a drawn world's operator has read anew.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::time::Duration;

use mainstay_breaker::{HalfOpen, RateRule, SlowRule, Window};
use mainstay_degradation::{Criticality, FeatureMode, Gating, Level, Settings};

use crate::figures::Figures;
use crate::random::Random;
use crate::scenario::Reload;

/// What a half-open probe's lease is longer than its call's deadline.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

impl Reload {
    /// Some of these settings are others, or, now and then, none.
    pub(crate) fn drawn(settings: &Settings, random: &mut Random) -> Self {
        let mut reload = Self {
            settings: settings.clone(),
            figures: BTreeMap::new(),
        };
        if random.chance(25) {
            return reload;
        }
        if random.chance(70) {
            redraw(&mut reload.settings, random);
        }
        let endpoints = settings.dependencies.iter().flat_map(|one| &one.endpoints);
        for endpoint in endpoints {
            if random.chance(40) {
                let figures = figures(Figures::of(&endpoint.name), random);
                reload.figures.insert(endpoint.name.clone(), figures);
            }
        }
        reload
    }
}

fn redraw(settings: &mut Settings, random: &mut Random) {
    level(settings, random);
    dependencies(settings, random);
    matrix(settings, random);
    settings.facts.fallback_for = random.millis(10_000, 900_000);
    settings.facts.journal_oldest = random.millis(10_000, 300_000);
    settings.alerts.degraded_for = random.millis(20_000, 180_000);
    for tuning in &mut settings.tuning {
        if random.chance(20) {
            tuning.request_deadline = random.millis(500, 30_000);
            tuning.latency_alert_p95 = random.millis(20, 2_000);
        }
        if random.chance(20) {
            tuning.limit = share(random, 20, 100);
        }
    }
    for impact in &mut settings.cascade {
        if random.chance(30) {
            impact.share = share(random, 0, 60);
        }
    }
    if random.chance(20) {
        settings.seed = random.next();
    }
}

fn level(settings: &mut Settings, random: &mut Random) {
    let level = &mut settings.level;
    if random.chance(50) {
        level.dwell = *random
            .pick(&[0, 1_000, 3_000, 10_000, 25_000].map(Duration::from_millis))
            .unwrap_or(&level.dwell);
    }
    if random.chance(40) {
        level.confirm = u32::try_from(1 + random.below(6)).unwrap_or(3);
    }
    if random.chance(30) {
        level.margin = share(random, 0, 400);
    }
    if random.chance(30) {
        level.bands[0] = 88.0 + share(random, 0, 400);
        level.caps[0] = level.bands[0] - 1.0;
    }
}

fn dependencies(settings: &mut Settings, random: &mut Random) {
    let all = [
        Criticality::Low,
        Criticality::Medium,
        Criticality::High,
        Criticality::Critical,
    ];
    for one in &mut settings.dependencies {
        if random.chance(30) {
            one.criticality = *random.pick(&all).unwrap_or(&one.criticality);
        }
        let probes = &mut one.probes;
        if random.chance(30) {
            probes.heartbeat = random.millis(1_000, 60_000);
            probes.trip_after = u32::try_from(1 + random.below(5)).unwrap_or(3);
            probes.early_after = u32::try_from(1 + random.below(3)).unwrap_or(2);
        }
        if random.chance(20) {
            let first = random.millis(500, 8_000);
            probes.failing = vec![first, 2 * first];
            probes.deadline = probes.deadline * 2 / 3;
        }
        if random.chance(20) {
            one.health.window = random.millis(20_000, 90_000);
            one.health.latency_alert = random.chance(50);
        }
    }
    if let (true, [first, .., last]) = (random.chance(30), settings.dependencies.as_mut_slice()) {
        std::mem::swap(&mut first.weight, &mut last.weight);
    }
}

fn matrix(settings: &mut Settings, random: &mut Random) {
    if random.chance(30) {
        settings.gating = match settings.gating {
            Gating::Strict => Gating::Causal,
            Gating::Causal => Gating::Strict,
        };
    }
    for feature in &mut settings.features {
        if random.chance(10) {
            let from = *random.pick(&Level::ALL).unwrap_or(&Level::Minimal);
            feature.modes[from.index()..].fill(FeatureMode::Off);
        }
    }
}

fn figures(usual: Figures, random: &mut Random) -> Figures {
    let call_deadline = usual.call_deadline.mul_f64(share(random, 50, 200));
    let probes = u32::try_from(1 + random.below(3)).unwrap_or(1);
    let mut breaker = usual.breaker;
    breaker.consecutive = u32::try_from(1 + random.below(12))
        .ok()
        .and_then(NonZeroU32::new);
    breaker.reset_timeout = random.millis(2_000, 60_000);
    breaker.window = Window {
        length: random.millis(10_000, 120_000),
        buckets: u32::try_from(1 + random.below(32)).unwrap_or(10),
    };
    breaker.half_open = HalfOpen {
        probes,
        successes: u32::try_from(1 + random.below(3)).unwrap_or(1),
        lease: call_deadline + LEASE_MARGIN,
    };
    breaker.rate = random.chance(80).then(|| RateRule {
        threshold: share(random, 20, 100),
        min_calls: u32::try_from(5 + random.below(40)).unwrap_or(20),
    });
    breaker.slow = usual.breaker.slow.filter(|_| random.chance(80));
    breaker.slow = breaker.slow.map(|slow| SlowRule {
        after: slow.after.mul_f64(share(random, 50, 200)),
        ..slow
    });
    breaker.ramp = random.chance(60).then(|| random.millis(1_000, 10_000));
    Figures {
        breaker,
        limit: u32::try_from(1 + random.below(60)).unwrap_or(20),
        call_deadline,
        ..usual
    }
}

/// From `low` to `high` hundredths.
fn share(random: &mut Random, low: u32, high: u32) -> f64 {
    let drawn = random.below(u64::from(high - low) + 1);
    f64::from(low + u32::try_from(drawn).unwrap_or(0)) / 100.0
}
