//! The store in memory: the embedded default, and what answers for Redis while it's down.
//!
//! Bounded by bytes: each key is charged its name, its value and what the containers keep for it, and with them what the
//! owner keeps beside the store ([`Memory::set_beside`]). When there is no room, the keys of class `cache` that were used
//! longest ago are dropped, then mere copies of what Redis holds; what was written here under another class never is.

mod data;
mod decide;
mod entry;
mod score;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use mainstay_breaker::Moment;

pub(crate) use data::Refusal;
use decide::decide;
use entry::{Entry, Lifetime, Worth};

use crate::class::Class;
use crate::command::{Action, SetExpiry};
use crate::reply::Reply;
use crate::value::{Blob, Key};

/// What it means that the store doesn't have a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// It's the only store: there is no such key.
    Absent,
    /// It stands in for Redis, which may have it.
    Unknown,
}

/// What an operation needs to know beside itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub(crate) now: Moment,
    /// How long to keep what has no known end of its own.
    pub(crate) ttl: Duration,
    /// The key's class: only a cache may be dropped to make room.
    pub(crate) class: Class,
}

impl Terms {
    /// What a key that is written here is worth.
    fn worth(&self) -> Worth {
        if self.class == Class::Cache {
            Worth::Cache
        } else {
            Worth::All
        }
    }
}

/// An answer and how long ago Redis confirmed what it's made from; `None` when nothing of it is from Redis.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Held {
    pub(crate) reply: Reply,
    pub(crate) age: Option<Duration>,
}

impl Held {
    pub(crate) fn fresh(reply: Reply) -> Self {
        Self { reply, age: None }
    }
}

#[derive(Debug)]
pub(crate) struct Memory {
    entries: HashMap<Key, Entry>,
    /// Keys that may be dropped, by what they are worth and when they were last used.
    used: BTreeMap<(Worth, u64), Key>,
    ends: BTreeSet<(Moment, Key)>,
    tick: u64,
    bytes: usize,
    /// Bytes that the owner keeps beside the store, under the same bound.
    beside: usize,
    limit: usize,
    missing: Missing,
}

/// Expired keys that one operation clears away at most.
const SWEEP: usize = 32;

impl Memory {
    pub(crate) fn new(limit: usize, missing: Missing) -> Self {
        let (entries, used, ends) = Default::default();
        Self {
            entries,
            used,
            ends,
            tick: 0,
            bytes: 0,
            beside: 0,
            limit,
            missing,
        }
    }

