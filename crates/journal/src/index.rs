//! What the journal holds, in memory: everything but bodies. Reads and claims never touch the disk.
//!
//! The writer thread applies a change here after its commit and before its acknowledgement, so a caller always reads
//! its own writes.

use std::collections::btree_map::Entry::{Occupied, Vacant};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::entry::{Entry, EntryId, Filter, State, Stats};
use crate::ids::Ids;
use crate::record::{Label, Place, Record, StoredBody};

/// Which of the keys' oldest entries is claimed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// The oldest of those whose time has come.
    OldestFirst,
    /// One whose pause is over and one that made none, in turn.
    InTurn,
}

#[derive(Debug, Default)]
struct Queue {
    /// The entries of each key.
    keys: BTreeMap<Arc<str>, Ids>,
    /// The oldest entry of each key, where it can be claimed now.
    ready: BTreeSet<EntryId>,
    /// The same where it can be claimed later, by time.
    deferred: BTreeSet<(i64, EntryId)>,
    /// The last one claimed, where there was a choice, had made a pause.
    had_paused: bool,
    /// Entries that aren't set aside.
    waiting: u64,
    /// Keys of entries that may be on disk or not: the next start finds out.
    unresolved: HashSet<Arc<str>>,
}

impl Queue {
    fn oldest(&mut self, now_ms: i64) -> Option<EntryId> {
        while let Some(&(due, id)) = self.deferred.first()
            && due <= now_ms
        {
            self.deferred.pop_first();
            self.ready.insert(id);
        }
        self.ready.first().copied()
    }

    fn next_in_turn(&mut self, now_ms: i64) -> Option<EntryId> {
        let due = self.deferred.first().filter(|(time, _)| *time <= now_ms);
        match (due, self.ready.first()) {
            (Some((_, paused)), Some(fresh)) => {
                self.had_paused = !self.had_paused;
                Some(if self.had_paused { *paused } else { *fresh })
            }
            (due, ready) => due.map(|(_, id)| id).or(ready).copied(),
        }
    }

    /// Takes an entry out of its key's; gives the oldest that is left.
    fn take_out(&mut self, key: &Arc<str>, id: EntryId) -> Option<EntryId> {
        let Occupied(mut ids) = self.keys.entry(key.clone()) else {
            return None;
        };
        match ids.get_mut().take_out(id) {
            true => Some(ids.get().oldest()),
            false => {
                ids.remove();
                None
            }
        }
    }
}

/// All entries, by id and by key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Boxed, since a tree that only grows at its end leaves nearly half of each node empty.
    records: BTreeMap<EntryId, Box<Record>>,
    /// One of each, since there are few.
    labels: HashSet<Arc<Label>>,
    queues: HashMap<Arc<str>, Queue>,
    bytes: u64,
    /// In flight, or reserved by an operator's change.
    held: HashSet<EntryId>,
    set_aside: u64,
}

impl Index {
    /// Adds an entry; ids only grow.
    pub(crate) fn insert(&mut self, id: EntryId, mut record: Record) {
        match self.labels.get(&record.label) {
            Some(label) => record.label = label.clone(),
            None => drop(self.labels.insert(record.label.clone())),
        }
        self.bytes += record.bytes();
        self.set_aside += u64::from(record.set_aside);
        let queue = self.queues.entry(record.label.queue.clone()).or_default();
        match queue.keys.entry(record.key.clone()) {
            Occupied(mut ids) => ids.get_mut().push(id),
            Vacant(place) => drop(place.insert(Ids::One(id))),
        }
        queue.waiting += u64::from(!record.set_aside);
        self.records.insert(id, Box::new(record));
        self.schedule(id);
    }

    /// Removes an entry and gives back its body's place; the next of its key becomes claimable.
    pub(crate) fn remove(&mut self, id: EntryId) -> Option<Place> {
        self.unschedule(id);
        let record = self.records.remove(&id)?;
        self.held.remove(&id);
        self.bytes -= record.bytes();
        self.set_aside -= u64::from(record.set_aside);
        let mut next = None;
        if let Some(queue) = self.queues.get_mut(&record.label.queue) {
            queue.waiting -= u64::from(!record.set_aside);
            next = queue.take_out(&record.key, id);
        }
        if let Some(next) = next {
            self.schedule(next);
        }
        record.body.map(|body| body.place)
    }

