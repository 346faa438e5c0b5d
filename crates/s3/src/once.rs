//! Requests that come twice: by its idempotency key, the second gets the first one's outcome.
//!
//! The outcome of accepted work is committed with its entry; that of work which the store took at once, after it, also
//! when the caller has left meanwhile. A conditional upload whose outcome stayed unknown finds itself by its mark. A process
//! that dies between the two has carried the request out and kept nothing: sent again, it is carried out again.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use mainstay_journal::{KeyError, KeyHold, NewOutcome, Outcome, Reserved};
use mainstay_runtime::{Answer, Error, ErrorKind};
use serde_json::{Value, json};

use crate::accept::accepted;
use crate::objects::{DEPENDENCY, Inner, Receipt};
use crate::writes::stored;

/// Longest key in bytes.
const LONGEST: usize = 255;

/// A caller's idempotency key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnceKey {
    scope: String,
    key: String,
}

impl OnceKey {
    /// `scope` keeps callers apart; `key` is theirs to choose.
    ///
    /// # Errors
    /// `InvalidInput` unless the key is 1 to 255 visible ASCII characters.
    pub fn new(scope: &str, key: &str) -> Result<Self, Error> {
        let is_visible = key.bytes().all(|byte| byte.is_ascii_graphic());
        if key.is_empty() || key.len() > LONGEST || !is_visible {
            let why = format!("an idempotency key is 1 to {LONGEST} visible ASCII characters");
            return Err(Error::invalid("Idempotency-Key", why));
        }
        Ok(Self {
            scope: format!("objects/{scope}"),
            key: key.to_owned(),
        })
    }
}

/// A request with an idempotency key, while it runs. What it asks for is hashed as it becomes known.
pub(crate) struct Once {
    /// Whose key it is, and which.
    name: String,
    state: Mutex<State>,
}

struct State {
    request: blake3::Hasher,
    hold: Option<KeyHold>,
    known: Option<Outcome>,
}

impl Once {
    /// More of the request's body.
    pub(crate) fn absorb(&self, chunk: &[u8]) {
        self.lock().request.update(chunk);
    }

    /// Whether the key came before.
    pub(crate) fn is_known(&self) -> bool {
        self.lock().known.is_some()
    }

    /// The first outcome, for a request that was seen whole.
    pub(crate) fn replay(&self) -> Option<Result<Answer<Receipt>, Error>> {
        let state = self.lock();
        let known = state.known.as_ref()?;
        if known.request != state.request.finalize() {
            let why = "this idempotency key came before with another request";
            return Some(Err(
                Error::new(ErrorKind::KeyReused, why).field("Idempotency-Key")
            ));
        }
        if known.discarded {
            let why = "what was accepted of this request has been discarded by an operator; to have it carried out, send it with a new Idempotency-Key";
            return Some(Err(
                Error::new(ErrorKind::Conflict, why).field("Idempotency-Key")
            ));
        }
        Some(Ok(match known.entry {
            Some(id) => accepted(id),
            None => {
                let answer: Value = serde_json::from_str(&known.answer).unwrap_or_default();
                stored(answer["etag"].as_str().map(str::to_owned))
            }
        }))
    }

    /// What the object bears that this request has stored, and one that is the same and was sent again would.
    pub(crate) fn mark(&self) -> String {
        let mut hasher = blake3::Hasher::new();
        hasher.update(self.lock().request.finalize().as_bytes());
        hasher.update(self.name.as_bytes());
        hasher.finalize().to_hex()[..32].to_owned()
    }

    /// What is to be kept of a request that was seen whole.
    pub(crate) fn outcome(&self, etag: Option<&str>, at_ms: i64) -> Option<NewOutcome> {
        let mut state = self.lock();
        Some(NewOutcome {
            hold: state.hold.take()?,
            request: state.request.finalize(),
            answer: json!({ "etag": etag }).to_string(),
            at_ms,
        })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Inner {
    /// Takes the key of a request that is described by these words, and perhaps a body that follows.
    pub(crate) async fn once(
        &self,
        key: Option<&OnceKey>,
        request: &[&str],
    ) -> Result<Option<Arc<Once>>, Error> {
        let Some(OnceKey { scope, key }) = key else {
            return Ok(None);
        };
        let now_ms = self.steady().as_millisecond();
        let reserved = self.journal.reserve(scope, key, now_ms).await;
        let (hold, known) = match reserved.map_err(|error| self.no_key(&error))? {
            Reserved::First(hold) => (Some(hold), None),
            Reserved::Known(outcome) => (None, Some(outcome)),
        };
        let mut hasher = blake3::Hasher::new();
        for word in request {
            hasher.update(&(word.len() as u64).to_le_bytes());
            hasher.update(word.as_bytes());
        }
        Ok(Some(Arc::new(Once {
            name: format!("{scope}\0{key}"),
            state: Mutex::new(State {
                request: hasher,
                hold,
                known,
            }),
        })))
    }

    fn no_key(&self, error: &KeyError) -> Error {
        let error = match error {
            KeyError::Running => Error {
                retryable: true,
                ..Error::new(ErrorKind::Conflict, error.to_string()).field("Idempotency-Key")
            },
            _ => {
                tracing::warn!(dependency = DEPENDENCY, %error, "an idempotency key can't be kept");
                let why = "the journal can't keep idempotency keys now; nothing was written";
                Error::new(ErrorKind::JournalFull, why).dependency(DEPENDENCY)
            }
        };
        error.retry_after(Duration::from_secs(1))
    }

    /// Keeps the outcome of a request that the store has carried out.
    pub(crate) async fn keep_outcome(&self, once: Option<&Once>, etag: Option<&str>) {
        let now_ms = self.steady().as_millisecond();
        let Some(outcome) = once.and_then(|once| once.outcome(etag, now_ms)) else {
            return;
        };
        if let Err(error) = self.journal.record(outcome).await {
            tracing::warn!(dependency = DEPENDENCY, %error, "the outcome of a request was not kept: sent again, it is carried out again");
        }
    }
}
