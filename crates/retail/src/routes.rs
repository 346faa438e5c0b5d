//! The AI tasks over HTTP: a model does the work where one answers, the rules where none does.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use mainstay_openai::StructuredRequest;
use mainstay_runtime::degradation::FeatureMode;
use mainstay_runtime::{
    Answer, Context, Error, ErrorKind, Moment, Observer, Report, Source, Status,
};
use mainstay_server::extract::JsonBody;
use mainstay_server::routes::ai;
use mainstay_server::{Caller, Core, Problem, ProblemBody, Scope, reply};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::readers::Readers;
use crate::tasks::{
    AnalyzeInvoice, EnhanceOcr, EnhancedText, InvalidRequest, InvoiceAnalysis, Pricing,
    PricingAdvice, Task,
};

/// How the work was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Work {
    /// Always true: errors are problems.
    success: bool,
    /// Whether anything but the first provider did it.
    fallback: bool,
    /// `provider:<name>`, `cache` or `rules`.
    #[schema(example = "rules")]
    source: String,
    /// How far to trust it, 0 to 1; what to check is in the answer itself.
    confidence: f64,
    /// The state of the best provider's breaker.
    breaker_state: &'static str,
    /// How old the answer is, in milliseconds; 0 when it is fresh.
    age_ms: u64,
    /// From arrival to answer, in milliseconds.
    latency_ms: f64,
}

/// Cleaned-up text.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EnhanceReply {
    #[serde(flatten)]
    work: Work,
    data: EnhancedText,
}

/// A suggested price.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PricingReply {
    #[serde(flatten)]
    work: Work,
    pricing: PricingAdvice,
}

/// An analysed invoice.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AnalysisReply {
    #[serde(flatten)]
    work: Work,
    analysis: InvoiceAnalysis,
}

/// The routes, for the server's application.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    let routes = OpenApiRouter::new()
        .routes(routes!(enhance_ocr))
        .routes(routes!(pricing))
        .routes(routes!(analyze_invoice))
        .layer(Extension(Readers::new(core.handle.clock())));
    core.guarded(Scope::Retail, routes)
}

/// Cleans up scanned text: spacing, and letters that were read for digits in numeric places.
#[utoipa::path(post, path = "/ai/enhance-ocr", tag = "retail", request_body = EnhanceOcr, security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = EnhanceReply), (status = 400, body = ProblemBody)))]
async fn enhance_ocr(
    State(core): State<Core>,
    Extension(readers): Extension<Readers>,
    caller: Caller,
    JsonBody(task): JsonBody<EnhanceOcr>,
) -> Result<Response, Problem> {
    let done = carry_out(&core, &readers, &caller, task).await?;
    Ok(done.reply(
        &core,
        |o| o.confidence,
        |work, data| EnhanceReply { work, data },
    ))
}

/// Suggests a price from cost and target margin (default 30 % of the price before VAT).
#[utoipa::path(post, path = "/ai/pricing", tag = "retail", request_body = Pricing, security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = PricingReply), (status = 400, body = ProblemBody)))]
async fn pricing(
    State(core): State<Core>,
    Extension(readers): Extension<Readers>,
    caller: Caller,
    JsonBody(task): JsonBody<Pricing>,
) -> Result<Response, Problem> {
    let done = carry_out(&core, &readers, &caller, task).await?;
    Ok(done.reply(
        &core,
        |o| o.confidence,
        |work, pricing| PricingReply { work, pricing },
    ))
}

/// Reads an Argentine invoice: parties, dates, number, lines and totals, and whether they add up.
#[utoipa::path(post, path = "/ai/analyze-invoice", tag = "retail", request_body = AnalyzeInvoice, security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AnalysisReply), (status = 400, body = ProblemBody)))]
async fn analyze_invoice(
    State(core): State<Core>,
    Extension(readers): Extension<Readers>,
    caller: Caller,
    JsonBody(task): JsonBody<AnalyzeInvoice>,
) -> Result<Response, Problem> {
    let done = carry_out(&core, &readers, &caller, task).await?;
    Ok(done.reply(
        &core,
        |o| o.confidence,
        |work, analysis| AnalysisReply { work, analysis },
    ))
}

struct Done<T> {
    answer: Answer<T>,
    started: Moment,
}

