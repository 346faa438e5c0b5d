//! The in-flight limit of one endpoint: a semaphore whose size the level, a cascade and the ramp may change.
//!
//! Shrinking never interrupts what runs: permits are taken back as they are returned.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::{Semaphore, SemaphorePermit};

/// How many calls may run at once.
#[derive(Debug)]
pub struct Limit {
    base: AtomicUsize,
    size: AtomicUsize,
    /// Permits still to be taken back after a shrink found too few of them free.
    owed: AtomicUsize,
    semaphore: Semaphore,
}

/// A place under the limit, borrowed from it or holding it; returned when dropped.
#[derive(Debug)]
pub struct Place<L: Deref<Target = Limit>>(L);

impl Limit {
    /// A limit of `base` calls, at least one.
    pub fn new(base: usize) -> Arc<Self> {
        let base = base.max(1);
        Arc::new(Self {
            base: AtomicUsize::new(base),
            size: AtomicUsize::new(base),
            owed: AtomicUsize::new(0),
            semaphore: Semaphore::new(base),
        })
    }

    /// The configured size, which a factor of 1.0 gives.
    pub fn base(&self) -> usize {
        self.base.load(Ordering::Relaxed)
    }

    /// Sets the configured size, at least one; the size in force follows with the next factor. Called by one task
    /// only, the monitor.
    pub(crate) fn set_base(&self, base: usize) {
        self.base.store(base.max(1), Ordering::Relaxed);
    }

    /// The size in force.
    pub fn size(&self) -> usize {
        self.size.load(Ordering::Relaxed)
    }

    /// Sets the size to `factor` × base, at least one. Called by one task only, the monitor.
    pub fn set_factor(&self, factor: f64) {
        let wanted = ((self.base() as f64) * factor.clamp(0.0, 1.0)).round() as usize;
        let wanted = wanted.max(1);
        let present = self.size.swap(wanted, Ordering::Relaxed);
        if wanted > present {
            self.grow(wanted - present);
        } else if wanted < present {
            self.owed.fetch_add(present - wanted, Ordering::AcqRel);
            self.collect();
        }
    }

    /// Waits for a place, first come first served.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the place in the queue and nothing else.
    pub async fn place<L: Deref<Target = Self>>(limit: L) -> Place<L> {
        // The semaphore is never closed.
        let permit = limit.semaphore.acquire().await;
        let _ = permit.map(SemaphorePermit::forget);
        Place(limit)
    }

    /// A place if one is free.
    pub fn try_place<L: Deref<Target = Self>>(limit: L) -> Option<Place<L>> {
        limit.semaphore.try_acquire().ok()?.forget();
        Some(Place(limit))
    }

    fn grow(&self, by: usize) {
        let mut left = by;
        while left > 0 && self.take_one_owed() {
            left -= 1;
        }
        self.semaphore.add_permits(left);
    }

    /// Takes back what is free. The debt stands until a permit is gone: a place returned meanwhile must see it.
    fn collect(&self) {
        while self.owed.load(Ordering::Acquire) > 0 && self.semaphore.forget_permits(1) == 1 {
            if !self.take_one_owed() {
                self.semaphore.add_permits(1);
            }
        }
    }

    fn take_one_owed(&self) -> bool {
        self.owed
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |owed| {
                owed.checked_sub(1)
            })
            .is_ok()
    }
}

impl<L: Deref<Target = Limit>> Drop for Place<L> {
    fn drop(&mut self) {
        let limit = &*self.0;
        if limit.owed.load(Ordering::Acquire) == 0 || !limit.take_one_owed() {
            limit.semaphore.add_permits(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_shrink_takes_back_places_as_they_are_returned() {
        let limit = Limit::new(4);
        let mut held: Vec<_> = (0..4).filter_map(|_| Limit::try_place(&*limit)).collect();
        assert_eq!(held.len(), 4);
        limit.set_factor(0.5);
        held.pop();
        held.pop();
        assert!(
            Limit::try_place(&*limit).is_none(),
            "two of four remain and both are held"
        );
        held.clear();
        assert!(Limit::try_place(&*limit).is_some());
    }

    #[tokio::test]
    async fn growing_after_an_unpaid_shrink_restores_the_base() {
        let limit = Limit::new(4);
        let held: Vec<_> = (0..4).filter_map(|_| Limit::try_place(&*limit)).collect();
        limit.set_factor(0.25);
        limit.set_factor(1.0);
        drop(held);
        let again: Vec<_> = (0..5).filter_map(|_| Limit::try_place(&*limit)).collect();
        assert_eq!(again.len(), 4);
    }

    #[test]
    fn no_place_is_lost_or_made_while_many_come_and_go_and_the_size_changes() {
        let limit = Limit::new(8);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..20_000).for_each(|_| drop(Limit::try_place(&*limit))));
            }
            for n in 0..5_000 {
                limit.set_factor([0.25, 1.0, 0.5][n % 3]);
            }
        });
        for (factor, size) in [(0.25, 2), (1.0, 8)] {
            limit.set_factor(factor);
            let held: Vec<_> = (0..9).filter_map(|_| Limit::try_place(&*limit)).collect();
            assert_eq!(held.len(), size);
        }
    }

    #[tokio::test]
    async fn the_limit_is_never_less_than_one() {
        let limit = Limit::new(3);
        limit.set_factor(0.0);
        assert_eq!(limit.size(), 1);
        assert!(Limit::try_place(&*limit).is_some());
    }
}
