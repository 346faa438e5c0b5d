//! Reads: the journal first, then the store, then a local copy with its age.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mainstay_journal::{Entry, ReadError};
use mainstay_runtime::{
    Answer, Call, CallError, Context, Elapsed, Error, Exercised, Running, Source,
};
use object_store::{Attribute, GetResult};

use crate::accept::unreadable;
use crate::classify::{Failed, Meaning, classify, meaning};
use crate::copies::CopyInfo;
use crate::flow::Flow;
use crate::key::Key;
use crate::objects::{
    ByteRange, Download, Inner, ObjectInfo, Objects, is_outage, to_error, unavailable,
};
use crate::resolve::{Found, bytes_of, info_of_copy, info_of_entry, not_found, outside};
use crate::slice::slice;
use crate::trace::Trace;

/// How often a key is looked up again whose accepted upload reached the store while it was being opened.
const TRIES: usize = 5;

type Ended<T> = (Result<Answer<T>, Error>, Option<CallError<Failed>>);

impl Objects {
    /// Reads an object, or a range of it. Its body comes as a stream; a failure midway is an error in it.
    ///
    /// # Errors
    /// `NotFound` only when the store, or accepted work, says so; `RangeNotSatisfiable`; `Unavailable` when nothing
    /// can answer.
    pub async fn get(
        &self,
        ctx: &Context,
        key: &Key,
        range: Option<ByteRange>,
    ) -> Result<Answer<Download>, Error> {
        let started = self.0.now();
        let senseless = match range {
            Some(ByteRange::Last(count)) => count == 0,
            Some(ByteRange::From { first, last }) => last.is_some_and(|last| last < first),
            None => false,
        };
        if senseless {
            return Err(outside());
        }
        let (result, failure) = self.0.get(ctx, key, range).await;
        self.0.report("get", started, &result, failure.as_ref());
        result
    }

    /// What is known of an object.
    ///
    /// # Errors
    /// As [`Objects::get`].
    pub async fn head(&self, ctx: &Context, key: &Key) -> Result<Answer<ObjectInfo>, Error> {
        let started = self.0.now();
        let (result, failure) = self.0.head(ctx, key).await;
        self.0.report("head", started, &result, failure.as_ref());
        result
    }
}

impl Inner {
    pub(crate) async fn get(
        self: &Arc<Self>,
        ctx: &Context,
        key: &Key,
        range: Option<ByteRange>,
    ) -> Ended<Download> {
        for _ in 0..TRIES {
            match self.resolve(key) {
                Found::Gone => return (Err(not_found(key)), None),
                Found::Store { key: at, accepted } => {
                    let ended = self.get_stored(ctx, key, &at, accepted, range).await;
                    if self.stayed(key, &at) {
                        return ended;
                    }
                }
                Found::Body(entry) => match self.journal.body(entry.id).await {
                    Ok(body) => return (accepted_body(key, &entry, body, range), None),
                    // It has reached the store meanwhile.
                    Err(ReadError::Unknown(_)) => {}
                    Err(error) => return (Err(unreadable(&error)), None),
                },
            }
        }
        (Err(self.changes_too_fast()), None)
    }

    /// Whether what was read from `at` is what `key` was accepted as a copy of: once the copy is made, its source may be
    /// overwritten by what has waited for that.
    fn stayed(&self, key: &Key, at: &Key) -> bool {
        key == at || matches!(self.resolve(key), Found::Store { key, .. } if key == *at)
    }

    fn changes_too_fast(&self) -> Error {
        let detail = "the object changes faster than it can be read";
        unavailable(&self.guard, detail)
    }

