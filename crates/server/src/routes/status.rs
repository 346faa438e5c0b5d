//! `/status`, `/status/why`, `/features`, `/events`, `/metrics`: everything the system knows of itself.

use std::convert::Infallible;
use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::sse::{Event as SseEvent, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use mainstay_journal::Health as JournalHealth;
use mainstay_runtime::degradation::{EndpointStatus, FeatureMode, FeatureState, Level, Snapshot};
use mainstay_runtime::{Delivery, EventRecord, Moment, OperatorState};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::fallbacks::{self, FallbackView};
use super::forecast::{self, AlertView, PatternsView, PredictionView, RecoveriesView};
use super::health::{self, DependencyHealth, known, round};
use super::journal::{self, Figures};
use super::protection::{self, ProtectionView};
use crate::app::Core;
use crate::extract::{PathParam, QueryParams};
use crate::keys::Scope;
use crate::language;
use crate::problem::{Problem, ProblemBody};
use crate::webhooks::WebhookFigures;

/// Everything at once.
#[derive(Debug, Serialize, ToSchema)]
pub struct StatusReply {
    /// Score, target, level.
    #[serde(flatten)]
    level: LevelView,
    /// One for each dependency.
    components: Vec<ComponentView>,
    /// Each feature's mode.
    #[schema(value_type = Object)]
    features: Value,
    /// What an operator has set by hand.
    #[schema(value_type = Object)]
    operator: OperatorState,
    /// Accepted work that has not reached its dependency yet.
    journal: Figures,
    /// Whether the object store honours conditional writes; null until it was tried.
    object_store_conditional_writes: Option<bool>,
    /// Who answers when a dependency can't, and when that last worked.
    fallbacks: Vec<FallbackView>,
    /// Dependencies that are protected from another one's outage, and how.
    protection: Vec<ProtectionView>,
    /// What the last failures have in common.
    patterns: PatternsView,
    /// The alerts that were raised and are not over.
    alerts: Vec<AlertView>,
    /// What became of deliveries to webhooks.
    webhooks: Vec<WebhookFigures>,
    /// Events that slow subscribers have lost.
    events_dropped: u64,
    /// The program's version.
    version: &'static str,
}

/// Score, target and level, and what lies between them.
#[derive(Debug, Serialize, ToSchema)]
pub struct LevelView {
    /// The degradation level in force.
    level: &'static str,
    /// 1 OPTIMAL … 5 EMERGENCY.
    level_number: u8,
    /// The level that the score asks for.
    target: &'static str,
    /// 0 to 100.
    score: f64,
    /// When the level was entered.
    level_since: String,
    /// Why level and target differ, in words.
    held_by: Option<String>,
    /// What makes it worse than OPTIMAL, in words.
    causes: Vec<String>,
    /// What has to happen for the next level up, in words.
    next_level_up: Option<String>,
    /// Whether the first probe round is over.
    started: bool,
}

/// A dependency with its endpoints.
#[derive(Debug, Serialize, ToSchema)]
pub struct ComponentView {
    #[serde(flatten)]
    health: DependencyHealth,
    /// `HEALTHY`, `DEGRADED`, `FAILING` or `CRITICAL`.
    health_state: &'static str,
    /// The score less what other outages take from it; for warnings, never for the overall score.
    effective_score: Option<f64>,
    /// `improving`, `stable` or `declining`.
    trend: &'static str,
    /// Share of calls and probes that succeeded, 0 to 1.
    success_rate: Option<f64>,
    /// Milliseconds; null without calls.
    p95_ms: Option<f64>,
    /// Share of probes that passed, in percent.
    availability: Option<f64>,
    /// When it went down.
    down_since: Option<String>,
    /// When it will be back, while it is down and that can be told.
    prediction: Option<PredictionView>,
    /// How it recovered from earlier outages; none without any.
    recoveries: Option<RecoveriesView>,
    /// Share of its in-flight limit that is in force, before a ramp.
    limit_factor: f64,
    /// Its endpoints.
    endpoints: Vec<EndpointView>,
}

/// One endpoint and its breaker.
#[derive(Debug, Serialize, ToSchema)]
pub struct EndpointView {
    /// e.g. `database/replica`.
    endpoint: String,
    /// `closed`, `open` or `half_open`.
    state: &'static str,
    /// `auto`, `forced_open`, `disabled` or `shadow`.
    mode: &'static str,
    failures_in_row: u32,
    fail_max: Option<u32>,
    /// `consecutive`, `rate`, `slow`, `probes` or `operator`.
    opened_by: Option<&'static str>,
    /// Seconds until it may admit again.
    retry_in_seconds: Option<f64>,
    /// How often it has re-opened in a row.
    reopenings: u32,
    /// Seconds until the next probe.
    next_probe_in_seconds: Option<f64>,
}

/// Why the level is what it is.
#[derive(Debug, Serialize, ToSchema)]
pub struct WhyReply {
    #[serde(flatten)]
    level: LevelView,
    /// Each feature that isn't on, and why.
    features: Vec<FeatureView>,
    /// Outages that weigh on other dependencies, and what holds those back meanwhile.
    warnings: Vec<String>,
    /// What the last failures have in common, in words.
    patterns: Vec<String>,
    /// When what is down will be back, and how it recovered before, in words.
    predictions: Vec<String>,
    /// The alerts that are on, in words.
    alerts: Vec<String>,
    /// One sentence for a person who was woken up.
    summary: String,
}

/// A feature now.
#[derive(Debug, Serialize, ToSchema)]
pub struct FeatureView {
    feature: String,
    /// `on`, `fallback`, `queued`, `local`, `limited`, `partial` or `off`.
    mode: &'static str,
    /// What the matrix has for the present level, applied or not.
    cell: &'static str,
    /// Why, in words.
    reason: String,
    /// What it needs.
    requires: Vec<String>,
    /// What the feature gates, and what its lesser modes mean.
    #[serde(skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

/// Which events to show.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// 1 to 1000 of the newest, 100 if not given.
    limit: Option<usize>,
}

/// The routes.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    let status = OpenApiRouter::new()
        .routes(routes!(status))
        .routes(routes!(why))
        .routes(routes!(features))
        .routes(routes!(matrix))
        .routes(routes!(feature))
        .routes(routes!(events));
    let metrics = OpenApiRouter::new().routes(routes!(metrics));
    core.guarded(Scope::Status, status)
        .merge(core.guarded(Scope::Metrics, metrics))
}

