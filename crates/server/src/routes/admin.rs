//! `/admin`: what an operator sets by hand; every command is audited as an event and kept across restarts.

mod purge;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use mainstay_runtime::breaker::Mode;
use mainstay_runtime::degradation::{FeatureMode, Level};
use mainstay_runtime::{Action, Error, ErrorKind, OperatorCommand, OperatorState};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Core;
use crate::auth::Caller;
use crate::extract::{JsonBody, PathParam};
use crate::keys::Scope;
use crate::problem::{Problem, ProblemBody};
use crate::reload::{Reload, ReloadReply};

/// Longest time something set by hand may last without being renewed: a year.
const LONGEST: u64 = 365 * 24 * 3600;

/// Why, and for how long.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Grounds {
    /// Why, for the audit and for the colleague at 3 a.m.
    #[serde(default)]
    reason: String,
    /// Seconds until it ends by itself; without it, it lasts until it is taken back.
    for_seconds: Option<u64>,
}

/// The level to hold.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PinBody {
    /// `OPTIMAL`, `DEGRADED`, `LIMITED`, `MINIMAL` or `EMERGENCY`.
    level: String,
    /// Why.
    #[serde(default)]
    reason: String,
    /// Seconds until it ends by itself.
    for_seconds: Option<u64>,
}

/// The mode to hold a feature at.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct KnobBody {
    /// `on`, `fallback`, `queued`, `local`, `limited`, `partial` or `off`; `auto` takes the knob back.
    mode: String,
    /// Why.
    #[serde(default)]
    reason: String,
    /// Seconds until it ends by itself.
    for_seconds: Option<u64>,
}

/// What is set by hand, after the command.
#[derive(Debug, Serialize, ToSchema)]
pub struct AdminReply {
    /// Always true: errors are problems.
    success: bool,
    /// All modes, the pin and all knobs.
    #[schema(value_type = Object)]
    operator: OperatorState,
}

/// The routes.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    let routes = OpenApiRouter::new()
        .routes(routes!(breaker))
        .routes(routes!(pin))
        .routes(routes!(unpin))
        .routes(routes!(knob))
        .routes(routes!(reload))
        .routes(routes!(purge::purge))
        .routes(routes!(sub_breaker))
        .routes(routes!(shown));
    core.guarded(Scope::Admin, routes)
}

/// Puts a breaker into a mode: `auto`, `forced_open`, `disabled`, `shadow`, or `reset` to close it and forget its counts.
///
/// An endpoint below a dependency is addressed as `/admin/breakers/database/replica/{mode}`.
#[utoipa::path(post, path = "/admin/breakers/{id}/{mode}", tag = "admin", request_body = Option<Grounds>,
    params(("id" = String, Path, description = "The endpoint"), ("mode" = String, Path, description = "The mode")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AdminReply), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn breaker(
    State(core): State<Core>,
    caller: Caller,
    PathParam((id, mode)): PathParam<(String, String)>,
    grounds: Option<JsonBody<Grounds>>,
) -> Result<Json<AdminReply>, Problem> {
    set_breaker(&core, &caller, id, &mode, grounds).await
}

/// The same for an endpoint below a dependency, e.g. `/admin/breakers/database/replica/disabled`.
#[utoipa::path(post, path = "/admin/breakers/{dependency}/{endpoint}/{mode}", tag = "admin", request_body = Option<Grounds>,
    params(("dependency" = String, Path, description = "The dependency"), ("endpoint" = String, Path, description = "Its endpoint"),
           ("mode" = String, Path, description = "The mode")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AdminReply), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn sub_breaker(
    State(core): State<Core>,
    caller: Caller,
    PathParam((dependency, endpoint, mode)): PathParam<(String, String, String)>,
    grounds: Option<JsonBody<Grounds>>,
) -> Result<Json<AdminReply>, Problem> {
    set_breaker(
        &core,
        &caller,
        format!("{dependency}/{endpoint}"),
        &mode,
        grounds,
    )
    .await
}

async fn set_breaker(
    core: &Core,
    caller: &Caller,
    endpoint: String,
    mode: &str,
    grounds: Option<JsonBody<Grounds>>,
) -> Result<Json<AdminReply>, Problem> {
    let action = match mode {
        "reset" => Action::Reset { endpoint },
        other => Action::Mode {
            endpoint,
            mode: other.parse::<Mode>().map_err(|_| {
                Error::invalid(
                    "mode",
                    format!(
                        "`{other}` is no mode; known are auto, forced_open, disabled, shadow, reset"
                    ),
                )
            })?,
        },
    };
    command(
        core,
        caller,
        action,
        grounds.map(|JsonBody(g)| g).unwrap_or_default(),
    )
    .await
}

