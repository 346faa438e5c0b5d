//! The adapter's public face: objects that are answered from the store, the journal or a local copy.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use jiff::Timestamp;
use mainstay_journal::{Entry, EntryId, Journal};
use mainstay_runtime::breaker::FailureKind;
use mainstay_runtime::{
    Answer, Call, CallError, Context, Error, ErrorKind, Guard, Handle, Moment, Report, Source,
    Status, Verdict,
};

use tokio::sync::Notify;

use crate::arriving::Arriving;
use crate::classify::{Failed, Meaning, classify, meaning};
use crate::conditions::Conditions;
use crate::copies::Copies;
use crate::etags::Etags;
use crate::key::{Key, is_canary};
use crate::lists::Lists;
use crate::looks::Looks;
use crate::once::OnceKey;
use crate::pending::Pending;
use crate::replaced::Followed;
use crate::room::Room;
use crate::settings::Settings;
use crate::standing::{Base, mark};
use crate::store::{About, Condition, Listed, Store};

/// The journal's queue for objects.
pub const QUEUE: &str = "s3";
/// Kinds of entries in the queue.
pub(crate) const PUT: &str = "put";
pub(crate) const DELETE: &str = "delete";
pub(crate) const COPY: &str = "copy";
pub(crate) const DEPENDENCY: &str = "s3";

/// Objects, guarded. Cheap to clone.
#[derive(Clone)]
pub struct Objects(pub(crate) Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) store: Store,
    pub(crate) guard: Guard,
    pub(crate) journal: Journal,
    pub(crate) copies: Copies,
    pub(crate) arriving: Arriving,
    /// Keys with a write at the store whose caller has left.
    pub(crate) staying: Arriving,
    pub(crate) room: Room,
    pub(crate) pending: Pending,
    pub(crate) lists: Lists,
    pub(crate) etags: Etags,
    pub(crate) conditions: Conditions,
    /// Wakes the drain before its time.
    pub(crate) hurry: Notify,
    pub(crate) looks: Looks,
    pub(crate) followed: Followed,
    /// Copies that may have been made, and whose end isn't written.
    pub(crate) sent_copies: Mutex<HashSet<EntryId>>,
    /// The newest entry that an earlier process may have tried.
    pub(crate) newest_at_start: Option<EntryId>,
    /// The engine, once it runs: where events go.
    pub(crate) engine: OnceLock<Handle>,
    pub(crate) settings: Settings,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").finish_non_exhaustive()
    }
}

/// What an upload brings besides its body.
#[derive(Clone, Debug, Default)]
pub struct Upload {
    /// Bytes to come, where the caller said.
    pub length: Option<u64>,
    /// The media type.
    pub content_type: Option<String>,
    /// What must hold for it to happen.
    pub condition: Condition,
    /// It may be accepted only while the journal is less than half full.
    pub half_journal: bool,
    /// With this the same upload, sent again, gets the first one's outcome.
    pub once: Option<OnceKey>,
}

/// How a write ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Receipt {
    /// The store has it.
    Stored {
        /// As the store gives it.
        etag: Option<String>,
    },
    /// It is on our disk and will reach the store.
    Accepted {
        /// The journal's entry.
        id: EntryId,
    },
}

/// What is known of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ObjectInfo {
    /// The key.
    pub key: String,
    /// Bytes of the whole object.
    pub size: u64,
    /// As the store gives it; none for one that hasn't reached it.
    pub etag: Option<String>,
    /// The media type.
    pub content_type: Option<String>,
    /// Wall clock.
    pub last_modified: Option<Timestamp>,
}

/// An object on its way to the caller.
pub struct Download {
    /// What is known of it.
    pub info: ObjectInfo,
    /// First byte and the one after the last of what the body holds.
    pub range: std::ops::Range<u64>,
    /// The body. An error in it means that the rest won't come; it never ends short without one.
    pub body: BoxStream<'static, Result<Bytes, Error>>,
}

impl std::fmt::Debug for Download {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Download")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

/// Which bytes of an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first, to the last if one is named.
    From {
        /// Offset of the first byte.
        first: u64,
        /// Offset of the last byte, inclusive.
        last: Option<u64>,
    },
    /// So many bytes at the end.
    Last(u64),
}

/// Which objects to list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListRequest {
    /// Keys begin with this.
    pub prefix: String,
    /// Keys lie after this.
    pub after: Option<String>,
    /// 1 to 1000.
    pub limit: usize,
}

