//! The adapter: chat, embeddings, moderation and structured answers from whichever provider can give them.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_breaker::{FailureKind, Moment};
use mainstay_runtime::{Answer, Context, EngineBuilder, Error, ErrorKind, Report, Source, Status};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::cache::{Cache, Key};
use crate::canary;
use crate::check::{self, Checked};
use crate::failover::{self, Among, Ended, Given, Miss};
use crate::probe::ModelsProbe;
use crate::provider::{Provider, Question};
use crate::reply::{ChatReply, EmbedReply, ModerateReply};
use crate::request::{
    ChatRequest, EmbedRequest, ModerateRequest, Operation, StructuredRequest, validate_input,
};
use crate::schema::Schemas;
use crate::settings::Settings;
use crate::structured;
use crate::transport::{self, Transport};

/// The model providers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Models {
    pub(crate) inner: Arc<Inner>,
    /// Whether the first provider is asked nothing.
    spares_first: bool,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) providers: Vec<Provider>,
    pub(crate) total_deadline: Duration,
    pub(crate) first_content: Duration,
    pub(crate) idle: Duration,
    pub(crate) stream_deadline: Duration,
    cache: Cache,
    schemas: Schemas,
}

impl Models {
    /// No provider: every operation answers `NotConfigured`.
    pub fn absent() -> Self {
        Self::of(Vec::new(), &Settings::default())
    }

    /// Registers every provider's endpoint and probe. Nothing is sent, so it works while all of them are down.
    ///
    /// # Errors
    /// `InvalidInput` naming the setting that makes no sense.
    pub fn connect(settings: Settings, engine: &mut EngineBuilder) -> Result<Self, Error> {
        settings.validate()?;
        if settings.providers.is_empty() {
            return Ok(Self::absent());
        }
        let client = transport::client(&settings.providers)?;
        let mut providers = Vec::with_capacity(settings.providers.len());
        for provider in &settings.providers {
            let guard = engine.endpoint(settings.endpoint(provider))?;
            let transport = Transport::new(client.clone(), provider, guard.clock())?;
            engine.probe(&guard, Arc::new(ModelsProbe(transport.clone())));
            providers.push(Provider::new(provider.clone(), guard, transport));
        }
        let models = Self::of(providers, &settings);
        if settings.exercise_providers {
            models.exercise_providers(engine);
        }
        Ok(models)
    }

    /// Lets those that would take over be tried while all is well.
    fn exercise_providers(&self, engine: &mut EngineBuilder) {
        for (at, provider) in self.inner.providers.iter().enumerate().skip(1) {
            let source = Source::Provider(provider.name().to_owned());
            let models = Arc::downgrade(&self.inner);
            engine.canary(&provider.guard, source.to_string(), move || {
                let inner = models.upgrade();
                async move { canary::fly(inner?, at).await }
            });
        }
    }

    fn of(providers: Vec<Provider>, settings: &Settings) -> Self {
        Self {
            spares_first: false,
            inner: Arc::new(Inner {
                providers,
                total_deadline: settings.total_deadline,
                first_content: settings.first_content,
                idle: settings.idle,
                stream_deadline: settings.stream_deadline,
                cache: Cache::new(settings.cache_bytes),
                schemas: Schemas::default(),
            }),
        }
    }

    /// The same, but the first provider is asked nothing by [`Models::chat`], [`Models::chat_stream`], [`Models::embed`]
    /// and [`Models::moderate`]: another one answers, or an earlier answer does, or `Unavailable` is what is left.
    #[must_use]
    pub fn sparing_first(&self) -> Self {
        Self {
            spares_first: true,
            ..self.clone()
        }
    }

