//! Lanes: counting places with one writer each, so that counting needs no locked instruction.

use core::cell::Cell;
use core::marker::PhantomData;

use crate::sync::{AtomicU64, Ordering};

/// Lanes that can be claimed at once, in the whole process.
pub(crate) const LANES: usize = if cfg!(loom) { 2 } else { 64 };

/// One bit for each lane that somebody owns.
#[cfg(not(loom))]
static OWNED: AtomicU64 = AtomicU64::new(0);
#[cfg(loom)]
loom::lazy_static! {
    static ref OWNED: AtomicU64 = AtomicU64::new(0);
}

/// The right to count in one place of every breaker in the process, alone. A thread claims one for itself and
/// keeps it, in a thread-local say; [`Permit::try_success`](crate::Permit::try_success) then counts with a plain
/// load and store. Moves between threads, is used by one at a time, and is free again when dropped.
#[derive(Debug)]
pub struct Lane {
    /// `LANES` stands for shared.
    index: usize,
    /// Not `Sync`: two threads with one lane would lose counts.
    alone: PhantomData<Cell<()>>,
}

impl Lane {
    /// A lane of one's own; while 64 are owned, a shared one.
    #[must_use]
    pub fn claim() -> Self {
        let mut owned = OWNED.load(Ordering::Relaxed);
        loop {
            let index = (!owned).trailing_zeros() as usize;
            if index >= LANES {
                return Self::shared();
            }
            // Acquire: the owner before us released it with its last count.
            let wanted = owned | 1 << index;
            match OWNED.compare_exchange_weak(owned, wanted, Ordering::Acquire, Ordering::Relaxed) {
                Ok(_) => return Self::at(index),
                Err(found) => owned = found,
            }
        }
    }

    /// No lane of one's own: counts with a locked addition, in a place that threads may share.
    #[must_use]
    pub const fn shared() -> Self {
        Self::at(LANES)
    }

    /// Nobody else counts here.
    #[must_use]
    pub const fn is_own(&self) -> bool {
        self.index < LANES
    }

    pub(crate) const fn index(&self) -> usize {
        self.index
    }

    const fn at(index: usize) -> Self {
        Self {
            index,
            alone: PhantomData,
        }
    }
}

impl Drop for Lane {
    fn drop(&mut self) {
        if self.is_own() {
            OWNED.fetch_and(!(1 << self.index), Ordering::Release);
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    extern crate std;

    use super::*;
    use std::collections::BTreeSet;
    use std::vec::Vec;

    #[test]
    fn every_lane_has_its_own_place_and_gives_back_that_one() {
        let mut lanes: Vec<_> = (0..=LANES).map(|_| Lane::claim()).collect();
        let places: BTreeSet<_> = lanes.iter().map(Lane::index).collect();
        assert_eq!(places, (0..=LANES).collect());
        assert!(
            lanes
                .iter()
                .all(|lane| lane.is_own() == (lane.index < LANES))
        );
        for index in [7, 0, 63] {
            drop(
                lanes.swap_remove(
                    lanes
                        .iter()
                        .position(|lane| lane.index == index)
                        .unwrap_or(0),
                ),
            );
            let again = Lane::claim();
            assert_eq!(again.index, index);
            assert!(!Lane::claim().is_own());
            lanes.push(again);
        }
    }
}
