//! Keys that accepted copies still have to read: what is written to them waits until the copy has run.
//!
//! Which copies still wait is the journal's to say: every look asks it, so nothing here can go stale.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use mainstay_journal::{EntryId, Filter, Journal, State};

use crate::arriving::{Arrival, Arriving};

use crate::objects::{COPY, QUEUE, source_of};

/// Entries read at a time while starting.
const SCAN: usize = 4096;

/// Sources of accepted copies, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pending {
    copies: Arc<Mutex<HashMap<String, BTreeSet<EntryId>>>>,
    /// Sources of copies that are on their way into the journal.
    arriving: Arriving,
}

impl Pending {
    /// The copies that an earlier process has accepted.
    pub(crate) fn rebuild(journal: &Journal) -> Self {
        let pending = Self::default();
        let filter = Filter {
            queue: Some(QUEUE.to_owned()),
            state: None,
        };
        let mut after = None;
        loop {
            let page = journal.entries(&filter, after, SCAN);
            let Some(last) = page.last() else {
                return pending;
            };
            after = Some(last.id);
            for entry in page.iter().filter(|e| e.kind == COPY) {
                if let Some(source) = source_of(entry) {
                    pending.add(&source, entry.id);
                }
            }
        }
    }

    /// A copy of `source` is on its way into the journal.
    pub(crate) fn announce(&self, source: &str) -> Arrival {
        self.arriving.hold(source)
    }

    /// Whether a copy of `key` is on its way: it isn't known yet which.
    pub(crate) fn is_announced(&self, key: &str) -> bool {
        self.arriving.has(key)
    }

    /// A copy of `source` was accepted.
    pub(crate) fn add(&self, source: &str, id: EntryId) {
        self.lock().entry(source.to_owned()).or_default().insert(id);
    }

    /// The copies of `key` that still have to run, oldest first. One that was set aside holds nobody up: tried again, it
    /// reads what is there then.
    pub(crate) fn of(&self, key: &str, journal: &Journal) -> BTreeSet<EntryId> {
        let mut sources = self.lock();
        let Some(ids) = sources.get_mut(key) else {
            return BTreeSet::new();
        };
        let mut left = BTreeSet::new();
        ids.retain(|id| {
            let state = journal.state(*id);
            if state.is_some_and(|state| state != State::SetAside) {
                left.insert(*id);
            }
            state.is_some()
        });
        if ids.is_empty() {
            sources.remove(key);
        }
        left
    }

    /// Drops what is remembered of a copy of `source` if it is not in the journal any more: nobody may ever look at it
    /// again.
    pub(crate) fn tidy(&self, source: &str, copy: EntryId, journal: &Journal) {
        let mut sources = self.lock();
        let Some(ids) = sources.get_mut(source) else {
            return;
        };
        if journal.state(copy).is_none() {
            ids.remove(&copy);
        }
        if ids.is_empty() {
            sources.remove(source);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<EntryId>>> {
        // Nothing panics while the lock is held.
        self.copies.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use mainstay_journal::{NewEntry, Settings};

    use super::*;

    #[tokio::test]
    async fn a_source_is_remembered_until_its_last_copy_has_ended() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings {
            min_free_disk: 0,
            ..Settings::default()
        };
        let journal = Journal::open(folder.path(), settings).await.unwrap();
        for to in ["one", "two"] {
            let copy = NewEntry {
                queue: QUEUE,
                key: to.into(),
                kind: COPY.into(),
                meta: serde_json::json!({ "from": "source" }),
                body: None,
                outcome: None,
                accepted_at_ms: 0,
            };
            journal.append_to_the_end(copy, |_| {}).await.unwrap();
        }
        let pending = Pending::rebuild(&journal);
        for left in [1, 0] {
            let copy = journal.claim(QUEUE, 1, 0).pop().unwrap();
            let id = copy.id();
            pending.tidy("source", id, &journal);
            assert_eq!(pending.lock().len(), 1);
            copy.complete().await.unwrap();
            pending.tidy("source", id, &journal);
            assert_eq!(pending.lock().len(), left);
        }
    }
}
