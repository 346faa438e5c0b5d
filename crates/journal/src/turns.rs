//! Entries of one key are written in the order in which they were asked for.
//!
//! A large body is brought to disk before its entry is written, and goes on to be when its caller has left: a small one
//! that came later must not overtake it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::shared::lock;

/// Who is on the way into the journal, by queue and key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    state: Mutex<State>,
    /// Somebody has gone.
    moved: Notify,
}

#[derive(Debug, Default)]
struct State {
    next: u64,
    by_key: HashMap<(String, String), BTreeSet<u64>>,
}

/// A place in the order of a key, until it is dropped.
#[derive(Debug)]
pub(crate) struct Turn {
    line: Arc<Line>,
    key: (String, String),
    number: u64,
}

impl Turns {
    /// A place behind all that are there now.
    pub(crate) fn take(&self, queue: &str, key: &str) -> Turn {
        let key = (queue.to_owned(), key.to_owned());
        let mut state = self.0.state();
        let number = state.next;
        state.next += 1;
        let numbers = state.by_key.entry(key.clone()).or_default();
        numbers.insert(number);
        Turn {
            line: Arc::clone(&self.0),
            key,
            number,
        }
    }
}

impl Turn {
    /// Waits until nobody is before it.
    pub(crate) async fn comes(&self) {
        loop {
            let moved = self.line.moved.notified();
            tokio::pin!(moved);
            // Before looking: what moves in between is noticed.
            moved.as_mut().enable();
            if self.is_first() {
                return;
            }
            moved.await;
        }
    }

    fn is_first(&self) -> bool {
        let state = self.line.state();
        let numbers = state.by_key.get(&self.key);
        numbers.and_then(BTreeSet::first) == Some(&self.number)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.line.state();
        if let Some(numbers) = state.by_key.get_mut(&self.key) {
            numbers.remove(&self.number);
            if numbers.is_empty() {
                state.by_key.remove(&self.key);
                return;
            }
        }
        drop(state);
        self.line.moved.notify_waiters();
    }
}

impl Line {
    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}
