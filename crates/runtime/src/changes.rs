//! Tells handlers of level changes, outside every lock, one change at a time, from a bounded queue.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::future::join_all;
use tokio::sync::mpsc;
use tokio_util::task::AbortOnDropHandle;

use crate::handle::{Handler, Inner, LevelChange};

/// Changes that may wait; more are dropped and counted.
pub(crate) const QUEUE: usize = 64;
/// Longest time one handler may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Hands a change to the queue.
pub(crate) fn announce(inner: &Inner, change: LevelChange) {
    if inner.changes.try_send(change).is_err() {
        let dropped = inner.changes_dropped.fetch_add(1, Ordering::Relaxed) + 1;
        tracing::error!(
            dropped,
            "level-change handlers are too slow: a change was dropped"
        );
    }
}

/// Delivers until the engine stops.
pub(crate) async fn deliver(inner: Arc<Inner>, mut queue: mpsc::Receiver<LevelChange>) {
    loop {
        let change = tokio::select! {
            () = inner.stop.cancelled() => return,
            change = queue.recv() => change,
        };
        let Some(change) = change else { return };
        let handlers: Vec<Handler> = {
            let all = inner.handlers.lock().unwrap_or_else(|e| e.into_inner());
            all.iter().map(Arc::clone).collect()
        };
        let calls = handlers
            .into_iter()
            .map(|handler| call(&inner, handler, change.clone()));
        join_all(calls).await;
    }
}

async fn call(inner: &Inner, handler: Handler, change: LevelChange) {
    let clock = inner.shared.clock;
    // A task of its own, so that a handler that panics takes nothing with it; it ends with its patience.
    let running = AbortOnDropHandle::new(tokio::spawn(async move { handler(change).await }));
    match clock.until(clock.now() + PATIENCE, running).await {
        Ok(Ok(Ok(()))) => {}
        Ok(Ok(Err(error))) => tracing::error!(error, "a level-change handler failed"),
        Ok(Err(error)) => tracing::error!(%error, "a level-change handler panicked"),
        Err(_elapsed) => {
            tracing::error!("a level-change handler took more than ten seconds and was stopped")
        }
    }
}
