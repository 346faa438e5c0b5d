//! Accepted work that was set aside, and gives way to what has replaced it since: nobody need decide any more about a
//! conflict, or about a copy without a source.

use mainstay_journal::{Entry, Filter, State};

use crate::objects::{COPY, DEPENDENCY, Inner, QUEUE};

/// How the reason begins why a conflict was set aside.
pub(crate) const CONFLICT: &str = "conflict: ";
/// How it begins for a copy without a source.
pub(crate) const NO_SOURCE: &str = "its source ";

impl Inner {
    /// Puts the oldest work on a key back in its queue if it gives way to what has replaced it: there it ends.
    pub(crate) async fn give_way(&self, key: &str) {
        let oldest = self.journal.oldest(QUEUE, key);
        let Some(entry) = oldest.and_then(|id| self.journal.get(id)) else {
            return;
        };
        if gives_way(&entry)
            && self.is_followed(&entry)
            && let Err(error) = self.journal.retry(entry.id, None).await
        {
            // An operator was faster, or the journal can't be changed, which others tell.
            tracing::debug!(dependency = DEPENDENCY, entry = %entry.id, %error, "it stays set aside");
        }
    }

    /// The same of everything that an earlier process has left.
    pub(crate) async fn give_way_everywhere(&self) {
        let filter = Filter {
            queue: Some(QUEUE.to_owned()),
            state: Some(State::SetAside),
        };
        for entry in self.journal.entries(&filter, None, usize::MAX) {
            self.give_way(&entry.key).await;
        }
    }

    /// Whether later work replaces this whole, and no copy has to read it in between.
    fn is_followed(&self, entry: &Entry) -> bool {
        let all = self.journal.entries_for_key(QUEUE, &entry.key);
        let replaces = |later: &&Entry| later.id > entry.id && later.kind != COPY;
        let Some(next) = all.iter().find(replaces) else {
            return false;
        };
        // In this order, as where an entry is carried out.
        if self.pending.is_announced(&entry.key) {
            return false;
        }
        let readers = self.pending.of(&entry.key, &self.journal);
        readers.range(entry.id..next.id).next().is_none()
    }
}

fn gives_way(entry: &Entry) -> bool {
    let why = entry.last_error.as_deref().unwrap_or_default();
    let reasons = [CONFLICT, NO_SOURCE];
    entry.state == State::SetAside && reasons.iter().any(|reason| why.starts_with(reason))
}
