//! Accepted copies on their way, which the store makes by itself: what it leaves bears no mark of ours, so that one made
//! unheard is told from somebody else's change by what was sent, and by what is there.

use std::collections::HashSet;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_journal::{Entry, EntryId, fault};
use mainstay_runtime::{Call, CallError, Context};

use crate::carry::{Arrived, Looked, after};
use crate::classify::{Failed, Meaning, meaning};
use crate::key::Key;
use crate::objects::{COPY, Inner, QUEUE, source_of};
use crate::replaced::base_behind;
use crate::standing::{Base, Present};
use crate::verdict::Trouble;

/// How much of an object a store may be expected to copy in a second, in bytes.
const COPIED_IN_A_SECOND: u64 = 16 << 20;

/// Whether it is a copy that may have been sent to the store, by us or by an earlier process. Not while its source has
/// still to be brought: it has waited for that ever since.
pub(crate) fn was_tried(inner: &Inner, entry: &Entry) -> bool {
    let is_old = Some(entry.id) <= inner.newest_at_start;
    entry.kind == COPY
        && (is_old || inner.sent_copies().contains(&entry.id))
        && !is_early(inner, entry)
}

/// What is known of the object after an entry that was not carried out, or of which nobody knows.
pub(crate) fn untouched(inner: &Inner, entry: &Entry) -> Base {
    match was_tried(inner, entry) {
        true => base_behind(entry),
        false => Base::of(entry),
    }
}

/// Whether it is a copy of what has still to be brought.
pub(crate) fn is_early(inner: &Inner, entry: &Entry) -> bool {
    let source = (entry.kind == COPY).then(|| source_of(entry)).flatten();
    source.is_some_and(|source| {
        let oldest = inner.journal.oldest(QUEUE, &source);
        oldest.is_some_and(|oldest| oldest < entry.id)
    })
}

impl Inner {
    pub(crate) async fn copy_over(
        &self,
        ctx: &Context,
        source: &Key,
        key: &Key,
        entry: &Entry,
    ) -> Result<Arrived, Trouble> {
        let Some(original) = self.present(ctx, source).await? else {
            return Err(Trouble::NoSource(source.as_str().to_owned()));
        };
        let was_tried = was_tried(self, entry);
        if was_tried || Base::of(entry) != Base::Unknown {
            let looked = self.look(ctx, key, entry).await?;
            if looked.is(&original) {
                return Ok(after(looked.1).into());
            }
            // An earlier attempt of ours leaves no mark that tells. What has the same content is no conflict.
            let is_ours =
                looked.has_content_of(&original) || was_tried && looked.looks_like(&original);
            if !is_ours && let Some(theirs) = looked.theirs(self, entry)? {
                return Ok(theirs);
            }
        }
        let time = Duration::from_secs(original.size / COPIED_IN_A_SECOND);
        let call = Call::new("copy", ctx)
            .idempotent()
            .as_long_as(self.settings.idle + time);
        self.sent_copies().insert(entry.id);
        let copied = self.copy_in_store(call, source, key).await;
        copied.map_err(|unwritten| no_source(unwritten.error, source))?;
        fault::point("drain.sent");
        match self.present(ctx, key).await? {
            Some(there) => Ok(Base::after(there.etag).into()),
            None => Err(Trouble::Differs("the store has no copy".into())),
        }
    }

    pub(crate) fn sent_copies(&self) -> MutexGuard<'_, HashSet<EntryId>> {
        // Nothing panics while the lock is held.
        self.sent_copies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

impl Looked {
    /// Whether it is in nothing different from a copy.
    fn is(&self, original: &Present) -> bool {
        original.etag.is_some() && self.1.as_ref() == Some(original)
    }

    fn has_content_of(&self, original: &Present) -> bool {
        let there = self.1.as_ref();
        original.etag.is_some()
            && there.is_some_and(|it| (&it.etag, it.size) == (&original.etag, original.size))
    }

    /// Whether it may be a copy: one of what was uploaded in parts, or is encrypted, has another ETag. It takes its
    /// original's mark along; where that has none, only the ETag of what came in parts explains that they differ.
    fn looks_like(&self, original: &Present) -> bool {
        let Some(there) = &self.1 else {
            return false;
        };
        let came_in_parts =
            |one: &Present| one.etag.as_ref().is_some_and(|etag| etag.contains('-'));
        let is_explained = there.mark.is_some() || came_in_parts(original) || came_in_parts(there);
        there.size == original.size && there.mark == original.mark && is_explained
    }
}

fn no_source(error: CallError<Failed>, source: &Key) -> Trouble {
    match &error {
        CallError::Failed(failed) if meaning(failed) == Meaning::Absent => {
            Trouble::NoSource(source.as_str().to_owned())
        }
        _ => Trouble::Store(error),
    }
}
