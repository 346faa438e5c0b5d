//! Many threads at once: no lost count, no probe too many, one transition for one cause.

use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::thread;

use mainstay_breaker::{FailureKind, HalfOpen, Outcome, Rule, Settings, State};

use crate::support::*;

const THREADS: u64 = if cfg!(miri) { 3 } else { 8 };
const ROUNDS: u64 = if cfg!(miri) { 24 } else { 4_000 };

#[test]
fn no_count_is_lost_across_threads_and_buckets() {
    let rate = mainstay_breaker::RateRule {
        threshold: 1.0,
        min_calls: 1_000_000,
    };
    let breaker = breaker(Settings {
        rate: Some(rate),
        ..slow()
    });
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for round in 0..ROUNDS {
                    // Half a minute in all: every bucket is taken over, none leaves.
                    let now = at(round * 30_000 / ROUNDS);
                    let outcome = if round % 4 == 0 { FAIL } else { OK };
                    assert_eq!(
                        admitted(&breaker, now).settle(outcome, round % 8 == 1, now),
                        None
                    );
                    drop(admitted(&breaker, now));
                }
            });
        }
    });
    let (calls, snapshot) = (THREADS * ROUNDS, breaker.snapshot(at(30_000)));
    let window = snapshot.window;
    assert_eq!(
        (window.calls, window.failures, window.slow),
        (calls, calls / 4, calls / 8)
    );
    assert_eq!(snapshot.totals.successes, Some(calls - calls / 4));
    assert_eq!(
        (snapshot.totals.failures, snapshot.totals.neutral),
        (calls / 4, calls)
    );
}

#[test]
fn exactly_one_of_many_failing_calls_opens_it() {
    for _ in 0..if cfg!(miri) { 3 } else { 200 } {
        let breaker = breaker(Settings {
            consecutive: NonZeroU32::new(THREADS as u32),
            ..plain()
        });
        let opened = AtomicU32::new(0);
        thread::scope(|scope| {
            for _ in 0..THREADS {
                let permit = admitted(&breaker, at(0));
                let opened = &opened;
                scope.spawn(move || {
                    if let Some(transition) = permit.settle(FAIL, false, at(1)) {
                        assert_eq!(transition.rule, Some(Rule::Consecutive));
                        opened.fetch_add(1, Ordering::Relaxed);
                    }
                });
            }
        });
        assert_eq!((opened.into_inner(), breaker.generation()), (1, 1));
        assert_eq!(breaker.snapshot(at(1)).failures_in_row, THREADS as u32);
    }
}

#[test]
fn never_more_probes_than_allowed_and_only_one_caller_turns_it_half_open() {
    const PROBES: u32 = 3;
    let half_open = HalfOpen {
        probes: PROBES,
        successes: 1_000,
        lease: ms(60_000),
    };
    let breaker = breaker(Settings {
        half_open,
        ..plain()
    });
    breaker.trip(Rule::Probes, FailureKind::Connect, at(0));
    let (in_flight, turned) = (AtomicU32::new(0), AtomicU32::new(0));
    let (probes, rejections) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    let admission = breaker.admit(at(10_000));
                    turned.fetch_add(u32::from(admission.transition.is_some()), Ordering::Relaxed);
                    let Ok(permit) = admission.result else {
                        rejections.fetch_add(1, Ordering::Relaxed);
                        continue;
                    };
                    assert!(permit.is_probe());
                    assert!(in_flight.fetch_add(1, Ordering::SeqCst) < PROBES);
                    probes.fetch_add(1, Ordering::Relaxed);
                    in_flight.fetch_sub(1, Ordering::SeqCst);
                    permit.settle(Outcome::Neutral, false, at(10_000));
                }
            });
        }
    });
    let totals = breaker.snapshot(at(10_000)).totals;
    assert_eq!(
        (totals.neutral, totals.rejected),
        (probes.into_inner(), rejections.into_inner())
    );
    assert_eq!((turned.into_inner(), breaker.state()), (1, State::HalfOpen));
}

#[test]
fn transitions_form_one_chain_whatever_the_interleaving() {
    let settings = Settings {
        consecutive: NonZeroU32::new(1),
        reset_timeout: ms(1),
        ..plain()
    };
    let breaker = breaker(settings);
    let clock = AtomicU64::new(0);
    let mut seen = thread::scope(|scope| {
        let workers: Vec<_> = (0..THREADS)
            .map(|worker| {
                let (breaker, clock) = (&breaker, &clock);
                scope.spawn(move || {
                    let mut seen = Vec::new();
                    for round in 0..ROUNDS {
                        let now = at(clock.fetch_add(1, Ordering::Relaxed));
                        let admission = breaker.admit(now);
                        seen.extend(admission.transition);
                        let outcome = if (round + worker) % 3 == 0 { FAIL } else { OK };
                        let settled = admission
                            .result
                            .map(|permit| permit.settle(outcome, false, now));
                        seen.extend(settled.ok().flatten());
                        let snapshot = breaker.snapshot(now);
                        assert_eq!(snapshot.retry_at.is_some(), snapshot.state == State::Open);
                        assert_eq!(
                            snapshot.opened_at.is_some(),
                            snapshot.state != State::Closed
                        );
                    }
                    seen
                })
            })
            .collect();
        let all = workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic"));
        all.flatten().collect::<Vec<_>>()
    });
    seen.sort_by_key(|transition| transition.generation);
    assert_eq!(seen.len() as u64, breaker.generation());
    assert_eq!(seen.first().map(|first| first.from), Some(State::Closed));
    for pair in seen.windows(2) {
        assert_eq!(
            (pair[0].to, pair[0].generation + 1),
            (pair[1].from, pair[1].generation)
        );
    }
    assert_eq!(seen.last().map(|last| last.to), Some(breaker.state()));
}
