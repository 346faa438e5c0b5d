//! `/journal`: accepted work that has not reached its dependency yet, and what operators can do about it.

mod verify;

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use jiff::Timestamp;
use mainstay_journal::{Bound, Entry, EntryId, Filter, State as EntryState};
use serde::{Deserialize, Serialize};
use serde_json::json;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::Core;
use crate::auth::Caller;
use crate::extract::{PathParam, QueryParams};
use crate::keys::Scope;
use crate::problem::{Problem, ProblemBody};

/// Longest time that a flush waits for the queue to empty.
const FLUSH_PATIENCE: Duration = Duration::from_secs(25);

/// The journal's figures and some of its entries.
#[derive(Debug, Serialize, ToSchema)]
pub struct JournalReply {
    #[serde(flatten)]
    figures: Figures,
    /// Matching entries, oldest first.
    items: Vec<Item>,
}

/// The journal's figures.
#[derive(Debug, Serialize, ToSchema)]
pub struct Figures {
    /// Entries in all states.
    entries: u64,
    /// Bytes of bodies, keys and metadata.
    bytes: u64,
    /// Age of the oldest entry, in seconds.
    oldest_seconds: u64,
    /// Entries on their way to their dependency.
    in_flight: u64,
    /// Entries that need a person.
    set_aside: u64,
    /// Whether the storage has failed: nothing is accepted then until a restart.
    faulted: bool,
    /// The bound that leaves no room for more: `entries`, `bytes` or `disk`; null while there is some.
    full: Option<&'static str>,
}

/// One entry.
#[derive(Debug, Serialize, ToSchema)]
pub struct Item {
    id: String,
    /// The dependency it waits for.
    queue: String,
    key: String,
    /// `put`, `delete` or `copy`; for the database the statement's name.
    kind: String,
    /// `queued`, `in_flight` or `set_aside`.
    state: String,
    /// Bytes of its body.
    bytes: u64,
    /// BLAKE3 of its body, if it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    checksum: Option<String>,
    accepted_at: String,
    /// Failed attempts.
    attempts: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_error: Option<String>,
}

/// Which entries to show.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub struct JournalQuery {
    /// Only set-aside entries.
    #[serde(default)]
    set_aside: bool,
    /// Only entries in this state: `queued`, `in_flight` or `set_aside`.
    state: Option<String>,
    /// Entries after this id.
    after: Option<String>,
    /// 1 to 1000, 100 if not given.
    limit: Option<usize>,
}

/// What an operator's command on the journal did.
#[derive(Debug, Serialize, ToSchema)]
pub struct JournalDone {
    /// Always true: errors are problems.
    success: bool,
    /// For a flush: whether the queue is empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    empty: Option<bool>,
    #[serde(flatten)]
    figures: Figures,
}

/// The routes.
pub fn routes(core: &Core) -> OpenApiRouter<Core> {
    let reading = OpenApiRouter::new().routes(routes!(show));
    let changing = OpenApiRouter::new()
        .routes(routes!(flush))
        .routes(routes!(verify::verify))
        .routes(routes!(retry))
        .routes(routes!(discard));
    core.guarded(Scope::Objects, reading)
        .merge(core.guarded(Scope::Admin, changing))
}

/// The journal's figures, as metrics want them too.
pub fn figures(core: &Core) -> Figures {
    let stats = core.objects.journal().stats();
    let now = core.handle.clock().steady().as_millisecond();
    // An entry that an earlier process accepted in the future is young.
    let oldest = stats
        .oldest_accepted_at_ms
        .map_or(0, |at| (now - at).max(0) as u64 / 1000);
    Figures {
        entries: stats.entries,
        bytes: stats.bytes,
        oldest_seconds: oldest,
        in_flight: stats.in_flight,
        set_aside: stats.set_aside,
        faulted: stats.faulted,
        full: core.objects.journal().full().map(|bound| match bound {
            Bound::Entries => "entries",
            Bound::Bytes => "bytes",
            Bound::Disk => "disk",
        }),
    }
}

impl Figures {
    /// Entries, bytes, the age of the oldest in seconds, and whether there is no room for more.
    pub fn gauges(&self) -> [f64; 4] {
        [
            self.entries as f64,
            self.bytes as f64,
            self.oldest_seconds as f64,
            f64::from(u8::from(self.full.is_some())),
        ]
    }
}

