//! What Redis is owed: for each key that was written while it was down, what has to be done there when it's back.
//!
//! A settlement that was sent is frozen under a marker of its own until Redis has answered it. It's sent again as it
//! was, and Redis, which keeps the marker, carries it out once. What is written meanwhile is owed on top of it.

use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use mainstay_breaker::Moment;

use crate::value::{Blob, Key};

/// What a debt costs beside its key and its values, the parts of its settlement included; generously rounded.
const DEBT: usize = 384;
/// What a value that is kept costs beside its bytes.
const VALUE: usize = 40;

/// How long Redis keeps a marker.
pub(crate) const MARKER_TTL: Duration = Duration::from_secs(7 * 24 * 3600);
/// A settlement that has waited longer for its answer is given up: its marker may be gone soon, and sent again it might
/// be carried out twice.
const GIVE_UP: Duration = Duration::from_secs(6 * 24 * 3600);

/// What was counted here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Addition {
    pub(crate) by: i64,
    /// When the counter ends by what Redis said of it, if nothing was counted later than that.
    pub(crate) ends: Option<Moment>,
}

/// What Redis has to do to one key.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Step {
    /// Delete it.
    Forget,
    /// Add to it.
    Add(Addition),
    /// Store a value, where it holds none, or one of those last seen.
    Write {
        value: Blob,
        ends: Option<Moment>,
        seen: Vec<Blob>,
    },
    /// Delete it, if it holds one of those last seen.
    Remove { seen: Vec<Blob> },
}

/// A settlement that may have been sent.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sent {
    pub(crate) marker: Key,
    since: Moment,
    /// Whether it was sent more than once, so that Redis may still carry out an earlier one.
    pub(crate) repeated: bool,
    pub(crate) step: Step,
}

impl Sent {
    /// Whether Redis keeps its marker. Deleting needs none: it can be repeated.
    pub(crate) fn has_marker(&self) -> bool {
        self.step != Step::Forget
    }

    /// Whether it's too old to be sent again.
    pub(crate) fn is_stale(&self, now: Moment) -> bool {
        self.repeated && now.saturating_since(self.since) > GIVE_UP
    }
}

/// What is owed and not sent yet. A session's final value is looked up when it's sent.
#[derive(Clone, Debug, PartialEq)]
enum Owed {
    Forget,
    Add(Addition),
    Restore {
        seen: Vec<Blob>,
        /// Bytes of the value, paid for now so that sending needs no more room.
        room: usize,
    },
}

#[derive(Debug)]
struct Debt {
    place: u64,
    owed: Option<Owed>,
    sent: Option<Sent>,
}

/// All debts, oldest first.
#[derive(Debug)]
pub(crate) struct Debts {
    by_key: HashMap<Key, Debt>,
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: usize,
    /// Tells this process' markers from every other's.
    process: u64,
    markers: u64,
}

impl Default for Debts {
    fn default() -> Self {
        let (by_key, order) = Default::default();
        Self {
            by_key,
            order,
            next: 0,
            bytes: 0,
            process: RandomState::new().hash_one("mainstay"),
            markers: 0,
        }
    }
}

