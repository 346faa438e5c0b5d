//! What the journal holds, in memory: everything but bodies. Reads and claims never touch the disk.
//!
//! The writer thread applies a change here after its commit and before its acknowledgement, so a caller always reads
//! its own writes. Metadata stays JSON text: a parsed tree would be several times as large.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::ops::Bound::{Excluded, Included, Unbounded};
use std::sync::Arc;

use crate::entry::{BodyInfo, Entry, EntryId, Filter, State, Stats};

/// Where a body lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Row,
    File(u64),
}

/// A body as its row describes it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StoredBody {
    pub(crate) info: BodyInfo,
    pub(crate) place: Place,
}

/// An entry as its row describes it.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) queue: Arc<str>,
    pub(crate) key: Arc<str>,
    pub(crate) kind: Arc<str>,
    pub(crate) meta: Box<str>,
    pub(crate) body: Option<StoredBody>,
    pub(crate) accepted_at_ms: i64,
    pub(crate) attempts: u32,
    pub(crate) last_error: Option<Box<str>>,
    pub(crate) set_aside: bool,
}

impl Record {
    /// What the entry counts against `max_bytes`.
    pub(crate) fn bytes(&self) -> u64 {
        self.body.map_or(0, |body| body.info.len) + self.row_bytes()
    }

    /// The same without its body.
    pub(crate) fn row_bytes(&self) -> u64 {
        (self.key.len() + self.kind.len() + self.meta.len()) as u64
    }
}

#[derive(Debug)]
struct Slot {
    record: Record,
    /// In flight, or reserved by an operator's change.
    held: bool,
    not_before_ms: Option<i64>,
}

impl Slot {
    fn state(&self) -> State {
        match (self.held, self.record.set_aside) {
            (true, _) => State::InFlight,
            (false, true) => State::SetAside,
            (false, false) => State::Queued,
        }
    }

    fn entry(&self, id: EntryId) -> Entry {
        let record = &self.record;
        Entry {
            id,
            queue: record.queue.to_string(),
            key: record.key.to_string(),
            kind: record.kind.to_string(),
            // Nesting past the parser's limit can be written but not parsed: then the text itself is given.
            meta: serde_json::from_str(&record.meta)
                .unwrap_or_else(|_| record.meta.to_string().into()),
            body: record.body.map(|body| body.info),
            accepted_at_ms: record.accepted_at_ms,
            attempts: record.attempts,
            last_error: record.last_error.as_deref().map(str::to_owned),
            not_before_ms: self.not_before_ms,
            state: self.state(),
        }
    }
}

#[derive(Debug, Default)]
struct Queue {
    /// The entries of each key, oldest first.
    keys: BTreeMap<Arc<str>, VecDeque<EntryId>>,
    /// The oldest entry of each key, where it can be claimed now.
    ready: BTreeSet<EntryId>,
    /// The same where it can be claimed later, by time.
    deferred: BTreeSet<(i64, EntryId)>,
    /// Entries that aren't set aside.
    waiting: u64,
    /// Keys of entries that may be on disk or not: the next start finds out.
    unresolved: HashSet<Arc<str>>,
}

/// All entries, by id and by key.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// Boxed, since a tree that only grows at its end leaves nearly half of each node empty.
    slots: BTreeMap<EntryId, Box<Slot>>,
    /// One of each, since there are few.
    kinds: HashSet<Arc<str>>,
    queues: HashMap<Arc<str>, Queue>,
    bytes: u64,
    held: u64,
    set_aside: u64,
}

impl Index {
    /// Adds an entry; ids only grow.
    pub(crate) fn insert(&mut self, id: EntryId, mut record: Record) {
        if let Some((queue, _)) = self.queues.get_key_value(&record.queue) {
            record.queue = queue.clone();
        }
        match self.kinds.get(&record.kind) {
            Some(kind) => record.kind = kind.clone(),
            None => drop(self.kinds.insert(record.kind.clone())),
        }
        self.bytes += record.bytes();
        self.set_aside += u64::from(record.set_aside);
        let queue = self.queues.entry(record.queue.clone()).or_default();
        queue
            .keys
            .entry(record.key.clone())
            // Most keys have one entry.
            .or_insert_with(|| VecDeque::with_capacity(1))
            .push_back(id);
        queue.waiting += u64::from(!record.set_aside);
        let slot = Slot {
            record,
            held: false,
            not_before_ms: None,
        };
        self.slots.insert(id, Box::new(slot));
        self.schedule(id);
    }

    /// Removes an entry and gives back its body's place; the next of its key becomes claimable.
    pub(crate) fn remove(&mut self, id: EntryId) -> Option<Place> {
        self.unschedule(id);
        let slot = self.slots.remove(&id)?;
        self.bytes -= slot.record.bytes();
        self.held -= u64::from(slot.held);
        self.set_aside -= u64::from(slot.record.set_aside);
        let (mut next, queue) = (None, self.queues.get_mut(&slot.record.queue));
        if let Some(queue) = queue
            && let Some(ids) = queue.keys.get_mut(&slot.record.key)
        {
            queue.waiting -= u64::from(!slot.record.set_aside);
            // Nearly always the oldest, and a much rewritten key has many.
            match ids.front() == Some(&id) {
                true => drop(ids.pop_front()),
                false => ids.retain(|other| *other != id),
            }
            next = ids.front().copied();
            if ids.is_empty() {
                queue.keys.remove(&slot.record.key);
            }
        }
        if let Some(next) = next {
            self.schedule(next);
        }
        slot.record.body.map(|body| body.place)
    }

