//! The way in for everybody but the monitor: the published snapshot, events, figures, operator commands.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_breaker::Snapshot as BreakerSnapshot;
use mainstay_degradation::{FeatureState, Level, Rules, Snapshot, Tuning};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::clock::Clock;
use crate::endpoint::{Endpoint, Shared};
use crate::error::{Error, ErrorKind};
use crate::events::EventLog;
use crate::exercise::Sampler;
use crate::fallbacks::{FallbackStatus, Fallbacks};
use crate::guard::Guard;
use crate::monitor::Wake;
use crate::operator::{OperatorCommand, OperatorState};
use crate::operators::Asked;
use crate::recorder::Progress;
use crate::reload::{Change, EngineSettings};

/// A change of level, as handlers see it.
#[derive(Clone, Debug, PartialEq)]
pub struct LevelChange {
    /// The level before.
    pub from: Level,
    /// The level now.
    pub to: Level,
    /// Why, in English.
    pub cause: String,
}

pub(crate) type Handler = Arc<
    dyn Fn(LevelChange) -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync,
>;

/// What the handle and the monitor share.
pub(crate) struct Inner {
    pub(crate) shared: Arc<Shared>,
    pub(crate) rules: ArcSwap<Rules>,
    pub(crate) endpoints: Vec<Arc<Endpoint>>,
    /// By dependency.
    pub(crate) fallbacks: Vec<Arc<Fallbacks>>,
    pub(crate) sampler: Arc<Sampler>,
    pub(crate) recording: Arc<Progress>,
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) published: watch::Sender<u64>,
    pub(crate) drain_share: watch::Sender<f64>,
    pub(crate) events: Arc<EventLog>,
    pub(crate) operator: ArcSwap<OperatorState>,
    pub(crate) commands: mpsc::Sender<Asked>,
    pub(crate) handlers: Mutex<Vec<Handler>>,
    pub(crate) changes: mpsc::Sender<LevelChange>,
    pub(crate) changes_dropped: AtomicU64,
    pub(crate) stop: CancellationToken,
    /// The monitor has ended unasked.
    pub(crate) failed: CancellationToken,
    pub(crate) tasks: TaskTracker,
    pub(crate) data_dir: PathBuf,
}

impl Inner {
    /// What is told for the monitor, which doesn't hear any more.
    pub(crate) fn unheard(&self) -> Error {
        let detail = match self.stop.is_cancelled() {
            true => "the server is shutting down",
            false => "the monitor has ended; the server must be started again",
        };
        Error::new(ErrorKind::Unavailable, detail)
    }
}

/// A running engine. Cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) inner: Arc<Inner>,
}

impl std::fmt::Debug for Handle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Handle").finish_non_exhaustive()
    }
}

