//! A call through a breaker around an operation that costs about a nanosecond, beside named peers, with one
//! thread and with two on one breaker.
//!
//! Every case runs for half a millisecond a turn, and the turns of all cases alternate, so that whatever else the
//! machine does falls on all alike. A turn in which a thread had to give way is tried again, so that on a busy machine
//! `nice -n -15` shortens the run. The figures are lower quartiles over the turns, because two processors that share one
//! core's units slow all code alike; a turn of two threads takes as long as its slower thread. `ROUNDS=1000` asks for
//! more turns.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]
#![allow(
    clippy::disallowed_methods,
    reason = "clocks are part of what is measured"
)]

use std::future::Future;
use std::hint::{black_box, spin_loop};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use failsafe::CircuitBreaker;
use layered::{Execute, Service as _, Stack};
use mainstay_breaker::{Breaker, FailureKind, Lane, Moment, Outcome, Rule, Settings};
use rustix::time::{ClockId, clock_gettime};
use seatbelt::{RecoveryInfo, ResilienceContext, breaker::Breaker as Seatbelt};
use tower::Service as _;
use tower_resilience_circuitbreaker::CircuitBreakerLayer;

/// Long enough to hide the start, short enough to fit between interruptions.
const TURN: Duration = Duration::from_micros(500);
const TRIES: u32 = 30;

struct Case {
    name: &'static str,
    peer: bool,
    calls: Box<dyn Fn(u64) + Sync>,
}

fn ours(name: &'static str, calls: impl Fn(u64) + Sync + 'static) -> Case {
    Case {
        name,
        peer: false,
        calls: Box::new(calls),
    }
}

fn peer(name: &'static str, calls: impl Fn(u64) + Sync + 'static) -> Case {
    Case {
        peer: true,
        ..ours(name, calls)
    }
}

fn main() {
    let rounds = std::env::var("ROUNDS").map_or(200, |rounds| rounds.parse().unwrap());
    let cases: Vec<_> = [closed(), clocks(), refusing(), peers()]
        .into_iter()
        .flatten()
        .collect();
    let sizes: Vec<_> = cases.iter().map(calibrate).collect();
    let mut seen = vec![[Vec::new(), Vec::new()]; cases.len()];
    for _ in 0..rounds {
        for ((case, size), seen) in cases.iter().zip(&sizes).zip(&mut seen) {
            for threads in [1, 2] {
                seen[threads - 1].extend(turn(case, *size, threads));
            }
        }
    }
    let clean: usize = seen.iter().flatten().map(Vec::len).sum();
    let figures: Vec<_> = seen
        .into_iter()
        .map(|seen| seen.map(lower_quartile))
        .collect();
    print(&cases, &figures);
    println!(
        "{clean} of {} turns were never interrupted",
        2 * rounds * cases.len()
    );
}

fn operation() -> Result<u64, ()> {
    Ok(black_box(1))
}

fn settings() -> Settings {
    Settings {
        rate: None,
        slow: None,
        ..Settings::default()
    }
}

fn with_rate() -> Settings {
    Settings {
        slow: None,
        ..Settings::default()
    }
}

thread_local! {
    static LANE: Lane = Lane::claim();
}

/// What a caller with a thread-local lane writes.
#[inline]
fn call<T>(breaker: &Breaker, operation: impl FnOnce() -> Result<T, ()>) -> Result<T, ()> {
    let permit = breaker.try_admit().ok_or(())?;
    let done = operation()?;
    LANE.with(|lane| permit.try_success(lane))
        .map_err(|_permit| ())?;
    Ok(done)
}

/// Without a window nothing counts a success: any lane will do.
#[inline]
fn call_uncounted<T>(
    breaker: &Breaker,
    operation: impl FnOnce() -> Result<T, ()>,
) -> Result<T, ()> {
    let permit = breaker.try_admit().ok_or(())?;
    let done = operation()?;
    permit.try_success(&Lane::shared()).map_err(|_permit| ())?;
    Ok(done)
}

#[inline]
async fn call_async<T>(
    breaker: &Breaker,
    operation: impl Future<Output = Result<T, ()>>,
) -> Result<T, ()> {
    let permit = breaker.try_admit().ok_or(())?;
    let done = operation.await?;
    LANE.with(|lane| permit.try_success(lane))
        .map_err(|_permit| ())?;
    Ok(done)
}

