//! What stands in for Redis while it's down: the mirror of what Redis said last, what was written since, and which keys
//! Redis has to forget before it's believed again.

use std::collections::HashSet;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_runtime::{Error, ErrorKind};

use crate::classify::{DEPENDENCY, refusal};
use crate::command::{Action, SetExpiry};
use crate::memory::{Held, Memory, Missing, Terms};
use crate::reply::Reply;
use crate::value::Key;

/// The stand-in. One lock over both parts, so that no key is written without being remembered.
pub(crate) struct StandIn {
    inner: Mutex<Inner>,
    /// How many keys are touched: read without the lock by every command.
    touched: AtomicUsize,
    most_touched: usize,
}

struct Inner {
    memory: Memory,
    touched: HashSet<Key>,
}

impl StandIn {
    pub(crate) fn new(memory_bytes: usize, most_touched: usize) -> Self {
        let memory = Memory::new(memory_bytes, Missing::Unknown);
        let inner = Mutex::new(Inner {
            memory,
            touched: HashSet::new(),
        });
        Self {
            inner,
            touched: AtomicUsize::new(0),
            most_touched,
        }
    }

    /// How many keys Redis still has to forget.
    pub(crate) fn touched(&self) -> usize {
        self.touched.load(Ordering::Acquire)
    }

    pub(crate) fn is_touched(&self, key: &Key) -> bool {
        self.touched() > 0 && self.lock().touched.contains(key)
    }

    /// Some touched keys, at most `count`.
    pub(crate) fn some_touched(&self, count: usize) -> Vec<Key> {
        self.lock().touched.iter().take(count).cloned().collect()
    }

    /// Redis no longer has these keys: it may be believed about them again.
    pub(crate) fn reconciled(&self, keys: &[Key]) {
        let mut inner = self.lock();
        for key in keys {
            inner.touched.remove(key);
            inner.memory.forget(key);
        }
        self.touched.store(inner.touched.len(), Ordering::Release);
    }

    /// Answers in place of Redis.
    ///
    /// # Errors
    /// When the result depends on what only Redis knows, or a bound is reached; nothing has changed then.
    pub(crate) fn answer(&self, key: &Key, action: &Action, terms: &Terms) -> Result<Held, Error> {
        let mut inner = self.lock();
        if !action.is_write() {
            return inner.memory.apply(key, action, terms).map_err(refusal);
        }
        if !inner.touched.contains(key) && inner.touched.len() >= self.most_touched {
            let detail =
                "Redis is down and as many keys as redis.touched_keys allows were written since";
            return Err(Error::new(ErrorKind::Unavailable, detail).dependency(DEPENDENCY));
        }
        let held = inner.memory.apply(key, action, terms).map_err(refusal)?;
        inner.touched.insert(key.clone());
        self.touched.store(inner.touched.len(), Ordering::Release);
        Ok(held)
    }

    /// Learns from what Redis has just answered.
    ///
    /// Two writes of one key that overlap may be learnt in the other order than Redis carried them out; the next
    /// read of the key through Redis puts it right.
    pub(crate) fn learn(&self, key: &Key, action: &Action, reply: &Reply, terms: &Terms) {
        if !teaches(action) {
            return;
        }
        let mut inner = self.lock();
        // What was written since is newer than this answer.
        if inner.touched.contains(key) {
            return;
        }
        let memory = &mut inner.memory;
        match (action, reply) {
            (Action::Get, Reply::Hit { value }) => memory.mirror(key, value.clone(), None, terms),
            (Action::Set { value, expiry, .. }, Reply::Stored) => {
                memory.mirror(key, value.clone(), Some(*expiry), terms)
            }
            (Action::Incr { .. }, Reply::Counter { value }) => {
                memory.mirror(key, value.to_string().into(), Some(SetExpiry::Keep), terms);
            }
            (Action::Expire(_) | Action::Ttl, Reply::Expires { ttl }) => {
                memory.mirror_expiry(key, *ttl, terms.now)
            }
            (_, Reply::NotStored | Reply::Persistent) => {}
            _ => memory.forget(key),
        }
    }

    /// Nobody knows what Redis holds under this key any more.
    pub(crate) fn forget(&self, key: &Key) {
        let mut inner = self.lock();
        if !inner.touched.contains(key) {
            inner.memory.forget(key);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads of lists, sets and hashes teach nothing: only strings are mirrored.
fn teaches(action: &Action) -> bool {
    action.is_write() || matches!(action, Action::Get | Action::Ttl)
}
