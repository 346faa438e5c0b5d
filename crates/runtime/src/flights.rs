//! One question for all who ask the same at once, so that a crowd doesn't become a stampede.
//!
//! Whoever asks first begins a flight; who asks the same while it lasts may join it, unless a write through this process
//! has ended since it began: whoever writes and then reads sees what was written. What others wrote may be missing by as
//! much as the flight is old, so a joined answer has an age. When to join at all is the adapters' to decide: in good
//! times every question is its own.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use mainstay_breaker::Moment;

/// A question that several may wait for. It is given up when nobody does any more.
pub type Flight<T> = Shared<BoxFuture<'static, T>>;

/// The questions under way that may be joined, by what they ask.
pub struct Flights<K, T> {
    begun: Begun<K, T>,
    /// How many were begun: their numbers, none of which comes twice.
    begins: AtomicU64,
    joined: AtomicU64,
}

type Begun<K, T> = Arc<Mutex<HashMap<K, Entry<T>>>>;

struct Entry<T> {
    flight: WeakShared<BoxFuture<'static, T>>,
    at: Moment,
    /// How many writes had ended.
    writes: u64,
    number: u64,
}

/// What a caller needs to say to join a flight or to begin one.
#[derive(Clone, Copy, Debug)]
pub struct Boarding<K> {
    /// What is asked. The same key is the same question.
    pub key: K,
    /// Now.
    pub now: Moment,
    /// How many writes have ended that may change the answer.
    pub writes: u64,
    /// How old a joined answer may be.
    pub max_age: Option<Duration>,
}

impl<K, T> Flights<K, T>
where
    K: Clone + Eq + Hash + Send + 'static,
    T: Clone + Send + Sync + 'static,
{
    /// The same question under way with its age, or a new one that `begin` makes.
    pub fn board(
        &self,
        boarding: Boarding<K>,
        begin: impl FnOnce() -> BoxFuture<'static, T>,
    ) -> (Flight<T>, Option<Duration>) {
        let Boarding {
            key, now, writes, ..
        } = boarding;
        let mut begun = lock(&self.begun);
        let found = begun.get(&key).filter(|found| {
            let age = now.saturating_since(found.at);
            found.writes == writes && boarding.max_age.is_none_or(|most| age <= most)
        });
        let joined = found.and_then(|found| Some((found.flight.upgrade()?, found.at)));
        if let Some((flight, at)) = joined {
            self.joined.fetch_add(1, Ordering::Relaxed);
            return (flight, Some(now.saturating_since(at)));
        }
        let number = self.begins.fetch_add(1, Ordering::Relaxed);
        let landing = Landing {
            begun: Arc::clone(&self.begun),
            key: key.clone(),
            number,
        };
        let work = begin();
        let flight = async move {
            let _landing = landing;
            work.await
        };
        let flight = flight.boxed().shared();
        if let Some(weak) = flight.downgrade() {
            let entry = Entry {
                flight: weak,
                at: now,
                writes,
                number,
            };
            begun.insert(key, entry);
        }
        (flight, None)
    }

    /// How many have joined a flight instead of beginning one.
    pub fn joined(&self) -> u64 {
        self.joined.load(Ordering::Relaxed)
    }
}

impl<K, T> Default for Flights<K, T> {
    fn default() -> Self {
        Self {
            begun: Arc::default(),
            begins: AtomicU64::new(0),
            joined: AtomicU64::new(0),
        }
    }
}

impl<K, T> fmt::Debug for Flights<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flights").finish_non_exhaustive()
    }
}

/// Strikes a flight off the list when it ends, or is given up.
struct Landing<K: Eq + Hash, T> {
    begun: Begun<K, T>,
    key: K,
    number: u64,
}

impl<K: Eq + Hash, T> Drop for Landing<K, T> {
    fn drop(&mut self) {
        let mut begun = lock(&self.begun);
        if begun
            .get(&self.key)
            .is_some_and(|found| found.number == self.number)
        {
            begun.remove(&self.key);
        }
    }
}

fn lock<K, T>(begun: &Mutex<HashMap<K, Entry<T>>>) -> MutexGuard<'_, HashMap<K, Entry<T>>> {
    // Nothing panics while the lock is held.
    begun.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    fn at(ms: u64) -> Moment {
        Moment::default() + Duration::from_millis(ms)
    }

    fn boarding(key: &'static str, ms: u64, writes: u64) -> Boarding<&'static str> {
        Boarding {
            key,
            now: at(ms),
            writes,
            max_age: None,
        }
    }

    fn lasting() -> BoxFuture<'static, u32> {
        pending().boxed()
    }

    #[test]
    fn the_same_question_is_asked_once_and_its_age_is_told() {
        let flights = Flights::default();
        let (first, joined) = flights.board(boarding("a", 0, 0), || ready(7).boxed());
        assert_eq!(joined, None);
        let (second, joined) = flights.board(boarding("a", 40, 0), || unreachable!());
        assert_eq!(joined, Some(Duration::from_millis(40)));
        let (_, other) = flights.board(boarding("b", 40, 0), lasting);
        assert_eq!(other, None);
        assert_eq!(
            (first.now_or_never(), second.now_or_never()),
            (Some(7), Some(7))
        );
        assert_eq!(flights.joined(), 1);
    }

    #[test]
    fn what_a_write_may_have_changed_and_what_is_too_old_is_asked_anew() {
        let flights = Flights::default();
        let (_first, _) = flights.board(boarding("a", 0, 0), lasting);
        let (_second, joined) = flights.board(boarding("a", 10, 1), lasting);
        assert_eq!(joined, None, "a write has ended since");
        let (_, joined) = flights.board(boarding("a", 20, 1), lasting);
        assert_eq!(joined, Some(Duration::from_millis(10)));
        let hurried = Boarding {
            max_age: Some(Duration::from_millis(10)),
            ..boarding("a", 21, 1)
        };
        let (_third, joined) = flights.board(hurried, lasting);
        assert_eq!(joined, None);
    }

    #[test]
    fn a_flight_that_ends_late_strikes_off_no_other_than_itself() {
        let flights = Flights::default();
        let (first, _) = flights.board(boarding("a", 0, 0), lasting);
        let (second, _) = flights.board(boarding("a", 1, 1), || ready(2).boxed());
        assert_eq!(
            second.now_or_never(),
            Some(2),
            "it ends, and the list is empty"
        );
        let (_third, joined) = flights.board(boarding("a", 2, 1), lasting);
        assert_eq!(joined, None);
        drop(first);
        let (_, joined) = flights.board(boarding("a", 3, 1), lasting);
        assert_eq!(
            joined,
            Some(Duration::from_millis(1)),
            "the third still runs"
        );
    }

    #[test]
    fn a_flight_that_ends_or_that_nobody_waits_for_any_more_is_joined_by_nobody() {
        let flights = Flights::default();
        let (given_up, _) = flights.board(boarding("a", 0, 0), lasting);
        drop(given_up);
        let (ended, joined) = flights.board(boarding("a", 1, 0), || ready(1).boxed());
        assert_eq!(joined, None);
        assert_eq!(ended.now_or_never(), Some(1));
        let (_, joined) = flights.board(boarding("a", 2, 0), lasting);
        assert_eq!(joined, None);
        assert!(lock(&flights.begun).len() <= 1, "nothing is left behind");
    }
}
