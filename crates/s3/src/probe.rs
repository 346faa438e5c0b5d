//! The cheapest honest checks.

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

/// What a store must give back as it was written.
const SAMPLE: &[u8] = b"mainstay tries here whether it can write";

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
        if inner.conditions.known().is_none() {
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

    /// Whether the store takes a small object of ours: what is refused meanwhile is refused for its own sake.
    pub(crate) async fn takes_ours(&self) -> bool {
        let clock = self.guard.clock();
        let until = self.now() + self.settings.first_byte;
        let taken = clock.until(until, takes(&self.store)).await;
        // Where nothing may be deleted, the next trial replaces it.
        let _ = clock.until(until, self.store.delete(&trial())).await;
        matches!(taken, Ok(Ok(())))
    }
}

fn trial() -> Key {
    Key::reserved("probe")
}

async fn works(store: &Store) -> object_store::Result<()> {
    if matches!(store, Store::S3(_)) {
        return store.list(RESERVED, None, 1).await.map(drop);
    }
    takes(store).await?;
    store.delete(&trial()).await
}

/// Writes and reads back an object of ours.
async fn takes(store: &Store) -> object_store::Result<()> {
    let key = trial();
    let about = About {
        content_type: None,
        mark: "trial".into(),
    };
    store
        .put(
            &key,
            PutPayload::from_static(SAMPLE),
            &about,
            &Condition::None,
        )
        .await?;
    let read = store.get(&key, None).await?.bytes().await?;
    if read == SAMPLE {
        return Ok(());
    }
    Err(StoreError::Generic {
        store: "trial",
        source: "what was written came back different".into(),
    })
}