fn closed() -> Vec<Case> {
    let consecutive = Breaker::new(settings(), 1).unwrap();
    let small = Breaker::without_window(settings(), 1).unwrap();
    let rate = Breaker::new(with_rate(), 1).unwrap();
    let shared = Breaker::new(with_rate(), 1).unwrap();
    let timed = Breaker::new(with_rate(), 1).unwrap();
    let awaited = Breaker::new(with_rate(), 1).unwrap();
    vec![
        ours("the operation alone", |size| {
            repeat(size, || operation().is_ok());
        }),
        ours("consecutive rule", move |size| {
            repeat(size, || call_uncounted(&consecutive, operation).is_ok());
        }),
        ours("consecutive rule, 256 bytes", move |size| {
            repeat(size, || call_uncounted(&small, operation).is_ok());
        }),
        ours("with the rate window", move |size| {
            repeat(size, || call(&rate, operation).is_ok());
        }),
        ours("with the rate window, async", move |size| {
            repeat(size, || {
                ready(call_async(&awaited, async { operation() })).is_ok()
            });
        }),
        ours("with the rate window, no own lane", move |size| {
            repeat(size, || {
                let permit = shared.try_admit().unwrap();
                let done = operation();
                permit.try_success(&Lane::shared()).unwrap();
                done.is_ok()
            });
        }),
        ours("with the rate window, moment given", move |size| {
            repeat(size, || {
                let permit = timed.try_admit().unwrap();
                let done = operation();
                permit.settle(Outcome::Success, false, Moment::from_nanos(1));
                done.is_ok()
            });
        }),
    ]
}

/// All three rules: the slow rule needs the time that the call took.
fn clocks() -> Vec<Case> {
    let coarse = Breaker::new(Settings::default(), 1).unwrap();
    let precise = Breaker::new(Settings::default(), 1).unwrap();
    let origin = Instant::now();
    vec![
        ours("default (all rules), coarse clock", move |size| {
            repeat(size, || watched(&coarse, coarse_clock).is_ok());
        }),
        ours("default (all rules), Instant", move |size| {
            let clock = || Moment::from_nanos(origin.elapsed().as_nanos() as u64);
            repeat(size, || watched(&precise, clock).is_ok());
        }),
    ]
}

/// Within 4 ms, where the shortest `slow.after` of any default is 100 ms.
#[inline]
fn coarse_clock() -> Moment {
    let time = clock_gettime(ClockId::MonotonicCoarse);
    Moment::from_nanos(time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64)
}

#[inline]
fn watched(breaker: &Breaker, clock: impl Fn() -> Moment) -> Result<u64, ()> {
    let permit = breaker.try_admit().ok_or(())?;
    let after = breaker.slow_after().ok_or(())?;
    let started = clock();
    let done = operation()?;
    let now = clock();
    if now.saturating_since(started) > after {
        permit.settle(Outcome::Success, true, now);
        return Ok(done);
    }
    LANE.with(|lane| permit.try_success(lane))
        .map_err(|_permit| ())?;
    Ok(done)
}

fn refusing() -> Vec<Case> {
    let now = Moment::from_nanos(1);
    let open = |breaker: Breaker| {
        breaker.trip(Rule::Operator, FailureKind::Connect, now);
        move |size| repeat(size, || breaker.admit(now).result.is_err())
    };
    let backoff = failsafe::backoff::constant(Duration::from_secs(3_600));
    let policy = failsafe::failure_policy::consecutive_failures(1, backoff);
    let failsafe = failsafe::Config::new().failure_policy(policy).build();
    let _ = failsafe.call(|| Err::<u64, ()>(()));
    let recloser = recloser::Recloser::custom()
        .closed_len(1)
        .open_wait(Duration::from_secs(3_600))
        .build();
    for _ in 0..2 {
        let _ = recloser.call(|| Err::<u64, ()>(()));
    }
    vec![
        ours("open", open(Breaker::new(Settings::default(), 1).unwrap())),
        ours(
            "open, 256 bytes",
            open(Breaker::without_window(settings(), 1).unwrap()),
        ),
        peer("failsafe, open", move |size| {
            repeat(size, || failsafe.call(operation).is_err());
        }),
        peer("recloser, open", move |size| {
            repeat(size, || recloser.call(operation).is_err());
        }),
    ]
}

fn peers() -> Vec<Case> {
    let backoff = failsafe::backoff::constant(Duration::from_secs(30));
    let policy = failsafe::failure_policy::consecutive_failures(5, backoff);
    let failsafe = failsafe::Config::new().failure_policy(policy).build();
    let recloser = recloser::Recloser::default();
    vec![
        peer("failsafe, consecutive", move |size| {
            repeat(size, || failsafe.call(operation).is_ok());
        }),
        peer("recloser, rate", move |size| {
            repeat(size, || recloser.call(operation).is_ok());
        }),
        seatbelt_rate(),
        tower_resilience(
            "tower-resilience, rate, async",
            CircuitBreakerLayer::builder(),
        ),
    ]
}

