//! Accepting work for later: on our disk, in the journal's order, before anybody is told *accepted*.

use std::time::Duration;

use futures_util::TryStreamExt;
use mainstay_journal::{AppendError, Body, EntryId, NewEntry, ReadError, SpoolWriter, Spooled};
use mainstay_runtime::{Answer, Error, ErrorKind, Source};
use serde_json::{Value, json};

use crate::key::Key;
use crate::objects::{
    COPY, DELETE, DEPENDENCY, Inner, PUT, QUEUE, Receipt, content_type_of, source_in,
};
use crate::once::Once;
use crate::resolve::{Found, not_found};
use crate::staying;

/// How often a source is looked up again that was drained while being read.
const TRIES: usize = 5;

impl Inner {
    /// Accepts an upload whose body is in the spool.
    pub(crate) async fn accept_put(
        &self,
        key: &Key,
        content_type: Option<&str>,
        body: Spooled,
        once: Option<&Once>,
    ) -> Result<Answer<Receipt>, Error> {
        self.append(
            PUT,
            key,
            json!({ "content_type": content_type }),
            Some(body),
            once,
        )
        .await
        .map(accepted)
    }

    /// Accepts a delete.
    pub(crate) async fn accept_delete(
        &self,
        key: &Key,
        once: Option<&Once>,
    ) -> Result<Answer<Receipt>, Error> {
        self.append(DELETE, key, Value::Null, None, once)
            .await
            .map(accepted)
    }

    /// Accepts a copy. An accepted body is copied at once; else the store copies when it is back, from the source as
    /// it is now: what is written to the source meanwhile waits.
    pub(crate) async fn accept_copy(
        &self,
        from: &Key,
        to: &Key,
        once: Option<&Once>,
    ) -> Result<Answer<Receipt>, Error> {
        for _ in 0..TRIES {
            let latest = self.journal.latest(QUEUE, from.as_str());
            let entry = match latest {
                Some(entry) if entry.kind == PUT => entry,
                Some(entry) if entry.kind == DELETE => return Err(not_found(from)),
                _ if matches!(self.resolve(from), Found::Gone) => return Err(not_found(from)),
                _ => return self.accept_copy_in_store(from, to, once).await,
            };
            match self.journal.body(entry.id).await {
                Ok(body) => {
                    let body = self.spool_again(body).await?;
                    return self
                        .append(
                            PUT,
                            to,
                            json!({ "content_type": content_type_of(&entry) }),
                            Some(body),
                            once,
                        )
                        .await
                        .map(accepted);
                }
                // It has reached the store meanwhile.
                Err(ReadError::Unknown(_)) => {}
                Err(error) => return Err(unreadable(&error)),
            }
        }
        Err(Error::new(
            ErrorKind::Busy,
            "the source changes faster than it can be read",
        )
        .dependency(DEPENDENCY))
    }

    async fn accept_copy_in_store(
        &self,
        from: &Key,
        to: &Key,
        once: Option<&Once>,
    ) -> Result<Answer<Receipt>, Error> {
        self.append(COPY, to, json!({ "from": from.as_str() }), None, once)
            .await
            .map(accepted)
    }

    async fn spool_again(&self, mut body: Body) -> Result<Spooled, Error> {
        let mut spool: SpoolWriter = self.journal.spool();
        while let Some(chunk) = body.try_next().await.map_err(|e| unreadable(&e))? {
            spool
                .write(&chunk)
                .await
                .map_err(|e| self.not_accepted(&e))?;
        }
        spool.finish().await.map_err(|e| self.not_accepted(&e))
    }

    async fn append(
        &self,
        kind: &str,
        key: &Key,
        meta: Value,
        body: Option<Spooled>,
        once: Option<&Once>,
    ) -> Result<EntryId, Error> {
        let entered = self.enter(kind, key, meta, body, once).await;
        entered.map_err(|e| self.not_accepted(&e))
    }

    /// Accepts work; says no more of a failure than the journal does.
    pub(crate) async fn enter(
        &self,
        kind: &str,
        key: &Key,
        mut meta: Value,
        body: Option<Spooled>,
        once: Option<&Once>,
    ) -> Result<EntryId, AppendError> {
        let accepted_at_ms = self.steady().as_millisecond();
        self.base_of(key.as_str()).write_to(&mut meta);
        let entry = NewEntry {
            queue: QUEUE,
            key: key.as_str().to_owned(),
            kind: kind.to_owned(),
            meta,
            body,
            outcome: once.and_then(|once| once.outcome(None, accepted_at_ms)),
            accepted_at_ms,
        };
        let source = (kind == COPY)
            .then(|| source_in(&entry.meta))
            .flatten()
            .map(|from| (self.pending.announce(&from), from));
        let arrival = self.arriving.hold(key.as_str());
        // Looked at once more now that whoever writes next sees this: nobody hears of it any more.
        if staying::is_alone() {
            return Err(AppendError::Incomplete);
        }
        let (followed, replaced) = (self.followed.clone(), key.as_str().to_owned());
        let is_replacing = kind != COPY;
        let pending = self.pending.clone();
        // Also when the caller has left.
        let arrived = move |appended: &Result<EntryId, AppendError>| {
            if let Some((announced, from)) = source {
                if let Ok(id) = appended {
                    pending.add(&from, *id);
                }
                drop(announced);
                // While it was announced, nothing there gave way.
                followed.add(from);
            }
            if appended.is_ok() && is_replacing {
                followed.add(replaced);
            }
            drop(arrival);
        };
        self.journal.append_to_the_end(entry, arrived).await
    }

    /// The store is down and the journal can't take it: nothing was accepted, as far as that can be known.
    pub(crate) fn not_accepted(&self, error: &AppendError) -> Error {
        if matches!(error, AppendError::Uncertain { .. }) {
            tracing::error!(dependency = DEPENDENCY, %error, "whether a write was accepted is unknown");
            let detail = "the journal's storage failed while this write was brought to disk: whether it is carried out shows when the server has been restarted; send it again then, with the same Idempotency-Key";
            return Error::new(ErrorKind::OutcomeUnknown, detail).dependency(DEPENDENCY);
        }
        let why = match error {
            AppendError::Full { which } => format!("the journal is full ({which})"),
            AppendError::Faulted { .. } => {
                "the journal's storage has failed: it accepts nothing until the server is restarted, which checks it".to_owned()
            }
            _ => "the journal can't accept it".to_owned(),
        };
        tracing::warn!(dependency = DEPENDENCY, %error, "a write was not accepted");
        let after = self.guard.retry_after().unwrap_or(Duration::from_secs(5));
        let detail = format!(
            "the object store can't be used for this key now, and {why}; nothing was written"
        );
        Error::new(ErrorKind::JournalFull, detail)
            .dependency(DEPENDENCY)
            .retry_after(after)
    }
}

pub(crate) fn accepted(id: EntryId) -> Answer<Receipt> {
    Answer::fresh(Receipt::Accepted { id }, Source::Journal)
}

/// The body of accepted work can't be read: our own disk's fault.
pub(crate) fn unreadable(error: &ReadError) -> Error {
    tracing::error!(dependency = DEPENDENCY, %error, "accepted work can't be read");
    Error::new(
        ErrorKind::Internal,
        "the accepted object can't be read from the journal",
    )
    .dependency(DEPENDENCY)
}