    /// Changes an entry's record and when it may be claimed next.
    pub(crate) fn change(
        &mut self,
        id: EntryId,
        not_before_ms: Option<i64>,
        change: impl FnOnce(&mut Record),
    ) {
        self.unschedule(id);
        if let Some(record) = self.records.get_mut(&id) {
            let before = record.set_aside;
            change(record);
            let after = record.set_aside;
            record.wait_until(not_before_ms);
            self.set_aside = self.set_aside + u64::from(after) - u64::from(before);
            if let Some(queue) = self.queues.get_mut(&record.label.queue) {
                queue.waiting = queue.waiting + u64::from(before) - u64::from(after);
            }
        }
        self.schedule(id);
    }

    /// Ends the pause of the oldest entry of a key, if it makes one.
    pub(crate) fn end_pause(&mut self, queue: &str, key: &str) {
        if let Some(id) = self.oldest(queue, key)
            && self.state_of(id) == Some(State::Queued)
        {
            self.change(id, None, |_| ());
        }
    }

    /// Replaces an entry's metadata; nothing happens when the entry is gone.
    pub(crate) fn describe(&mut self, id: EntryId, meta: Box<str>) {
        if let Some(record) = self.records.get_mut(&id) {
            self.bytes -= record.bytes();
            record.meta = meta;
            self.bytes += record.bytes();
        }
    }

    /// Takes up to `limit` entries of a queue.
    pub(crate) fn claim(
        &mut self,
        queue: &str,
        limit: usize,
        now_ms: i64,
        order: Order,
    ) -> Vec<Entry> {
        let claimed = |_| {
            let queue = self.queues.get_mut(queue)?;
            let id = match order {
                Order::OldestFirst => queue.oldest(now_ms)?,
                Order::InTurn => queue.next_in_turn(now_ms)?,
            };
            self.hold(id)
        };
        (0..limit).map_while(claimed).collect()
    }

    /// Takes one entry for a change if `allowed` says so of its state; that state is the error otherwise.
    pub(crate) fn reserve(
        &mut self,
        id: EntryId,
        allowed: fn(State) -> bool,
    ) -> Result<(), Option<State>> {
        let record = self.records.get(&id).ok_or(None)?;
        let state = self.state(id, record);
        if !allowed(state) {
            return Err(Some(state));
        }
        self.hold(id);
        Ok(())
    }

    fn hold(&mut self, id: EntryId) -> Option<Entry> {
        self.unschedule(id);
        let record = self.records.get(&id)?;
        self.held.insert(id);
        Some(record.entry(id, State::InFlight))
    }

    /// Ends a claim or reservation; nothing happens when the entry is gone.
    pub(crate) fn release(&mut self, id: EntryId) {
        if self.held.remove(&id) {
            self.schedule(id);
        }
    }

    fn state(&self, id: EntryId, record: &Record) -> State {
        match (self.held.contains(&id), record.set_aside) {
            (true, _) => State::InFlight,
            (false, true) => State::SetAside,
            (false, false) => State::Queued,
        }
    }

    /// Makes an entry claimable, if it is the oldest of its key and waits.
    fn schedule(&mut self, id: EntryId) {
        let Some(record) = self.records.get(&id) else {
            return;
        };
        let is_queued = self.state(id, record) == State::Queued;
        let Some(queue) = self.queues.get_mut(&record.label.queue) else {
            return;
        };
        let oldest = queue.keys.get(&record.key).map(Ids::oldest);
        if !is_queued || oldest != Some(id) {
            return;
        }
        match record.not_before_ms() {
            None => queue.ready.insert(id),
            Some(time) => queue.deferred.insert((time, id)),
        };
    }