    /// What is held, in bytes, what is beside the store included; never more than the limit.
    #[cfg(test)]
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.beside
    }

    /// The account of what is held, made anew from the values.
    #[cfg(test)]
    pub(crate) fn recount(&self) -> usize {
        self.entries.values().map(Entry::recount).sum()
    }

    /// Whether there is room for `more` bytes beside the store, after dropping what may be dropped.
    pub(crate) fn has_room_beside(&mut self, more: usize) -> bool {
        self.evict_until(more)
    }

    /// How many bytes are beside the store now: no more than there is room for.
    pub(crate) fn set_beside(&mut self, bytes: usize) {
        self.beside = bytes;
    }

    /// The key is about to be used: others are dropped before it.
    pub(crate) fn touch(&mut self, key: &Key, now: Moment) {
        if let Some(entry) = self.take(key, now) {
            self.put(key, entry);
        }
    }

    /// Whether all is known of a key.
    pub(crate) fn knows(&self, key: &Key, now: Moment) -> bool {
        self.alive(key, now).is_some_and(|entry| entry.complete)
    }

    /// The string it holds.
    pub(crate) fn text(&self, key: &Key, now: Moment) -> Option<&Blob> {
        self.alive(key, now)?.data.as_ref()?.as_text()
    }

    /// The string that Redis has confirmed, if it's still that.
    pub(crate) fn confirmed(&self, key: &Key, now: Moment) -> Option<&Blob> {
        let entry = self
            .alive(key, now)
            .filter(|entry| entry.known_at.is_some())?;
        entry.data.as_ref()?.as_text()
    }

    /// When the key ends, where that is known.
    pub(crate) fn end_of(&self, key: &Key, now: Moment) -> Option<Moment> {
        match self.alive(key, now)?.lifetime {
            Lifetime::Until(end) => Some(end),
            Lifetime::Forever | Lifetime::Unsure(_) => None,
        }
    }

    fn alive(&self, key: &Key, now: Moment) -> Option<&Entry> {
        let entry = self.entries.get(key)?;
        entry
            .lifetime
            .end()
            .is_none_or(|end| end > now)
            .then_some(entry)
    }

    /// Carries out an operation.
    pub(crate) fn apply(
        &mut self,
        key: &Key,
        action: &Action,
        terms: &Terms,
    ) -> Result<Held, Refusal> {
        self.sweep(terms.now);
        let mut entry = self.take(key, terms.now);
        let freed = match action {
            Action::Set { .. } => entry.as_ref().map_or(0, Entry::cost),
            _ => 0,
        };
        let before = entry.as_ref().map_or(0, Entry::cost);
        let result = if action.is_write() && !self.make_room(key, action, before - freed) {
            Err(Refusal::Full)
        } else {
            decide(self.missing, &mut entry, key, action, terms)
        };
        if let Some(mut entry) = entry {
            let changed = result.as_ref().is_ok_and(|held| held.reply.is_change());
            if action.is_write() && changed {
                entry.worth = terms.worth();
            }
            self.put(key, entry);
        }
        // Even the knowledge that a key is gone takes room.
        self.evict_until(0);
        result
    }

    /// Keeps what Redis has just confirmed: a string and, where known, how long it lives.
    pub(crate) fn mirror(
        &mut self,
        key: &Key,
        value: Blob,
        expiry: Option<SetExpiry>,
        terms: &Terms,
    ) {
        self.sweep(terms.now);
        let old = self.take(key, terms.now);
        let lifetime = match expiry {
            Some(SetExpiry::After(ttl)) => Lifetime::Until(terms.now + ttl),
            // Bounded all the same: others change Redis too, and nobody tells us.
            Some(SetExpiry::Never) => Lifetime::Unsure(terms.now + terms.ttl),
            Some(SetExpiry::Keep) | None => {
                match old.filter(|old| old.holds(&value)).map(|old| old.lifetime) {
                    Some(Lifetime::Until(end)) => Lifetime::Until(end),
                    _ => Lifetime::Unsure(terms.now + terms.ttl),
                }
            }
        };
        self.keep(key, value, lifetime, terms);
    }

    /// Keeps a counter's value after Redis has added `by` to it. Its time to live stays as it was, if nobody else has
    /// changed the counter meanwhile.
    pub(crate) fn mirror_sum(&mut self, key: &Key, sum: i64, by: i64, terms: &Terms) {
        let before = sum
            .checked_sub(by)
            .map(|before| Blob::from(before.to_string()));
        let same = before.is_some_and(|before| self.text(key, terms.now) == Some(&before));
        let lifetime = match self.end_of(key, terms.now).filter(|_| same) {
            Some(end) => Lifetime::Until(end),
            None => Lifetime::Unsure(terms.now + terms.ttl),
        };
        self.forget(key);
        self.keep(key, sum.to_string().into(), lifetime, terms);
    }

    fn keep(&mut self, key: &Key, value: Blob, lifetime: Lifetime, terms: &Terms) {
        let mut entry = Entry::text(key, value, lifetime, terms.worth().min(Worth::Copy));
        entry.known_at = Some(terms.now);
        if self.evict_until(entry.cost()) {
            self.put(key, entry);
        }
    }

    /// Redis has given a mirrored key a time to live.
    pub(crate) fn mirror_expiry(&mut self, key: &Key, ttl: Duration, now: Moment) {
        if let Some(mut entry) = self.take(key, now) {
            entry.lifetime = Lifetime::Until(now + ttl);
            self.put(key, entry);
        }
    }

    /// Redis holds what was written here.
    pub(crate) fn confirm(&mut self, key: &Key, terms: &Terms) {
        if let Some(mut entry) = self.take(key, terms.now) {
            (entry.known_at, entry.worth) = (Some(terms.now), terms.worth().min(Worth::Copy));
            if entry.lifetime == Lifetime::Forever {
                entry.lifetime = Lifetime::Unsure(terms.now + terms.ttl);
            }
            self.put(key, entry);
        }
    }

    /// Drops what is known of a key.
    pub(crate) fn forget(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.unlink(key, &entry);
        }
    }

    /// Takes a key's entry out of every index; what has expired is gone.
    fn take(&mut self, key: &Key, now: Moment) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.unlink(key, &entry);
        if entry.lifetime.end().is_none_or(|end| end > now) {
            return Some(entry);
        }
        self.tombstone(key, &entry)
    }

    /// What an expired entry leaves behind: certainty, if it was written here and Redis can't have it.
    fn tombstone(&self, key: &Key, expired: &Entry) -> Option<Entry> {
        let certain = matches!(expired.lifetime, Lifetime::Until(_)) && expired.known_at.is_none();
        (certain && self.missing == Missing::Unknown).then(|| Entry::gone(key, expired.worth))
    }

    fn put(&mut self, key: &Key, mut entry: Entry) {
        self.tick += 1;
        entry.tick = self.tick;
        self.bytes += entry.cost();
        if entry.worth < Worth::All {
            self.used.insert((entry.worth, entry.tick), key.clone());
        }
        if let Some(end) = entry.lifetime.end() {
            self.ends.insert((end, key.clone()));
        }
        self.entries.insert(key.clone(), entry);
    }

    fn unlink(&mut self, key: &Key, entry: &Entry) {
        self.bytes -= entry.cost();
        self.used.remove(&(entry.worth, entry.tick));
        if let Some(end) = entry.lifetime.end() {
            self.ends.remove(&(end, key.clone()));
        }
    }

    fn sweep(&mut self, now: Moment) {
        for _ in 0..SWEEP {
            let Some((end, key)) = self.ends.first() else {
                return;
            };
            if *end > now {
                return;
            }
            let key = key.clone();
            if let Some(gone) = self.take(&key, now) {
                self.put(&key, gone);
            }
        }
    }

    /// Whether the action's result will fit, after dropping what may be dropped.
    fn make_room(&mut self, key: &Key, action: &Action, kept: usize) -> bool {
        let growth = data::growth(action);
        growth == 0 || self.evict_until(kept + growth + entry::base_cost(key))
    }

    fn evict_until(&mut self, needed: usize) -> bool {
        if needed > self.limit {
            return false;
        }
        while self.bytes + self.beside + needed > self.limit {
            let Some((_, key)) = self.used.pop_first() else {
                return false;
            };
            self.forget(&key);
        }
        true
    }
}

#[cfg(test)]
mod tests;