/// Everything at once: score, level, dependencies, features, journal.
#[utoipa::path(get, path = "/status", tag = "status", security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = StatusReply)))]
async fn status(State(core): State<Core>, headers: HeaderMap) -> Json<StatusReply> {
    let snapshot = core.handle.snapshot();
    let now = core.handle.clock().now();
    let rules = core.handle.rules();
    let features = core
        .features(&snapshot)
        .into_iter()
        .map(|(name, state)| (name, json!(state.mode.as_str())));
    Json(StatusReply {
        level: level_view(&core, &snapshot, &headers, now),
        components: rules
            .dependencies()
            .map(|(id, _)| component(&core, &snapshot, id, &headers, now))
            .collect(),
        features: Value::Object(features.collect()),
        operator: (*core.handle.operator_state()).clone(),
        journal: journal::figures(&core),
        fallbacks: fallbacks::views(&core),
        object_store_conditional_writes: core.objects.conditional_writes(),
        protection: protection::views(&core, &snapshot),
        patterns: PatternsView::of(&snapshot, &rules, language::of_request(&headers)),
        alerts: forecast::alerts(&core, &snapshot, &headers, now),
        webhooks: core.webhooks.figures(),
        events_dropped: core.handle.events().dropped(),
        version: env!("CARGO_PKG_VERSION"),
    })
}

/// Why the level is what it is, and what has to happen for the next one up. In the caller's language.
#[utoipa::path(get, path = "/status/why", tag = "status", security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = WhyReply)))]
async fn why(State(core): State<Core>, headers: HeaderMap) -> Json<WhyReply> {
    let snapshot = core.handle.snapshot();
    let now = core.handle.clock().now();
    let spoken = language::of_request(&headers);
    let level = level_view(&core, &snapshot, &headers, now);
    let rules = core.handle.rules();
    let affected = snapshot
        .features
        .iter()
        .filter(|f| core.mode_of(f).rank() != 0);
    let mut warnings = forecast::warnings(&core, &snapshot, spoken);
    warnings.extend(core.journal_trouble(spoken));
    Json(WhyReply {
        summary: language::summary(
            spoken,
            level.level,
            level.score,
            &level.causes,
            level.held_by.as_deref(),
        ),
        features: affected
            .map(|f| feature_view(&core, f, &headers, now))
            .collect(),
        warnings,
        patterns: snapshot.patterns.words(spoken, &rules),
        predictions: forecast::predictions(&snapshot, &rules, spoken),
        alerts: forecast::alerts(&core, &snapshot, &headers, now)
            .into_iter()
            .map(|alert| alert.message)
            .collect(),
        level,
    })
}

