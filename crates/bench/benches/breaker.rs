//! A call through a closed breaker around an operation that costs about a nanosecond, beside named peers.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "this breaker's window needs the time of its verdicts")]

use std::time::Instant;

use divan::black_box;
use failsafe::CircuitBreaker;
use mainstay_breaker::{Breaker, Moment, Outcome, Settings};

fn main() {
    divan::main();
}

fn operation() -> Result<u64, ()> {
    Ok(black_box(1))
}

const THREADS: [usize; 2] = [1, 2];

#[divan::bench(threads = THREADS)]
fn bare(bencher: divan::Bencher<'_, '_>) {
    bencher.bench(|| operation().is_ok());
}

#[divan::bench(threads = THREADS)]
fn mainstay_consecutive_rule(bencher: divan::Bencher<'_, '_>) {
    let settings = Settings {
        rate: None,
        slow: None,
        ..Settings::default()
    };
    let breaker = Breaker::new(settings, 1).unwrap();
    let now = Moment::from_nanos(1);
    bencher.bench(|| {
        let permit = breaker.try_admit().unwrap();
        let done = operation();
        permit.settle(Outcome::Success, false, now);
        done.is_ok()
    });
}

#[divan::bench(threads = THREADS)]
fn mainstay_all_rules_with_clock(bencher: divan::Bencher<'_, '_>) {
    let breaker = Breaker::new(Settings::default(), 1).unwrap();
    let origin = Instant::now();
    bencher.bench(|| {
        let permit = breaker.try_admit().unwrap();
        let done = operation();
        let now = Moment::from_nanos(origin.elapsed().as_nanos() as u64);
        permit.settle(Outcome::Success, false, now);
        done.is_ok()
    });
}

#[divan::bench(threads = THREADS)]
fn failsafe_consecutive(bencher: divan::Bencher<'_, '_>) {
    let backoff = failsafe::backoff::constant(std::time::Duration::from_secs(30));
    let policy = failsafe::failure_policy::consecutive_failures(5, backoff);
    let breaker = failsafe::Config::new().failure_policy(policy).build();
    bencher.bench(|| breaker.call(operation).is_ok());
}

#[divan::bench(threads = THREADS)]
fn recloser_rate(bencher: divan::Bencher<'_, '_>) {
    let breaker = recloser::Recloser::default();
    bencher.bench(|| breaker.call(operation).is_ok());
}
