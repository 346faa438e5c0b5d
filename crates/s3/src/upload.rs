//! Uploads: to the store while it takes them, else into the journal, also when it fails midway.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use mainstay_journal::{AppendError, Bound};
use mainstay_runtime::{Answer, Call, CallError, Context, Error, ErrorKind};

use crate::classify::{Failed, Meaning, meaning};
use crate::copies::CopyInfo;
use crate::intake::{Intake, Tee};
use crate::key::Key;
use crate::objects::{
    DEPENDENCY, Inner, Objects, PUT, Receipt, Upload, is_outage, to_error, unavailable,
};
use crate::once::Once;
use crate::parts::PART;
use crate::standing::Present;
use crate::staying::to_the_end;
use crate::store::{About, Condition};
use crate::turns::Asked;
use crate::unanswered::{Ended, lost, outcome_unknown};
use crate::writes::stored;

impl Objects {
    /// Stores an object, or accepts it for later when the store can't take it now: also when it fails midway, since
    /// the body is kept on our disk until the store has it all.
    ///
    /// A conditional upload is never accepted for later, has at most [`PART`] bytes, and needs a store that honours
    /// conditions.
    ///
    /// # Errors
    /// The caller's mistakes (`TooLarge`, `MalformedInput`, `InvalidInput`): nothing was stored.
    /// `PreconditionFailed`; `Unsupported` and `Unavailable` when a condition can't be checked; `OutcomeUnknown` when
    /// it was sent and not answered, and is conditional or can't be accepted for later; `Conflict`, worth a retry, while
    /// a request with the idempotency key runs; `KeyReused`; `JournalFull` when it can be neither stored nor accepted;
    /// `Busy` when it comes in another dependency's place and finds none.
    ///
    /// # Cancel safety
    /// Dropped before the body's end, nothing is stored or accepted. Dropped after it, either may have happened; with an
    /// idempotency key, what is at the store by then goes on to its end.
    pub async fn put<S, E>(
        &self,
        ctx: &Context,
        key: &Key,
        body: S,
        upload: &Upload,
    ) -> Result<Answer<Receipt>, Error>
    where
        S: Stream<Item = Result<Bytes, E>> + Send,
    {
        let started = self.0.now();
        check(upload)?;
        let body = body.map(|chunk| chunk.map_err(drop)).boxed();
        let words = [
            PUT,
            key.as_str(),
            upload.content_type.as_deref().unwrap_or_default(),
            &format!("{:?}", upload.condition),
        ];
        let once = self.0.once(upload.once.as_ref(), &words).await?;
        let put = Arc::new(Put {
            key: key.clone(),
            upload: upload.clone(),
            once,
        });
        let once = put.once.as_deref();
        let intake = Intake::new(body, self.max_object(), upload.length, once);
        let (result, failure) = match intake {
            Ok(intake) => self.0.upload(ctx, &put, intake).await,
            Err(error) => (Err(error), None),
        };
        self.0.report("put", started, &result, failure.as_ref());
        result
    }
}

fn check(upload: &Upload) -> Result<(), Error> {
    let kind = upload.content_type.as_deref();
    if kind.is_some_and(|kind| {
        kind.is_empty() || http::HeaderValue::from_str(kind).is_err() || !kind.is_ascii()
    }) {
        return Err(Error::invalid(
            "content-type",
            "a media type is ASCII text without control characters",
        ));
    }
    if upload.condition != Condition::None
        && upload.length.is_some_and(|length| length > PART as u64)
    {
        return Err(too_large_for_condition());
    }
    Ok(())
}

fn too_large_for_condition() -> Error {
    Error::invalid(
        "body",
        format!("an upload with a condition has at most {PART} bytes"),
    )
}

fn no_room() -> Error {
    let detail = "other uploads fill the memory that s3.upload_memory gives them";
    Error::new(ErrorKind::Busy, detail)
        .dependency(DEPENDENCY)
        .retry_after(Some(Duration::from_secs(1)))
}

/// An upload under way.
pub(crate) struct Put {
    pub(crate) key: Key,
    upload: Upload,
    pub(crate) once: Option<Arc<Once>>,
}

impl Put {
    pub(crate) fn content_type(&self) -> Option<&str> {
        self.upload.content_type.as_deref()
    }
}

