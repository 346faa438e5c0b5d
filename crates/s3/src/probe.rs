//! The cheapest honest checks, and finding out whether the store honours conditions on writes.

use std::sync::Weak;

use async_trait::async_trait;
use mainstay_runtime::breaker::FailureKind;
use mainstay_runtime::{Probe, Verdict};
use object_store::{Error as StoreError, PutPayload};

use crate::classify::{Failed, classify};
use crate::key::{Key, RESERVED};
use crate::objects::Inner;
use crate::store::{About, Condition, Store};
use crate::trace::Trace;

/// What the conditional uploads of the trial hold.
const TRIAL: &[u8] = b"mainstay tries here whether this store honours conditions on writes";

/// Probes the store. It holds the adapter weakly: the engine keeps its probes as long as it lives.
pub(crate) struct StoreProbe(pub(crate) Weak<Inner>);

#[async_trait]
impl Probe for StoreProbe {
    async fn check(&self) -> Result<(), Verdict> {
        let Some(inner) = self.0.upgrade() else {
            return Ok(());
        };
        inner
            .store_works()
            .await
            .map_err(|failed| match classify(&failed) {
                // A correct "no" to this is still no sign of life.
                Verdict::SUCCESS => Verdict::failure(FailureKind::Protocol),
                verdict => verdict,
            })?;
        if inner.conditions.get().is_none() {
            tokio::spawn(async move { inner.find_out_conditions().await });
        }
        Ok(())
    }
}

impl Inner {
    /// Does what real calls need: for S3 a list, which needs bucket and credentials; for a folder a write and a read.
    pub(crate) async fn store_works(&self) -> Result<(), Failed> {
        let (done, seen) = Trace::run(works(&self.store)).await;
        done.map_err(|error| Failed { error, seen })
    }

    /// Whether the store honours `If-None-Match` and `If-Match` on writes; finds it out if that isn't known yet.
    pub(crate) async fn honours_conditions(&self) -> Option<bool> {
        if self.conditions.get().is_none() {
            let clock = self.guard.clock();
            // In vain: it stays unknown.
            let _ = clock
                .until(
                    self.now() + self.settings.first_byte,
                    self.find_out_conditions(),
                )
                .await;
        }
        self.conditions.get().copied()
    }

    async fn find_out_conditions(&self) {
        match tries_conditions(&self.store).await {
            Ok(honours) => {
                let _ = self.conditions.set(honours);
                if !honours {
                    tracing::warn!(
                        dependency = "s3",
                        "the store ignores conditions on writes: they will be refused"
                    );
                }
            }
            Err(error) => {
                tracing::debug!(%error, "whether the store honours conditions can't be found out now")
            }
        }
    }
}

fn trial() -> About {
    About {
        content_type: None,
        mark: "trial".into(),
    }
}

async fn works(store: &Store) -> object_store::Result<()> {
    if matches!(store, Store::S3(_)) {
        return store.list(RESERVED, None, 1).await.map(drop);
    }
    let key = Key::reserved("probe");
    store
        .put(
            &key,
            PutPayload::from_static(TRIAL),
            &trial(),
            &Condition::None,
        )
        .await?;
    let read = store.get(&key, None).await?.bytes().await?;
    store.delete(&key).await?;
    if read == TRIAL {
        return Ok(());
    }
    Err(StoreError::Generic {
        store: "folder",
        source: "what was written came back different".into(),
    })
}

/// Puts twice where the second must fail: some stores ignore the condition without a word.
async fn tries_conditions(store: &Store) -> object_store::Result<bool> {
    let key = Key::reserved("conditions");
    let put = |condition| {
        let key = key.clone();
        async move {
            store
                .put(&key, PutPayload::from_static(TRIAL), &trial(), &condition)
                .await
        }
    };
    put(Condition::None).await?;
    let absent = is_kept(put(Condition::Absent).await)?;
    let matches = is_kept(put(Condition::Matches("\"no-such-etag\"".into())).await)?;
    store.delete(&key).await?;
    Ok(absent && matches)
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
