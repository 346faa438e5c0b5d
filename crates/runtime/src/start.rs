//! Sets an engine going: what was kept is taken up, then one monitor task runs over all endpoints, with the tasks that
//! wait for disks and handlers in its stead.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use arc_swap::ArcSwap;
use jiff::Timestamp;
use mainstay_degradation::{Controller, Input, OutageHistory, Rules};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::changes;
use crate::endpoint::Endpoint;
use crate::engine::EngineBuilder;
use crate::error::{Error, ErrorKind};
use crate::exercise;
use crate::facts::Facts;
use crate::handle::{Handle, Inner};
use crate::history::{HistoryFile, Remembered};
use crate::keeper::Keeper;
use crate::monitor::Monitor;
use crate::operators::{self, Operators};
use crate::probe::{Probe, Prober};
use crate::recorder::{self, Recorder};
use crate::recordings::{self, Writer};

impl EngineBuilder {
    /// Starts the monitor. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When an endpoint that the rules name has no guard, or is to be probed and has no probe.
    pub fn start(self) -> Result<Handle, Error> {
        let endpoints = guarded(&self.rules, self.endpoints)?;
        let probers = probers(&self.rules, &endpoints, self.probes)?;
        let now = self.shared.clock.now();
        let controller = Controller::new(self.rules.clone(), now).with_seed(self.seed);
        let (changes, queue) = mpsc::channel(changes::QUEUE);
        let (commands, asked) = mpsc::channel(operators::QUEUE);
        let fallbacks = self.exercises.iter().map(|one| Arc::clone(&one.fallbacks));
        let inner = Arc::new(Inner {
            snapshot: ArcSwap::from_pointee(controller.snapshot(now)),
            published: watch::Sender::new(0),
            drain_share: watch::Sender::new(1.0),
            events: Arc::clone(&self.shared.events),
            operator: ArcSwap::default(),
            commands,
            handlers: Mutex::default(),
            changes,
            changes_dropped: AtomicU64::new(0),
            stop: CancellationToken::new(),
            failed: CancellationToken::new(),
            tasks: TaskTracker::new(),
            fallbacks: fallbacks.collect(),
            sampler: self.sampler,
            recording: Arc::default(),
            shared: self.shared,
            rules: ArcSwap::from_pointee(self.rules),
            endpoints,
            data_dir: self.data_dir,
        });
        let (operators, mut pending) =
            Operators::restore(Arc::clone(&inner), self.file, self.operator);
        let history = HistoryFile::in_dir(&inner.data_dir);
        take_up(&history, inner.shared.clock.steady(), &mut pending);
        let (outages, kept) = watch::channel(Remembered::default());
        let keeper = Keeper {
            inner: Arc::clone(&inner),
            history,
            fallbacks: self.fallback_file,
            outages: kept,
        };
        let monitor = Monitor {
            controller,
            probers,
            factors: vec![1.0; inner.endpoints.len()],
            pending,
            remembered: now,
            last: now,
            facts: Facts::new(self.journal),
            outages,
            recorder: self.record.map(|most| record(&inner, most)),
            inner: Arc::clone(&inner),
        };
        let tasks = &inner.tasks;
        for (fallbacks, waiting) in inner.fallbacks.iter().zip(self.waiting) {
            let (clock, stop) = (inner.shared.clock, inner.stop.clone());
            tasks.spawn(exercise::run(Arc::clone(fallbacks), waiting, clock, stop));
        }
        for canary in self.canaries {
            tasks.spawn(canary.run(inner.shared.clock, inner.stop.clone()));
        }
        tasks.spawn(changes::deliver(Arc::clone(&inner), queue));
        tasks.spawn(operators.run(asked));
        tasks.spawn(keeper.run());
        tasks.spawn(watched(Arc::clone(&inner), monitor.run(self.wakes)));
        Ok(Handle { inner })
    }
}

/// Runs the monitor, and tells when it ends unasked: by a panic of its own, or of what it calls.
async fn watched(inner: Arc<Inner>, monitor: impl Future<Output = ()>) {
    struct Watch(Arc<Inner>);
    impl Drop for Watch {
        fn drop(&mut self) {
            if !self.0.stop.is_cancelled() {
                tracing::error!("the monitor has ended: levels, health and probes stand still");
                self.0.failed.cancel();
            }
        }
    }
    let _watch = Watch(inner);
    monitor.await;
}

/// The outages that an earlier process remembered are told to the controller first of all.
fn take_up(history: &HistoryFile, wall: Timestamp, pending: &mut VecDeque<Input>) {
    let outages = history.load(wall);
    if outages != OutageHistory::default() {
        pending.push_front(Input::History(outages));
    }
}

fn guarded(rules: &Rules, slots: Vec<Option<Arc<Endpoint>>>) -> Result<Vec<Arc<Endpoint>>, Error> {
    let pairs = slots.into_iter().zip(rules.endpoints());
    pairs
        .map(|(slot, (_, rule))| slot.ok_or_else(|| lacks(&rule.name, "has no guard")))
        .collect()
}

fn probers(
    rules: &Rules,
    endpoints: &[Arc<Endpoint>],
    probes: Vec<Option<Arc<dyn Probe>>>,
) -> Result<Vec<Option<Prober>>, Error> {
    let of = |(endpoint, probe): (&Arc<Endpoint>, Option<Arc<dyn Probe>>)| {
        let rule = rules.endpoint(endpoint.id);
        if rule.probed && probe.is_none() {
            return Err(lacks(&rule.name, "is to be probed, and has no probe"));
        }
        endpoint.probed.store(rule.probed, Ordering::Relaxed);
        Ok(probe.map(|probe| Prober {
            endpoint: Arc::clone(endpoint),
            probe,
            deadline: rules.dependency(rule.dependency).probes.deadline,
        }))
    };
    endpoints.iter().zip(probes).map(of).collect()
}

fn lacks(name: &str, what: &str) -> Error {
    Error::new(ErrorKind::Internal, format!("endpoint `{name}` {what}")).field(name)
}

/// A recorder, and the thread that writes for it: a disk that hangs must hang nothing else.
fn record(inner: &Inner, most_bytes: u64) -> Recorder {
    let (queue, pieces) = mpsc::channel(recorder::QUEUE);
    let writer = Writer {
        folder: recordings::folder(&inner.data_dir),
        bound: most_bytes,
        progress: Arc::clone(&inner.recording),
    };
    let (done, ended) = oneshot::channel();
    let thread = std::thread::Builder::new().name("recorder".to_owned());
    let running = thread.spawn(move || {
        writer.run(pieces);
        let _ = done.send(());
    });
    if let Err(error) = running {
        tracing::warn!(%error, "nothing is recorded: no thread can be started");
    }
    // So that the end of the engine waits for the last words.
    inner.tasks.spawn(async move { drop(ended.await) });
    Recorder::new(queue, Arc::clone(&inner.recording))
}
