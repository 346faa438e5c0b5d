//! Entries, and the values that describe a journal from outside.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

use crate::outcomes::NewOutcome;
use crate::spool::Spooled;

/// The number of an entry: later entries have higher numbers, also across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct EntryId(pub(crate) i64);

impl fmt::Display for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for EntryId {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(EntryId)
    }
}

/// Work to be accepted.
#[derive(Debug)]
pub struct NewEntry<'a> {
    /// The queue, from the caller's closed set of names (a dependency's id).
    pub queue: &'a str,
    /// What orders entries: those of one key are carried out one after the other.
    pub key: String,
    /// The operation, in the caller's words.
    pub kind: String,
    /// Whatever else the caller needs to carry it out.
    pub meta: serde_json::Value,
    /// The body, from [`Journal::spool`](crate::Journal::spool).
    pub body: Option<Spooled>,
    /// What is kept for the idempotency key of the request, in the same commit.
    pub outcome: Option<NewOutcome>,
    /// Wall clock, ms since the Unix epoch.
    pub accepted_at_ms: i64,
}

/// Where an entry stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Waits to be claimed.
    Queued,
    /// Claimed, or being changed. Not persisted: after a restart it is queued.
    InFlight,
    /// Given up on until an operator retries or discards it. Later entries of its key wait.
    SetAside,
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            State::Queued => "queued",
            State::InFlight => "in flight",
            State::SetAside => "set aside",
        })
    }
}

/// Size and checksum of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct BodyInfo {
    /// Bytes.
    pub len: u64,
    /// BLAKE3 of the content.
    #[serde(serialize_with = "hex")]
    pub blake3: blake3::Hash,
}

fn hex<S: Serializer>(hash: &blake3::Hash, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&hash.to_hex())
}

/// Accepted work, as it stood when it was looked up.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Its number.
    pub id: EntryId,
    /// The queue.
    pub queue: String,
    /// The key that orders it.
    pub key: String,
    /// The operation.
    pub kind: String,
    /// The caller's own data.
    pub meta: serde_json::Value,
    /// Size and checksum of the body, if it has one.
    pub body: Option<BodyInfo>,
    /// Wall clock when it was accepted, ms since the Unix epoch.
    pub accepted_at_ms: i64,
    /// Failed attempts.
    pub attempts: u32,
    /// Why the last attempt failed, or why it was set aside.
    pub last_error: Option<String>,
    /// Not claimed before this time of the drain's clock, ms. Not persisted.
    pub not_before_ms: Option<i64>,
    /// Where it stands.
    pub state: State,
}

/// Which entries to list; the default is all.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// Only this queue.
    pub queue: Option<String>,
    /// Only this state.
    pub state: Option<State>,
}

/// What a journal holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Stats {
    /// Entries in all states.
    pub entries: u64,
    /// Bytes of bodies, keys and metadata.
    pub bytes: u64,
    /// When the oldest entry was accepted, ms since the Unix epoch.
    pub oldest_accepted_at_ms: Option<i64>,
    /// Entries in flight.
    pub in_flight: u64,
    /// Entries set aside.
    pub set_aside: u64,
    /// Commits since it was opened; each acknowledges a whole group.
    pub commits: u64,
    /// Whether the storage has failed.
    pub faulted: bool,
}

/// Whether a journal accepts work.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// It does.
    Ok,
    /// The storage failed, for this reason; it accepts nothing until it is opened again.
    Faulted(String),
    /// It was closed.
    Closed,
}
