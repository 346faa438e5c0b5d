//! The places of the probes in half-open: counted, leased, and each told apart from its successors.

use alloc::boxed::Box;
use core::array;

use crate::Moment;
use crate::cells::Maybe;
use crate::settings::{HalfOpen, MAX_PROBES, SMALL_PROBES};

const MORE: usize = (MAX_PROBES - SMALL_PROBES) as usize;

/// A place that a probe holds until it gives it back or its lease ends, whatever becomes of the breaker meanwhile:
/// a probe of an earlier half-open time is still in flight. The end tells it from later probes in the same place:
/// theirs is later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) index: u8,
    pub(crate) until: Moment,
}

/// Ends of leases; `None` where the place is free. Touched only under the ledger's lock.
#[derive(Debug)]
pub(crate) struct Probes {
    few: [Maybe; SMALL_PROBES as usize],
    /// Absent in a breaker that never has as many.
    more: Option<Box<[Maybe; MORE]>>,
}

impl Probes {
    pub(crate) fn new(many: bool) -> Self {
        Self {
            few: array::from_fn(|_| Maybe::none()),
            more: many.then(|| Box::new(array::from_fn(|_| Maybe::none()))),
        }
    }

    /// A place for one more probe, unless as many as allowed are in flight.
    pub(crate) fn take(&self, settings: HalfOpen, now: Moment) -> Option<Place> {
        if self.in_flight(now) >= settings.probes {
            return None;
        }
        let (index, lease) = self
            .leases()
            .enumerate()
            .find(|(_, lease)| !held(lease, now))?;
        let until = now + settings.lease;
        lease.set(Some(until));
        Some(Place {
            index: u8::try_from(index).ok()?,
            until,
        })
    }

    /// Frees the place. False if its lease was over: the verdict comes too late.
    pub(crate) fn give_back(&self, place: Place, now: Moment) -> bool {
        let lease = self.leases().nth(usize::from(place.index));
        let Some(lease) = lease.filter(|lease| lease.moment() == Some(place.until)) else {
            return false;
        };
        lease.set(None);
        now < place.until
    }

    pub(crate) fn in_flight(&self, now: Moment) -> u32 {
        self.leases().map(|lease| u32::from(held(lease, now))).sum()
    }

    fn leases(&self) -> impl Iterator<Item = &Maybe> {
        let more = self.more.iter().flat_map(|more| more.iter());
        self.few.iter().chain(more)
    }
}

fn held(lease: &Maybe, now: Moment) -> bool {
    lease.moment().is_some_and(|until| now < until)
}
