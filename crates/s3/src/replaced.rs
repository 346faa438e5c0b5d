//! Accepted work that was set aside, and gives way to what has replaced it since: nobody need decide any more about a
//! conflict, or about a copy without a source.

use std::sync::{Arc, Mutex, PoisonError};

use mainstay_journal::{Entry, Filter, State};

use crate::objects::{COPY, DEPENDENCY, Inner, QUEUE};
use crate::standing::Base;

/// How the reason begins why a conflict was set aside.
pub(crate) const CONFLICT: &str = "conflict: ";
/// How it begins for a copy without a source.
pub(crate) const NO_SOURCE: &str = "its source ";
/// How it ends where the copy may have been made before.
pub(crate) const MAYBE_MADE: &str = ", and may have been copied before";

/// Entries looked at at a time while starting.
const SCAN: usize = 1024;

/// Keys with work that later work replaces: for the drain to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Followed(Arc<Mutex<Vec<String>>>);

impl Followed {
    pub(crate) fn add(&self, key: String) {
        self.lock().push(key);
    }

    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut self.lock())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<String>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

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
        let mut after = None;
        loop {
            let page = self.journal.entries(&filter, after, SCAN);
            let Some(last) = page.last() else { return };
            after = Some(last.id);
            for entry in page {
                self.give_way(&entry.key).await;
            }
        }
    }

    /// Whether later work replaces this whole, and no copy has to read it in between.
    pub(crate) fn is_followed(&self, entry: &Entry) -> bool {
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

/// A copy always: nothing of the caller's own is lost with it.
fn gives_way(entry: &Entry) -> bool {
    entry.state == State::SetAside && (entry.kind == COPY || is_because(entry, CONFLICT))
}

fn is_because(entry: &Entry, reason: &str) -> bool {
    let why = entry.last_error.as_deref();
    why.is_some_and(|why| why.starts_with(reason))
}

/// What is known of the object behind work that was not carried out, for what comes next. Behind a copy that may have
/// been made unheard, nothing; not where somebody else's change was seen, or there was nothing to be copied at once.
pub(crate) fn base_behind(entry: &Entry) -> Base {
    let why = entry.last_error.as_deref().unwrap_or_default();
    let was_never_sent = is_because(entry, NO_SOURCE) && !why.ends_with(MAYBE_MADE);
    match entry.kind.as_str() {
        COPY if !is_because(entry, CONFLICT) && !was_never_sent => Base::Unknown,
        _ => Base::of(entry),
    }
}
