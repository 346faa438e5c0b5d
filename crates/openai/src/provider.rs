//! One provider: its transport, its guard, its models, and what it has shown it can do.

use std::sync::atomic::{AtomicU8, Ordering};

use bytes::Bytes;
use mainstay_runtime::{CallError, Context, Guard};
use serde_json::{Map, Value, json};

use crate::classify::classify;
use crate::failover::{Ask, Turn};
use crate::fault::Fault;
use crate::request::Operation;
use crate::settings::ProviderSettings;
use crate::transport::Transport;

/// How an answer that must fit a schema is asked for, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Format {
    /// `response_format: json_schema`: the provider itself keeps the answer to the schema.
    Schema,
    /// `response_format: json_object`, and the schema in the prompt.
    Object,
    /// The schema in the prompt.
    Prompt,
}

/// What is sent for an operation, but for the model; it may depend on how a schema is asked for.
pub(crate) type Body<'a> = dyn Fn(Format) -> Map<String, Value> + Send + Sync + 'a;

/// Turns a whole answer into a value, or says that it isn't what the API promises.
pub(crate) type Read<'a, T> = dyn Fn(&[u8]) -> Result<T, Fault> + Send + Sync + 'a;

/// One question to any provider.
pub(crate) struct Question<'a, T> {
    pub(crate) ctx: &'a Context,
    pub(crate) operation: Operation,
    /// Only providers with this model may answer.
    pub(crate) model: Option<&'a str>,
    pub(crate) body: &'a Body<'a>,
    pub(crate) read: &'a Read<'a, T>,
}

impl<T: Send> Ask for Question<'_, T> {
    type Answer = T;

    fn operation(&self) -> Operation {
        self.operation
    }

    fn model(&self) -> Option<&str> {
        self.model
    }

    async fn ask(&self, provider: &Provider, turn: Turn) -> Result<T, CallError<Fault>> {
        provider.ask(self, turn).await
    }
}

/// One provider.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) settings: ProviderSettings,
    pub(crate) guard: Guard,
    pub(crate) transport: Transport,
    format: AtomicU8,
}

impl Provider {
    pub(crate) fn new(settings: ProviderSettings, guard: Guard, transport: Transport) -> Self {
        Self {
            settings,
            guard,
            transport,
            format: AtomicU8::new(Format::Schema as u8),
        }
    }

    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// The model that does this here, if one does.
    pub(crate) fn model(&self, operation: Operation) -> Option<&str> {
        match operation {
            Operation::Chat | Operation::Structured => Some(&self.settings.model),
            Operation::Embed => self.settings.embedding_model.as_deref(),
            Operation::Moderate => self.settings.moderation_model.as_deref(),
        }
    }

    /// Asks this provider. A schema is asked for in the best way that it takes.
    async fn ask<T>(&self, question: &Question<'_, T>, turn: Turn) -> Result<T, CallError<Fault>> {
        loop {
            let format = self.format();
            let asked = self.ask_once(question, format, turn).await;
            let worse = match &asked {
                Err(CallError::Failed(fault)) if question.operation == Operation::Structured => {
                    worse_format(format, fault)
                }
                _ => None,
            };
            match worse {
                Some(worse) => self.remember(worse),
                None => return asked,
            }
        }
    }

    async fn ask_once<T>(
        &self,
        question: &Question<'_, T>,
        format: Format,
        turn: Turn,
    ) -> Result<T, CallError<Fault>> {
        let body = self.body(question, format);
        let path = question.operation.path();
        let call = turn.call(question.operation, question.ctx);
        // Another provider is a better second try than the same one again.
        let call = if turn.last { call.idempotent() } else { call };
        let attempt = |attempt: mainstay_runtime::Attempt| {
            let body = body.clone();
            async move {
                attempt.mark_sent();
                let answer = self.transport.post(path, body).await?;
                (question.read)(&answer)
            }
        };
        self.guard.call(call, classify, attempt).await
    }

    fn body<T>(&self, question: &Question<'_, T>, format: Format) -> Bytes {
        let mut body = (question.body)(format);
        body.insert("model".into(), json!(self.model(question.operation)));
        Value::Object(body).to_string().into()
    }

    fn format(&self) -> Format {
        match self.format.load(Ordering::Relaxed) {
            0 => Format::Schema,
            1 => Format::Object,
            _ => Format::Prompt,
        }
    }

    /// What a provider doesn't take is remembered until the process ends.
    fn remember(&self, format: Format) {
        self.format.fetch_max(format as u8, Ordering::Relaxed);
    }
}

/// The next way to ask for a schema, when the provider has said that it doesn't take this one.
fn worse_format(format: Format, fault: &Fault) -> Option<Format> {
    let refusal = fault.refusal()?;
    if !refusal.response_format || !matches!(refusal.status.as_u16(), 400 | 422) {
        return None;
    }
    match format {
        Format::Schema => Some(Format::Object),
        Format::Object => Some(Format::Prompt),
        Format::Prompt => None,
    }
}
