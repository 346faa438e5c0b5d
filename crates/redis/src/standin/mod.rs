//! What stands in for Redis while it's down: the mirror of what Redis said last, what was written since, and what Redis
//! is owed before it's believed again.

mod debts;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use mainstay_breaker::Moment;

use crate::class::Class;
use crate::command::{Action, SetExpiry};
use crate::memory::{Held, Memory, Missing, Refusal, Terms};
use crate::reply::Reply;
use crate::rules::{self, Rule};
use crate::value::{Blob, Key};
use debts::Debts;
pub(crate) use debts::{Addition, MARKER_TTL, Sent, Step};

/// The stand-in. One lock over both parts, so that no key is written without being owed.
pub(crate) struct StandIn {
    inner: Mutex<Inner>,
    /// How many keys are owed: read without the lock by every command.
    touched: AtomicUsize,
}

struct Inner {
    memory: Memory,
    debts: Debts,
    most: usize,
}

/// How Redis has settled a debt.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Settled {
    /// Done; the key holds this string now, if it holds one that is ours.
    Done(Option<Blob>),
    /// It holds another value than the one last seen, which stands.
    Kept,
    /// It can't be done to what the key holds, or not by this user of Redis.
    Refused,
    /// Its answer was waited for so long that sending it again might carry it out twice.
    GivenUp,
}

impl StandIn {
    pub(crate) fn new(memory_bytes: usize, most: usize) -> Self {
        let inner = Mutex::new(Inner {
            memory: Memory::new(memory_bytes, Missing::Unknown),
            debts: Debts::default(),
            most,
        });
        Self {
            inner,
            touched: AtomicUsize::new(0),
        }
    }

    /// How many keys Redis still has to be told about.
    pub(crate) fn touched(&self) -> usize {
        self.touched.load(Ordering::Acquire)
    }

    pub(crate) fn is_touched(&self, key: &Key) -> bool {
        self.touched() > 0 && self.lock().debts.contains(key)
    }

    /// The keys touched longest ago: at least one, at most `count`, and so many as `bytes` hold.
    pub(crate) fn oldest_touched(&self, count: usize, bytes: usize) -> Vec<Key> {
        self.lock().debts.oldest(count, bytes)
    }

    /// What to send for these keys; those that owe nothing (any more) are left out.
    pub(crate) fn begin(&self, keys: &[Key], now: Moment) -> Vec<(Key, Sent)> {
        let mut inner = self.lock();
        let Inner { memory, debts, .. } = &mut *inner;
        let one = |key: &Key| {
            let value = || Some((memory.text(key, now)?.clone(), memory.end_of(key, now)));
            Some((key.clone(), debts.begin(key, now, value)?))
        };
        let batch = keys.iter().filter_map(one).collect();
        self.account(&mut inner);
        batch
    }

    /// What was sent for a key has been settled: Redis may be believed about it again, unless more is owed by now.
    pub(crate) fn finish(&self, key: &Key, sent: &Sent, settled: &Settled, terms: &Terms) {
        let mut inner = self.lock();
        inner.finish(key, sent, settled, terms);
        self.account(&mut inner);
    }

    /// Redis couldn't settle this one now: the others go first.
    pub(crate) fn put_last(&self, key: &Key) {
        self.lock().debts.put_last(key);
    }

    /// Answers in place of Redis. `may_have_landed`: the command was sent, and nobody knows whether it was carried out.
    ///
    /// # Errors
    /// When the class forbids it, the result depends on what only Redis knows, or a bound is reached; nothing has
    /// changed then.
    pub(crate) fn answer(
        &self,
        key: &Key,
        action: &Action,
        terms: &Terms,
        may_have_landed: bool,
    ) -> Result<Held, Refusal> {
        let mut inner = self.lock();
        let answer = inner.answer(key, action, terms, may_have_landed);
        self.account(&mut inner);
        answer
    }

    /// Learns from what Redis has just answered.
    ///
    /// Two writes of one key that overlap may be learnt in the other order than Redis carried them out; the next
    /// read of the key through Redis puts it right.
    pub(crate) fn learn(&self, key: &Key, action: &Action, reply: &Reply, terms: &Terms) {
        if !teaches(action) || matches!(terms.class, Class::Lock | Class::Queue) {
            return;
        }
        let mut inner = self.lock();
        // What was written since is newer than this answer.
        if inner.debts.contains(key) {
            return;
        }
        let memory = &mut inner.memory;
        match (action, reply) {
            (Action::Get, Reply::Hit { value }) => memory.mirror(key, value.clone(), None, terms),
            (Action::Set { value, expiry, .. }, Reply::Stored) => {
                memory.mirror(key, value.clone(), Some(*expiry), terms)
            }
            (Action::Incr { by }, Reply::Counter { value }) => {
                memory.mirror_sum(key, *value, *by, terms);
            }
            (Action::Expire(_) | Action::Ttl, Reply::Expires { ttl }) => {
                memory.mirror_expiry(key, *ttl, terms.now)
            }
            (_, Reply::NotStored | Reply::Persistent) => {}
            _ => memory.forget(key),
        }
    }

