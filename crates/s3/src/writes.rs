//! Deletes and copies: in the store, or accepted for later.

use std::sync::Arc;

use mainstay_runtime::{Answer, Call, Context, Error, Source};

use crate::arriving::Arriving;
use crate::etags::Target;
use crate::key::Key;
use crate::objects::{COPY, DELETE, Inner, Objects, Receipt, is_outage};
use crate::once::{Once, OnceKey};
use crate::staying::to_the_end;
use crate::unanswered::{Ended, Unwritten, lost};

impl Objects {
    /// Deletes an object; one that isn't there is deleted already. While the store is down the delete is accepted,
    /// and the object is gone for readers from then on.
    ///
    /// # Errors
    /// `JournalFull` when it can be neither carried out nor accepted, `OutcomeUnknown` when it was sent and not answered
    /// besides; `Busy` when it comes in another dependency's place and finds none; `Conflict`, worth a retry, while a
    /// request with the idempotency key runs; `KeyReused`.
    ///
    /// # Cancel safety
    /// Dropped midway, it may or may not have been carried out or accepted; with an idempotency key, what is at the store by
    /// then goes on to its end.
    pub async fn delete(
        &self,
        ctx: &Context,
        key: &Key,
        once: Option<&OnceKey>,
    ) -> Result<Answer<Receipt>, Error> {
        let started = self.0.now();
        let once = self.0.once(once, &[DELETE, key.as_str()]).await?;
        let (result, failure) = match once.as_deref().and_then(Once::replay) {
            Some(outcome) => (outcome, None),
            None => {
                let (inner, ctx, at) = (Arc::clone(&self.0), *ctx, key.clone());
                let staying = self.0.staying(once.as_deref(), key);
                let write = async move { inner.delete(&ctx, &at, once.as_deref()).await };
                to_the_end(staying, write, || lost(key)).await
            }
        };
        self.0.report("delete", started, &result, failure.as_ref());
        result
    }

    /// Copies an object. While the store is down the copy is accepted, of the source as it is now.
    ///
    /// # Errors
    /// `NotFound` when there is no source; `JournalFull` and `Busy` as for [`Objects::delete`]; `Conflict`, worth a retry,
    /// while a request with the idempotency key runs; `KeyReused`.
    ///
    /// # Cancel safety
    /// As [`Objects::delete`].
    pub async fn copy(
        &self,
        ctx: &Context,
        from: &Key,
        to: &Key,
        once: Option<&OnceKey>,
    ) -> Result<Answer<Receipt>, Error> {
        if from == to {
            return Err(Error::invalid(
                "to",
                "the source and the target of a copy are the same",
            ));
        }
        let started = self.0.now();
        let words = [COPY, from.as_str(), to.as_str()];
        let once = self.0.once(once, &words).await?;
        let (result, failure) = match once.as_deref().and_then(Once::replay) {
            Some(outcome) => (outcome, None),
            None => {
                let (inner, ctx) = (Arc::clone(&self.0), *ctx);
                let staying = self.0.staying(once.as_deref(), to);
                let (source, at) = (from.clone(), to.clone());
                let write = async move { inner.copy(&ctx, &source, &at, once.as_deref()).await };
                to_the_end(staying, write, || lost(to)).await
            }
        };
        self.0.report("copy", started, &result, failure.as_ref());
        result
    }
}

impl Inner {
    /// What a write is to know whose caller may leave: nothing, without an idempotency key.
    pub(crate) fn staying(&self, once: Option<&Once>, key: &Key) -> Option<(Arriving, Key)> {
        once.map(|_| (self.staying.clone(), key.clone()))
    }

    async fn delete(&self, ctx: &Context, key: &Key, once: Option<&Once>) -> Ended {
        if self.is_pending(key) {
            return (self.accept_delete(key, once).await, None);
        }
        let call = self.to_first_byte(Call::new("delete", ctx).idempotent());
        match self.write(call, || self.store.delete(key)).await {
            Ok(()) => {
                self.copies.forget(key).await;
                self.keep_outcome(once, None).await;
                self.etags.saw(key.as_str(), None);
                (Ok(stored(None)), None)
            }
            Err(unwritten) => {
                let may = is_outage(&unwritten.error);
                let accepted = self.accept_delete(key, once);
                self.or_later(ctx, unwritten, may, (key, key), accepted)
                    .await
            }
        }
    }

    async fn copy(&self, ctx: &Context, from: &Key, to: &Key, once: Option<&Once>) -> Ended {
        if self.is_pending(to) || self.has_work(from) {
            return (self.accept_copy(from, to, once).await, None);
        }
        let call = Call::new("copy", ctx)
            .idempotent()
            .no_later_than(self.now() + self.settings.idle);
        match self.copy_in_store(call, from, to).await {
            Ok(()) => {
                self.keep_outcome(once, None).await;
                (Ok(stored(None)), None)
            }
            Err(unwritten) => {
                let may = is_outage(&unwritten.error);
                let accepted = self.accept_copy(from, to, once);
                self.or_later(ctx, unwritten, may, (to, from), accepted)
                    .await
            }
        }
    }

    /// Copies in the store. What is known of the target, and its local copy, are given up before that: whoever hears how
    /// it ends, nobody takes them for what it leaves, nor does the next process.
    pub(crate) async fn copy_in_store(
        &self,
        call: Call,
        from: &Key,
        to: &Key,
    ) -> Result<(), Unwritten> {
        let target = self.etags.target(to.as_str());
        if !self.guard.is_open() {
            // Before the call: our own disk must not take the store's time.
            self.give_up(&target, to).await;
        }
        let copy = || async {
            self.give_up(&target, to).await;
            self.store.copy(from, to).await
        };
        let copied = self.write(call, copy).await;
        target.ended(copied.as_ref().err().is_none_or(|e| e.may_be_done));
        copied
    }

    async fn give_up(&self, target: &Target<'_>, key: &Key) {
        target.may_change();
        if self.copies.has(key) {
            self.copies.forget(key).await;
        }
    }
}

pub(crate) fn stored(etag: Option<String>) -> Answer<Receipt> {
    Answer::fresh(Receipt::Stored { etag }, Source::Primary)
}
