//! Simulated outages of four kinds, and how well forecasts of "is it back yet?" do on them (Brier score: the mean
//! squared distance between what was forecast and what was; 0 is perfect). The benchmark compiles this file too.

use std::time::Duration;

use mainstay_breaker::State;
use mainstay_degradation::health::{Evidence, score};
use mainstay_degradation::recovery::{Outage, OutageHistory, Predictor};
use mainstay_degradation::settings::HealthRules;

/// What kind of outage a dependency suffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A process dies and is started again.
    CrashRestart,
    /// Up and down many times within minutes.
    Flapping,
    /// Errors become more, until hardly anything works; somebody has to repair it.
    SlowDegradation,
    /// Somebody takes it away for an hour or more.
    LongMaintenance,
}

impl Kind {
    pub(crate) const ALL: [Self; 4] = [
        Self::CrashRestart,
        Self::Flapping,
        Self::SlowDegradation,
        Self::LongMaintenance,
    ];
}

/// Xorshift64* (Vigna, 2016), so that a seed gives the same outages everywhere.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    fn unit(&mut self) -> f64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 11) as f64 / (1_u64 << 53) as f64
    }

    fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.unit()
    }

    /// Log-normal: the sum of twelve uniform numbers is close enough to a normal one.
    fn around(&mut self, median: f64, width: f64) -> f64 {
        let normal = (0..12).map(|_| self.unit()).sum::<f64>() - 6.0;
        median * (width * normal).exp()
    }
}

/// One outage as it was, not as it was seen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simulated {
    pub(crate) kind: Kind,
    pub(crate) worked: f64,
    pub(crate) lasted: f64,
}

impl Simulated {
    /// One that was seen and not made up: of what kind, nobody knows.
    pub(crate) fn seen(worked: f64, lasted: f64) -> Self {
        Self {
            kind: Kind::CrashRestart,
            worked,
            lasted,
        }
    }
}

/// The outages of a real recording: seconds of working, and of the outage after it.
pub(crate) fn recorded() -> Vec<Simulated> {
    let lines = include_str!("recorded-outages.txt").lines();
    let line = |line: &str| {
        let (worked, lasted) = line.split_once(' ').expect("two numbers");
        Simulated::seen(worked.parse().unwrap(), lasted.parse().unwrap())
    };
    lines
        .filter(|line| !line.starts_with('#'))
        .map(line)
        .collect()
}

/// At least `count` outages of one dependency, of one kind or of all mixed.
pub(crate) fn outages(kind: Option<Kind>, count: usize, random: &mut Random) -> Vec<Simulated> {
    let mut outages = Vec::with_capacity(count);
    while outages.len() < count {
        let kind = kind.unwrap_or_else(|| match random.unit() {
            share if share < 0.4 => Kind::CrashRestart,
            share if share < 0.55 => Kind::Flapping,
            share if share < 0.85 => Kind::SlowDegradation,
            _ => Kind::LongMaintenance,
        });
        let mut worked = random.around(40_000.0, 1.0);
        let episode = if kind == Kind::Flapping {
            random.between(4.0, 15.0) as usize
        } else {
            1
        };
        for _ in 0..episode {
            let lasted = match kind {
                // Some restarts fail, and the supervisor waits longer each time.
                Kind::CrashRestart if random.unit() < 0.2 => random.around(35.0, 0.3),
                Kind::CrashRestart => random.around(6.0, 0.35),
                Kind::Flapping => random.around(4.0, 0.7),
                Kind::SlowDegradation => random.around(400.0, 0.9),
                Kind::LongMaintenance => random.around(5_400.0, 0.4),
            };
            outages.push(Simulated {
                kind,
                worked,
                lasted,
            });
            worked = random.around(12.0, 0.8);
        }
    }
    outages
}

/// When somebody asks whether it is back: seconds from one probe to the next.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) name: &'static str,
    pub(crate) steps: &'static [f64],
}

pub(crate) const SCHEDULES: [Schedule; 3] = [
    Schedule {
        name: "every second",
        steps: &[1.0],
    },
    Schedule {
        name: "10, 20, 40 s",
        steps: &[10.0, 20.0, 40.0],
    },
    Schedule {
        name: "growing open time",
        steps: &[20.0, 40.0, 80.0, 160.0, 200.0],
    },
];

/// What a forecaster may know, in seconds since the outage began.
pub(crate) struct Known<'a> {
    pub(crate) elapsed: f64,
    pub(crate) seen_down: f64,
    /// The last ten results of calls and probes, oldest first.
    pub(crate) results: &'a [bool],
}

