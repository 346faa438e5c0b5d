//! The journal's canary: an object of our own that is accepted, brought to the store, read back, compared, and deleted
//! the same way. So the path that accepted work takes in an outage is known to work before one comes.
//!
//! Its key holds the journal's identity: processes that share a bucket don't meddle with each other's. What one leaves
//! behind, the next overwrites. Nobody waits for it, so it is dropped where other work would be set aside for a person.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use mainstay_journal::{AppendError, EntryId, Health};
use mainstay_runtime::breaker::State;
use mainstay_runtime::{Call, CallError, CallerId, Context, Exercised};
use object_store::PutPayload;
use serde_json::{Value, json};

use crate::classify::{Failed, Meaning, meaning};
use crate::key::Key;
use crate::objects::{DELETE, DEPENDENCY, Inner, PUT, QUEUE};
use crate::store::Condition;
use crate::trace::Trace;

/// How often the journal is asked whether the drain has done its part.
const LOOK: Duration = Duration::from_millis(100);
/// Longest time for one of the two ways through the journal, refusals and their pauses included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Why a canary didn't come back as it left.
enum Lost {
    /// All is not well, or the journal has other work: this says nothing of the way.
    Untimely,
    Differed(&'static str),
    Failed(&'static str),
}

/// The store is in trouble, which the breaker deals with; or the journal takes nothing now, which is told elsewhere.
impl From<AppendError> for Lost {
    fn from(_: AppendError) -> Self {
        Self::Untimely
    }
}

/// One canary, there and back.
pub(crate) async fn fly(inner: Arc<Inner>) -> Option<Exercised> {
    let (ended, why) = match inner.there_and_back().await {
        Ok(()) => return Some(Exercised::Agreed),
        Err(Lost::Untimely) => (None, "all is not well"),
        Err(Lost::Differed(why)) => (Some(Exercised::Differed), why),
        Err(Lost::Failed(why)) => (Some(Exercised::Failed), why),
    };
    inner.clear_canaries().await;
    match ended {
        Some(_) => tracing::warn!(
            dependency = DEPENDENCY,
            why,
            "the journal's canary was lost"
        ),
        None => tracing::debug!(dependency = DEPENDENCY, why, "no canary now"),
    }
    ended
}

impl Inner {
    /// Takes canaries back that wait in the journal: of a flight that was given up, or of an earlier process.
    pub(crate) async fn clear_canaries(&self) {
        let key = Key::canary(self.journal.identity());
        for entry in self.journal.entries_for_key(QUEUE, key.as_str()) {
            // One on its way to the store ends there.
            let _ = self.journal.discard(entry.id).await;
        }
    }

    async fn there_and_back(&self) -> Result<(), Lost> {
        if !self.is_idle() {
            return Err(Lost::Untimely);
        }
        let key = Key::canary(self.journal.identity());
        self.may_use(&key).await?;
        let sent = format!(
            "Mainstay tries here whether what it accepts reaches this store, and removes this again. {} {}",
            self.journal.identity(),
            self.guard.clock().wall()
        );
        let mut spool = self.journal.spool();
        spool.write(sent.as_bytes()).await?;
        let body = spool.finish().await?;
        let about = json!({ "content_type": "text/plain" });
        let put = self.enter(PUT, &key, about, Some(body), None).await?;
        self.carried(put).await?;
        match self.read_canary(&key, sent.len()).await? {
            None => return Err(Lost::Failed("the store does not have what it took")),
            Some(there) if there != sent.as_bytes() => {
                return Err(Lost::Differed("the store has something else than it took"));
            }
            Some(_) => {}
        }
        let delete = self.enter(DELETE, &key, Value::Null, None, None).await?;
        self.carried(delete).await?;
        match self.read_canary(&key, sent.len()).await? {
            None => Ok(()),
            Some(_) => Err(Lost::Differed("the store still has what it deleted")),
        }
    }

    /// Whether we may use the key at all. Asked past the guard: a policy that keeps us from it is no failure of the store
    /// and must not open its breaker.
    async fn may_use(&self, key: &Key) -> Result<(), Lost> {
        let about = self.about(key, None, None);
        let payload = PutPayload::from_static(b"Mainstay tries whether it may write here");
        let tried = async {
            self.store
                .put(key, payload, &about, &Condition::None)
                .await?;
            self.store.get(key, None).await?;
            self.store.delete(key).await
        };
        let until = self.now() + self.settings.first_byte;
        let tried = self.guard.clock().until(until, Trace::run(tried)).await;
        let (Err(error), seen) = tried.map_err(|_| Lost::Untimely)? else {
            return Ok(());
        };
        match meaning(&Failed { error, seen }) {
            // How it came to that is for the journal's way to show.
            Meaning::Absent => Ok(()),
            Meaning::Failing | Meaning::Overloaded | Meaning::NoRoom => Err(Lost::Untimely),
            _ => Err(Lost::Failed(
                "the store refuses us keys under `.mainstay/`: allow them",
            )),
        }
    }

    /// The store is well, and the journal takes work and has none that waits its turn.
    fn is_idle(&self) -> bool {
        let stats = self.journal.stats();
        self.guard.state() == State::Closed
            && self.journal.health() == Health::Ok
            && stats.entries == stats.set_aside
    }

    /// Waits until the drain has ended with an entry.
    async fn carried(&self, id: EntryId) -> Result<(), Lost> {
        let clock = self.guard.clock();
        let until = clock.now() + PATIENCE;
        while self.journal.get(id).is_some() {
            if self.guard.state() != State::Closed {
                return Err(Lost::Untimely);
            }
            if clock.now() >= until {
                return Err(Lost::Failed("the drain did not carry it in time"));
            }
            clock.sleep(LOOK).await;
        }
        Ok(())
    }

    /// What the store itself has, past journal and local copies. Of another length than `len` it isn't read.
    async fn read_canary(&self, key: &Key, len: usize) -> Result<Option<Bytes>, Lost> {
        let ctx = Context::new(CallerId::OURSELVES, self.now() + PATIENCE);
        let call = self.to_first_byte(Call::new("get", &ctx).idempotent());
        let read = || async {
            let found = self.store.get(key, None).await?;
            match found.meta.size == len as u64 {
                true => found.bytes().await,
                false => Ok(Bytes::new()),
            }
        };
        match self.call(call, read).await {
            Ok(content) => Ok(Some(content)),
            Err(error) => absent(&error),
        }
    }
}

fn absent(error: &CallError<Failed>) -> Result<Option<Bytes>, Lost> {
    let CallError::Failed(failed) = error else {
        return Err(Lost::Untimely);
    };
    match meaning(failed) {
        Meaning::Absent => Ok(None),
        Meaning::Failing | Meaning::Overloaded => Err(Lost::Untimely),
        _ => Err(Lost::Failed("the store does not let it be read")),
    }
}