impl Handle {
    /// The latest published state: one atomic read, no lock.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        self.inner.snapshot.load_full()
    }

    /// The validated rules the controller follows; names and matrices are in here. A reload changes figures, never
    /// what an id stands for.
    pub fn rules(&self) -> Arc<Rules> {
        self.inner.rules.load_full()
    }

    /// The present level.
    pub fn level(&self) -> Level {
        self.inner.snapshot.load().level
    }

    /// What the present level asks of calls and caches.
    pub fn tuning(&self) -> Tuning {
        (**self.inner.shared.tuning.load()).clone()
    }

    /// A feature's state now.
    ///
    /// # Errors
    /// `NotFound` for a feature the matrix doesn't hold.
    pub fn feature(&self, name: &str) -> Result<FeatureState, Error> {
        let unknown = || {
            Error::new(ErrorKind::NotFound, format!("there is no feature `{name}`")).field("name")
        };
        let id = self
            .inner
            .rules
            .load()
            .feature_id(name)
            .ok_or_else(unknown)?;
        Ok(*self.inner.snapshot.load().feature(id))
    }

    /// Whether the first round of probes is over.
    pub fn is_started(&self) -> bool {
        self.inner.snapshot.load().first_round_over
    }

    /// Wakes whenever a snapshot is published.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.inner.published.subscribe()
    }

    /// The share of its full rate at which a drain may run, as the level allows.
    pub fn drain_share(&self) -> watch::Receiver<f64> {
        self.inner.drain_share.subscribe()
    }

    /// The guard of an endpoint by its name, e.g. `openai/primary`.
    pub fn guard(&self, endpoint: &str) -> Option<Guard> {
        let found = self.inner.endpoints.iter().find(|e| e.name == endpoint)?;
        Some(Guard {
            endpoint: Arc::clone(found),
        })
    }

    /// All endpoints, in the order they were declared: dependency, name, breaker.
    pub fn breakers(&self) -> Vec<(String, String, BreakerSnapshot)> {
        let now = self.clock().now();
        self.inner
            .endpoints
            .iter()
            .map(|e| {
                (
                    e.dependency.clone(),
                    e.name.clone(),
                    e.breaker.snapshot(now),
                )
            })
            .collect()
    }

    /// What is known of every fallback: whether it is in use, and when it last worked.
    pub fn fallbacks(&self) -> Vec<FallbackStatus> {
        let now = self.clock().now();
        let all = self.inner.fallbacks.iter();
        all.flat_map(|one| one.status(now)).collect()
    }

    /// How many pieces of the recording were lost, because the disk was too slow or took nothing.
    pub fn dropped_recording(&self) -> u64 {
        self.inner.recording.dropped.load(Ordering::Relaxed)
    }

    /// How many whole recordings, the oldest, were removed to keep all within their bound.
    pub fn removed_recordings(&self) -> u64 {
        self.inner.recording.removed.load(Ordering::Relaxed)
    }

    /// What operators have set.
    pub fn operator_state(&self) -> Arc<OperatorState> {
        self.inner.operator.load_full()
    }

    /// Removes all recordings, the one being made too; another begins with what happens next.
    ///
    /// # Errors
    /// `Internal` when the disk doesn't let them go; `Unavailable` when it is too slow, or the engine is stopping.
    pub async fn purge_recordings(&self) -> Result<(), Error> {
        let (done, answer) = oneshot::channel();
        self.inner.shared.wake(Wake::PurgeRecordings { done });
        let removed = answer.await.map_err(|_| {
            let detail = "nobody can remove the recordings now: the disk is too slow, or the server is stopping";
            Error::new(ErrorKind::Unavailable, detail)
        })?;
        removed.map_err(|error| {
            let detail = format!("the recordings can't be removed: {error}");
            Error::new(ErrorKind::Internal, detail)
        })
    }

    /// Carries out an operator's command: kept on disk and in force when this returns.
    ///
    /// # Errors
    /// `NotFound` for an unknown endpoint or feature; `Internal` when it can't be kept, and was not carried out.
    ///
    /// # Cancel safety
    /// A command that has been handed over is carried out, whoever waits for it.
    pub async fn command(&self, command: OperatorCommand) -> Result<(), Error> {
        let stopping = || Error::new(ErrorKind::Unavailable, "the server is shutting down");
        let (reply, answer) = oneshot::channel();
        let asked = self.inner.commands.send((command, reply)).await;
        asked.map_err(|_| stopping())?;
        answer.await.unwrap_or_else(|_| Err(self.inner.unheard()))
    }

    /// Takes new settings: checked as a whole, then in force when this returns, with nothing lost of what breakers,
    /// endpoints, the controller and operators know. Says what changed; nothing, if all is as before.
    ///
    /// # Errors
    /// `InvalidInput` names what makes no sense or needs a restart; nothing has changed then.
    ///
    /// # Cancel safety
    /// Settings that have been handed over come into force, whoever waits for it.
    pub async fn reload(&self, settings: EngineSettings) -> Result<Vec<Change>, Error> {
        let (done, answer) = oneshot::channel();
        self.inner.shared.wake(Wake::Reload {
            settings: Box::new(settings),
            done,
        });
        answer.await.unwrap_or_else(|_| Err(self.inner.unheard()))
    }

    /// Resolves when the monitor has ended unasked, by a panic: nothing probes, counts or decides any more, and what
    /// was decided last stands. The process should end, and be started again.
    pub fn failed(&self) -> impl Future<Output = ()> + Send + 'static {
        self.inner.failed.clone().cancelled_owned()
    }

    /// Whether the monitor has ended unasked.
    pub fn has_failed(&self) -> bool {
        self.inner.failed.is_cancelled()
    }

    /// What has happened, and what will.
    pub fn events(&self) -> &EventLog {
        &self.inner.events
    }

    /// How many changes of level the handlers missed because they were too slow.
    pub fn dropped_changes(&self) -> u64 {
        self.inner.changes_dropped.load(Ordering::Relaxed)
    }

    /// Calls `handler` on every change of level, outside every lock, one change at a time, each with a deadline of
    /// ten seconds. A handler that fails or takes too long is logged and stops nothing.
    pub fn on_level_change<F, Fut>(&self, handler: F)
    where
        F: Fn(LevelChange) -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |change| Box::pin(handler(change)));
        let mut handlers = self
            .inner
            .handlers
            .lock()
            .unwrap_or_else(|e| e.into_inner());
        handlers.push(handler);
    }

    /// The engine's clock.
    pub fn clock(&self) -> Clock {
        self.inner.shared.clock
    }

    /// The data directory.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.inner.data_dir
    }

    /// Cancelled when the engine stops: background work of adapters ends with it.
    pub fn stopping(&self) -> CancellationToken {
        self.inner.stop.clone()
    }

    /// Runs background work that ends when [`Handle::stopping`] is cancelled; [`Handle::shutdown`] waits for it.
    pub fn spawn<F>(&self, work: F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        self.inner.tasks.spawn(work);
    }

    /// Stops the monitor and the background work, and waits for them at most this long.
    pub async fn shutdown(&self, patience: Duration) {
        self.inner.stop.cancel();
        self.inner.tasks.close();
        let clock = self.clock();
        let all = self.inner.tasks.wait();
        if clock.until(clock.now() + patience, all).await.is_err() {
            tracing::warn!("background work did not end in time and was left behind");
        }
    }
}
