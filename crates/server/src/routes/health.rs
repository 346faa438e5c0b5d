//! Liveness, readiness and health: no key needed, and nothing in them that needs one.

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use mainstay_journal::Health as JournalHealth;
use mainstay_runtime::degradation::{
    Component, DependencyId, EndpointStatus, Presence, Snapshot, Status,
};
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Core;

/// The level, for load balancers and people.
#[derive(Debug, Serialize, ToSchema)]
pub struct Ready {
    /// `ready` or `starting`.
    status: &'static str,
    /// The degradation level.
    level: &'static str,
}

/// All dependencies at a glance.
#[derive(Debug, Serialize, ToSchema)]
pub struct HealthReply {
    /// `healthy` at OPTIMAL, `down` at EMERGENCY, else `degraded`; `unknown` until the first probe round is over.
    status: &'static str,
    /// The degradation level.
    level: &'static str,
    /// 0 to 100.
    score: f64,
    /// One for each dependency.
    dependencies: Vec<DependencyHealth>,
}

/// One dependency's health.
#[derive(Debug, Serialize, ToSchema)]
pub struct DependencyHealth {
    /// The dependency.
    service: String,
    /// `healthy`, `degraded`, `down`, `unknown` or `absent`.
    status: &'static str,
    /// Whether it is the embedded default.
    embedded: bool,
    /// Of its best endpoint: `closed`, `open` or `half_open`.
    breaker_state: &'static str,
    /// Failures in a row at its best endpoint.
    fail_counter: u32,
    /// How many in a row open the breaker; none when that rule is off.
    fail_max: Option<u32>,
    /// 0 to 100; none while nothing is known of it, and for one that isn't configured.
    health_score: Option<f64>,
    /// Kind and time of the last failure.
    last_failure: Option<LastFailure>,
    /// The database only: `enabled` or `read-only`.
    #[serde(skip_serializing_if = "Option::is_none")]
    write_mode: Option<&'static str>,
}

/// A failure without its message.
#[derive(Debug, Serialize, ToSchema)]
pub struct LastFailure {
    /// `connect`, `timeout`, `protocol`, `unavailable`, `internal`, `config` or `overload`.
    kind: &'static str,
    /// Wall clock, RFC 3339.
    at: String,
}

/// The routes.
pub fn routes() -> OpenApiRouter<Core> {
    OpenApiRouter::new()
        .routes(routes!(livez))
        .routes(routes!(readyz))
        .routes(routes!(startupz))
        .routes(routes!(health))
        .routes(routes!(database))
        .routes(routes!(openai))
        .routes(routes!(redis))
        .routes(routes!(s3))
}

/// Whether the process runs. Depends on nothing else.
#[utoipa::path(get, path = "/livez", tag = "health", responses((status = 200, body = String)))]
async fn livez() -> &'static str {
    "ok\n"
}

/// Whether it can serve anything: yes from the end of the first probe round, degraded or not.
#[utoipa::path(get, path = "/readyz", tag = "health", responses((status = 200, body = Ready), (status = 503, body = Ready)))]
async fn readyz(State(core): State<Core>) -> Response {
    ready(&core, core.handle.is_started())
}

/// Whether starting is over: the first probe round, and the journal is opened and checked.
#[utoipa::path(get, path = "/startupz", tag = "health", responses((status = 200, body = Ready), (status = 503, body = Ready)))]
async fn startupz(State(core): State<Core>) -> Response {
    let journal_is_open = !matches!(core.objects.journal().health(), JournalHealth::Closed);
    ready(&core, core.handle.is_started() && journal_is_open)
}

fn ready(core: &Core, yes: bool) -> Response {
    let body = Ready {
        status: if yes { "ready" } else { "starting" },
        level: core.handle.level().as_str(),
    };
    let status = if yes {
        StatusCode::OK
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    (status, Json(body)).into_response()
}

/// All dependencies at a glance. Always 200: it is information, not a probe.
#[utoipa::path(get, path = "/health", tag = "health", responses((status = 200, body = HealthReply)))]
async fn health(State(core): State<Core>) -> Json<HealthReply> {
    let snapshot = core.handle.snapshot();
    let status = match snapshot.level.gauge() {
        _ if !snapshot.first_round_over => "unknown",
        1 => "healthy",
        5 => "down",
        _ => "degraded",
    };
    let rules = core.handle.rules();
    let dependencies = rules.dependencies().map(|(id, _)| of(&core, &snapshot, id));
    Json(HealthReply {
        status,
        level: snapshot.level.as_str(),
        score: round(snapshot.score),
        dependencies: dependencies.collect(),
    })
}

/// The database's health.
#[utoipa::path(get, path = "/health/database", tag = "health", responses((status = 200, body = DependencyHealth)))]
async fn database(State(core): State<Core>) -> Response {
    one(&core, "database")
}

/// The model providers' health.
#[utoipa::path(get, path = "/health/openai", tag = "health", responses((status = 200, body = DependencyHealth)))]
async fn openai(State(core): State<Core>) -> Response {
    one(&core, "openai")
}

/// The cache's health.
#[utoipa::path(get, path = "/health/redis", tag = "health", responses((status = 200, body = DependencyHealth)))]
async fn redis(State(core): State<Core>) -> Response {
    one(&core, "redis")
}

/// The object store's health.
#[utoipa::path(get, path = "/health/s3", tag = "health", responses((status = 200, body = DependencyHealth)))]
async fn s3(State(core): State<Core>) -> Response {
    one(&core, "s3")
}

fn one(core: &Core, name: &str) -> Response {
    match core.handle.rules().dependency_id(name) {
        Some(id) => Json(of(core, &core.handle.snapshot(), id)).into_response(),
        None => crate::problem::Problem::no_route(&format!("/health/{name}")).into_response(),
    }
}

/// One dependency's health out of a snapshot.
pub fn of(core: &Core, snapshot: &Snapshot, id: DependencyId) -> DependencyHealth {
    let component = snapshot.component(id);
    let name = core.handle.rules().dependency(id).name.clone();
    let best = best(snapshot, component);
    let failure = best
        .and_then(|e| e.view.last_failure)
        .map(|failure| LastFailure {
            kind: failure.kind.as_str(),
            at: core.handle.clock().wall_of(failure.at).to_string(),
        });
    DependencyHealth {
        status: component.status.as_str(),
        embedded: component.presence == Presence::Embedded,
        breaker_state: component.breaker.as_str(),
        fail_counter: best.map_or(0, |e| e.view.failures_in_row),
        fail_max: best.and_then(|e| e.view.fail_max),
        health_score: known(component, round(component.score)),
        last_failure: failure,
        write_mode: (name == "database" && component.status != Status::Absent)
            .then(|| core.database.write_mode().as_str()),
        service: name,
    }
}

/// A figure of something that was observed: what isn't known or isn't there has none, rather than 0.
pub fn known(component: &Component, figure: f64) -> Option<f64> {
    (component.known && component.presence != Presence::Absent).then_some(figure)
}

/// The endpoint whose state the dependency shows.
fn best<'a>(snapshot: &'a Snapshot, component: &Component) -> Option<&'a EndpointStatus> {
    let all = snapshot.endpoints_of(component.id);
    all.iter()
        .find(|e| e.view.state == component.breaker)
        .or(all.first())
}

/// One decimal is all that a person reads.
pub fn round(score: f64) -> f64 {
    (score * 10.0).round() / 10.0
}