/// What waits, oldest first. Deferred database writes are shown to keys with the scope `db:write` or `admin` only.
#[utoipa::path(get, path = "/journal", tag = "journal", params(JournalQuery),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = JournalReply), (status = 400, body = ProblemBody)))]
async fn show(
    State(core): State<Core>,
    caller: Caller,
    QueryParams(query): QueryParams<JournalQuery>,
) -> Result<Json<JournalReply>, Problem> {
    let limit = query.limit.unwrap_or(100);
    if !(1..=1000).contains(&limit) {
        return Err(mainstay_runtime::Error::invalid("limit", "must be 1 to 1000").into());
    }
    let after = query
        .after
        .as_deref()
        .map(|text| parse_id("after", text))
        .transpose()?;
    let state = query.state.as_deref().map(parse_state).transpose()?;
    let state = state.or(query.set_aside.then_some(EntryState::SetAside));
    // The scope that leads here is that of objects; names and errors of database writes are not its business.
    let entries = if caller.key.may(Scope::DbWrite) {
        let filter = Filter { queue: None, state };
        core.objects.journal().entries(&filter, after, limit)
    } else {
        core.objects.journal_entries(state, after, limit)
    };
    Ok(Json(JournalReply {
        figures: figures(&core),
        items: entries.into_iter().map(item).collect(),
    }))
}

/// Drains now, and waits a while for the queue to empty.
#[utoipa::path(post, path = "/journal/flush", tag = "journal",
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = JournalDone)))]
async fn flush(State(core): State<Core>, caller: Caller) -> Json<JournalDone> {
    audit(&core, &caller, "flush", None);
    let left = core.objects.drain_now(FLUSH_PATIENCE).await;
    Json(JournalDone {
        success: true,
        empty: Some(left == 0),
        figures: figures(&core),
    })
}

/// Puts an entry that was set aside back in its queue.
#[utoipa::path(post, path = "/journal/{id}/retry", tag = "journal", params(("id" = String, Path, description = "The entry")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = JournalDone), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn retry(
    State(core): State<Core>,
    caller: Caller,
    PathParam(id): PathParam<String>,
) -> Result<Json<JournalDone>, Problem> {
    let id = parse_id("id", &id)?;
    core.objects.retry_entry(id).await?;
    audit(&core, &caller, "retry", Some(id));
    Ok(done(&core))
}

/// Removes an entry for good: what was accepted will not reach its dependency.
#[utoipa::path(post, path = "/journal/{id}/discard", tag = "journal", params(("id" = String, Path, description = "The entry")),
    security(("key" = []), ("bearer" = [])),
    responses((status = 200, body = JournalDone), (status = 404, body = ProblemBody), (status = 409, body = ProblemBody)))]
async fn discard(
    State(core): State<Core>,
    caller: Caller,
    PathParam(id): PathParam<String>,
) -> Result<Json<JournalDone>, Problem> {
    let id = parse_id("id", &id)?;
    core.objects.discard_entry(id).await?;
    audit(&core, &caller, "discard", Some(id));
    Ok(done(&core))
}

fn done(core: &Core) -> Json<JournalDone> {
    Json(JournalDone {
        success: true,
        empty: None,
        figures: figures(core),
    })
}

fn item(entry: Entry) -> Item {
    let accepted =
        Timestamp::from_millisecond(entry.accepted_at_ms).unwrap_or(Timestamp::UNIX_EPOCH);
    Item {
        id: entry.id.to_string(),
        queue: entry.queue,
        key: entry.key,
        kind: entry.kind,
        state: state_word(entry.state).to_owned(),
        bytes: entry.body.map_or(0, |b| b.len),
        checksum: entry.body.map(|b| b.blake3.to_string()),
        accepted_at: accepted.to_string(),
        attempts: entry.attempts,
        last_error: entry.last_error,
    }
}

const STATES: [EntryState; 3] = [
    EntryState::Queued,
    EntryState::InFlight,
    EntryState::SetAside,
];

fn state_word(state: EntryState) -> &'static str {
    match state {
        EntryState::Queued => "queued",
        EntryState::InFlight => "in_flight",
        EntryState::SetAside => "set_aside",
    }
}

fn parse_state(text: &str) -> Result<EntryState, Problem> {
    let found = STATES.into_iter().find(|state| state_word(*state) == text);
    found.ok_or_else(|| {
        mainstay_runtime::Error::invalid("state", "must be queued, in_flight or set_aside").into()
    })
}

fn parse_id(field: &str, text: &str) -> Result<EntryId, Problem> {
    text.parse().map_err(|_| {
        mainstay_runtime::Error::invalid(
            field,
            "must be the id of an entry, as GET /journal shows it",
        )
        .into()
    })
}

/// Notes who did what, in the log and as an event.
fn audit(core: &Core, caller: &Caller, command: &'static str, entry: Option<EntryId>) {
    let (actor, key_id) = (&caller.key.name, &caller.key.id);
    let entry = entry.map(|id| id.to_string());
    tracing::info!(target: "audit", actor, key_id, command, entry, "journal command");
    let of = entry.as_ref().map(|id| format!(" of entry {id}"));
    let message = format!("{actor} asks for {command}{}", of.unwrap_or_default());
    let data = json!({"actor": actor, "command": command, "entry": entry});
    let at = core.handle.clock().wall();
    core.handle.events().push(at, "operator", message, data);
}
