//! Memory for bodies on their way to the store, bounded over all uploads: however many callers send slowly, or the store
//! takes its time, they don't fill the machine.

use std::sync::Arc;

use mainstay_runtime::{Clock, Moment};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What is counted in; the semaphore has too few permits for bytes.
const UNIT: u64 = 1 << 10;

/// Memory that uploads share.
#[derive(Debug)]
pub(crate) struct Room {
    units: Arc<Semaphore>,
    clock: Clock,
}

/// Room that is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Taken(#[expect(dead_code, reason = "held, not read")] OwnedSemaphorePermit);

impl Room {
    /// So many bytes in all.
    pub(crate) fn new(bytes: u64, clock: Clock) -> Self {
        let units = usize::try_from(bytes / UNIT).unwrap_or(usize::MAX);
        Self {
            units: Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS))),
            clock,
        }
    }

    /// Room for so many bytes, as soon as it is there; none if it isn't until then. Who waits longest comes first, and
    /// takes all of it at once: nobody waits for more with some of it in hand.
    pub(crate) async fn take(&self, bytes: u64, until: Moment) -> Option<Taken> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).ok()?;
        let taken = Arc::clone(&self.units).acquire_many_owned(units);
        let taken = self.clock.until(until, taken).await.ok()?;
        taken.ok().map(Taken)
    }
}
