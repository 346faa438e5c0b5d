//! Chats that are streamed.
//!
//! Up to the first content nothing is passed on, so that another provider can take over unseen. After it the stream
//! ends well or with an error, and never in between: an answer that isn't whole never looks as if it were.

mod events;
mod lane;
mod opening;
mod pump;
mod upstream;
mod whole;

use std::collections::VecDeque;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::{self, BoxStream};
use mainstay_breaker::Moment;
use mainstay_runtime::{Answer, Context, Error, Report, Source, Status};
use serde_json::{Value, json};

use crate::cache::Key;
use crate::failover::{self, Ended, Given};
use crate::models::{Models, Told, not_configured};
use crate::reply::ChatReply;
use crate::request::{ChatRequest, Operation};
use lane::{Receiver, Sender};
use opening::{Opened, StreamQuestion};
use pump::{Ending, Pump};

/// A chat's chunks, each as JSON on one line in the API's own form.
///
/// Dropped, it cancels the provider's call.
#[derive(Debug)]
pub struct ChatStream(Chunks);

#[derive(Debug)]
enum Chunks {
    Live(Receiver),
    Kept(VecDeque<Bytes>),
}

impl ChatStream {
    /// The next chunk. `None`: the answer is whole. An error stands for the rest, and nothing follows it.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&mut self) -> Option<Result<Bytes, Error>> {
        match &mut self.0 {
            Chunks::Live(receiver) => receiver.next().await,
            Chunks::Kept(chunks) => chunks.pop_front().map(Ok),
        }
    }

    /// The same as a stream.
    pub fn into_stream(self) -> BoxStream<'static, Result<Bytes, Error>> {
        stream::unfold(self, |mut chunks| async move {
            let next = chunks.next().await?;
            Some((next, chunks))
        })
        .boxed()
    }

    fn kept(reply: &ChatReply, with_usage: bool) -> Self {
        let chunks = whole::chunks(reply, with_usage);
        let json = |chunk: &Value| Bytes::from(chunk.to_string());
        Self(Chunks::Kept(chunks.iter().map(json).collect()))
    }
}

/// What is known of a stream from its beginning.
struct Begun {
    key: Key,
    started: Moment,
    deadline: Moment,
    preferred: bool,
}

impl Models {
    /// Continues a conversation, chunk by chunk. The answer comes back with the first content, until which the next
    /// provider is tried when one fails. A whole answer is kept as [`Models::chat`] keeps its own, and either is
    /// given from what the other has kept.
    ///
    /// # Errors
    /// As [`Models::chat`]; what goes wrong after the first content is told by the stream.
    ///
    /// # Cancel safety
    /// Dropping the future or the stream cancels the provider's call.
    pub async fn chat_stream(
        &self,
        ctx: &Context,
        request: ChatRequest,
    ) -> Result<Answer<ChatStream>, Error> {
        request.validate()?;
        let first = self.inner.providers.first().ok_or_else(not_configured)?;
        let started = first.guard.now();
        let opening = ctx.deadline.min(started + self.inner.total_deadline);
        let deadline = ctx.deadline.min(started + self.inner.stream_deadline);
        let with_usage = request.wants_usage();
        let mut body = request.body();
        let identity = json!({ "model": request.model, "body": body });
        body.extend(
            request
                .stream_options
                .clone()
                .map(|given| ("stream_options".into(), given)),
        );
        let question = StreamQuestion {
            ctx,
            model: request.model.as_deref(),
            body,
            with_usage,
            first_content: self.inner.first_content,
        };
        let key = Key::new(ctx.caller, Operation::Chat, &identity);
        let told: Told<ChatReply> = match failover::ask(self.among(), &question, opening).await {
            Ok(given) => {
                let begun = Begun {
                    key,
                    started,
                    deadline,
                    preferred: given.preferred,
                };
                return Ok(self.live(given, begun));
            }
            Err(Ended::No(error)) => Told::not(Status::Success, None, error),
            Err(Ended::Unusable(error)) => self.unusable(key, error),
            Err(Ended::Missed(missed)) => self.missed(key, &missed),
        };
        let answer = self.told(Operation::Chat, started, told)?;
        Ok(answer.map(|reply| ChatStream::kept(&reply, with_usage)))
    }

    fn live(&self, given: Given<'_, Opened>, begun: Begun) -> Answer<ChatStream> {
        let provider = given.provider;
        let guard = &provider.guard;
        let Opened {
            running,
            upstream,
            held,
            to_content,
        } = given.value;
        let pump = Pump {
            clock: guard.clock(),
            provider: provider.name().to_owned(),
            running,
            upstream,
            to_content,
            idle: self.inner.idle,
            slow_after: guard.slow_after(),
            deadline: begun.deadline,
        };
        let source = Source::Provider(provider.name().to_owned());
        let (sender, receiver) = lane::lane();
        let (models, by) = (self.clone(), source.clone());
        tokio::spawn(async move {
            let ending = pump.run(held, &sender).await;
            models.ended(ending, &begun, by, &sender);
            models.wait_for_reader(begun.deadline, &sender).await;
        });
        Answer::fresh(ChatStream(Chunks::Live(receiver)), source)
    }

    /// Keeps what is whole, reports, and only then tells the reader.
    fn ended(&self, ending: Ending, begun: &Begun, by: Source, lane: &Sender) {
        let (status, source, kind, end) = match ending {
            Ending::Whole(reply) => {
                if let Some(reply) = reply {
                    self.keep(begun.key, &reply);
                }
                let status = match begun.preferred {
                    true => Status::Success,
                    false => Status::Fallback,
                };
                (status, Some(by), None, Ok(()))
            }
            Ending::Failed(kind, error) => (Status::Failure, None, kind, Err(error)),
            Ending::Behind(error) => (Status::Failure, None, None, Err(error)),
            Ending::Left => return,
        };
        if let Some(first) = self.inner.providers.first() {
            first.guard.report(&Report {
                operation: Operation::Chat.name(),
                status,
                source,
                error: kind,
                elapsed: first.guard.now().saturating_since(begun.started),
            });
        }
        lane.end(end);
    }

    /// What waits for a reader who has stopped reading is not kept for ever.
    async fn wait_for_reader(&self, deadline: Moment, lane: &Sender) {
        let Some(first) = self.inner.providers.first() else {
            return;
        };
        let clock = first.guard.clock();
        if clock.until(deadline, lane.over()).await.is_err() {
            lane.expire(pump::unread());
        }
    }
}