/// Every feature: its mode and why.
#[utoipa::path(get, path = "/features", tag = "features", security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = Vec<FeatureView>)))]
async fn features(State(core): State<Core>, headers: HeaderMap) -> Json<Vec<FeatureView>> {
    let now = core.handle.clock().now();
    let snapshot = core.handle.snapshot();
    Json(
        snapshot
            .features
            .iter()
            .map(|f| feature_view(&core, f, &headers, now))
            .collect(),
    )
}

/// One feature: its mode and why.
#[utoipa::path(get, path = "/features/{name}", tag = "features", params(("name" = String, Path, description = "The feature")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = FeatureView), (status = 404, body = ProblemBody)))]
async fn feature(
    State(core): State<Core>,
    PathParam(name): PathParam<String>,
    headers: HeaderMap,
) -> Result<Json<FeatureView>, Problem> {
    let state = core.handle.feature(&name).map_err(|error| Problem {
        feature: Some(name),
        ..Problem::from(error)
    })?;
    Ok(Json(feature_view(
        &core,
        &state,
        &headers,
        core.handle.clock().now(),
    )))
}

/// The whole matrix: every feature at every level.
#[utoipa::path(get, path = "/features/matrix", tag = "features", security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = Object)))]
async fn matrix(State(core): State<Core>) -> Json<Value> {
    let rules = core.handle.rules();
    let row = |feature: &mainstay_runtime::degradation::FeatureSettings| {
        let cells = Level::ALL.iter().zip(feature.modes);
        let cells: serde_json::Map<_, _> = cells
            .map(|(l, m)| (l.as_str().to_owned(), json!(m.as_str())))
            .collect();
        (
            feature.name.clone(),
            json!({"modes": cells, "requires": feature.requires}),
        )
    };
    let rows: serde_json::Map<_, _> = rules.features().map(|(_, f)| row(f)).collect();
    Json(json!({"gating": rules.settings().gating.as_str(), "features": rows}))
}

/// What has happened: a stream of server-sent events, replayed after `Last-Event-ID`; a list with `Accept: application/json`.
#[utoipa::path(get, path = "/events", tag = "status", params(EventsQuery), security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = Vec<Object>), (status = 200, body = String, content_type = "text/event-stream")))]
async fn events(
    State(core): State<Core>,
    headers: HeaderMap,
    QueryParams(query): QueryParams<EventsQuery>,
) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(mainstay_runtime::Error::invalid("limit", "must be 1 to 1000").into());
    }
    let text = |name| headers.get(name).and_then(|v| v.to_str().ok());
    if text(header::ACCEPT.as_str()).is_some_and(|a| a.contains("application/json")) {
        let list: Vec<EventRecord> = core.handle.events().recent(limit);
        return Ok(Json(list).into_response());
    }
    let last = text("last-event-id").and_then(|id| id.parse().ok());
    Ok(Sse::new(stream(core, last))
        .keep_alive(KeepAlive::new().interval(Duration::from_secs(15)))
        .into_response())
}

fn stream(core: Core, last: Option<u64>) -> impl Stream<Item = Result<SseEvent, Infallible>> {
    let subscription = core.handle.events().subscribe(last);
    futures_util::stream::unfold(
        (core, subscription),
        |(core, mut subscription)| async move {
            let stopping = core.handle.stopping();
            let delivery = tokio::select! {
                () = stopping.cancelled() => return None,
                delivery = core.handle.events().next(&mut subscription) => delivery?,
            };
            let event = match delivery {
                Delivery::Event(record) => {
                    let data = serde_json::to_string(&record).unwrap_or_default();
                    SseEvent::default()
                        .id(record.id.to_string())
                        .event(record.kind)
                        .data(data)
                }
                Delivery::Lost(count) => SseEvent::default().event("lost").data(count.to_string()),
            };
            Some((Ok(event), (core, subscription)))
        },
    )
}

/// Prometheus metrics.
#[utoipa::path(get, path = "/metrics", tag = "status", security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = String, content_type = "text/plain")))]
async fn metrics(State(core): State<Core>) -> impl IntoResponse {
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    ([(header::CONTENT_TYPE, kind)], core.metrics.render(&core))
}

fn level_view(core: &Core, snapshot: &Snapshot, headers: &HeaderMap, now: Moment) -> LevelView {
    let spoken = language::of_request(headers);
    let rules = core.handle.rules();
    LevelView {
        level: snapshot.level.as_str(),
        level_number: snapshot.level.gauge(),
        target: snapshot.target.as_str(),
        score: round(snapshot.score),
        level_since: core
            .handle
            .clock()
            .wall_of(snapshot.level_since)
            .to_string(),
        held_by: snapshot.held_by.as_ref().map(|h| h.words(spoken, now)),
        causes: snapshot
            .causes
            .iter()
            .map(|c| c.words(spoken, &rules, now))
            .collect(),
        next_level_up: snapshot
            .next_up
            .level
            .map(|_| snapshot.next_up.words(spoken, &rules, now)),
        started: snapshot.first_round_over,
    }
}