    /// Nobody knows what Redis holds under this key any more. What is owed for it stays owed.
    pub(crate) fn forget(&self, key: &Key, class: Class) {
        let mut inner = self.lock();
        if class == Class::Counter || !inner.debts.contains(key) {
            inner.memory.forget(key);
        }
    }

    fn account(&self, inner: &mut Inner) {
        inner.memory.set_beside(inner.debts.bytes());
        self.touched.store(inner.debts.len(), Ordering::Release);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn answer(
        &mut self,
        key: &Key,
        action: &Action,
        terms: &Terms,
        may_have_landed: bool,
    ) -> Result<Held, Refusal> {
        match (rules::rule(terms.class, action.operation()), action) {
            (Rule::Refuse, _) => Err(Refusal::Class(terms.class)),
            (Rule::Count, Action::Incr { by }) => self.count(key, *by, terms),
            (Rule::Sum, _) if !self.memory.knows(key, terms.now) => {
                let sum = self.debts.sum(key).map_or(Reply::Unknown, delta);
                Ok(Held::fresh(sum))
            }
            _ if !action.is_write() => self.memory.apply(key, action, terms),
            _ if terms.class == Class::Session => {
                self.write_session(key, action, terms, may_have_landed)
            }
            _ => {
                self.make_room(key, 0, terms.now)?;
                let held = self.memory.apply(key, action, terms)?;
                self.debts.forget(key);
                Ok(held)
            }
        }
    }

    /// Counts a difference, and its result where the counter is known.
    fn count(&mut self, key: &Key, by: i64, terms: &Terms) -> Result<Held, Refusal> {
        let before = self.debts.sum(key).unwrap_or(0);
        let sum = before.checked_add(by).ok_or(Refusal::Overflow)?;
        self.make_room(key, 0, terms.now)?;
        let ends = self.memory.end_of(key, terms.now);
        let held = if self.memory.knows(key, terms.now) {
            self.memory.apply(key, &Action::Incr { by }, terms)?
        } else {
            Held::fresh(delta(sum))
        };
        self.debts.add(key, by, ends, terms.now);
        Ok(held)
    }

    /// Writes a session, and remembers which values Redis may hold by our own doing.
    fn write_session(
        &mut self,
        key: &Key,
        action: &Action,
        terms: &Terms,
        may_have_landed: bool,
    ) -> Result<Held, Refusal> {
        let now = terms.now;
        let seen = self.memory.confirmed(key, now).cloned();
        let seen = seen.filter(|_| !self.debts.contains(key));
        let landed = match action {
            Action::Set { value, .. } if may_have_landed => Some(value.clone()),
            _ => None,
        };
        let room = match action {
            Action::Set { value, .. } => value.len(),
            // A counter's digits, unless it stays as it is.
            _ => self.memory.text(key, now).map_or(0, Blob::len).max(20),
        };
        let values = [&seen, &landed].into_iter().flatten().map(Blob::len);
        self.make_room(key, values.sum::<usize>() + room, now)?;
        let held = self.memory.apply(key, action, terms)?;
        if held.reply.is_change() {
            let room = self.memory.text(key, now).map_or(0, Blob::len);
            self.debts
                .restore(key, seen.into_iter().chain(landed), room);
        }
        Ok(held)
    }

    /// Room for what will be owed for a key, with values of so many bytes.
    fn make_room(&mut self, key: &Key, values: usize, now: Moment) -> Result<(), Refusal> {
        if !self.debts.contains(key) && self.debts.len() >= self.most {
            return Err(Refusal::TooManyKeys);
        }
        self.memory.touch(key, now);
        let growth = self.debts.growth(key, values);
        if !self.memory.has_room_beside(growth) {
            return Err(Refusal::Full);
        }
        self.memory.set_beside(self.debts.bytes() + growth);
        Ok(())
    }

    fn finish(&mut self, key: &Key, sent: &Sent, settled: &Settled, terms: &Terms) {
        let holds = match (settled, &sent.step) {
            (Settled::Done(_), Step::Write { value, .. }) => Some(value.clone()),
            _ => None,
        };
        if !self.debts.finish(key, holds) {
            return;
        }
        match (settled, &sent.step) {
            (Settled::Done(Some(value)), Step::Add(_)) => {
                self.memory
                    .mirror(key, value.clone(), Some(SetExpiry::Keep), terms);
            }
            (Settled::Done(_), Step::Write { .. }) => self.memory.confirm(key, terms),
            _ => self.memory.forget(key),
        }
    }
}

fn delta(delta: i64) -> Reply {
    Reply::Delta { delta, value: () }
}

/// Reads of lists, sets and hashes teach nothing: only strings are mirrored.
fn teaches(action: &Action) -> bool {
    action.is_write() || matches!(action, Action::Get | Action::Ttl)
}

#[cfg(test)]
mod tests;
