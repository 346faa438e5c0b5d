//! Deferred writes: statements an administrator has named, accepted while the database is down and run once when it is back.
//!
//! A request brings the statement's name, its parameters and a key. While the database is up and nothing waits, it runs at
//! once. Otherwise it is appended to the journal, and *accepted* is said once that is on disk. The drain runs what waits
//! one after the other in the order of acceptance, each under its key: whatever breaks between the commit and the
//! journal's note of it, the record in the database tells that it was done. A request whose outcome is unknown is
//! accepted, too: the drain finds out.

mod accept;
mod carry;
mod drain;
mod news;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_journal::{Claimed, Entry, EntryId, Journal};
use mainstay_runtime::{Answer, Error};
use serde_json::{Value, json};

use crate::codec;
use crate::keyed::{Kept, KeyId, Keyed, Kind};
use crate::sql::{self, Dialect};
use crate::statement::{Rows, Statement, Written};

pub(crate) use drain::run;

/// The journal's queue for deferred writes.
pub const QUEUE: &str = "database";

/// The places on a deferred write's way where a test may kill the process (see [`mainstay_journal::fault`]). Those of
/// `write.` lie on the way of every write under a key.
pub const FAULT_POINTS: &[&str] = &[
    "deferred.accepted",
    "deferred.claimed",
    "write.recorded",
    "write.committed",
    "deferred.done",
    "deferred.completed",
];

/// What deferred writes need.
#[derive(Clone, Debug)]
pub struct DeferredSettings {
    /// Where they wait.
    pub journal: Journal,
    /// The statements that may be deferred, by name. None: nothing is accepted, and what still waits is set aside.
    pub statements: BTreeMap<String, String>,
}

/// How a deferred write was taken.
#[derive(Clone, Debug, PartialEq)]
pub enum Deferral {
    /// It is done: at once, or earlier under the same key.
    Done(Answer<Written>),
    /// It is on our disk and will run.
    Accepted {
        /// The journal's entry.
        id: EntryId,
    },
}

/// What became of a deferred write.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It waits for the database, or for what was accepted before it.
    Waiting {
        /// Wall clock, ms since the Unix epoch.
        accepted_at_ms: i64,
        /// Failed attempts.
        attempts: u32,
        /// Why the last one failed.
        last_error: Option<String>,
    },
    /// It is done.
    Done(Answer<Written>),
    /// It was refused and needs a person.
    SetAside {
        /// The journal's entry.
        id: EntryId,
        /// Wall clock, ms since the Unix epoch.
        accepted_at_ms: i64,
        /// What was said.
        reason: String,
    },
    /// An operator has given it up.
    Discarded,
}

pub(crate) struct Deferred {
    pub(crate) journal: Journal,
    statements: BTreeMap<String, String>,
    kept: Kept,
}

impl Deferred {
    /// # Errors
    /// A statement that no request could send either.
    pub(crate) fn new(
        settings: DeferredSettings,
        kept: Kept,
        dialect: Dialect,
    ) -> Result<Arc<Self>, Error> {
        for (name, query) in &settings.statements {
            sql::check(query, dialect)
                .map_err(|error| error.field(format!("database.deferred.statements.{name}")))?;
        }
        Ok(Arc::new(Self {
            journal: settings.journal,
            statements: settings.statements,
            kept,
        }))
    }

    fn statement(&self, name: &str, params: Vec<Value>) -> Option<Statement> {
        let query = self.statements.get(name)?;
        Some(Statement::new(query.as_str(), params))
    }

    /// Whether something was accepted before that hasn't run, or may have been: also while a faulted journal gives
    /// nothing to the drain.
    fn is_waiting(&self) -> bool {
        self.journal.is_waiting(QUEUE)
    }

    /// The oldest that waits, for the drain: also before a younger one that has not failed yet.
    fn next(&self) -> Option<Claimed> {
        self.journal.claim(QUEUE, 1, i64::MAX).pop()
    }

    fn keyed(&self, id: KeyId, fingerprint: [u8; 32]) -> Keyed {
        Keyed::new(id, Kind::Deferred, fingerprint, self.kept)
    }
}

/// What an entry of the journal holds besides its key and the statement's name.
struct Content {
    fingerprint: [u8; 32],
    params: Vec<Value>,
}

impl Content {
    /// Parameters travel in a form that gives them back to the last digit.
    fn to_json(&self) -> Value {
        let params = Rows {
            columns: Vec::new(),
            rows: vec![self.params.clone()],
        };
        json!({
            "fingerprint": blake3::Hash::from_bytes(self.fingerprint).to_hex().as_str(),
            "params": STANDARD.encode(codec::encode_rows(&params)),
        })
    }

    fn of(entry: &Entry) -> Option<Self> {
        let params = STANDARD.decode(entry.meta["params"].as_str()?).ok()?;
        Some(Self {
            fingerprint: fingerprint_of(entry)?,
            params: codec::decode_rows(&params)?.rows.pop()?,
        })
    }
}

fn fingerprint_of(entry: &Entry) -> Option<[u8; 32]> {
    let hash = blake3::Hash::from_hex(entry.meta["fingerprint"].as_str()?).ok()?;
    Some(*hash.as_bytes())
}

fn key_id_of(entry: &Entry) -> Option<KeyId> {
    let hash = blake3::Hash::from_hex(&entry.key).ok()?;
    Some(KeyId(*hash.as_bytes()))
}

/// When to try what the database refused for the moment again, at first.
const PAUSE: Duration = Duration::from_millis(100);
