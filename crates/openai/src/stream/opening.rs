//! A streamed chat up to its first content: until then another provider can still take its place.

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use mainstay_runtime::{CallError, Context, Elapsed, Running};
use serde_json::{Map, Value, json};

use crate::classify::classify;
use crate::failover::{Ask, Turn};
use crate::fault::Fault;
use crate::provider::Provider;
use crate::request::Operation;
use crate::stream::upstream::{Chunk, Upstream};

/// One chat to be streamed by any provider.
pub(crate) struct StreamQuestion<'a> {
    pub(crate) ctx: &'a Context,
    pub(crate) model: Option<&'a str>,
    /// What is sent, but for the model.
    pub(crate) body: Map<String, Value>,
    pub(crate) with_usage: bool,
    /// Longest wait for the first content.
    pub(crate) first_content: Duration,
}

/// A stream whose first content is here.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(crate) running: Running,
    pub(crate) upstream: Upstream,
    /// Everything up to the first content.
    pub(crate) held: Vec<Chunk>,
    /// How long the provider took to its first content: the time that the call is judged by.
    pub(crate) to_content: Duration,
}

impl Ask for StreamQuestion<'_> {
    type Answer = Opened;

    fn operation(&self) -> Operation {
        Operation::Chat
    }

    fn model(&self) -> Option<&str> {
        self.model
    }

    /// There is no second try with the same provider: a stream is begun once.
    async fn ask(&self, provider: &Provider, turn: Turn) -> Result<Opened, CallError<Fault>> {
        let guard = &provider.guard;
        let call = turn.call(Operation::Chat, self.ctx);
        let mut running = guard.begin(call).await.map_err(never_failed)?;
        let begun = guard.now();
        let patience = self.first_content.min(guard.call_deadline());
        let opening = self.open(provider);
        match running.run(turn.until.min(begun + patience), opening).await {
            Ok(Ok((upstream, held))) => {
                running.first_content();
                Ok(Opened {
                    running,
                    upstream,
                    held,
                    to_content: guard.now().saturating_since(begun),
                })
            }
            Ok(Err(fault)) => {
                running.settle(classify(&fault));
                Err(CallError::Failed(fault))
            }
            Err(Elapsed) => {
                running.timed_out();
                Err(CallError::Deadline { sent: true })
            }
        }
    }
}

impl StreamQuestion<'_> {
    async fn open(&self, provider: &Provider) -> Result<(Upstream, Vec<Chunk>), Fault> {
        let transport = &provider.transport;
        let path = Operation::Chat.path();
        let body = self.body_for(provider);
        let mut upstream = Upstream::open(transport, path, body, self.with_usage).await?;
        let mut held = Vec::new();
        while let Some(chunk) = upstream.next().await? {
            let has_content = chunk.has_content;
            held.push(chunk);
            if has_content {
                return Ok((upstream, held));
            }
        }
        Err(Fault::Unfinished)
    }

    fn body_for(&self, provider: &Provider) -> Bytes {
        let mut body = self.body.clone();
        body.insert("model".into(), json!(provider.model(Operation::Chat)));
        body.insert("stream".into(), json!(true));
        Value::Object(body).to_string().into()
    }
}

fn never_failed(error: CallError<Infallible>) -> CallError<Fault> {
    match error {
        CallError::Rejected(rejection) => CallError::Rejected(rejection),
        CallError::Busy { retry_after } => CallError::Busy { retry_after },
        CallError::Deadline { sent } => CallError::Deadline { sent },
        CallError::Failed(never) => match never {},
    }
}
