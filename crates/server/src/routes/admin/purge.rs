//! `POST /admin/purge/{what}`: what was kept for bad times, or written down about them, is removed when somebody must
//! have it gone. Accepted work never is: that is the journal's to discard.

use axum::Json;
use axum::extract::State;
use mainstay_runtime::Error;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use crate::app::Core;
use crate::auth::Caller;
use crate::extract::PathParam;
use crate::problem::{Problem, ProblemBody};

#[derive(Clone, Copy)]
enum Purge {
    Caches,
    Recordings,
}

/// What a purge has removed.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct PurgeReply {
    /// Always true: errors are problems.
    success: bool,
    /// `database_results`, `object_copies` and `model_answers`; or `recordings`.
    purged: &'static [&'static str],
}

/// Removes what was kept for bad times: `caches` are earlier results of the database, local copies of objects and
/// earlier answers of models; `recordings` what the controller was told, and another recording begins.
///
/// Accepted work, stored objects, and what the cache holds in place of Redis stay.
#[utoipa::path(post, path = "/admin/purge/{what}", tag = "admin",
    params(("what" = String, Path, description = "`caches` or `recordings`")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = PurgeReply), (status = 400, body = ProblemBody), (status = 500, body = ProblemBody),
              (status = 503, body = ProblemBody)))]
pub(super) async fn purge(
    State(core): State<Core>,
    caller: Caller,
    PathParam(what): PathParam<String>,
) -> Result<Json<PurgeReply>, Problem> {
    let what = Purge::parse(&what)?;
    let done = what.carry_out(&core).await;
    audit(&core, &caller, what, done.is_ok());
    done?;
    Ok(Json(PurgeReply {
        success: true,
        purged: what.names(),
    }))
}

impl Purge {
    fn parse(word: &str) -> Result<Self, Error> {
        let all = [Self::Caches, Self::Recordings];
        all.into_iter()
            .find(|one| one.word() == word)
            .ok_or_else(|| {
                let detail = format!("`{word}` can't be purged; known are caches, recordings");
                Error::invalid("what", detail)
            })
    }

    const fn word(self) -> &'static str {
        match self {
            Self::Caches => "caches",
            Self::Recordings => "recordings",
        }
    }

    const fn names(self) -> &'static [&'static str] {
        match self {
            Self::Caches => &["database_results", "object_copies", "model_answers"],
            Self::Recordings => &["recordings"],
        }
    }

    /// Removes all there is, also where some of it can't be removed.
    async fn carry_out(self, core: &Core) -> Result<(), Error> {
        match self {
            Self::Caches => {
                core.models.purge_cache();
                let results = core.database.purge_cache().await;
                let copies = core.objects.purge_copies().await;
                results.and(copies)
            }
            Self::Recordings => core.handle.purge_recordings().await,
        }
    }
}

/// Notes who did what, in the log and as an event.
fn audit(core: &Core, caller: &Caller, what: Purge, done: bool) {
    let (actor, key_id, what) = (&caller.key.name, &caller.key.id, what.word());
    tracing::info!(target: "audit", actor, key_id, what, done, "purges what was kept");
    let message = match done {
        true => format!("{actor} purges the {what}"),
        false => format!("{actor} tries to purge the {what}, and some can't be removed"),
    };
    let data = json!({"actor": actor, "purge": what, "done": done});
    let at = core.handle.clock().wall();
    core.handle.events().push(at, "operator", message, data);
}