fn seatbelt_rate() -> Case {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let clock = {
        let _inside = runtime.enter();
        tick::Clock::new_tokio()
    };
    let context = ResilienceContext::new(clock);
    let layer = Seatbelt::layer("bench", &context)
        .recovery_with(|result: &Result<u64, ()>, _| match result {
            Ok(_) => RecoveryInfo::never(),
            Err(()) => RecoveryInfo::retry(),
        })
        .rejected_input(|_, _| Err(()));
    let service = (layer, Execute::new(|_: u64| async { operation() })).into_service();
    peer("seatbelt, rate, async", move |size| {
        let _alive = &runtime;
        repeat(size, || ready(service.execute(1)).is_ok());
    })
}

fn tower_resilience(
    name: &'static str,
    builder: tower_resilience_circuitbreaker::CircuitBreakerConfigBuilder,
) -> Case {
    let inner = tower::service_fn(|_: u64| async { operation() });
    let service = builder.build().unwrap().layer_fn(inner);
    peer(name, move |size| {
        let mut service = service.clone();
        repeat(size, || ready(service.call(1)).is_ok());
    })
}

/// Polls until it is done, without an executor: what the future itself costs.
fn ready<T>(future: impl Future<Output = T>) -> T {
    let (mut future, mut context) = (pin!(future), Context::from_waker(Waker::noop()));
    loop {
        match future.as_mut().poll(&mut context) {
            Poll::Ready(done) => return done,
            Poll::Pending => spin_loop(),
        }
    }
}

#[inline]
fn repeat(size: u64, mut once: impl FnMut() -> bool) {
    for _ in 0..size {
        assert!(black_box(once()));
    }
}

/// Calls that take about one turn.
fn calibrate(case: &Case) -> u64 {
    let mut size = 1;
    loop {
        let start = Instant::now();
        (case.calls)(size);
        let took = start.elapsed();
        if took >= TURN {
            return size;
        }
        size *= 2;
    }
}

/// ns per call, the slower thread's, of a turn that nothing interrupted: all its threads ran at once, each on a
/// processor of its own. `None` if no try was such a turn.
fn turn(case: &Case, size: u64, threads: usize) -> Option<f64> {
    (0..TRIES).find_map(|_| {
        let (took, interrupted) = try_turn(case, size, threads);
        (!interrupted).then(|| took.as_nanos() as f64 / size as f64)
    })
}

fn try_turn(case: &Case, size: u64, threads: usize) -> (Duration, bool) {
    let waiting = AtomicUsize::new(threads);
    let one = || {
        // Fills the caches and claims the lane.
        (case.calls)(size / 16);
        let before = interruptions();
        waiting.fetch_sub(1, Ordering::AcqRel);
        while waiting.load(Ordering::Acquire) > 0 {
            spin_loop();
        }
        let start = Instant::now();
        (case.calls)(size);
        let took = start.elapsed();
        (took, interruptions() != before)
    };
    std::thread::scope(|scope| {
        // None of them the main thread, whose stack lies elsewhere: that alone changes a nanosecond.
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
        let turns = threads.into_iter().map(|thread| thread.join().unwrap());
        turns.fold((Duration::ZERO, false), |(took, interrupted), turn| {
            (took.max(turn.0), interrupted || turn.1)
        })
    })
}

/// How often this thread had to give way.
fn interruptions() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("nonvoluntary_ctxt_switches:"));
    line.map_or(0, |count| count.trim().parse().unwrap())
}

/// Not a number if there was no turn.
fn lower_quartile(mut seen: Vec<f64>) -> f64 {
    seen.sort_by(f64::total_cmp);
    seen.get(seen.len() / 4).copied().unwrap_or(f64::NAN)
}

fn print(cases: &[Case], figures: &[[f64; 2]]) {
    println!("ns per call, lower quartile of alternating turns");
    println!(
        "{:<38}{:>10}{:>10}{:>9}",
        "", "1 thread", "2 threads", "scaling"
    );
    for (case, [one, two]) in cases.iter().zip(figures) {
        let scaling = 2.0 * one / two;
        println!("{:<38}{one:>10.2}{two:>10.2}{scaling:>9.2}", case.name);
    }
    let of = |name: &str| {
        let index = cases.iter().position(|case| case.name == name);
        figures[index.unwrap()]
    };
    println!("\npeer / ours: how many times faster, with 1 thread | with 2");
    print!("{:<38}", "");
    let columns = [
        "consecutive rule",
        "with the rate window",
        "default (all rules), coarse clock",
    ];
    columns.iter().for_each(|name| print!("{name:>36}"));
    println!();
    for (case, theirs) in cases.iter().zip(figures) {
        if case.peer && !case.name.ends_with("open") {
            print!("{:<38}", case.name);
            for name in columns {
                let [one, two] = of(name);
                let ratio = format!("{:.1} | {:.1}", theirs[0] / one, theirs[1] / two);
                print!("{ratio:>36}");
            }
            println!();
        }
    }
    let (awaited, called) = (
        of("with the rate window, async"),
        of("with the rate window"),
    );
    println!("\nasync over sync: {:+.2} ns", awaited[0] - called[0]);
}
