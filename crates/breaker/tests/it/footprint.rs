//! What a breaker takes of the memory: a constant when it is made, nothing afterwards.

use std::future::{Future, ready};
use std::mem::size_of;
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use allocation_counter::{AllocationInfo, measure};
use mainstay_breaker::{Breaker, Lane, Settings, Ticket};

use crate::support::*;

fn heap_of(settings: Settings, made: fn(Settings, u64) -> Breaker) -> u64 {
    let mut breaker = None;
    let info = measure(|| breaker = Some(made(settings, 1)));
    drop(breaker);
    info.bytes_total
}

#[test]
fn a_breaker_takes_256_bytes_without_a_window_and_less_than_16_kib_with_one() {
    let small = heap_of(plain(), |settings, seed| {
        Breaker::without_window(settings, seed).expect("sensible")
    });
    assert_eq!((size_of::<Breaker>(), small), (256, 0));
    let windowed = heap_of(Settings::default(), |settings, seed| {
        Breaker::new(settings, seed).expect("sensible")
    });
    assert!(256 + windowed <= 16 * 1_024, "{windowed}");
    assert_eq!(size_of::<Ticket>(), 16);
}

/// As a caller would wrap it.
async fn awaited(breaker: &Breaker, lane: &Lane, work: impl Future<Output = bool>) -> bool {
    let permit = breaker.try_admit().expect("closed");
    let done = work.await;
    assert!(permit.try_success(lane).is_ok());
    done
}

#[test]
fn calls_ticks_and_openings_allocate_nothing() {
    let breaker = breaker(Settings {
        consecutive: plain().consecutive,
        ..rate()
    });
    let info = measure(|| {
        let lane = Lane::claim();
        for round in 0..100_u64 {
            let now = at(round * 100_000);
            let mut context = Context::from_waker(Waker::noop());
            let work = pin!(awaited(&breaker, &lane, ready(true)));
            assert_eq!(work.poll(&mut context), Poll::Ready(true));
            breaker.tick(now);
            quiet(&breaker, 2, FAIL, false, now);
            assert!(call(&breaker, FAIL, now).is_some());
            rejected(&breaker, now);
            assert!(
                breaker
                    .admit(at(round * 100_000 + 99_000))
                    .transition
                    .is_some()
            );
            assert_eq!(breaker.snapshot(now).reopenings, 0);
            breaker.reset(now);
        }
    });
    assert_eq!(info, AllocationInfo::default());
}