async fn carry_out<T: Task>(
    core: &Core,
    readers: &Readers,
    caller: &Caller,
    task: T,
) -> Result<Done<T::Output>, Problem> {
    let started = core.handle.clock().now();
    task.validate().map_err(wrong)?;
    let answer = answer(core, readers, caller, &Arc::new(task)).await;
    report::<T>(core, started, &answer);
    Ok(Done {
        answer: answer?,
        started,
    })
}

/// By a model while the feature allows it and one answers usably, else by the rules.
async fn answer<T: Task>(
    core: &Core,
    readers: &Readers,
    caller: &Caller,
    task: &Arc<T>,
) -> Result<Answer<T::Output>, Error> {
    let ctx = caller.context_within(core, core.models.total_deadline());
    if let Some(answer) = by_model(core, readers, &ctx, task).await {
        return Ok(answer);
    }
    // Models that don't answer may have taken all the time there was.
    let deadline = ctx.deadline.max(caller.context(core).deadline);
    let value = readers.by_rules(task, deadline).await?.map_err(wrong)?;
    Ok(Answer::fresh(value, Source::Rules))
}

/// Counts the task once, whatever was tried for it.
fn report<T: Task>(core: &Core, started: Moment, answer: &Result<Answer<T::Output>, Error>) {
    let status = match answer {
        Ok(answer) if ai::is_fallback(core, &answer.source) => Status::Fallback,
        Ok(_) => Status::Success,
        Err(error) if error.kind == ErrorKind::Busy => Status::Rejected,
        Err(_) => Status::Failure,
    };
    let report = Report {
        operation: T::NAME,
        status,
        source: answer.as_ref().ok().map(|answer| answer.source.clone()),
        error: None,
        elapsed: core.handle.clock().now().saturating_since(started),
    };
    if core.models.is_configured() {
        core.models.report(&report);
    } else {
        core.metrics.operation("openai", &report);
    }
}

async fn by_model<T: Task>(
    core: &Core,
    readers: &Readers,
    ctx: &Context,
    task: &Arc<T>,
) -> Option<Answer<T::Output>> {
    if !core.models.is_configured() || is_off(core) {
        return None;
    }
    let prompt = task.prompt();
    let request = StructuredRequest {
        system: prompt.system,
        user: prompt.user,
        schema_name: T::NAME.to_owned(),
        schema: T::answer_schema(),
    };
    let unanswered = |error: Error| {
        tracing::info!(
            operation = T::NAME,
            kind = error.kind.as_str(),
            "no model answered; the rules do"
        );
    };
    let answer = core.models.structured(ctx, request).await;
    let answer = answer.map_err(unanswered).ok()?;
    let accepted = readers.accept(task, answer.value, ctx.deadline).await;
    match accepted.map_err(unanswered).ok()? {
        Ok(value) => Some(Answer {
            value,
            source: answer.source,
            age: answer.age,
        }),
        Err(rejected) => {
            tracing::warn!(
                operation = T::NAME,
                path = rejected.path,
                "the model's answer is unusable; the rules answer"
            );
            None
        }
    }
}

fn is_off(core: &Core) -> bool {
    core.handle
        .feature("ai_enhancement")
        .is_ok_and(|f| f.mode == FeatureMode::Off)
}

fn wrong(wrong: InvalidRequest) -> Error {
    Error::new(
        ErrorKind::InvalidInput,
        format!("{} {}; {}", wrong.field, wrong.problem, wrong.remedy),
    )
    .field(wrong.field)
}

impl<T> Done<T> {
    fn reply<R: Serialize>(
        self,
        core: &Core,
        confidence: impl Fn(&T) -> f64,
        form: impl FnOnce(Work, T) -> R,
    ) -> Response {
        let Answer { value, source, age } = self.answer;
        let took = core.handle.clock().now().saturating_since(self.started);
        let work = Work {
            success: true,
            fallback: ai::is_fallback(core, &source),
            source: source.to_string(),
            confidence: confidence(&value),
            breaker_state: ai::breaker_state(core),
            age_ms: reply::millis(age.unwrap_or_default()),
            latency_ms: mainstay_server::reply::exact_millis(took),
        };
        reply::json(StatusCode::OK, &form(work, value), &source, age)
    }
}
