//! Writes that happen once however often they are asked for: the caller's key is recorded in the same transaction.
//!
//! The record holds the first outcome, which later requests with the key are given. A write that failed changed nothing
//! and left no record: its key is free again. Two requests with one key at the same time are told apart here when both
//! come through this process, else by a lock inside the database.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_runtime::{CallerId, Error, ErrorKind};

use crate::fault::{DATABASE, Fault};
use crate::statement::{Isolation, Statement, Written};

/// The table that holds the records. Its name lies in the namespace that statements can't touch.
pub(crate) const TABLE: &str = "mainstay_idempotency";

/// What callers know it by.
const HEADER: &str = "Idempotency-Key";
/// When to ask again for a request that is still running.
const ASK_AGAIN: Duration = Duration::from_secs(1);
/// Records of deferred writes are kept at least this long: an entry of a journal that was switched off between the commit
/// and its own note of it finds its record afterwards.
const DEFERRED_KEEP: Duration = Duration::from_secs(31 * 24 * 3600);

/// A caller's name for one write: 1 to 255 visible ASCII characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdempotencyKey(String);

impl IdempotencyKey {
    /// Checks a key.
    ///
    /// # Errors
    /// `InvalidInput`, naming the header.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
        if visible && (1..=255).contains(&text.len()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Error::invalid(
            HEADER,
            "must be 1 to 255 visible ASCII characters, such as a UUID",
        ))
    }

    /// As the caller sent it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// What kind of request a key was used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Write,
    Transaction,
    Deferred,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Write => "write",
            Self::Transaction => "transaction",
            Self::Deferred => "deferred",
        }
    }
}

/// A caller's key, unlike any other caller's. The key itself is stored nowhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct KeyId(pub(crate) [u8; 32]);

impl KeyId {
    pub(crate) fn new(caller: CallerId, key: &IdempotencyKey) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&caller.0.to_le_bytes());
        hasher.update(key.0.as_bytes());
        Self(*hasher.finalize().as_bytes())
    }

    /// As the record is found.
    pub(crate) fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }

    /// The number of the lock inside the database.
    pub(crate) fn lock(&self) -> i64 {
        let first: [u8; 8] = self.0[..8].try_into().unwrap_or_default();
        i64::from_le_bytes(first)
    }
}

/// How long records count.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept {
    pub(crate) plain: Duration,
    pub(crate) deferred: Duration,
}

impl Kept {
    pub(crate) fn new(keep: Duration) -> Self {
        Self {
            plain: keep,
            deferred: keep.max(DEFERRED_KEEP),
        }
    }

    fn of(self, kind: Kind) -> Duration {
        match kind {
            Kind::Write | Kind::Transaction => self.plain,
            Kind::Deferred => self.deferred,
        }
    }
}

/// A request under a key.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Keyed {
    pub(crate) id: KeyId,
    /// Of the whole request: the same key with another one is a mistake.
    pub(crate) fingerprint: [u8; 32],
    pub(crate) kind: Kind,
    /// How long the record counts.
    pub(crate) keep: Duration,
}

impl Keyed {
    pub(crate) fn new(id: KeyId, kind: Kind, fingerprint: [u8; 32], kept: Kept) -> Self {
        Self {
            id,
            fingerprint,
            kind,
            keep: kept.of(kind),
        }
    }

    pub(crate) fn fingerprint_hex(&self) -> String {
        blake3::Hash::from_bytes(self.fingerprint)
            .to_hex()
            .to_string()
    }

    /// What a record says about this request; `None` when it no longer counts.
    pub(crate) fn judge(&self, record: Record) -> Option<Result<Outcome, Fault>> {
        if record.age > self.keep {
            return None;
        }
        if record.fingerprint != self.fingerprint_hex() {
            return Some(Err(Fault::request(reused())));
        }
        let written = record
            .outcome
            .as_deref()
            .and_then(crate::codec::decode_written);
        Some(match written {
            Some(written) => Ok(Outcome {
                written,
                age: Some(record.age),
            }),
            None => Err(Fault::request(
                Error::new(
                    ErrorKind::Internal,
                    format!("the record of this {HEADER} in {TABLE} can't be read"),
                )
                .dependency(DATABASE),
            )),
        })
    }
}

/// What the database has about a key.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) kind: String,
    pub(crate) fingerprint: String,
    pub(crate) outcome: Option<Vec<u8>>,
    pub(crate) age: Duration,
}

/// How a write ended.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) written: Vec<Written>,
    /// How long ago; `None` when it was carried out just now.
    pub(crate) age: Option<Duration>,
}

impl Outcome {
    pub(crate) fn fresh(written: Vec<Written>) -> Self {
        Self { written, age: None }
    }
}

/// Of everything that decides what a request does.
pub(crate) fn fingerprint(kind: Kind, statements: &[Statement], isolation: Isolation) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    let mut add = |text: &str| {
        hasher.update(&text.len().to_le_bytes());
        hasher.update(text.as_bytes());
    };
    add(kind.as_str());
    add(isolation.sql());
    for statement in statements {
        add(&statement.query);
        add(&statement.params.len().to_string());
        for param in &statement.params {
            add(&param.to_string());
        }
    }
    *hasher.finalize().as_bytes()
}

/// The keys that requests of this process use now.
#[derive(Default)]
pub(crate) struct Running(Arc<Mutex<HashMap<KeyId, [u8; 32]>>>);

/// Holds a key until the request has ended, however it does.
pub(crate) struct Turn {
    running: Arc<Mutex<HashMap<KeyId, [u8; 32]>>>,
    id: KeyId,
}

impl Running {
    /// Takes the key, if nobody has it.
    ///
    /// # Errors
    /// `Conflict` while the same request runs, `KeyReused` for another one.
    pub(crate) fn enter(&self, keyed: &Keyed) -> Result<Turn, Error> {
        let mut running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match running.get(&keyed.id) {
            Some(same) if *same == keyed.fingerprint => return Err(still_running()),
            Some(_) => return Err(reused()),
            None => running.insert(keyed.id, keyed.fingerprint),
        };
        Ok(Turn {
            running: Arc::clone(&self.0),
            id: keyed.id,
        })
    }

    /// Whether somebody has the key.
    pub(crate) fn has(&self, id: &KeyId) -> bool {
        let running = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        running.contains_key(id)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        running.remove(&self.id);
    }
}

/// 409, worth a retry.
pub(crate) fn still_running() -> Error {
    let detail =
        format!("a request with this {HEADER} is still running: ask again for its outcome");
    Error::new(ErrorKind::Conflict, detail)
        .field(HEADER)
        .retryable(true)
        .retry_after(ASK_AGAIN)
        .dependency(DATABASE)
}

/// Whether this is [`still_running`].
pub(crate) fn is_still_running(error: &Error) -> bool {
    error.kind == ErrorKind::Conflict && error.retryable && error.field.as_deref() == Some(HEADER)
}

/// 422: the caller's mistake.
pub(crate) fn reused() -> Error {
    let detail =
        format!("this {HEADER} was used for another request: take a new one for each write");
    Error::new(ErrorKind::KeyReused, detail)
        .field(HEADER)
        .dependency(DATABASE)
}

/// The role may not make our table.
pub(crate) fn no_table() -> Error {
    let detail = format!(
        "the role may not make Mainstay's table {TABLE}: grant it CREATE on its schema, or make the table as the documentation says"
    );
    Error::new(ErrorKind::Forbidden, detail).dependency(DATABASE)
}
