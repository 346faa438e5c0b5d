//! The body of a download on its way from the store to a caller, and the verdict on it.
//!
//! Between chunks the caller is waited for: a reader in no hurry holds no place under the in-flight limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mainstay_runtime::breaker::FailureKind;
use mainstay_runtime::{Direction, Elapsed, Error, Moment, Running, Verdict};
use object_store::GetResult;

use crate::copies::CopyInfo;
use crate::objects::{DEPENDENCY, Inner};
use crate::turns::Asked;

/// A body being read. Time between chunks counts only while the store is waited for.
pub(crate) struct Flow {
    inner: Arc<Inner>,
    running: Running,
    body: BoxStream<'static, object_store::Result<Bytes>>,
    /// Bytes still to come.
    left: u64,
    to_first_byte: Duration,
    /// Since when the store is waited for.
    waiting: Option<Moment>,
    has_content: bool,
    copy: Option<(CopyInfo, Asked, BytesMut)>,
    ended: bool,
}

impl Flow {
    pub(crate) fn new(
        inner: &Arc<Inner>,
        mut running: Running,
        result: GetResult,
        to_first_byte: Duration,
        copy: Option<(CopyInfo, Asked)>,
    ) -> Self {
        let left = result.range.end - result.range.start;
        let is_small = left <= inner.copies.max_one();
        running.pause();
        Self {
            inner: Arc::clone(inner),
            running,
            left,
            to_first_byte,
            waiting: None,
            has_content: false,
            copy: copy
                .filter(|_| is_small)
                .map(|(info, asked)| (info, asked, BytesMut::new())),
            ended: false,
            body: result.into_stream(),
        }
    }

    pub(crate) fn into_stream(self) -> BoxStream<'static, Result<Bytes, Error>> {
        stream::unfold(self, |mut flow| async move {
            flow.next().await.map(|item| (item, flow))
        })
        .boxed()
    }

    async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        if self.ended {
            return None;
        }
        if self.left == 0 {
            self.finish().await;
            return None;
        }
        self.running.resume();
        let item = self.read().await;
        self.running.pause();
        Some(item)
    }

    async fn read(&mut self) -> Result<Bytes, Error> {
        let now = self.inner.now();
        self.waiting = Some(now);
        let clock = self.inner.guard.clock();
        let chunk = clock
            .until(now + self.inner.settings.idle, self.body.next())
            .await;
        self.waiting = None;
        match chunk {
            Ok(Some(Ok(chunk))) if chunk.len() as u64 <= self.left => {
                self.take(&chunk);
                if self.left == 0 {
                    self.finish().await;
                }
                Ok(chunk)
            }
            Err(Elapsed) => {
                self.ended = true;
                self.running.timed_out();
                Err(broken("the store stopped sending the object midway"))
            }
            // An error, too much, or an end that comes too early.
            Ok(_) => {
                self.ended = true;
                let verdict = Verdict::failure(FailureKind::Protocol);
                self.running.settle_after(verdict, self.to_first_byte);
                Err(broken("the store broke off the object midway"))
            }
        }
    }

    fn take(&mut self, chunk: &Bytes) {
        self.running.first_content();
        self.has_content = true;
        self.left -= chunk.len() as u64;
        self.inner
            .guard
            .report_bytes(Direction::Download, chunk.len() as u64);
        if let Some((_, _, content)) = &mut self.copy {
            content.extend_from_slice(chunk);
        }
    }

    async fn finish(&mut self) {
        self.ended = true;
        self.running
            .settle_after(Verdict::SUCCESS, self.to_first_byte);
        if let Some((info, asked, content)) = self.copy.take() {
            let is_current = |key: &str| self.inner.etags.is_current(asked, key);
            let copies = &self.inner.copies;
            copies.keep(info, content.freeze(), asked, is_current).await;
        }
    }
}

impl Drop for Flow {
    /// A caller that goes away while it is the one waited for says nothing about the store.
    fn drop(&mut self) {
        let now = self.inner.now();
        let patient = |since: Moment| now.saturating_since(since) < self.inner.settings.first_byte;
        if !self.ended && self.has_content && self.waiting.is_none_or(patient) {
            self.running
                .settle_after(Verdict::NEUTRAL, self.to_first_byte);
        }
    }
}

fn broken(detail: &str) -> Error {
    Error::unavailable(DEPENDENCY, detail)
}