/// Holds the level, whatever the target.
#[utoipa::path(post, path = "/admin/level/pin", tag = "admin", request_body = PinBody,
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AdminReply), (status = 400, body = ProblemBody)))]
async fn pin(
    State(core): State<Core>,
    caller: Caller,
    JsonBody(body): JsonBody<PinBody>,
) -> Result<Json<AdminReply>, Problem> {
    let known = Level::ALL
        .into_iter()
        .find(|l| l.as_str().eq_ignore_ascii_case(&body.level));
    let level = known.ok_or_else(|| {
        let names: Vec<_> = Level::ALL.iter().map(|l| l.as_str()).collect();
        Error::invalid(
            "level",
            format!(
                "`{}` is no level; known are {}",
                body.level,
                names.join(", ")
            ),
        )
    })?;
    let grounds = Grounds {
        reason: body.reason,
        for_seconds: body.for_seconds,
    };
    command(&core, &caller, Action::Pin(level), grounds).await
}

/// Lets the level follow its target again.
#[utoipa::path(post, path = "/admin/level/unpin", tag = "admin", request_body = Option<Grounds>,
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AdminReply)))]
async fn unpin(
    State(core): State<Core>,
    caller: Caller,
    grounds: Option<JsonBody<Grounds>>,
) -> Result<Json<AdminReply>, Problem> {
    command(
        &core,
        &caller,
        Action::Unpin,
        grounds.map(|JsonBody(g)| g).unwrap_or_default(),
    )
    .await
}

/// Switches a feature by hand.
#[utoipa::path(post, path = "/admin/features/{name}", tag = "admin", request_body = KnobBody,
    params(("name" = String, Path, description = "The feature")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AdminReply), (status = 400, body = ProblemBody), (status = 404, body = ProblemBody)))]
async fn knob(
    State(core): State<Core>,
    caller: Caller,
    PathParam(feature): PathParam<String>,
    JsonBody(body): JsonBody<KnobBody>,
) -> Result<Json<AdminReply>, Problem> {
    let mode = match body.mode.as_str() {
        "auto" => None,
        other => Some(other.parse::<FeatureMode>().map_err(|_| {
            Error::invalid("mode", format!("`{other}` is no mode; known are on, fallback, queued, local, limited, partial, off, auto"))
        })?),
    };
    let grounds = Grounds {
        reason: body.reason,
        for_seconds: body.for_seconds,
    };
    command(&core, &caller, Action::Knob { feature, mode }, grounds).await
}

/// Takes the configuration anew: checked as a whole first, then in force, with no breaker's state, count or history
/// lost. With a mistake in it nothing changes.
#[utoipa::path(post, path = "/admin/reload", tag = "admin", security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = ReloadReply), (status = 422, body = ProblemBody), (status = 501, body = ProblemBody), (status = 503, body = ProblemBody)))]
async fn reload(State(core): State<Core>, caller: Caller) -> Result<Json<ReloadReply>, Problem> {
    let Some(reload) = &core.reload else {
        let detail = "this server can't read its configuration anew; restart it";
        return Err(Error::new(ErrorKind::Unsupported, detail).into());
    };
    // Whoever stops waiting: what is in force afterwards is logged and audited.
    let work = reload_for(core.clone(), caller, reload.clone());
    tokio::spawn(work).await.unwrap_or_else(|_| {
        let detail = "the reload ended in an error of ours; the log says more";
        Err(Error::new(ErrorKind::Internal, detail).into())
    })
}

async fn reload_for(
    core: Core,
    caller: Caller,
    reload: Reload,
) -> Result<Json<ReloadReply>, Problem> {
    let actor = &caller.key.name;
    match reload.run().await {
        Ok(reloaded) => {
            let changed = reloaded.changes.len();
            tracing::info!(target: "audit", actor, changed, "reloads the configuration");
            let keys: Vec<_> = reloaded.changes.iter().map(|c| c.key.clone()).collect();
            let data =
                json!({"actor": actor, "changed": keys, "needs_restart": reloaded.needs_restart});
            let message = format!("{actor} reloads the configuration: {changed} settings changed");
            let at = core.handle.clock().wall();
            core.handle.events().push(at, "operator", message, data);
            Ok(Json(reloaded.into()))
        }
        Err(error) => {
            tracing::info!(target: "audit", actor, "tries to reload the configuration, in vain");
            Err(error.into())
        }
    }
}

/// What is set by hand: modes, the pin, knobs.
#[utoipa::path(get, path = "/admin/operator", tag = "admin", security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = AdminReply)))]
async fn shown(State(core): State<Core>) -> Json<AdminReply> {
    reply(&core)
}

async fn command(
    core: &Core,
    caller: &Caller,
    action: Action,
    grounds: Grounds,
) -> Result<Json<AdminReply>, Problem> {
    if grounds
        .for_seconds
        .is_some_and(|s| !(1..=LONGEST).contains(&s))
    {
        return Err(Error::invalid("for_seconds", format!("must be 1 to {LONGEST}")).into());
    }
    if grounds.reason.len() > 500 {
        return Err(Error::invalid("reason", "may have 500 bytes").into());
    }
    let command = OperatorCommand {
        action,
        actor: caller.key.name.clone(),
        reason: grounds.reason,
        lasts: grounds.for_seconds.map(Duration::from_secs),
    };
    core.handle.command(command).await?;
    Ok(reply(core))
}

fn reply(core: &Core) -> Json<AdminReply> {
    Json(AdminReply {
        success: true,
        operator: (*core.handle.operator_state()).clone(),
    })
}