/// Listed objects in key order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The objects.
    pub objects: Vec<Listed>,
    /// Where the next page begins, if there may be one.
    pub next_after: Option<String>,
}

impl Objects {
    /// The store's guard.
    pub fn guard(&self) -> &Guard {
        &self.0.guard
    }

    /// The journal that keeps accepted writes.
    pub fn journal(&self) -> &Journal {
        &self.0.journal
    }

    /// Largest object in bytes.
    pub fn max_object(&self) -> u64 {
        self.0.settings.max_object
    }

    /// Forgets what was kept for when the store is down: local copies, on disk too, and listings. Accepted work stays.
    ///
    /// # Errors
    /// `Internal` when the disk doesn't let copies go.
    pub async fn purge_copies(&self) -> Result<(), Error> {
        self.0.lists.clear();
        self.0.copies.clear().await.map_err(|error| {
            let detail = format!("the local copies of objects can't be removed: {error}");
            Error::new(ErrorKind::Internal, detail)
        })
    }

    /// Whether objects live in a folder of ours.
    pub fn is_embedded(&self) -> bool {
        matches!(self.0.store, Store::Local(_))
    }
}

impl Inner {
    pub(crate) fn now(&self) -> Moment {
        self.guard.now()
    }

    /// For ages and expiries.
    pub(crate) fn steady(&self) -> Timestamp {
        self.guard.clock().steady()
    }

    /// Whether writes to the key must go through the journal: something of it hasn't reached the store, or may come to
    /// light when the journal is opened again.
    pub(crate) fn is_pending(&self, key: &Key) -> bool {
        self.has_work(key)
            || self.pending.is_announced(key.as_str())
            || !self.pending.of(key.as_str(), &self.journal).is_empty()
    }

    /// Whether something of the key is in the journal, on its way there, or may come to light there.
    pub(crate) fn has_work(&self, key: &Key) -> bool {
        let key = key.as_str();
        // In this order: what arrives is first seen in the journal, and then no longer on its way.
        self.arriving.has(key)
            || self.staying.has(key)
            || self.journal.latest(QUEUE, key).is_some()
            || self.journal.is_unresolved(QUEUE, key)
    }

    /// What is known of the key in the store, for work on it that is accepted now. What follows accepted work is told
    /// when that has arrived. A folder of ours has no other writers, and a canary has none either: whatever is there is
    /// replaced, so that it is never a conflict.
    pub(crate) fn base_of(&self, key: &str) -> Base {
        let only_ours = matches!(self.store, Store::Local(_)) || is_canary(key);
        // What is still at the store may leave anything, and is ours.
        let is_changing = self.staying.has(key);
        if only_ours || is_changing || self.journal.latest(QUEUE, key).is_some() {
            return Base::Unknown;
        }
        Base::after(self.etags.of(key))
    }

    /// What is stored beside the content of an upload to a key: its type, and whose it is.
    pub(crate) fn about(
        &self,
        key: &Key,
        content_type: Option<&str>,
        entry: Option<EntryId>,
    ) -> About {
        About {
            content_type: content_type.map(str::to_owned),
            mark: mark(self.journal.identity(), key.as_str(), entry),
        }
    }

    /// A guarded call of the store that answers with its first byte.
    pub(crate) async fn call<T, F, Fut>(&self, call: Call, work: F) -> Result<T, CallError<Failed>>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        let done = self.write(call, work).await;
        done.map_err(|unwritten| unwritten.error)
    }

    /// Whether a call in the place of another dependency found no place. Accepted for later, its work would come to the
    /// store all the same, in nobody's place.
    pub(crate) fn turned_away(&self, ctx: &Context, error: &CallError<Failed>) -> bool {
        matches!(error, CallError::Busy { .. }) && self.guard.is_instead(ctx.instead_of)
    }

    /// The call's deadline when only the first byte of the answer matters.
    pub(crate) fn to_first_byte(&self, call: Call) -> Call {
        call.no_later_than(self.now() + self.settings.first_byte)
    }

    /// Reports an operation: what failed underneath is told even when something else answered.
    pub(crate) fn report<T>(
        &self,
        operation: &'static str,
        started: Moment,
        result: &Result<Answer<T>, Error>,
        failure: Option<&CallError<Failed>>,
    ) {
        let source = result.as_ref().ok().map(|a| a.source.clone());
        let status = match (&source, failure) {
            (Some(Source::Primary), _) => Status::Success,
            (Some(_), _) => Status::Fallback,
            (None, Some(error)) if error.was_refused() => Status::Rejected,
            (None, _) if result.as_ref().is_err_and(|e| is_the_callers(e.kind)) => Status::Success,
            (None, _) => Status::Failure,
        };
        self.guard.report(&Report {
            operation,
            status,
            source,
            error: failure.and_then(failure_kind),
            elapsed: self.now().saturating_since(started),
        });
    }
}