impl Inner {
    async fn upload(
        self: &Arc<Self>,
        ctx: &Context,
        put: &Arc<Put>,
        mut intake: Intake<'_>,
    ) -> Ended {
        if let Some(once) = put.once.as_deref().filter(|once| once.is_known()) {
            let again = match intake.skip().await {
                Ok(()) => once.replay(),
                Err(error) => Some(Err(error)),
            };
            if let Some(outcome) = again {
                return (outcome, None);
            }
        }
        let Put { key, upload, .. } = &**put;
        let conditional = upload.condition != Condition::None;
        if conditional {
            if let Err(error) = self.can_check(key).await {
                return (Err(error), None);
            }
        } else if self.is_pending(key) || self.guard.is_open() {
            return (self.take_in(put, self.tee(), intake).await, None);
        }
        let until = self.now() + self.settings.first_byte;
        match intake.has_room(&self.room, until).await {
            Ok(true) => {}
            // As one that finds no place among the calls of the store.
            Ok(false) if !conditional && !self.guard.is_instead(ctx.instead_of) => {
                return (self.take_in(put, self.tee(), intake).await, None);
            }
            Ok(false) => {
                intake.let_finish().await;
                return (Err(no_room()), None);
            }
            Err(error) => return (Err(error), None),
        }
        let first = match intake.part().await {
            Ok(first) => first,
            Err(error) => return (Err(error), None),
        };
        if intake.is_done() {
            let (inner, ctx, owned) = (Arc::clone(self), *ctx, Arc::clone(put));
            let room = intake.give_room();
            let write = async move {
                let _held = room;
                inner.put_whole(&ctx, &owned, first).await
            };
            let staying = self.staying(put.once.as_deref(), key);
            to_the_end(staying, write, || lost(key)).await
        } else if conditional {
            (Err(too_large_for_condition()), None)
        } else {
            self.put_in_parts(ctx, put, first, intake).await
        }
    }

    async fn put_whole(&self, ctx: &Context, put: &Put, body: Bytes) -> Ended {
        let (key, kind) = (&put.key, put.content_type());
        let mut about = self.about(key, kind, None);
        if let Some(once) = &put.once {
            about.mark = format!("{}/{}", about.mark, once.mark());
        }
        let asked = self.etags.asked();
        match self
            .put_one(ctx, key, &body, &about, &put.upload.condition)
            .await
        {
            Ok(etag) => (self.keep_stored(put, body, etag, asked).await, None),
            Err(unwritten) if put.upload.condition != Condition::None => {
                match self.finds_itself(ctx, put, &about, &unwritten.error).await {
                    Ok(None) => {}
                    Ok(Some(etag)) => {
                        return (self.keep_stored(put, body, etag, asked).await, None);
                    }
                    Err(error) => return (Err(outcome_unknown(key)), Some(error)),
                }
                let error = to_error(&unwritten.error, key.as_str());
                let ended = unwritten.or_accepted(Err(error), key);
                (ended, Some(unwritten.error))
            }
            Err(unwritten) => {
                let may = may_accept(&unwritten.error);
                let accepted = async {
                    let mut tee = self.tee();
                    tee.write(&body).await;
                    self.accept(put, tee).await
                };
                self.or_later(ctx, unwritten, may, (key, key), accepted)
                    .await
            }
        }
    }

    /// Keeps the outcome of what the store has taken, and a local copy.
    async fn keep_stored(
        &self,
        put: &Put,
        body: Bytes,
        etag: Option<String>,
        asked: Asked,
    ) -> Result<Answer<Receipt>, Error> {
        if put.once.is_some() && self.copies.has(&put.key) {
            // The outcome may be told again by a process that comes before the new copy.
            self.copies.drop_copy(&put.key).await;
        }
        self.keep_outcome(put.once.as_deref(), etag.as_deref())
            .await;
        self.keep_copy(&put.key, body, etag.clone(), put.content_type(), asked)
            .await;
        Ok(stored(etag))
    }

