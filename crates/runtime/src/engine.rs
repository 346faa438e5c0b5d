//! Puts an engine together: rules, endpoints and their probes first, then one monitor task over all of them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_breaker::{Breaker, Settings as BreakerSettings};
use mainstay_degradation::{Controller, Level, Rules};
use tokio::sync::{Notify, mpsc, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::budget::RetryBudget;
use crate::changes;
use crate::clock::Clock;
use crate::endpoint::{Endpoint, Shared};
use crate::error::{Error, ErrorKind};
use crate::guard::Guard;
use crate::handle::{Handle, Inner};
use crate::limit::Limit;
use crate::monitor::{Monitor, Wake};
use crate::observe::Observer;
use crate::operator::{OperatorFile, OperatorState};
use crate::operators::{self, Operators};
use crate::probe::{Probe, Prober};
use crate::stats::Stats;
use crate::suspects::{Abandoned, Suspects};
use crate::trials::Trials;

/// One endpoint to guard.
#[derive(Clone, Debug)]
pub struct EndpointSpec {
    /// As the rules name it, e.g. `database/replica`.
    pub name: String,
    /// When it opens, for how long, and how it closes again. A half-open probe's lease is not taken from here: it
    /// is the call deadline and a second.
    pub breaker: BreakerSettings,
    /// Calls in flight at the base level.
    pub limit: usize,
    /// Longest time one attempt may take.
    pub call_deadline: Duration,
}

/// How much longer than the call deadline a half-open probe may keep its place.
const LEASE_MARGIN: Duration = Duration::from_secs(1);

impl EndpointSpec {
    /// With the lease that belongs to its call deadline.
    pub(crate) fn leased(mut self) -> Self {
        self.breaker.half_open.lease = self.call_deadline + LEASE_MARGIN;
        self
    }

    /// # Errors
    /// Names the endpoint, the figure that makes no sense and what is allowed.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        let wrong = |what: &str| {
            let detail = format!("{what} of `{}`", self.name);
            Error::new(ErrorKind::InvalidInput, detail).field(self.name.clone())
        };
        if self.limit == 0 {
            return Err(wrong("at least one call must fit under the limit"));
        }
        if self.call_deadline.is_zero() {
            return Err(wrong("some time must be left to the call deadline"));
        }
        let checked = self.breaker.validate();
        checked.map_err(|error| wrong(&format!("{error}: the breaker")))
    }
}

/// An engine that is being put together.
pub struct EngineBuilder {
    shared: Arc<Shared>,
    rules: Rules,
    endpoints: Vec<Option<Arc<Endpoint>>>,
    probes: Vec<Option<Arc<dyn Probe>>>,
    wakes: mpsc::UnboundedReceiver<Wake>,
    operator: OperatorState,
    file: OperatorFile,
    data_dir: PathBuf,
    seed: u64,
}

impl std::fmt::Debug for EngineBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBuilder")
            .field("data_dir", &self.data_dir)
            .finish_non_exhaustive()
    }
}

impl EngineBuilder {
    /// Begins an engine under these rules. What operators have set is read from `data_dir`, which must exist.
    ///
    /// # Errors
    /// When the operators' file is there and can't be read.
    pub fn new(
        rules: Rules,
        data_dir: impl Into<PathBuf>,
        observer: Arc<dyn Observer>,
    ) -> Result<Self, Error> {
        let data_dir = data_dir.into();
        let file = OperatorFile::in_dir(&data_dir);
        let operator = file
            .load()
            .map_err(|e| Error::new(ErrorKind::Internal, e.to_string()))?;
        let (wake, wakes) = mpsc::unbounded_channel();
        let seed = rules.settings().seed;
        let count = rules.endpoints().count();
        Ok(Self {
            shared: Arc::new(Shared {
                clock: Clock::start(),
                observer,
                tuning: ArcSwap::from_pointee(rules.tuning(Level::Optimal).clone()),
                wake,
                random: AtomicU64::new(seed),
                events: Arc::default(),
            }),
            rules,
            endpoints: vec![None; count],
            probes: vec![None; count],
            wakes,
            operator,
            file,
            data_dir,
            seed,
        })
    }

