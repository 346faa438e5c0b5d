//! Exercises of fallbacks while all is well: a few reads are tried again through the fallback, and compared.
//!
//! They must never be felt: only a small share of reads, one at a time for each dependency, from a short queue that
//! drops what doesn't fit, and never while the dependency or its fallback is in trouble.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::fallbacks::{Exercised, Fallbacks};

/// Exercises that may wait; more are left out.
const QUEUE: usize = 4;
/// Longest time one exercise may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Ends with what was found out; `None`: there was nothing to compare.
type Work = Pin<Box<dyn Future<Output = Option<Exercised>> + Send>>;

/// One exercise on its way.
pub(crate) struct Exercise {
    source: &'static str,
    work: Work,
}

/// Chooses reads by chance, the same ones for the same seed.
#[derive(Debug)]
pub(crate) struct Sampler {
    /// Of 2^32; 0: none at all.
    share: AtomicU64,
    state: AtomicU64,
}

impl Sampler {
    pub(crate) fn new(seed: u64) -> Self {
        let sampler = Self {
            share: AtomicU64::new(0),
            state: AtomicU64::new(seed),
        };
        sampler.set(Some(0.005));
        sampler
    }

    /// `None`: no exercises.
    pub(crate) fn set(&self, share: Option<f64>) {
        let share = share.unwrap_or(0.0).clamp(0.0, 1.0);
        self.share
            .store((share * (1_u64 << 32) as f64) as u64, Ordering::Relaxed);
    }

    pub(crate) fn share(&self) -> Option<f64> {
        let share = self.share.load(Ordering::Relaxed);
        (share > 0).then_some(share as f64 / (1_u64 << 32) as f64)
    }

    fn takes(&self) -> bool {
        // SplitMix64, as for jitter.
        let step = 0x9E37_79B9_7F4A_7C15;
        let mut z = self
            .state
            .fetch_add(step, Ordering::Relaxed)
            .wrapping_add(step);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z >> 32) < self.share.load(Ordering::Relaxed)
    }
}

/// Where a dependency's exercises wait their turn.
#[derive(Debug)]
pub(crate) struct Exercises {
    pub(crate) fallbacks: Arc<Fallbacks>,
    sampler: Arc<Sampler>,
    queue: mpsc::Sender<Exercise>,
}

impl Exercises {
    pub(crate) fn new(
        fallbacks: Arc<Fallbacks>,
        sampler: Arc<Sampler>,
    ) -> (Self, mpsc::Receiver<Exercise>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let exercises = Self {
            fallbacks,
            sampler,
            queue,
        };
        (exercises, waiting)
    }

    /// Queues an exercise if this read is one to be tried again.
    pub(crate) fn offer<F, Fut>(&self, source: &'static str, clock: Clock, work: F)
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Option<Exercised>> + Send + 'static,
    {
        if !self.is_allowed(clock) {
            return;
        }
        if !self.sampler.takes() && !self.fallbacks.take_overdue(source, clock) {
            return;
        }
        // Only what fits: work is made once there is a place for it.
        if let Ok(place) = self.queue.try_reserve() {
            let work = Box::pin(work());
            place.send(Exercise { source, work });
        }
    }

    /// Exercises are on, and all is well.
    pub(crate) fn is_allowed(&self, clock: Clock) -> bool {
        self.sampler.share.load(Ordering::Relaxed) != 0 && self.fallbacks.is_calm(clock)
    }
}

/// Runs a dependency's exercises, one at a time, until nobody can queue any more or the engine stops.
pub(crate) async fn run(
    fallbacks: Arc<Fallbacks>,
    mut waiting: mpsc::Receiver<Exercise>,
    clock: Clock,
    stop: CancellationToken,
) {
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => None,
            next = waiting.recv() => next,
        };
        let Some(Exercise { source, work }) = next else {
            return;
        };
        // What was begun while all was well is left out once it isn't.
        if !fallbacks.is_calm(clock) {
            continue;
        }
        let ended = tokio::select! {
            () = stop.cancelled() => return,
            ended = clock.until(clock.now() + PATIENCE, work) => ended,
        };
        match ended {
            Ok(Some(ended)) => fallbacks.note(source, ended, clock),
            Ok(None) => {}
            Err(_elapsed) => fallbacks.note(source, Exercised::Failed, clock),
        }
    }
}
