//! Scenarios drawn from a seed: the kinds of trouble that dependencies really have, mixed.

use std::time::Duration;

use mainstay_breaker::Mode;
use mainstay_degradation::{
    EndpointSettings, FeatureMode, Gating, Level, Outage, OutageHistory, Presence, Settings,
    Standing,
};

use crate::condition::Condition;
use crate::facts::{Fact, Sign};
use crate::random::Random;
use crate::scenario::{Action, Reload, Scenario, Traffic};

/// No trouble begins after this share of a drawn world's length, in percent.
const TROUBLED: u32 = 45;
/// A fallback that was last exercised so long ago is one to speak of, by the standard settings.
const A_DAY: Duration = Duration::from_secs(86_400);

impl Scenario {
    /// A scenario of this length; the same seed draws the same one. Its troubles end around the middle, so that it
    /// shows how everything comes back.
    #[must_use]
    pub fn drawn(seed: u64, length: Duration) -> Self {
        let random = &mut Random::new(seed ^ 0x5CE4_A210);
        let mut scenario = Self::quiet();
        settings(&mut scenario.settings, seed, random);
        let present = scenario.settings.dependencies.iter();
        let endpoints: Vec<String> = present
            .filter(|dependency| dependency.presence != Presence::Absent)
            .flat_map(|dependency| dependency.endpoints.iter().map(|one| one.name.clone()))
            .collect();
        let troubled = length * TROUBLED / 100;
        for endpoint in &endpoints {
            if random.chance(60) {
                scenario = troubles(scenario, endpoint, troubled, random);
            }
            for caller in 0..random.below(3) {
                scenario
                    .traffic
                    .push(stream(endpoint, caller, length, random));
            }
        }
        for _ in 0..random.below(4).saturating_sub(1) {
            let at = random.between(Duration::ZERO, troubled);
            let lasts = random.millis(500, 40_000);
            let action = action(&scenario.settings, &endpoints, random);
            scenario = scenario.order(at, action, Some(lasts));
        }
        for _ in 0..random.below(4).saturating_sub(1) {
            let at = random.between(Duration::ZERO, troubled);
            let reload = Reload::drawn(&scenario.settings, random);
            scenario = scenario.order(at, Action::Reload(Box::new(reload)), None);
        }
        scenario.signs = signs(&scenario.settings, length, random);
        if random.chance(40) {
            scenario.history = history(&scenario.settings, random);
        }
        scenario
    }
}

/// What fallbacks and the journal do: they come and go as they do beside any trouble, and without.
fn signs(settings: &Settings, length: Duration, random: &mut Random) -> Vec<Sign> {
    let mut signs = Vec::new();
    let present = settings.dependencies.iter();
    let present = present.filter(|one| one.presence != Presence::Absent);
    let present: Vec<&String> = present.map(|one| &one.name).collect();
    for _ in 0..random.below(6) {
        let (from, until) = (random.between(Duration::ZERO, length / 2), length * 3 / 4);
        let until = random.between(from, until);
        let dependency = random.pick(&present).copied().cloned().unwrap_or_default();
        let fact = |is| match from.as_millis() % 4 {
            0 => Fact::Waiting(is),
            1 => Fact::Faulted(is),
            2 => Fact::Exercised {
                dependency: dependency.clone(),
                ago: if is { A_DAY } else { Duration::ZERO },
            },
            _ => Fact::InUse {
                dependency: dependency.clone(),
                is,
            },
        };
        for (at, is) in [(from, true), (until, false)] {
            signs.push(Sign { at, fact: fact(is) });
        }
    }
    signs
}

/// Outages of an earlier process, of every length.
fn history(settings: &Settings, random: &mut Random) -> OutageHistory {
    let mut history = OutageHistory::default();
    for dependency in &settings.dependencies {
        for _ in 0..random.below(12) {
            let outage = Outage {
                lasted: random.millis(200, 400_000),
                complete: random.chance(80),
                worked: random.chance(80).then(|| random.millis(1_000, 90_000_000)),
            };
            history.push(&dependency.name, outage);
        }
        let lasts = random.millis(500, 900_000);
        let standing = match random.below(3) {
            0 => continue,
            1 => Standing::Works { lasts },
            _ => Standing::Down {
                lasts,
                seen: lasts.min(random.millis(0, 60_000)),
                worked: random.chance(80).then(|| random.millis(1_000, 90_000_000)),
                begun: random.chance(80),
            },
        };
        history.standing.insert(dependency.name.clone(), standing);
    }
    history
}