/// Errors that are a correct "no".
fn is_the_callers(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::NotFound
            | ErrorKind::InvalidInput
            | ErrorKind::PreconditionFailed
            | ErrorKind::TooLarge
            | ErrorKind::RangeNotSatisfiable
            | ErrorKind::Conflict
            | ErrorKind::KeyReused
            | ErrorKind::Unsupported
    )
}

fn failure_kind(error: &CallError<Failed>) -> Option<FailureKind> {
    match error {
        CallError::Failed(failed) => classify(failed).failure_kind(),
        CallError::Deadline { .. } => Some(FailureKind::Timeout),
        CallError::Rejected(_) | CallError::Busy { .. } => None,
    }
}

/// Whether a fallback may answer instead: the store has said nothing about the object, or has no room for it now.
pub(crate) fn is_outage(error: &CallError<Failed>) -> bool {
    match error {
        CallError::Failed(failed) => {
            classify(failed) != Verdict::SUCCESS || meaning(failed) == Meaning::NoRoom
        }
        CallError::Rejected(_) | CallError::Deadline { .. } | CallError::Busy { .. } => true,
    }
}

/// What the caller is told when nothing else can answer.
pub(crate) fn to_error(error: &CallError<Failed>, key: &str) -> Error {
    let refused: CallError<()> = match error {
        CallError::Failed(failed) => return driver_error(failed, key),
        CallError::Rejected(rejection) => CallError::Rejected(*rejection),
        CallError::Busy { retry_after } => CallError::Busy {
            retry_after: *retry_after,
        },
        CallError::Deadline { sent } => CallError::Deadline { sent: *sent },
    };
    refused.into_error(DEPENDENCY, |()| {
        Error::new(ErrorKind::Internal, "the store failed")
    })
}

fn driver_error(failed: &Failed, key: &str) -> Error {
    let (kind, detail) = match meaning(failed) {
        Meaning::Absent => (ErrorKind::NotFound, format!("there is no object `{key}`")),
        Meaning::ConditionFailed | Meaning::NotModified => (
            ErrorKind::PreconditionFailed,
            format!("the condition on `{key}` does not hold"),
        ),
        Meaning::OutOfRange => (
            ErrorKind::RangeNotSatisfiable,
            format!("the range lies outside `{key}`"),
        ),
        Meaning::Refused => (
            ErrorKind::InvalidInput,
            format!("the store refuses this request for `{key}`"),
        ),
        Meaning::Unsupported => (ErrorKind::Unsupported, "the store can't do this".to_owned()),
        Meaning::Misconfigured => (
            ErrorKind::Unavailable,
            "the store refuses our credentials or lacks the bucket; `mainstay check` says more"
                .to_owned(),
        ),
        Meaning::NoRoom => (
            ErrorKind::Unavailable,
            "the store, or a quota there, has no room for this".to_owned(),
        ),
        Meaning::Overloaded => (
            ErrorKind::Unavailable,
            "the store asks for less load".to_owned(),
        ),
        Meaning::Failing => (ErrorKind::Unavailable, "the store failed".to_owned()),
    };
    Error::new(kind, detail)
        .dependency(DEPENDENCY)
        .retry_after(failed.seen.retry_after)
}

/// A 503 that is worth trying again.
pub(crate) fn unavailable(guard: &Guard, detail: impl Into<String>) -> Error {
    let after = guard.retry_after().unwrap_or(Duration::from_secs(1));
    Error::unavailable(DEPENDENCY, detail).retry_after(after)
}

/// The key that an accepted copy reads.
pub(crate) fn source_of(entry: &Entry) -> Option<String> {
    source_in(&entry.meta)
}

/// The same from what an entry says besides.
pub(crate) fn source_in(meta: &serde_json::Value) -> Option<String> {
    meta.get("from")?.as_str().map(str::to_owned)
}

/// The media type that an accepted upload brought.
pub(crate) fn content_type_of(entry: &Entry) -> Option<String> {
    entry.meta.get("content_type")?.as_str().map(str::to_owned)
}

/// When an entry was accepted, wall clock.
pub(crate) fn accepted_at(entry: &Entry) -> Option<Timestamp> {
    Timestamp::from_millisecond(entry.accepted_at_ms).ok()
}