    /// Whether a condition fails because this same request, sent before and not answered, has been carried out. Gives
    /// the ETag that it has left.
    async fn finds_itself(
        &self,
        ctx: &Context,
        put: &Put,
        about: &About,
        error: &CallError<Failed>,
    ) -> Result<Option<Option<String>>, CallError<Failed>> {
        let fails = matches!(error, CallError::Failed(failed) if meaning(failed) == Meaning::ConditionFailed);
        if put.once.is_none() || !fails {
            return Ok(None);
        }
        let call = self.to_first_byte(Call::new("head", ctx).idempotent());
        match self.call(call, || self.store.head(&put.key)).await {
            Ok(result) => {
                let there = Present::of(&result);
                Ok((there.mark.as_ref() == Some(&about.mark)).then_some(there.etag))
            }
            Err(CallError::Failed(failed)) if meaning(&failed) == Meaning::Absent => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Takes the rest of a body into the spool and accepts it.
    pub(crate) async fn take_in(
        &self,
        put: &Put,
        mut tee: Tee,
        mut intake: Intake<'_>,
    ) -> Result<Answer<Receipt>, Error> {
        while !intake.is_done() {
            if let Some(error) = tee.failure() {
                intake.let_finish().await;
                return Err(self.not_accepted(error));
            }
            tee.write(&intake.piece().await?).await;
        }
        self.accept(put, tee).await
    }

    pub(crate) fn tee(&self) -> Tee {
        Tee::new(self.journal.spool())
    }

    async fn accept(&self, put: &Put, tee: Tee) -> Result<Answer<Receipt>, Error> {
        let body = tee.finish().await.map_err(|e| self.not_accepted(&e))?;
        if put.upload.half_journal {
            self.fits_in_half(body.len())?;
        }
        self.accept_put(&put.key, put.content_type(), body, put.once.as_deref())
            .await
    }

    /// Whether half of the journal's bounds leave room for one more body: what is left is for those who need it more.
    fn fits_in_half(&self, bytes: u64) -> Result<(), Error> {
        let (held, most) = (self.journal.stats(), self.journal.settings());
        let which = if held.entries >= most.max_entries / 2 {
            Bound::Entries
        } else if held.bytes.saturating_add(bytes) > most.max_bytes / 2 {
            Bound::Bytes
        } else {
            return Ok(());
        };
        Err(self.not_accepted(&AppendError::Full { which }))
    }

    /// Keeps what the store has just taken as a local copy, and none of what was there before.
    pub(crate) async fn keep_copy(
        &self,
        key: &Key,
        content: Bytes,
        etag: Option<String>,
        content_type: Option<&str>,
        asked: Asked,
    ) {
        self.etags.wrote(asked, key.as_str(), etag.as_deref());
        let Some(written) = self.copies.wrote(key, asked) else {
            return self.copies.forget(key).await;
        };
        let is_current = |key: &str| self.etags.is_current(asked, key);
        let info = CopyInfo::of(
            key,
            etag,
            content_type.map(str::to_owned),
            None,
            self.steady(),
        );
        let kept = self.copies.keep(info, content, written, is_current);
        if !kept.await {
            self.copies.forget(key).await;
        }
    }

    /// Whether the condition of an upload can be checked now, which only the store can do.
    async fn can_check(&self, key: &Key) -> Result<(), Error> {
        if self.is_pending(key) {
            let detail = format!(
                "the condition on `{}` can't be checked until accepted work on it has reached the store",
                key.as_str()
            );
            return Err(unavailable(&self.guard, detail));
        }
        if self.guard.is_open() {
            return Err(unavailable(
                &self.guard,
                "a condition can't be checked while the store is down",
            ));
        }
        match self.honours_conditions().await {
            Some(true) => Ok(()),
            Some(false) => Err(Error::new(
                ErrorKind::Unsupported,
                "this store does not honour If-None-Match and If-Match on writes",
            )
            .dependency(DEPENDENCY)),
            None => Err(unavailable(
                &self.guard,
                "whether the store honours conditions can't be found out now",
            )),
        }
    }
}

/// Whether an unconditional upload that failed like this may be accepted for later: the store is in trouble, lost
/// track of the upload, or was busy with another write to the key.
pub(crate) fn may_accept(error: &CallError<Failed>) -> bool {
    let lost =
        |failed: &Failed| matches!(meaning(failed), Meaning::Absent | Meaning::ConditionFailed);
    is_outage(error) || matches!(error, CallError::Failed(failed) if lost(failed))
}