fn settings(settings: &mut Settings, seed: u64, random: &mut Random) {
    settings.seed = seed;
    settings.facts.fallback_for = Duration::from_secs(40);
    settings.facts.journal_oldest = Duration::from_secs(40);
    if random.chance(10) {
        settings.gating = Gating::Strict;
    }
    if let Some(database) = settings
        .dependency_mut("database")
        .filter(|_| random.chance(20))
    {
        let replica = EndpointSettings::helper("database/replica");
        database.endpoints.push(replica);
    }
    if let Some(openai) = settings
        .dependency_mut("openai")
        .filter(|_| random.chance(25))
    {
        openai
            .endpoints
            .push(EndpointSettings::main("openai/second"));
    }
    let absent = *random.pick(&["openai", "redis", "s3"]).unwrap_or(&"s3");
    if let Some(one) = settings
        .dependency_mut(absent)
        .filter(|_| random.chance(10))
    {
        one.presence = Presence::Absent;
    }
}

fn troubles(
    mut scenario: Scenario,
    endpoint: &str,
    until: Duration,
    random: &mut Random,
) -> Scenario {
    let mut from = if random.chance(15) {
        Duration::ZERO
    } else {
        random.between(Duration::ZERO, until / 2)
    };
    for _ in 0..=random.below(3) {
        if from >= until {
            break;
        }
        let (next, end) = trouble(scenario, endpoint, from, until, random);
        scenario = next;
        from = end + random.millis(200, 40_000);
    }
    scenario
}

/// One trouble, and when it is over.
fn trouble(
    scenario: Scenario,
    endpoint: &str,
    from: Duration,
    until: Duration,
    random: &mut Random,
) -> (Scenario, Duration) {
    let lasts = match random.below(4) {
        0 => random.millis(100, 3_000),
        1 => random.millis(60_000, 150_000),
        _ => random.millis(3_000, 40_000),
    };
    let end = (from + lasts).min(until);
    let scenario = match random.below(10) {
        0..=2 => scenario.outage(endpoint, from, end, Condition::Refuses),
        3 | 4 => scenario.outage(endpoint, from, end, Condition::Hangs),
        5 => {
            let period = random.millis(100, 20_000);
            let what = *random
                .pick(&[Condition::Refuses, Condition::Hangs])
                .unwrap_or(&Condition::Refuses);
            scenario.square_wave(endpoint, from, end, period, what)
        }
        6 => slower_and_slower(scenario, endpoint, from, end),
        7 => {
            let hint = random.millis(1_000, 60_000);
            let retry_after = random.chance(70).then_some(hint);
            let what = Condition::Overloaded { retry_after };
            scenario.outage(endpoint, from, end, what)
        }
        8 => {
            let percent = u8::try_from(5 + random.below(90)).unwrap_or(50);
            scenario.outage(endpoint, from, end, Condition::Flaky { percent })
        }
        _ => {
            let what = *random
                .pick(&[Condition::OnlyProbesPass, Condition::Misconfigured])
                .unwrap_or(&Condition::Misconfigured);
            scenario.outage(endpoint, from, end, what)
        }
    };
    (scenario, end)
}

fn slower_and_slower(
    mut scenario: Scenario,
    endpoint: &str,
    from: Duration,
    end: Duration,
) -> Scenario {
    let steps = [60, 150, 400, 900, 3_000, 12_000, 40_000].map(Duration::from_millis);
    let step = end.saturating_sub(from) / 7;
    for (index, takes) in (0_u32..).zip(steps) {
        scenario = scenario.phase(endpoint, from + step * index, Condition::Slow(takes));
    }
    scenario.phase(endpoint, end, Condition::Well)
}

fn stream(endpoint: &str, caller: u64, length: Duration, random: &mut Random) -> Traffic {
    let busy = random.chance(10);
    Traffic {
        endpoint: endpoint.to_owned(),
        caller,
        from: random.between(Duration::ZERO, length / 2),
        until: random.between(length / 2, length),
        every: random.millis(if busy { 1_000 } else { 200 }, 6_000),
        burst: u32::try_from(1 + random.below(if busy { 80 } else { 4 })).unwrap_or(1),
        patience: random.chance(30).then(|| random.millis(1, 8_000)),
    }
}

fn action(settings: &Settings, endpoints: &[String], random: &mut Random) -> Action {
    let endpoint = random.pick(endpoints).cloned().unwrap_or_default();
    let modes = [Mode::ForcedOpen, Mode::Disabled, Mode::Shadow, Mode::Auto];
    match random.below(7) {
        0..=2 => Action::Mode {
            endpoint,
            mode: *random.pick(&modes).unwrap_or(&Mode::Auto),
        },
        3 => Action::Reset { endpoint },
        4 => Action::Pin(*random.pick(&Level::ALL).unwrap_or(&Level::Minimal)),
        5 => Action::Unpin,
        _ => Action::Knob {
            feature: random
                .pick(&settings.features)
                .map(|feature| feature.name.clone())
                .unwrap_or_default(),
            mode: random.pick(&FeatureMode::ALL).copied(),
        },
    }
}
