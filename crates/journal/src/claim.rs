//! An entry in flight, and the verdicts that end it.

use crate::AppendError;
use crate::entry::{Entry, EntryId};
use crate::shared::Hold;
use crate::writer::Change;

/// Error texts are kept up to this many characters.
const ERROR_CHARS: usize = 1000;

/// An entry in flight. Dropped without a verdict, it returns to the queue. When a verdict can't be written the entry
/// also returns, so it may be carried out twice.
#[derive(Debug)]
pub struct Claimed {
    pub(crate) entry: Entry,
    pub(crate) hold: Hold,
}

impl Claimed {
    /// The entry.
    pub fn entry(&self) -> &Entry {
        &self.entry
    }

    /// The entry's number.
    pub fn id(&self) -> EntryId {
        self.entry.id
    }

    /// The next entry of the same key as of now.
    pub fn next(&self) -> Option<Entry> {
        self.hold.shared.index().next_of_key(self.entry.id)
    }

    /// The first later entry of the same key, as of now, that is not of this kind. When it makes this one pointless,
    /// complete this one without carrying it out.
    pub fn next_but(&self, kind: &str) -> Option<EntryId> {
        self.hold.shared.index().next_but(self.entry.id, kind)
    }

    /// It has reached its dependency (or is pointless): removes it and its body.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn complete(self) -> Result<(), AppendError> {
        self.complete_and_tell(None).await
    }

    /// As [`complete`](Self::complete), and gives another entry new metadata in the same commit: what the one after it
    /// has to know of how this one ended.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn complete_and_tell(
        self,
        next: Option<(EntryId, serde_json::Value)>,
    ) -> Result<(), AppendError> {
        let next = next.map(|(id, meta)| (id, meta.to_string().into()));
        let change = |hold| Change::Remove {
            hold,
            next,
            discarded: false,
        };
        verdict(self.hold, change).await
    }

    /// It failed: counts the attempt and queues it again, not to be claimed before `not_before_ms` on the clock given to
    /// [`Journal::claim`](crate::Journal::claim). After a restart it can be claimed at once.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn retry_later(self, error: &str, not_before_ms: i64) -> Result<(), AppendError> {
        let (error, not_before_ms) = (shortened(error), Some(not_before_ms));
        let change = |hold| Change::Fail {
            hold,
            error,
            not_before_ms,
            set_aside: false,
        };
        verdict(self.hold, change).await
    }

    /// It has to wait for other work: queues it again, not to be claimed before `not_before_ms`. No attempt is counted and
    /// nothing is written, so it may be put off as often as need be.
    pub fn put_off(self, not_before_ms: i64) {
        let Hold { shared, id } = &self.hold;
        shared.index().change(*id, Some(not_before_ms), |_| ());
    }

    /// It can't succeed without a person: counts the attempt and sets it aside. Later entries of its key wait.
    ///
    /// # Errors
    /// See [`AppendError`].
    pub async fn set_aside(self, reason: &str) -> Result<(), AppendError> {
        let error = shortened(reason);
        let change = |hold| Change::Fail {
            hold,
            error,
            not_before_ms: None,
            set_aside: true,
        };
        verdict(self.hold, change).await
    }
}

/// The claim travels with the change: a caller that stops waiting doesn't end it early.
async fn verdict(hold: Hold, change: impl FnOnce(Hold) -> Change) -> Result<(), AppendError> {
    let shared = hold.shared.clone();
    shared.commit(change(hold)).await.map(drop)
}

fn shortened(error: &str) -> Box<str> {
    error.chars().take(ERROR_CHARS).collect::<String>().into()
}