    /// Changes an entry's record and when it may be claimed next.
    pub(crate) fn change(
        &mut self,
        id: EntryId,
        not_before_ms: Option<i64>,
        change: impl FnOnce(&mut Record),
    ) {
        self.unschedule(id);
        if let Some(slot) = self.slots.get_mut(&id) {
            let before = slot.record.set_aside;
            change(&mut slot.record);
            let after = slot.record.set_aside;
            slot.not_before_ms = not_before_ms;
            self.set_aside = self.set_aside + u64::from(after) - u64::from(before);
            if let Some(queue) = self.queues.get_mut(&slot.record.queue) {
                queue.waiting = queue.waiting + u64::from(before) - u64::from(after);
            }
        }
        self.schedule(id);
    }

    /// Replaces an entry's metadata; nothing happens when the entry is gone.
    pub(crate) fn describe(&mut self, id: EntryId, meta: Box<str>) {
        if let Some(slot) = self.slots.get_mut(&id) {
            self.bytes -= slot.record.bytes();
            slot.record.meta = meta;
            self.bytes += slot.record.bytes();
        }
    }

    /// Takes up to `limit` entries of a queue, oldest first.
    pub(crate) fn claim(&mut self, queue: &str, limit: usize, now_ms: i64) -> Vec<Entry> {
        let Some(queue) = self.queues.get_mut(queue) else {
            return Vec::new();
        };
        while let Some(&(due, id)) = queue.deferred.first()
            && due <= now_ms
        {
            queue.deferred.pop_first();
            queue.ready.insert(id);
        }
        let ids: Vec<EntryId> = queue.ready.iter().take(limit).copied().collect();
        ids.into_iter().filter_map(|id| self.hold(id)).collect()
    }

    /// Takes one entry for a change if `allowed` says so of its state; that state is the error otherwise.
    pub(crate) fn reserve(
        &mut self,
        id: EntryId,
        allowed: fn(State) -> bool,
    ) -> Result<(), Option<State>> {
        let state = self.slots.get(&id).map(|slot| slot.state()).ok_or(None)?;
        if !allowed(state) {
            return Err(Some(state));
        }
        self.hold(id);
        Ok(())
    }

    fn hold(&mut self, id: EntryId) -> Option<Entry> {
        self.unschedule(id);
        let slot = self.slots.get_mut(&id)?;
        slot.held = true;
        self.held += 1;
        Some(slot.entry(id))
    }

    /// Ends a claim or reservation; nothing happens when the entry is gone.
    pub(crate) fn release(&mut self, id: EntryId) {
        if let Some(slot) = self.slots.get_mut(&id)
            && std::mem::take(&mut slot.held)
        {
            self.held -= 1;
            self.schedule(id);
        }
    }

    /// Makes an entry claimable, if it is the oldest of its key and waits.
    fn schedule(&mut self, id: EntryId) {
        let Some(slot) = self.slots.get(&id) else {
            return;
        };
        let Some(queue) = self.queues.get_mut(&slot.record.queue) else {
            return;
        };
        let oldest = queue.keys.get(&slot.record.key).and_then(VecDeque::front);
        if slot.state() != State::Queued || oldest != Some(&id) {
            return;
        }
        match slot.not_before_ms {
            None => queue.ready.insert(id),
            Some(time) => queue.deferred.insert((time, id)),
        };
    }

    fn unschedule(&mut self, id: EntryId) {
        let Some(slot) = self.slots.get(&id) else {
            return;
        };
        if let Some(queue) = self.queues.get_mut(&slot.record.queue) {
            queue.ready.remove(&id);
            if let Some(time) = slot.not_before_ms {
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
        self.slots.last_key_value().map(|(id, _)| *id)
    }

    pub(crate) fn get(&self, id: EntryId) -> Option<Entry> {
        self.slots.get(&id).map(|slot| slot.entry(id))
    }

    pub(crate) fn body(&self, id: EntryId) -> Option<Option<StoredBody>> {
        self.slots.get(&id).map(|slot| slot.record.body)
    }

    fn ids(&self, queue: &str, key: &str) -> Option<&VecDeque<EntryId>> {
        self.queues.get(queue)?.keys.get(key)
    }

    pub(crate) fn latest(&self, queue: &str, key: &str) -> Option<Entry> {
        self.get(*self.ids(queue, key)?.back()?)
    }

    pub(crate) fn of_key(&self, queue: &str, key: &str) -> Vec<Entry> {
        let ids = self.ids(queue, key).into_iter().flatten();
        ids.filter_map(|id| self.get(*id)).collect()
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
            .filter_map(|(_, ids)| self.get(*ids.back()?))
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
        for (id, slot) in self.slots.range((start, Unbounded)) {
            if seen == scan || found.len() == limit {
                return (found, last);
            }
            (seen, last) = (seen + 1, Some(*id));
            let queue = filter
                .queue
                .as_deref()
                .is_none_or(|queue| queue == &*slot.record.queue);
            if queue && filter.state.is_none_or(|state| state == slot.state()) {
                found.push(slot.entry(*id));
            }
        }
        (found, None)
    }

    /// Counts; `commits` and `faulted` are the caller's to fill in.
    pub(crate) fn stats(&self) -> Stats {
        Stats {
            entries: self.slots.len() as u64,
            bytes: self.bytes,
            oldest_accepted_at_ms: self
                .slots
                .first_key_value()
                .map(|(_, slot)| slot.record.accepted_at_ms),
            in_flight: self.held,
            set_aside: self.set_aside,
            commits: 0,
            faulted: false,
        }
    }
}
