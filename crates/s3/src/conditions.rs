//! Finding out whether the store honours conditions on writes: some ignore them without a word.
//!
//! A trial puts an object where the second and third put must fail. Each has a key of its own, so that trials of other
//! processes can't be taken for the store's doing; in this process one runs at a time, and none for ever.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::OnceLock;

use object_store::{Error as StoreError, PutPayload, PutResult};
use tokio::sync::Mutex;

use crate::key::Key;
use crate::objects::Inner;
use crate::store::{About, Condition, Store};

/// What the uploads of a trial hold.
const TRIAL: &[u8] = b"mainstay tries here whether this store honours conditions on writes";
/// Keys of trials that are remembered until they are deleted.
const MAX_LEFT: usize = 16;

/// What is known of conditions, and the trial that may be running.
pub(crate) struct Conditions {
    known: OnceLock<bool>,
    /// Locked by the trial that runs: what trials may have left in the store.
    left: Mutex<Vec<Key>>,
}

impl Conditions {
    /// A folder of ours honours them; of an S3 store nothing is known yet.
    pub(crate) fn of(store: &Store) -> Self {
        Self {
            known: match store {
                Store::Local(_) => OnceLock::from(true),
                Store::S3(_) => OnceLock::new(),
            },
            left: Mutex::default(),
        }
    }

    /// Whether the store honours them, once that was found out.
    pub(crate) fn known(&self) -> Option<bool> {
        self.known.get().copied()
    }
}

impl Inner {
    /// Whether the store honours `If-None-Match` and `If-Match` on writes; finds it out if that isn't known yet, as
    /// far as the time to a first byte allows.
    pub(crate) async fn honours_conditions(&self) -> Option<bool> {
        if self.conditions.known().is_none() {
            let until = self.now() + self.settings.first_byte;
            let tried = async {
                let mut left = self.conditions.left.lock().await;
                self.try_conditions(&mut left).await;
            };
            // In vain: it stays unknown.
            let _ = self.guard.clock().until(until, tried).await;
        }
        self.conditions.known()
    }

    /// The same in the background, unless a trial runs already. Unfinished, it leaves the question to a later one.
    pub(crate) async fn find_out_conditions(&self) {
        let Ok(mut left) = self.conditions.left.try_lock() else {
            return;
        };
        let until = self.now() + self.settings.idle;
        let tried = self.try_conditions(&mut left);
        if self.guard.clock().until(until, tried).await.is_err() {
            tracing::debug!("the trial of conditions on writes was not answered in time");
        }
    }

    async fn try_conditions(&self, left: &mut Vec<Key>) {
        if self.conditions.known().is_some() {
            return;
        }
        match verdict(&self.store, left).await {
            Ok(Some(honours)) => {
                let _ = self.conditions.known.set(honours);
                if !honours {
                    tracing::warn!(
                        dependency = "s3",
                        "the store ignores conditions on writes: they will be refused"
                    );
                }
            }
            Ok(None) => tracing::debug!("two trials of conditions on writes contradict each other"),
            Err(error) => {
                tracing::debug!(%error, "whether the store honours conditions can't be found out now")
            }
        }
        if let Err(error) = tidy(&self.store, left).await {
            tracing::debug!(%error, "a trial's object is left for a later trial to delete");
        }
    }
}

/// A "no" holds for the life of the process, so it takes two trials; none when they contradict each other.
async fn verdict(store: &Store, left: &mut Vec<Key>) -> object_store::Result<Option<bool>> {
    if trial(store, left).await? {
        return Ok(Some(true));
    }
    Ok((!trial(store, left).await?).then_some(false))
}

async fn trial(store: &Store, left: &mut Vec<Key>) -> object_store::Result<bool> {
    let key = Key::reserved(&format!("conditions-{:016x}", random()));
    if left.len() >= MAX_LEFT {
        left.remove(0);
    }
    // Before anything is sent: who drops this future leaves the key to the next trial.
    left.push(key.clone());
    put(store, &key, Condition::None).await?;
    let absent = is_kept(put(store, &key, Condition::Absent).await)?;
    let other = Condition::Matches("\"no-such-etag\"".into());
    let matches = is_kept(put(store, &key, other).await)?;
    Ok(absent && matches)
}

async fn put(store: &Store, key: &Key, condition: Condition) -> object_store::Result<PutResult> {
    let about = About {
        content_type: None,
        mark: "trial".into(),
    };
    let payload = PutPayload::from_static(TRIAL);
    store.put(key, payload, &about, &condition).await
}

async fn tidy(store: &Store, left: &mut Vec<Key>) -> object_store::Result<()> {
    while let Some(key) = left.last() {
        store.delete(key).await?;
        left.pop();
    }
    Ok(())
}

/// Differs from process to process and from call to call; nobody has to be kept from guessing it.
fn random() -> u64 {
    RandomState::new().hash_one(TRIAL)
}

fn is_kept<T>(done: object_store::Result<T>) -> object_store::Result<bool> {
    match done {
        Err(
            StoreError::AlreadyExists { .. }
            | StoreError::Precondition { .. }
            | StoreError::NotModified { .. },
        ) => Ok(true),
        Ok(_) | Err(StoreError::NotImplemented { .. } | StoreError::NotSupported { .. }) => {
            Ok(false)
        }
        Err(other) => Err(other),
    }
}