    pub(crate) fn among(&self) -> Among<'_> {
        Among {
            providers: &self.inner.providers,
            spares_first: self.spares_first,
        }
    }

    /// Whether there is any provider.
    pub fn is_configured(&self) -> bool {
        !self.inner.providers.is_empty()
    }

    /// The providers' names, in order of preference.
    pub fn provider_names(&self) -> Vec<&str> {
        self.inner.providers.iter().map(Provider::name).collect()
    }

    /// Longest time for one request over all attempts.
    pub fn total_deadline(&self) -> Duration {
        self.inner.total_deadline
    }

    /// Longest time for one streamed answer, until it is read.
    pub fn stream_deadline(&self) -> Duration {
        self.inner.stream_deadline
    }

    /// Bytes of earlier answers held now.
    pub fn cache_bytes(&self) -> usize {
        self.inner.cache.bytes()
    }

    /// Forgets all earlier answers.
    pub fn purge_cache(&self) {
        self.inner.cache.clear();
    }

    /// Asks every provider, side by side, whether it can be used as configured. Counts against no breaker.
    pub async fn check(&self) -> Vec<Checked> {
        join_all(self.inner.providers.iter().map(check::check)).await
    }

    /// Continues a conversation.
    ///
    /// # Errors
    /// `InvalidInput` or `TooLarge` for what a provider refused, `NotConfigured`, and `Unavailable`, `Timeout` or
    /// `Busy` when neither a provider nor the cache can answer.
    pub async fn chat(
        &self,
        ctx: &Context,
        request: ChatRequest,
    ) -> Result<Answer<ChatReply>, Error> {
        request.validate()?;
        let body = request.body();
        let identity = json!({ "model": request.model, "body": body });
        let question = Question {
            ctx,
            operation: Operation::Chat,
            model: request.model.as_deref(),
            body: &|_| body.clone(),
            read: &ChatReply::read,
        };
        self.put(&question, identity).await
    }

    /// Turns texts into vectors.
    ///
    /// # Errors
    /// As [`Models::chat`].
    pub async fn embed(
        &self,
        ctx: &Context,
        request: EmbedRequest,
    ) -> Result<Answer<EmbedReply>, Error> {
        validate_input(&request.input)?;
        let body = request.body();
        let identity = json!({ "model": request.model, "body": body });
        let question = Question {
            ctx,
            operation: Operation::Embed,
            model: request.model.as_deref(),
            body: &|_| body.clone(),
            read: &|answer: &[u8]| EmbedReply::read(answer, request.input.len()),
        };
        self.put(&question, identity).await
    }

    /// Judges texts.
    ///
    /// # Errors
    /// As [`Models::chat`].
    pub async fn moderate(
        &self,
        ctx: &Context,
        request: ModerateRequest,
    ) -> Result<Answer<ModerateReply>, Error> {
        validate_input(&request.input)?;
        let body = request.body();
        let identity = json!({ "model": request.model, "body": body });
        let question = Question {
            ctx,
            operation: Operation::Moderate,
            model: request.model.as_deref(),
            body: &|_| body.clone(),
            read: &|answer: &[u8]| ModerateReply::read(answer, request.input.len()),
        };
        self.put(&question, identity).await
    }

    /// Asks for a value that fits a JSON schema. What doesn't fit is shown to the model once and never passed on; then
    /// the next provider is asked. Not reported: it is one part of its caller's task, which goes through [`Models::report`]
    /// once when it has ended.
    ///
    /// # Errors
    /// As [`Models::chat`]; `BadAnswer` when nobody's answer fits after the correction either, or when the provider
    /// can't be asked in this form.
    pub async fn structured(
        &self,
        ctx: &Context,
        request: StructuredRequest,
    ) -> Result<Answer<Value>, Error> {
        request.validate()?;
        let validator = self.inner.schemas.compile(&request.schema)?;
        let providers = &self.inner.providers;
        let asked = |deadline| structured::ask(providers, ctx, &request, &validator, deadline);
        self.answered(ctx, Operation::Structured, request.identity(), asked)
            .await?
            .answer
    }

    /// Reports how a task that is more than one question to a model has ended. Without a provider nobody listens.
    pub fn report(&self, report: &Report) {
        if let Some(first) = self.inner.providers.first() {
            first.guard.report(report);
        }
    }

    async fn put<T>(&self, question: &Question<'_, T>, identity: Value) -> Result<Answer<T>, Error>
    where
        T: Serialize + DeserializeOwned + Send,
    {
        let asked = |deadline| failover::ask(self.among(), question, deadline);
        self.answer(question.ctx, question.operation, identity, asked)
            .await
    }

    /// Asks, keeps a success, falls back to an earlier one, and reports once.
    async fn answer<'a, T, Fut>(
        &'a self,
        ctx: &Context,
        operation: Operation,
        identity: Value,
        ask: impl FnOnce(Moment) -> Fut,
    ) -> Result<Answer<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        Fut: Future<Output = Result<Given<'a, T>, Ended>>,
    {
        let first = self.inner.providers.first().ok_or_else(not_configured)?;
        let started = first.guard.now();
        let told = self.answered(ctx, operation, identity, ask).await?;
        self.told(operation, started, told)
    }

    /// Asks, keeps a success, falls back to an earlier one.
    async fn answered<'a, T, Fut>(
        &'a self,
        ctx: &Context,
        operation: Operation,
        identity: Value,
        ask: impl FnOnce(Moment) -> Fut,
    ) -> Result<Told<T>, Error>
    where
        T: Serialize + DeserializeOwned,
        Fut: Future<Output = Result<Given<'a, T>, Ended>>,
    {
        let first = self.inner.providers.first().ok_or_else(not_configured)?;
        let deadline = ctx
            .deadline
            .min(first.guard.now() + self.inner.total_deadline);
        let key = Key::new(ctx.caller, operation, &identity);
        Ok(match ask(deadline).await {
            Ok(given) => self.given(key, given),
            Err(Ended::No(error)) => Told::not(Status::Success, None, error),
            Err(Ended::Unusable(error)) => self.unusable(key, error),
            Err(Ended::Missed(missed)) => self.missed(key, &missed),
        })
    }

    /// Reports how an operation ended, and hands its answer on.
    pub(crate) fn told<T>(
        &self,
        operation: Operation,
        started: Moment,
        told: Told<T>,
    ) -> Result<Answer<T>, Error> {
        let answer = told.answer.as_ref().ok();
        if let Some(first) = self.inner.providers.first() {
            self.report(&Report {
                operation: operation.name(),
                status: told.status,
                source: answer.map(|answer| answer.source.clone()),
                error: told.error,
                elapsed: first.guard.now().saturating_since(started),
            });
        }
        told.answer
    }

    fn given<T: Serialize>(&self, key: Key, given: Given<'_, T>) -> Told<T> {
        self.keep(key, &given.value);
        Told {
            status: match given.preferred {
                true => Status::Success,
                false => Status::Fallback,
            },
            error: None,
            answer: Ok(Answer::fresh(
                given.value,
                Source::Provider(given.provider.name().to_owned()),
            )),
        }
    }

    /// Keeps an answer for when nobody can give one.
    pub(crate) fn keep<T: Serialize>(&self, key: Key, answer: &T) {
        // A reply is plain data, which JSON always holds; if not, it isn't kept.
        if let (Some(first), Ok(kept)) = (self.inner.providers.first(), serde_json::to_vec(answer))
        {
            self.inner.cache.put(key, kept.into(), first.guard.now());
        }
    }

    pub(crate) fn missed<T: DeserializeOwned>(&self, key: Key, missed: &[Miss]) -> Told<T> {
        let error = failover::last_failure(missed);
        if let Some((value, age)) = self.earlier(&key) {
            return Told {
                status: Status::Fallback,
                error,
                answer: Ok(Answer::aged(value, Source::Cache, age)),
            };
        }
        let status = match failover::all_refused(missed) {
            true => Status::Rejected,
            false => Status::Failure,
        };
        Told::not(status, error, failover::error(missed))
    }

    /// An earlier answer that could be used is better than one that can't.
    pub(crate) fn unusable<T: DeserializeOwned>(&self, key: Key, error: Error) -> Told<T> {
        let kind = Some(FailureKind::Protocol);
        match self.earlier(&key) {
            Some((value, age)) => Told {
                status: Status::Fallback,
                error: kind,
                answer: Ok(Answer::aged(value, Source::Cache, age)),
            },
            None => Told::not(Status::Failure, kind, error),
        }
    }

    fn earlier<T: DeserializeOwned>(&self, key: &Key) -> Option<(T, Duration)> {
        let guard = &self.inner.providers.first()?.guard;
        let (kept, age) = self.inner.cache.get(key, guard.tuning().ttl, guard.now())?;
        Some((serde_json::from_slice(&kept).ok()?, age))
    }
}

/// How an operation ended, for its caller and for the report.
pub(crate) struct Told<T> {
    status: Status,
    error: Option<FailureKind>,
    answer: Result<Answer<T>, Error>,
}

impl<T> Told<T> {
    pub(crate) fn not(status: Status, kind: Option<FailureKind>, error: Error) -> Self {
        Self {
            status,
            error: kind,
            answer: Err(error),
        }
    }
}

pub(crate) fn not_configured() -> Error {
    Error::new(
        ErrorKind::NotConfigured,
        "no model provider is configured: add one as [[openai.providers]]",
    )
    .dependency("openai")
}
