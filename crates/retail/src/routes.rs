//! The AI tasks over HTTP: a model does the work where one answers, the rules where none does.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use mainstay_openai::StructuredRequest;
use mainstay_runtime::degradation::FeatureMode;
use mainstay_runtime::{Answer, Error, ErrorKind, Moment, Observer, Report, Source, Status};
use mainstay_server::extract::JsonBody;
use mainstay_server::routes::ai;
use mainstay_server::{Caller, Core, Problem, ProblemBody, Scope, reply};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

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
        .routes(routes!(analyze_invoice));
    core.guarded(Scope::Retail, routes)
}

/// Cleans up scanned text: spacing, and letters that were read for digits in numeric places.
#[utoipa::path(post, path = "/ai/enhance-ocr", tag = "retail", request_body = EnhanceOcr, security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = EnhanceReply), (status = 400, body = ProblemBody)))]
async fn enhance_ocr(
    State(core): State<Core>,
    caller: Caller,
    JsonBody(task): JsonBody<EnhanceOcr>,
) -> Result<Response, Problem> {
    let done = carry_out(&core, &caller, &task).await?;
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
    caller: Caller,
    JsonBody(task): JsonBody<Pricing>,
) -> Result<Response, Problem> {
    let done = carry_out(&core, &caller, &task).await?;
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
    caller: Caller,
    JsonBody(task): JsonBody<AnalyzeInvoice>,
) -> Result<Response, Problem> {
    let done = carry_out(&core, &caller, &task).await?;
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

/// By a model while the feature allows it and one answers usably, else by the rules.
async fn carry_out<T: Task>(
    core: &Core,
    caller: &Caller,
    task: &T,
) -> Result<Done<T::Output>, Problem> {
    let started = core.handle.clock().now();
    task.validate().map_err(problem_of)?;
    let answer = match by_model(core, caller, task).await {
        Some(answer) => answer,
        None => Answer::fresh(task.by_rules().map_err(problem_of)?, Source::Rules),
    };
    let by_rules = answer.source == Source::Rules;
    core.metrics.operation(
        "openai",
        &Report {
            operation: T::NAME,
            status: if by_rules {
                Status::Fallback
            } else {
                Status::Success
            },
            source: Some(answer.source.clone()),
            error: None,
            elapsed: core.handle.clock().now().saturating_since(started),
        },
    );
    Ok(Done { answer, started })
}

async fn by_model<T: Task>(core: &Core, caller: &Caller, task: &T) -> Option<Answer<T::Output>> {
    if !core.models.is_configured() || is_off(core) {
        return None;
    }
    let ctx = caller.context_within(core, core.models.total_deadline());
    let prompt = task.prompt();
    let request = StructuredRequest {
        system: prompt.system,
        user: prompt.user,
        schema_name: T::NAME.to_owned(),
        schema: T::answer_schema(),
    };
    let answer = match core.models.structured(&ctx, request).await {
        Ok(answer) => answer,
        Err(error) => {
            tracing::info!(
                operation = T::NAME,
                kind = error.kind.as_str(),
                "no model answered; the rules do"
            );
            return None;
        }
    };
    match task.accept(answer.value) {
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

fn problem_of(wrong: InvalidRequest) -> Problem {
    Error::new(
        ErrorKind::InvalidInput,
        format!("{} {}; {}", wrong.field, wrong.problem, wrong.remedy),
    )
    .field(wrong.field)
    .into()
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