    fn unschedule(&mut self, id: EntryId) {
        let Some(record) = self.records.get(&id) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&record.label.queue) {
            queue.ready.remove(&id);
            if let Some(time) = record.not_before_ms() {
                queue.deferred.remove(&(time, id));
            }
        }
    }

    /// Notes that an entry of the key may be on disk or not.
    pub(crate) fn leave_unresolved(&mut self, queue: &Arc<str>, key: &Arc<str>) {
        let queue = self.queues.entry(queue.clone()).or_default();
        queue.unresolved.insert(key.clone());
    }

    pub(crate) fn is_unresolved(&self, queue: &str, key: &str) -> bool {
        let queue = self.queues.get(queue);
        queue.is_some_and(|queue| queue.unresolved.contains(key))
    }

    /// Whether an entry of the queue isn't set aside, or may be on disk.
    pub(crate) fn is_waiting(&self, queue: &str) -> bool {
        let queue = self.queues.get(queue);
        queue.is_some_and(|queue| queue.waiting > 0 || !queue.unresolved.is_empty())
    }

    pub(crate) fn newest(&self) -> Option<EntryId> {
        self.records.last_key_value().map(|(id, _)| *id)
    }

    pub(crate) fn get(&self, id: EntryId) -> Option<Entry> {
        let record = self.records.get(&id)?;
        Some(record.entry(id, self.state(id, record)))
    }

    pub(crate) fn state_of(&self, id: EntryId) -> Option<State> {
        let record = self.records.get(&id)?;
        Some(self.state(id, record))
    }

    pub(crate) fn body(&self, id: EntryId) -> Option<Option<StoredBody>> {
        self.records.get(&id).map(|record| record.body)
    }

    fn ids(&self, queue: &str, key: &str) -> Option<&Ids> {
        self.queues.get(queue)?.keys.get(key)
    }

    pub(crate) fn oldest(&self, queue: &str, key: &str) -> Option<EntryId> {
        Some(self.ids(queue, key)?.oldest())
    }

    pub(crate) fn latest(&self, queue: &str, key: &str) -> Option<Entry> {
        self.get(self.ids(queue, key)?.newest())
    }

    /// The next entry of the same key.
    pub(crate) fn next_of_key(&self, id: EntryId) -> Option<Entry> {
        let record = self.records.get(&id)?;
        let next = self
            .ids(&record.label.queue, &record.key)?
            .after(id)
            .next()?;
        self.get(next)
    }

    /// The first later entry of the same key that is not of this kind.
    pub(crate) fn next_but(&self, id: EntryId, kind: &str) -> Option<EntryId> {
        let record = self.records.get(&id)?;
        let mut later = self.ids(&record.label.queue, &record.key)?.after(id);
        later.find(|id| {
            let record = self.records.get(id);
            record.is_some_and(|record| &*record.label.kind != kind)
        })
    }

    pub(crate) fn last_before(&self, queue: &str, key: &str, before: EntryId) -> Option<Entry> {
        self.get(self.ids(queue, key)?.last_before(before)?)
    }

    pub(crate) fn of_key(&self, queue: &str, key: &str) -> Vec<Entry> {
        let ids = self.ids(queue, key).into_iter().flat_map(Ids::iter);
        ids.filter_map(|id| self.get(id)).collect()
    }

    /// The latest entry of each key, by key.
    pub(crate) fn list(
        &self,
        queue: &str,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Vec<Entry> {
        let Some(queue) = self.queues.get(queue) else {
            return Vec::new();
        };
        let start = match after {
            Some(after) if after >= prefix => Excluded(after),
            _ => Included(prefix),
        };
        queue
            .keys
            .range::<str, _>((start, Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .filter_map(|(_, ids)| self.get(ids.newest()))
            .take(limit)
            .collect()
    }

    /// Up to `limit` matching entries among the next `scan` after `after`, and where to go on if there are more.
    pub(crate) fn page(
        &self,
        filter: &Filter,
        after: Option<EntryId>,
        limit: usize,
        scan: usize,
    ) -> (Vec<Entry>, Option<EntryId>) {
        let start = after.map_or(Unbounded, Excluded);
        let (mut found, mut seen, mut last) = (Vec::new(), 0, None);
        for (id, record) in self.records.range((start, Unbounded)) {
            if seen == scan || found.len() == limit {
                return (found, last);
            }
            (seen, last) = (seen + 1, Some(*id));
            let queue = filter
                .queue
                .as_deref()
                .is_none_or(|queue| queue == &*record.label.queue);
            let state = self.state(*id, record);
            if queue && filter.state.is_none_or(|wanted| wanted == state) {
                found.push(record.entry(*id, state));
            }
        }
        (found, None)
    }

    /// Counts; `commits` and `faulted` are the caller's to fill in.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries: self.records.len() as u64,
            bytes: self.bytes,
            oldest_accepted_at_ms: self
                .records
                .first_key_value()
                .map(|(_, record)| record.accepted_at_ms),
            in_flight: self.held.len() as u64,
            set_aside: self.set_aside,
            commits: 0,
            faulted: false,
        }
    }
}