/// The older heuristic. What "since the failure" means isn't said: the first or the last one of the outage.
pub(crate) fn heuristic(known: &Known<'_>, since_last: bool) -> f64 {
    let since = known.elapsed - if since_last { known.seen_down } else { 0.0 };
    let graded = |value: f64, high: f64, low: f64| match value {
        _ if value > high => 0.3,
        _ if value > low => 0.15,
        _ => 0.0,
    };
    let successes = known.results.iter().filter(|one| **one).count();
    let success_rate = successes as f64 / known.results.len() as f64;
    let evidence = Evidence {
        success_rate,
        p95: None,
        breaker: State::Open,
        availability: 100.0 * success_rate,
        last_failure_age: Some(Duration::from_secs_f64(known.elapsed - known.seen_down)),
    };
    let health = score(&HealthRules::with_p95(Duration::from_secs(1)), &evidence);
    let lately = known.results.iter().rev().take(5);
    let failures = lately.filter(|one| !**one).count();
    let by_successes = [0.0, 0.1, 0.2][successes.min(2)];
    let sum = graded(since, 30.0, 10.0) + graded(health, 50.0, 30.0) + by_successes
        - 0.1 * failures as f64;
    sum.clamp(0.0, 1.0)
}

/// The mean Brier scores over all forecasts.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Scores {
    pub(crate) outages: usize,
    pub(crate) forecasts: f64,
    pub(crate) ours: f64,
    /// The constant that would have been the best, known only afterwards.
    pub(crate) base_rate: f64,
    /// The share of all earlier forecasts that it was back: what a constant can know at the time.
    pub(crate) rate_so_far: f64,
    pub(crate) heuristic_since_first: f64,
    pub(crate) heuristic_since_last: f64,
}

/// Plays the outages in their order: each is forecast from those before it only.
pub(crate) fn play(outages: &[Simulated], schedule: Schedule, random: &mut Random) -> Scores {
    let mut history = OutageHistory::default();
    let mut sums = Squares::default();
    let mut results = Vec::new();
    for one in outages {
        let worked = Duration::from_secs_f64(one.worked);
        let predictor = Predictor::new(history.of("it"), Some(worked));
        before(one, &mut results, random);
        one_outage(one, &predictor, schedule, &mut results, random, &mut sums);
        let lasted = Duration::from_secs_f64(one.lasted);
        history.push(
            "it",
            Outage {
                lasted,
                complete: true,
                worked: Some(worked),
            },
        );
    }
    let positive = outages.len() as f64 / sums.asked;
    Scores {
        outages: outages.len(),
        forecasts: sums.asked,
        ours: sums.ours / sums.asked,
        base_rate: positive * (1.0 - positive),
        rate_so_far: sums.rate_so_far / sums.asked,
        heuristic_since_first: sums.since_first / sums.asked,
        heuristic_since_last: sums.since_last / sums.asked,
    }
}

/// What the last results were when the breaker opened.
fn before(one: &Simulated, results: &mut Vec<bool>, random: &mut Random) {
    results.clear();
    results.extend((0..7).map(|i| match one.kind {
        Kind::SlowDegradation => random.unit() > f64::from(i) / 7.0,
        _ => true,
    }));
    results.extend([false; 3]);
}

#[derive(Default)]
struct Squares {
    asked: f64,
    /// Of those, when it was back.
    back: f64,
    rate_so_far: f64,
    ours: f64,
    since_first: f64,
    since_last: f64,
}

fn one_outage(
    one: &Simulated,
    predictor: &Predictor,
    schedule: Schedule,
    results: &mut Vec<bool>,
    random: &mut Random,
    squares: &mut Squares,
) {
    let (mut elapsed, mut seen_down) = (0.0, 0.0);
    for step in 0.. {
        let pause = schedule.steps[step.min(schedule.steps.len() - 1)];
        elapsed += pause * random.between(0.8, 1.2);
        let back = elapsed >= one.lasted;
        let known = Known {
            elapsed,
            seen_down,
            results,
        };
        let truth = f64::from(u8::from(back));
        let square = |forecast: f64| (forecast - truth) * (forecast - truth);
        let span = Duration::from_secs_f64;
        let ours = predictor.back(span(seen_down), span(elapsed));
        // Laplace's rule of succession: before anything was seen, one half.
        let so_far = (squares.back + 1.0) / (squares.asked + 2.0);
        squares.rate_so_far += square(so_far);
        squares.asked += 1.0;
        squares.back += truth;
        squares.ours += square(ours.expect("no outage is longer than the table"));
        squares.since_first += square(heuristic(&known, false));
        squares.since_last += square(heuristic(&known, true));
        if back {
            break;
        }
        // A degraded dependency answers now and then.
        let passed = one.kind == Kind::SlowDegradation && random.unit() < 0.15;
        if !passed {
            seen_down = elapsed;
        }
        results.remove(0);
        results.push(passed);
    }
}