    /// Reads `at` for somebody who asked for `key`: the same, or an accepted copy of it.
    async fn get_stored(
        self: &Arc<Self>,
        ctx: &Context,
        key: &Key,
        at: &Key,
        accepted: bool,
        range: Option<ByteRange>,
    ) -> Ended<Download> {
        let (seen, asked) = (self.steady(), self.etags.asked());
        match self.open(ctx, at, range).await {
            Ok((running, result, to_first_byte)) => {
                let copy = range.is_none().then(|| (copy_of(at, &result, seen), asked));
                let info = info_of(key, &result);
                self.etags
                    .saw_since(asked, at.as_str(), info.etag.as_deref());
                self.exercise_copy(at, &info);
                let bytes = result.range.clone();
                let flow = Flow::new(self, running, result, to_first_byte, copy);
                let download = Download {
                    info,
                    range: bytes,
                    body: flow.into_stream(),
                };
                (Ok(Answer::fresh(download, source(accepted))), None)
            }
            Err(error) if is_outage(&error) => match self.copies.read(at).await {
                Some((copy, content)) => (self.copied(key, &copy, content, range), Some(error)),
                None => (Err(self.no_copy(&error, key)), Some(error)),
            },
            Err(error) => {
                self.forget_if_absent(at, &error).await;
                (Err(to_error(&error, key.as_str())), None)
            }
        }
    }

    /// Begins to read from the store: gives the answer's head, and how long it took.
    async fn open(
        &self,
        ctx: &Context,
        key: &Key,
        range: Option<ByteRange>,
    ) -> Result<(Running, GetResult, Duration), CallError<Failed>> {
        let call = self.to_first_byte(Call::new("get", ctx));
        let mut running = self.guard.begin(call).await.map_err(never_failed)?;
        let begun = self.now();
        let until = (begun + self.settings.first_byte).min(ctx.deadline);
        match running
            .run(until, Trace::run(self.store.get(key, range)))
            .await
        {
            Ok((Ok(result), _)) => {
                let took = self.now().saturating_since(begun);
                Ok((running, result, took))
            }
            Ok((Err(error), seen)) => {
                let failed = Failed { error, seen };
                running.settle(classify(&failed));
                Err(CallError::Failed(failed))
            }
            Err(Elapsed) => {
                running.timed_out();
                Err(CallError::Deadline { sent: true })
            }
        }
    }

    /// Now and then, whether the local copy is what the store has. Asked before the copy is renewed by this read.
    fn exercise_copy(self: &Arc<Self>, at: &Key, info: &ObjectInfo) {
        self.guard.exercise(&Source::Cache, || {
            let (inner, at) = (Arc::clone(self), at.clone());
            let (size, etag) = (info.size, info.etag.clone());
            async move {
                let Ok((copy, content)) = inner.copies.examine(&at).await? else {
                    return Some(Exercised::Failed);
                };
                let same = (copy.size, content.len() as u64, copy.etag) == (size, size, etag);
                Some(match same {
                    true => Exercised::Agreed,
                    false => Exercised::Differed,
                })
            }
        });
    }

    fn copied(
        &self,
        key: &Key,
        copy: &CopyInfo,
        content: Bytes,
        range: Option<ByteRange>,
    ) -> Result<Answer<Download>, Error> {
        let range = bytes_of(range, copy.size)?;
        let part = content.slice(range.start as usize..range.end as usize);
        let body = stream::iter((!part.is_empty()).then_some(Ok(part))).boxed();
        let download = Download {
            info: info_of_copy(key, copy),
            range,
            body,
        };
        Ok(Answer::aged(
            download,
            Source::Cache,
            self.age_of(copy.seen),
        ))
    }

    async fn head(self: &Arc<Self>, ctx: &Context, key: &Key) -> Ended<ObjectInfo> {
        for _ in 0..TRIES {
            match self.resolve(key) {
                Found::Gone => return (Err(not_found(key)), None),
                Found::Body(entry) => {
                    let info = info_of_entry(key, &entry);
                    return (Ok(Answer::fresh(info, Source::Journal)), None);
                }
                Found::Store { key: at, accepted } => {
                    let ended = self.head_stored(ctx, key, &at, accepted).await;
                    if self.stayed(key, &at) {
                        return ended;
                    }
                }
            }
        }
        (Err(self.changes_too_fast()), None)
    }