    /// Makes the guard of an endpoint that the rules name.
    ///
    /// # Errors
    /// When the rules don't name it, it has a guard already, or the breaker's settings are senseless.
    pub fn endpoint(&mut self, spec: EndpointSpec) -> Result<Guard, Error> {
        let spec = spec.leased();
        spec.validate()?;
        let wrong = |why: String| Error::new(ErrorKind::Internal, why).field(spec.name.clone());
        let id = self
            .rules
            .endpoint_id(&spec.name)
            .ok_or_else(|| wrong(format!("the rules name no endpoint `{}`", spec.name)))?;
        let slot = &mut self.endpoints[id.index()];
        if slot.is_some() {
            return Err(wrong(format!("`{}` has a guard already", spec.name)));
        }
        let seed = self
            .seed
            .wrapping_add(u64::from(id.0).wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let breaker = Breaker::new(spec.breaker, seed)
            .map_err(|e| wrong(format!("breaker of `{}`: {e}", spec.name)))?;
        let dependency = self.rules.dependency(self.rules.endpoint(id).dependency);
        let endpoint = Arc::new(Endpoint {
            id,
            dependency: dependency.name.clone(),
            breaker,
            limit: Limit::new(spec.limit),
            budget: RetryBudget::default(),
            stats: Stats::default(),
            suspects: Suspects::default(),
            abandoned: Abandoned::default(),
            trials: Trials::new(&dependency.probes.failing),
            call_deadline: AtomicU64::default(),
            resized: Mutex::default(),
            probed: AtomicBool::new(false),
            opened: Notify::new(),
            shared: Arc::clone(&self.shared),
            name: spec.name,
        });
        endpoint.set_call_deadline(spec.call_deadline);
        *slot = Some(Arc::clone(&endpoint));
        Ok(Guard { endpoint })
    }

    /// Gives an endpoint its probe.
    pub fn probe(&mut self, guard: &Guard, probe: Arc<dyn Probe>) {
        self.probes[guard.endpoint.id.index()] = Some(probe);
    }

    /// Calls `told` with an endpoint's new limit whenever a reload changes it, so that a pool can follow. Quick work
    /// only: it runs in the monitor.
    pub fn on_limit(&mut self, guard: &Guard, told: impl Fn(usize) + Send + Sync + 'static) {
        let mut resized = guard
            .endpoint
            .resized
            .lock()
            .unwrap_or_else(|e| e.into_inner());
        resized.push(Arc::new(told));
    }

    /// The rules this engine will follow.
    pub fn rules(&self) -> &Rules {
        &self.rules
    }

    /// The engine's clock.
    pub fn clock(&self) -> Clock {
        self.shared.clock
    }

    /// The data directory.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.data_dir
    }

    /// Starts the monitor. Must be called within a tokio runtime.
    ///
    /// # Errors
    /// When an endpoint that the rules name has no guard.
    pub fn start(self) -> Result<Handle, Error> {
        let mut endpoints = Vec::with_capacity(self.endpoints.len());
        for (slot, (_, rule)) in self.endpoints.into_iter().zip(self.rules.endpoints()) {
            let missing = || {
                Error::new(
                    ErrorKind::Internal,
                    format!("endpoint `{}` has no guard", rule.name),
                )
            };
            endpoints.push(slot.ok_or_else(missing)?);
        }
        let now = self.shared.clock.now();
        let controller = Controller::new(self.rules.clone(), now);
        let (changes, queue) = mpsc::channel(changes::QUEUE);
        let (commands, asked) = mpsc::channel(operators::QUEUE);
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
            tasks: TaskTracker::new(),
            shared: self.shared,
            rules: ArcSwap::from_pointee(self.rules),
            endpoints,
            data_dir: self.data_dir,
        });
        let (operators, restored) =
            Operators::restore(Arc::clone(&inner), self.file, self.operator);
        let monitor = Monitor {
            controller,
            probers: probers(&inner, self.probes),
            factors: vec![1.0; inner.endpoints.len()],
            pending: restored,
            inner: Arc::clone(&inner),
        };
        let tasks = &inner.tasks;
        tasks.spawn(changes::deliver(Arc::clone(&inner), queue));
        tasks.spawn(operators.run(asked));
        tasks.spawn(monitor.run(self.wakes));
        Ok(Handle { inner })
    }
}

fn probers(inner: &Inner, probes: Vec<Option<Arc<dyn Probe>>>) -> Vec<Option<Prober>> {
    let rules = inner.rules.load();
    let of = |(endpoint, probe): (&Arc<Endpoint>, Option<Arc<dyn Probe>>)| {
        let rule = rules.endpoint(endpoint.id);
        if rule.probed && probe.is_none() {
            tracing::warn!(
                endpoint = rule.name,
                "the rules probe it, and it has no probe"
            );
        }
        let probed = rule.probed && probe.is_some();
        endpoint.probed.store(probed, Ordering::Relaxed);
        Some(Prober {
            endpoint: Arc::clone(endpoint),
            probe: probe?,
            deadline: rules.dependency(rule.dependency).probes.deadline,
        })
    };
    inner.endpoints.iter().zip(probes).map(of).collect()
}
