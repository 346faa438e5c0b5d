//! The places of the probes in half-open: counted, leased, and each told apart from its successors.

use core::array;

use crate::Moment;
use crate::cells::{Maybe, Number};
use crate::settings::{HalfOpen, MAX_PROBES};

/// A place that a probe holds. The serial tells it from a later probe in the same place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    index: u8,
    serial: u64,
}

#[derive(Debug)]
struct Lease {
    until: Maybe,
    serial: Number,
}

/// Touched only under the ledger's lock.
#[derive(Debug)]
pub(crate) struct Probes {
    leases: [Lease; MAX_PROBES as usize],
    serial: Number,
    successes: Number,
}

impl Probes {
    pub(crate) fn new() -> Self {
        let lease = |_| Lease {
            until: Maybe::none(),
            serial: Number::new(0),
        };
        Self {
            leases: array::from_fn(lease),
            serial: Number::new(0),
            successes: Number::new(0),
        }
    }

    /// Forgets every lease and every success.
    pub(crate) fn clear(&self) {
        for lease in &self.leases {
            lease.until.set(None);
        }
        self.successes.set(0);
    }

    /// A place for one more probe, unless as many as allowed are in flight.
    pub(crate) fn take(&self, settings: HalfOpen, now: Moment) -> Option<Place> {
        if self.in_flight(now) >= settings.probes {
            return None;
        }
        let index = self.leases.iter().position(|lease| !lease.held(now))?;
        let serial = self.serial.get() + 1;
        self.serial.set(serial);
        self.leases[index].serial.set(serial);
        self.leases[index]
            .until
            .set_moment(Some(now + settings.lease));
        Some(Place {
            index: u8::try_from(index).ok()?,
            serial,
        })
    }

    /// Frees the place. False if its lease was over: the verdict comes too late.
    pub(crate) fn give_back(&self, place: Place, now: Moment) -> bool {
        let lease = &self.leases[usize::from(place.index)];
        if lease.serial.get() != place.serial {
            return false;
        }
        let in_time = lease.held(now);
        lease.until.set(None);
        in_time
    }

    pub(crate) fn in_flight(&self, now: Moment) -> u32 {
        self.leases
            .iter()
            .map(|lease| u32::from(lease.held(now)))
            .sum()
    }

    /// Counts a success; true when it is the last one needed.
    pub(crate) fn succeeded(&self, settings: HalfOpen) -> bool {
        let successes = self.successes.get() + 1;
        self.successes.set(successes);
        successes >= u64::from(settings.successes)
    }
}

impl Lease {
    fn held(&self, now: Moment) -> bool {
        self.until.moment().is_some_and(|until| now < until)
    }
}
