//! Uploads of more than one part: what the store doesn't take to the end goes on into the journal.

use std::sync::Arc;

use bytes::Bytes;
use mainstay_runtime::{CallError, Context, Error};

use crate::classify::Failed;
use crate::intake::{Intake, Tee};
use crate::objects::Inner;
use crate::parts::Sending;
use crate::staying::to_the_end;
use crate::unanswered::{Ended, Unwritten};
use crate::upload::{Put, may_accept};
use crate::writes::stored;

impl Inner {
    /// Uploads a body of which the first part has come and more comes.
    pub(crate) async fn put_in_parts(
        self: &Arc<Self>,
        ctx: &Context,
        put: &Arc<Put>,
        first: Bytes,
        mut intake: Intake<'_>,
    ) -> Ended {
        let key = &put.key;
        let mut tee = self.tee();
        match self
            .send_parts(ctx, put, first, &mut intake, &mut tee)
            .await
        {
            Ok(etag) => (Ok(stored(etag)), None),
            Err(Unsent::Caller(error)) => (Err(error), None),
            Err(Unsent::Store(unwritten)) => {
                let may = may_accept(&unwritten.error);
                let accepted = self.take_in(put, tee, intake);
                self.or_later(ctx, unwritten, may, (key, key), accepted)
                    .await
            }
        }
    }

    async fn send_parts(
        self: &Arc<Self>,
        ctx: &Context,
        put: &Arc<Put>,
        first: Bytes,
        intake: &mut Intake<'_>,
        tee: &mut Tee,
    ) -> Result<Option<String>, Unsent> {
        tee.write(&first).await;
        let about = self.about(&put.key, put.content_type(), None);
        let mut sending = Sending::start(self, ctx, &put.key, &about).await?;
        let mut part = first;
        loop {
            sending.part(&part).await?;
            if intake.is_done() {
                return Ok(self.complete(put, sending).await?);
            }
            // Gone before the next one comes.
            drop(part);
            part = intake.part().await?;
            tee.write(&part).await;
        }
    }

    async fn complete(
        self: &Arc<Self>,
        put: &Arc<Put>,
        sending: Sending,
    ) -> Result<Option<String>, Unwritten> {
        let (inner, owned) = (Arc::clone(self), Arc::clone(put));
        let write = async move {
            let asked = inner.etags.asked();
            let etag = sending.complete().await?;
            inner.copies.forget(&owned.key).await;
            inner
                .keep_outcome(owned.once.as_deref(), etag.as_deref())
                .await;
            inner
                .etags
                .wrote(asked, owned.key.as_str(), etag.as_deref());
            Ok(etag)
        };
        let staying = self.staying(put.once.as_deref(), &put.key);
        to_the_end(staying, write, || {
            Err(Unwritten {
                error: CallError::Deadline { sent: true },
                may_be_done: true,
            })
        })
        .await
    }
}

/// Why an upload did not reach its end.
enum Unsent {
    Caller(Error),
    Store(Unwritten),
}

impl From<Error> for Unsent {
    fn from(error: Error) -> Self {
        Self::Caller(error)
    }
}

impl From<CallError<Failed>> for Unsent {
    fn from(error: CallError<Failed>) -> Self {
        Self::Store(error.into())
    }
}

impl From<Unwritten> for Unsent {
    fn from(unwritten: Unwritten) -> Self {
        Self::Store(unwritten)
    }
}
