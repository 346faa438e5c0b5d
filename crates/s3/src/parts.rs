//! Sends a body to the store, in one piece or in parts, each a guarded call of its own: time spent waiting for the
//! body between them isn't the store's.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_runtime::{Call, CallError, Context, Direction, Moment};
use object_store::PutPayload;

use crate::classify::Failed;
use crate::key::{Key, is_canary};
use crate::multipart::{Multipart, Part};
use crate::objects::Inner;
use crate::store::{About, Condition};
use crate::unanswered::Unwritten;

/// Bytes of one part; larger bodies go up in parts.
pub const PART: usize = 8 << 20;
/// How long the store is asked to forget an upload that won't be completed.
const ABORT: Duration = Duration::from_secs(5);

impl Inner {
    /// How long a body of so many bytes may take: the time to the first byte, growing to `idle` for a whole part.
    pub(crate) fn time_for(&self, bytes: usize) -> Duration {
        let more = self.settings.idle.saturating_sub(self.settings.first_byte);
        self.settings.first_byte + more.mul_f64(bytes.min(PART) as f64 / PART as f64)
    }

    /// Puts a body of up to one part. Gives the ETag.
    pub(crate) async fn put_one(
        &self,
        ctx: &Context,
        key: &Key,
        body: &Bytes,
        about: &About,
        condition: &Condition,
    ) -> Result<Option<String>, Unwritten> {
        let call = Call::new("put", ctx).no_later_than(self.now() + self.time_for(body.len()));
        // A condition may fail the second time because the first time worked.
        let call = if *condition == Condition::None {
            call.idempotent()
        } else {
            call
        };
        let put = || {
            self.store
                .put(key, PutPayload::from(body.clone()), about, condition)
        };
        let done = self.write(call, put).await?;
        if !is_canary(key.as_str()) {
            self.guard
                .report_bytes(Direction::Upload, body.len() as u64);
        }
        Ok(done.e_tag)
    }
}

/// An upload in parts. Dropped before it is complete, the store is asked to forget it.
pub(crate) struct Sending {
    inner: Arc<Inner>,
    ctx: Context,
    upload: Option<Multipart>,
    parts: Vec<Part>,
}

impl Sending {
    pub(crate) async fn start(
        inner: &Arc<Inner>,
        ctx: &Context,
        key: &Key,
        about: &About,
    ) -> Result<Self, CallError<Failed>> {
        let call = inner.to_first_byte(Call::new("put_begin", ctx).idempotent());
        let upload = inner
            .call(call, || Multipart::start(&inner.store, key, about))
            .await?;
        Ok(Self {
            inner: Arc::clone(inner),
            ctx: *ctx,
            upload: Some(upload),
            parts: Vec::new(),
        })
    }

    /// Sends the next part.
    pub(crate) async fn part(&mut self, body: &Bytes) -> Result<(), CallError<Failed>> {
        let Some(upload) = &self.upload else {
            return Ok(());
        };
        let call = Call::new("put_part", &self.ctx).no_later_than(self.until(body.len()));
        let call = if upload.can_repeat() {
            call.idempotent()
        } else {
            call
        };
        let index = self.parts.len();
        let part = self
            .inner
            .call(call, || {
                upload.put_part(index, PutPayload::from(body.clone()))
            })
            .await?;
        self.parts.push(part);
        self.inner
            .guard
            .report_bytes(Direction::Upload, body.len() as u64);
        Ok(())
    }

    /// Makes the parts an object. Gives the ETag.
    pub(crate) async fn complete(mut self) -> Result<Option<String>, Unwritten> {
        let Some(upload) = &self.upload else {
            return Ok(None);
        };
        // Not repeated: the second time, the store knows no such upload. Stores may take long to put the parts together.
        let call = Call::new("put_end", &self.ctx).no_later_than(self.until(PART));
        let done = self
            .inner
            .write(call, || upload.complete(&self.parts))
            .await?;
        self.upload = None;
        Ok(done.e_tag)
    }

    fn until(&self, bytes: usize) -> Moment {
        self.inner.now() + self.inner.time_for(bytes)
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        let (Some(upload), Ok(runtime)) =
            (self.upload.take(), tokio::runtime::Handle::try_current())
        else {
            return;
        };
        let clock = self.inner.guard.clock();
        runtime.spawn(async move {
            // Without an answer the parts stay with the store, for its own rule about incomplete uploads.
            let done = clock.until(clock.now() + ABORT, upload.abort()).await;
            tracing::debug!(
                aborted = matches!(done, Ok(Ok(()))),
                "gave up an upload in parts"
            );
        });
    }
}
