//! Identical reads that travel together while the database is cold or in trouble, so that nobody's return is a stampede.
//!
//! In good times every read is its own. A read is joined only by its own caller's identical ones, and only while no
//! write through this process has ended since it began: whoever writes and then reads sees what was written. What
//! others wrote may be missing by as much as the read is old, so a joined answer says its age.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use mainstay_breaker::Moment;
use mainstay_runtime::Source;

use crate::cache::Key;
use crate::ended::Ended;
use crate::statement::Rows;

/// How a read ended, before anybody's earlier results are looked at.
pub(crate) type Landed = Result<(Arc<Rows>, Source), Ended>;

/// A read that several may wait for. It is given up when nobody does any more.
pub(crate) type Flight = Shared<BoxFuture<'static, Landed>>;

/// The reads under way that may be joined.
#[derive(Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Key, Begun>>>);

struct Begun {
    flight: WeakShared<BoxFuture<'static, Landed>>,
    at: Moment,
    /// How many writes had ended.
    writes: u64,
    number: u64,
}

/// What a caller needs to know to join a read or to begin one.
#[derive(Clone, Copy)]
pub(crate) struct Boarding {
    pub(crate) key: Key,
    pub(crate) now: Moment,
    /// How many writes have ended.
    pub(crate) writes: u64,
    /// How old a joined answer may be.
    pub(crate) max_age: Option<Duration>,
}

impl Flights {
    /// The identical read under way with its age, or a new one that `begin` makes.
    pub(crate) fn board(
        &self,
        boarding: Boarding,
        begin: impl FnOnce() -> BoxFuture<'static, Landed>,
    ) -> (Flight, Option<Duration>) {
        let Boarding {
            key, now, writes, ..
        } = boarding;
        let mut begun = self.lock();
        let found = begun.get(&key).filter(|found| {
            let age = now.saturating_since(found.at);
            found.writes == writes && boarding.max_age.is_none_or(|most| age <= most)
        });
        let joined = found.and_then(|found| Some((found.flight.upgrade()?, found.at)));
        if let Some((flight, at)) = joined {
            return (flight, Some(now.saturating_since(at)));
        }
        let number = begun.get(&key).map_or(0, |before| before.number + 1);
        let landing = Landing {
            flights: Arc::clone(&self.0),
            key,
            number,
        };
        let work = begin();
        let flight = async move {
            let _landing = landing;
            work.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            let entry = Begun {
                flight: weak,
                at: now,
                writes,
                number,
            };
            begun.insert(key, entry);
        }
        (flight, None)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Key, Begun>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Strikes a read off the list when it ends, or is given up.
struct Landing {
    flights: Arc<Mutex<HashMap<Key, Begun>>>,
    key: Key,
    number: u64,
}

impl Drop for Landing {
    fn drop(&mut self) {
        let mut begun = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if begun
            .get(&self.key)
            .is_some_and(|found| found.number == self.number)
        {
            begun.remove(&self.key);
        }
    }
}
