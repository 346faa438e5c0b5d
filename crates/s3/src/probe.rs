//! The cheapest honest checks.

use std::sync::Weak;

use async_trait::async_trait;
use mainstay_runtime::breaker::FailureKind;
use mainstay_runtime::{Elapsed, Probe, Verdict};
use object_store::{Error as StoreError, PutPayload};

use crate::classify::{Failed, classify, names_absence};
use crate::key::{Key, RESERVED};
use crate::objects::{COPY, DELETE, Inner};
use crate::store::{About, Condition, Store};
use crate::trace::Trace;

/// What is written; a folder must give it back.
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

    /// Whether the store does with a small object of ours what accepted work of this kind needs: takes it, shows it, and
    /// copies or deletes it.
    pub(crate) async fn takes_ours(&self, kind: &str) -> bool {
        let clock = self.guard.clock();
        let soon = || clock.now() + self.settings.first_byte;
        if !did(clock.until(soon(), put_ours(&self.store)).await) {
            // It may refuse everything, which a probe finds out.
            self.guard.probe_now();
            return false;
        }
        let shown = clock.until(soon(), self.store.head(&ours())).await;
        let copied = match kind {
            COPY => clock.until(soon(), self.copies_ours()).await,
            _ => Ok(Ok(())),
        };
        let deleted = clock.until(soon(), self.store.delete(&ours())).await;
        // What isn't deleted, the next trial replaces.
        did_or_is_gone(shown) && did_or_is_gone(copied) && (kind != DELETE || did(deleted))
    }

    async fn copies_ours(&self) -> object_store::Result<()> {
        let (from, to) = (ours(), Key::reserved("probe-copied"));
        let copied = self.store.copy(&from, &to).await;
        let _ = self.store.delete(&to).await;
        copied
    }
}

fn did<T>(ended: Result<object_store::Result<T>, Elapsed>) -> bool {
    matches!(ended, Ok(Ok(_)))
}

/// Another trial may have deleted the object meanwhile.
fn did_or_is_gone<T>(ended: Result<object_store::Result<T>, Elapsed>) -> bool {
    match ended {
        Ok(Err(error)) => names_absence(&error),
        ended => did(ended),
    }
}

fn ours() -> Key {
    Key::reserved("probe")
}

async fn put_ours(store: &Store) -> object_store::Result<()> {
    let about = About {
        content_type: None,
        mark: "trial".into(),
    };
    let sample = PutPayload::from_static(SAMPLE);
    store
        .put(&ours(), sample, &about, &Condition::None)
        .await
        .map(drop)
}

async fn works(store: &Store) -> object_store::Result<()> {
    if matches!(store, Store::S3(_)) {
        return store.list(RESERVED, None, 1).await.map(drop);
    }
    put_ours(store).await?;
    let read = store.get(&ours(), None).await?.bytes().await?;
    store.delete(&ours()).await?;
    if read == SAMPLE {
        return Ok(());
    }
    Err(StoreError::Generic {
        store: "folder",
        source: "what was written came back different".into(),
    })
}
