//! Writes down what must outlive the process and is no operator's word: outages and when fallbacks last worked.
//!
//! A task of its own, because it waits for the disk, which the monitor must never do.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::fallbacks::FallbackFile;
use crate::handle::Inner;
use crate::history::{HistoryFile, Remembered};
use crate::kept;

/// How often what fallbacks did is written down.
const EVERY: Duration = Duration::from_secs(60);

pub(crate) struct Keeper {
    pub(crate) inner: Arc<Inner>,
    pub(crate) history: HistoryFile,
    pub(crate) fallbacks: FallbackFile,
    /// Ends with the monitor, after its last word.
    pub(crate) outages: watch::Receiver<Remembered>,
}

impl Keeper {
    /// Runs until the monitor has ended, and writes down the last state of everything.
    pub(crate) async fn run(mut self) {
        let clock = self.inner.shared.clock;
        loop {
            tokio::select! {
                changed = self.outages.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.keep_outages().await;
                }
                () = clock.sleep(EVERY) => self.keep_fallbacks().await,
            }
        }
        self.keep_fallbacks().await;
    }

    async fn keep_outages(&mut self) {
        let (file, kept) = (
            self.history.clone(),
            self.outages.borrow_and_update().clone(),
        );
        self.write(move || file.save(&kept)).await;
    }

    async fn keep_fallbacks(&self) {
        let all = self.inner.fallbacks.iter().map(|one| &**one);
        if let Some(bytes) = self.fallbacks.changes(all) {
            let path = self.fallbacks.path().to_owned();
            self.write(move || kept::replace(&path, &bytes)).await;
        }
    }

    /// Off the threads that run tasks. A disk that takes nothing loses a little memory, and stops nothing.
    async fn write(&self, work: impl FnOnce() -> io::Result<()> + Send + 'static) {
        let done = tokio::task::spawn_blocking(work).await;
        if let Err(error) = done.unwrap_or_else(|error| Err(error.into())) {
            tracing::warn!(%error, "what is known of outages and fallbacks could not be written down");
        }
    }
}
