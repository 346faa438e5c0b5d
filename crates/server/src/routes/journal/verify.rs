//! `POST /journal/verify`: bodies against their checksums, some at a time, so that no request takes long.

use axum::Json;
use axum::extract::State;
use futures_util::TryStreamExt;
use mainstay_journal::{EntryId, Filter, Journal, ReadError};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{audit, parse_id};
use crate::app::Core;
use crate::auth::Caller;
use crate::extract::QueryParams;
use crate::problem::{Problem, ProblemBody};

/// Entries looked at in one request.
const ENTRIES: usize = 1_000;
/// No further body is begun in a request that has read as much.
const BYTES: u64 = 256 << 20;

/// Where to go on.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(super) struct VerifyQuery {
    /// Entries after this id: `next` of the reply before.
    after: Option<String>,
}

/// What one stretch of entries looks like.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct VerifyReply {
    /// Entries looked at.
    checked: u64,
    /// Bytes of bodies read.
    bytes: u64,
    /// Bodies that are not what was accepted, or can't be read.
    damaged: Vec<DamagedBody>,
    /// Where to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A damaged body.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct DamagedBody {
    /// Its entry.
    id: String,
    /// What is wrong.
    reason: String,
}

/// Compares the bodies of some entries with their checksums; changes nothing.
#[utoipa::path(post, path = "/journal/verify", tag = "journal", params(VerifyQuery),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = VerifyReply), (status = 400, body = ProblemBody)))]
pub(super) async fn verify(
    State(core): State<Core>,
    caller: Caller,
    QueryParams(query): QueryParams<VerifyQuery>,
) -> Result<Json<VerifyReply>, Problem> {
    let after = query.after.as_deref();
    if after.is_none() {
        audit(&core, &caller, "verify", None);
    }
    let after = after.map(|text| parse_id("after", text)).transpose()?;
    Ok(Json(stretch(core.objects.journal(), after).await))
}

async fn stretch(journal: &Journal, after: Option<EntryId>) -> VerifyReply {
    let entries = journal.entries(&Filter::default(), after, ENTRIES);
    let is_full = entries.len() == ENTRIES;
    let last = entries.last().map(|entry| entry.id);
    let mut reply = VerifyReply::default();
    for entry in entries {
        if reply.bytes > BYTES {
            return reply;
        }
        if entry.body.is_some() {
            match read(journal, entry.id, &mut reply.bytes).await {
                Ok(()) | Err(ReadError::Unknown(_)) => {}
                Err(error) => reply.damaged.push(DamagedBody {
                    id: entry.id.to_string(),
                    reason: error.to_string(),
                }),
            }
        }
        reply.checked += 1;
        let is_last = Some(entry.id) == last && !is_full;
        reply.next = (!is_last).then(|| entry.id.to_string());
    }
    reply
}

async fn read(journal: &Journal, id: EntryId, bytes: &mut u64) -> Result<(), ReadError> {
    let mut body = journal.body(id).await?;
    while let Some(chunk) = body.try_next().await? {
        *bytes += chunk.len() as u64;
    }
    Ok(())
}