fn component(
    core: &Core,
    snapshot: &Snapshot,
    id: mainstay_runtime::degradation::DependencyId,
    headers: &HeaderMap,
    now: Moment,
) -> ComponentView {
    let spoken = language::of_request(headers);
    let component = snapshot.component(id);
    let wall = |at| core.handle.clock().wall_of(at).to_string();
    ComponentView {
        health: health::of(core, snapshot, id),
        health_state: component.state.as_str(),
        effective_score: known(component, round(component.effective_score)),
        trend: component.trend.as_str(),
        success_rate: known(component, component.success_rate),
        p95_ms: component.p95.map(|p| p.as_secs_f64() * 1000.0),
        availability: known(component, component.availability),
        down_since: component.down_since.map(wall),
        prediction: component.prediction.map(|p| PredictionView::of(&p, spoken)),
        recoveries: component.recoveries.map(|r| RecoveriesView::of(&r, spoken)),
        limit_factor: component.limit_factor,
        endpoints: snapshot
            .endpoints_of(id)
            .iter()
            .map(|e| endpoint(core, e, now))
            .collect(),
    }
}

fn endpoint(core: &Core, status: &EndpointStatus, now: Moment) -> EndpointView {
    let seconds = |at: Moment| at.saturating_since(now).as_secs_f64();
    EndpointView {
        endpoint: core.handle.rules().endpoint(status.id).name.clone(),
        state: status.view.state.as_str(),
        mode: status.view.mode.as_str(),
        failures_in_row: status.view.failures_in_row,
        fail_max: status.view.fail_max,
        opened_by: status.view.opened_by.map(|r| r.as_str()),
        retry_in_seconds: status.view.retry_at.map(seconds),
        reopenings: status.view.reopenings,
        next_probe_in_seconds: status.next_probe_at.map(seconds),
    }
}

fn feature_view(
    core: &Core,
    state: &FeatureState,
    headers: &HeaderMap,
    now: Moment,
) -> FeatureView {
    let spoken = language::of_request(headers);
    let rules = core.handle.rules();
    let settings = rules.feature(state.id);
    let note = settings.note.as_ref().map(|note| match spoken {
        language::Language::English => note.english.clone(),
        language::Language::Spanish => note.spanish.clone(),
    });
    let mode = core.mode_of(state);
    let reason = match mode == state.mode {
        true => state.words(spoken, &rules, now),
        false => core.journal_trouble(spoken).unwrap_or_default(),
    };
    FeatureView {
        feature: settings.name.clone(),
        mode: mode.as_str(),
        cell: state.cell.as_str(),
        reason,
        requires: settings.requires.clone(),
        note,
    }
}

impl Core {
    /// Each feature's name and state.
    pub fn features(&self, snapshot: &Snapshot) -> Vec<(String, FeatureState)> {
        let rules = self.handle.rules();
        let named = |state: &FeatureState| {
            let mode = self.mode_of(state);
            (
                rules.feature(state.id).name.clone(),
                FeatureState { mode, ..*state },
            )
        };
        snapshot.features.iter().map(named).collect()
    }

    fn journal_is_faulted(&self) -> bool {
        matches!(self.objects.journal().health(), JournalHealth::Faulted(_))
    }

    /// Why the journal accepts nothing, in words; none while it does.
    fn journal_trouble(&self, spoken: language::Language) -> Option<String> {
        if self.journal_is_faulted() {
            return Some(language::journal_faulted(spoken).to_owned());
        }
        let full = self.objects.journal().full();
        full.map(|bound| language::journal_full(spoken, bound))
    }

    /// A feature's mode. Those that rely on a journal that accepts nothing do what the store itself takes now.
    fn mode_of(&self, state: &FeatureState) -> FeatureMode {
        let rules = self.handle.rules();
        let name = rules.feature(state.id).name.as_str();
        let uploads = name == "s3_uploads";
        if !uploads && name != "file_storage" {
            return state.mode;
        }
        let left = match (self.objects.guard().is_open(), self.journal_is_faulted()) {
            (true, true) => FeatureMode::Off,
            (false, true) => FeatureMode::Partial,
            // Reading and listing go on.
            (true, false) if uploads && self.objects.journal().full().is_some() => FeatureMode::Off,
            (_, false) => state.mode,
        };
        if left.rank() > state.mode.rank() {
            left
        } else {
            state.mode
        }
    }
}