    async fn head_stored(
        self: &Arc<Self>,
        ctx: &Context,
        key: &Key,
        at: &Key,
        accepted: bool,
    ) -> Ended<ObjectInfo> {
        let asked = self.etags.asked();
        let call = self.to_first_byte(Call::new("head", ctx).idempotent());
        match self.call(call, || self.store.head(at)).await {
            Ok(result) => {
                let info = info_of(key, &result);
                self.etags
                    .saw_since(asked, at.as_str(), info.etag.as_deref());
                self.exercise_copy(at, &info);
                (Ok(Answer::fresh(info, source(accepted))), None)
            }
            Err(error) if is_outage(&error) => match self.copies.info(at) {
                Some(copy) => {
                    let age = self.age_of(copy.seen);
                    (
                        Ok(Answer::aged(info_of_copy(key, &copy), Source::Cache, age)),
                        Some(error),
                    )
                }
                None => (Err(self.no_copy(&error, key)), Some(error)),
            },
            Err(error) => {
                self.forget_if_absent(at, &error).await;
                (Err(to_error(&error, key.as_str())), None)
            }
        }
    }

    async fn forget_if_absent(&self, key: &Key, error: &CallError<Failed>) {
        if matches!(error, CallError::Failed(failed) if meaning(failed) == Meaning::Absent) {
            self.copies.forget(key).await;
            self.etags.saw(key.as_str(), None);
        }
    }

    /// The store can't be asked and there is no local copy: whether the object exists isn't known.
    fn no_copy(&self, error: &CallError<Failed>, key: &Key) -> Error {
        let after = to_error(error, key.as_str()).retry_after;
        let detail = format!(
            "the store can't be asked for `{}` now, and there is no local copy of it",
            key.as_str()
        );
        let unavailable = unavailable(&self.guard, detail);
        let after = after.or(unavailable.retry_after);
        unavailable.retry_after(after)
    }
}

fn source(accepted: bool) -> Source {
    if accepted {
        Source::Journal
    } else {
        Source::Primary
    }
}

fn never_failed<E>(error: CallError<std::convert::Infallible>) -> CallError<E> {
    match error {
        CallError::Rejected(rejection) => CallError::Rejected(rejection),
        CallError::Busy { retry_after } => CallError::Busy { retry_after },
        CallError::Deadline { sent } => CallError::Deadline { sent },
        CallError::Failed(never) => match never {},
    }
}

fn accepted_body(
    key: &Key,
    entry: &Entry,
    body: mainstay_journal::Body,
    range: Option<ByteRange>,
) -> Result<Answer<Download>, Error> {
    let info = info_of_entry(key, entry);
    let range = bytes_of(range, info.size)?;
    let body = body.map(|chunk| chunk.map_err(|error| unreadable(&error)));
    let body = slice(body.boxed(), range.clone());
    Ok(Answer::fresh(
        Download { info, range, body },
        Source::Journal,
    ))
}

fn info_of(key: &Key, result: &GetResult) -> ObjectInfo {
    ObjectInfo {
        key: key.as_str().to_owned(),
        size: result.meta.size,
        etag: result.meta.e_tag.clone(),
        content_type: content_type(result),
        last_modified: crate::store::timestamp(&result.meta),
    }
}

fn copy_of(key: &Key, result: &GetResult, seen: jiff::Timestamp) -> CopyInfo {
    let modified = crate::store::timestamp(&result.meta);
    CopyInfo::of(
        key,
        result.meta.e_tag.clone(),
        content_type(result),
        modified,
        seen,
    )
}

fn content_type(result: &GetResult) -> Option<String> {
    result
        .attributes
        .get(&Attribute::ContentType)
        .map(|kind| kind.as_ref().to_owned())
}