impl Debts {
    pub(crate) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// What they cost, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn contains(&self, key: &Key) -> bool {
        self.by_key.contains_key(key)
    }

    /// The oldest: at least one, at most `count`, and so many as `bytes` hold.
    pub(crate) fn oldest(&self, count: usize, bytes: usize) -> Vec<Key> {
        let mut used = 0;
        let mut fits = |key: &&Key| {
            let first = used == 0;
            used += self.by_key.get(*key).map_or(0, |debt| debt.cost(key));
            first || used <= bytes
        };
        let oldest = self.order.values().take(count);
        oldest.take_while(&mut fits).cloned().collect()
    }

    /// What a debt on this key may cost more than now, when values of `values` bytes in all are kept for it.
    pub(crate) fn growth(&self, key: &Key, values: usize) -> usize {
        let new = if self.contains(key) {
            0
        } else {
            DEBT + key.as_str().len()
        };
        new + values + 3 * VALUE
    }

    /// What was counted here and isn't confirmed by Redis; `None` without a debt.
    pub(crate) fn sum(&self, key: &Key) -> Option<i64> {
        let debt = self.by_key.get(key)?;
        let owed = match &debt.owed {
            Some(Owed::Add(addition)) => addition.by,
            _ => 0,
        };
        let sent = match debt.sent.as_ref().map(|sent| &sent.step) {
            Some(Step::Add(addition)) => addition.by,
            _ => 0,
        };
        // It fits: whoever counts has checked the sum of both.
        Some(owed.saturating_add(sent))
    }

    /// The key is to be deleted.
    pub(crate) fn forget(&mut self, key: &Key) {
        self.change(key, |debt| debt.owed = Some(Owed::Forget));
    }

    /// `by` more is to be added. The caller has checked that the sum fits.
    pub(crate) fn add(&mut self, key: &Key, by: i64, ends: Option<Moment>, now: Moment) {
        self.change(key, |debt| {
            let sum = match debt.owed.take() {
                Some(Owed::Add(old)) => Addition {
                    by: old.by.saturating_add(by),
                    // Counted after its end, it counts for what came after it.
                    ends: old.ends.filter(|end| *end > now),
                },
                _ => Addition { by, ends },
            };
            debt.owed = Some(Owed::Add(sum));
        });
    }

    /// The value in memory, of `room` bytes, is to be brought back. `seen` is what Redis may hold by then.
    pub(crate) fn restore(&mut self, key: &Key, seen: impl IntoIterator<Item = Blob>, room: usize) {
        self.change(key, |debt| {
            let mut all = match debt.owed.take() {
                Some(Owed::Restore { seen, .. }) => seen,
                _ => Vec::new(),
            };
            all.extend(seen);
            debt.owed = Some(Owed::Restore { seen: all, room });
        });
    }

    /// What to send for a key: what was sent before, or what is owed now, frozen from here on. `value` is what memory
    /// holds, and when that ends.
    pub(crate) fn begin(
        &mut self,
        key: &Key,
        now: Moment,
        value: impl FnOnce() -> Option<(Blob, Option<Moment>)>,
    ) -> Option<Sent> {
        self.by_key.get(key)?;
        self.markers += 1;
        let marker = Key::reserved(&format!("settled:{:016x}:{}", self.process, self.markers));
        self.change(key, |debt| match &mut debt.sent {
            Some(sent) => sent.repeated = true,
            None => {
                debt.sent = debt.owed.take().map(|owed| Sent {
                    marker,
                    since: now,
                    repeated: false,
                    step: owed.step(value),
                });
            }
        });
        self.by_key.get(key)?.sent.clone()
    }

    /// Redis has answered what was sent. `holds` is the value it has now, where that is one of ours. Returns whether
    /// nothing more is owed.
    pub(crate) fn finish(&mut self, key: &Key, holds: Option<Blob>) -> bool {
        let mut over = true;
        self.change(key, |debt| {
            debt.sent = None;
            if let Some(Owed::Restore { seen, .. }) = &mut debt.owed {
                *seen = holds.into_iter().collect();
            }
            over = debt.owed.is_none();
        });
        if over {
            self.remove(key);
        }
        over
    }

    /// Redis couldn't do it now: the others go first.
    pub(crate) fn put_last(&mut self, key: &Key) {
        if let Some(debt) = self.by_key.get_mut(key) {
            self.order.remove(&debt.place);
            debt.place = self.next;
            self.order.insert(self.next, key.clone());
            self.next += 1;
        }
    }

    /// Changes a debt, which begins empty, and keeps the account.
    fn change(&mut self, key: &Key, work: impl FnOnce(&mut Debt)) {
        if !self.by_key.contains_key(key) {
            let debt = Debt {
                place: self.next,
                owed: None,
                sent: None,
            };
            self.order.insert(self.next, key.clone());
            self.next += 1;
            self.bytes += debt.cost(key);
            self.by_key.insert(key.clone(), debt);
        }
        if let Some(debt) = self.by_key.get_mut(key) {
            self.bytes -= debt.cost(key);
            work(debt);
            self.bytes += debt.cost(key);
        }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(debt) = self.by_key.remove(key) {
            self.order.remove(&debt.place);
            self.bytes -= debt.cost(key);
        }
    }

    /// The account, made anew.
    #[cfg(test)]
    pub(crate) fn recount(&self) -> usize {
        assert_eq!(self.by_key.len(), self.order.len());
        self.by_key.iter().map(|(key, debt)| debt.cost(key)).sum()
    }
}

impl Debt {
    fn cost(&self, key: &Key) -> usize {
        let owed = match &self.owed {
            Some(Owed::Restore { seen, room }) => kept(seen) + room + VALUE,
            _ => 0,
        };
        let sent = match self.sent.as_ref().map(|sent| &sent.step) {
            Some(Step::Write { value, seen, .. }) => kept(seen) + value.len() + VALUE,
            Some(Step::Remove { seen }) => kept(seen),
            _ => 0,
        };
        DEBT + key.as_str().len() + owed + sent
    }
}

fn kept(values: &[Blob]) -> usize {
    values.iter().map(|value| value.len() + VALUE).sum()
}

impl Owed {
    fn step(self, value: impl FnOnce() -> Option<(Blob, Option<Moment>)>) -> Step {
        match self {
            Self::Forget => Step::Forget,
            Self::Add(addition) => Step::Add(addition),
            Self::Restore { seen, .. } => match value() {
                Some((value, ends)) => Step::Write { value, ends, seen },
                None => Step::Remove { seen },
            },
        }
    }
}
