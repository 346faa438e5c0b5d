//! Puts an engine together: rules, endpoints, their probes and fallbacks. [`crate::start`] sets it going.

use std::collections::hash_map::RandomState;
use std::future::Future;
use std::hash::BuildHasher;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_breaker::{Breaker, Settings as BreakerSettings};
use mainstay_degradation::{Journal, Level, Rules};
use tokio::sync::{Notify, mpsc};

use crate::answer::Source;
use crate::budget::RetryBudget;
use crate::canary::{Canary, Flight};
use crate::clock::Clock;
use crate::endpoint::{Endpoint, Shared};
use crate::error::{Error, ErrorKind};
use crate::exercise::{Exercise, Exercises, Sampler};
use crate::fallbacks::{Exercised, FallbackFile};
use crate::guard::Guard;
use crate::limit::Limit;
use crate::monitor::Wake;
use crate::observe::Observer;
use crate::operator::{OperatorFile, OperatorState};
use crate::probe::Probe;
use crate::protection::Protection;
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
    pub(crate) shared: Arc<Shared>,
    pub(crate) rules: Rules,
    pub(crate) endpoints: Vec<Option<Arc<Endpoint>>>,
    pub(crate) probes: Vec<Option<Arc<dyn Probe>>>,
    pub(crate) wakes: mpsc::UnboundedReceiver<Wake>,
    pub(crate) operator: OperatorState,
    pub(crate) file: OperatorFile,
    pub(crate) data_dir: PathBuf,
    pub(crate) seed: u64,
    /// By dependency.
    pub(crate) exercises: Vec<Arc<Exercises>>,
    pub(crate) canaries: Vec<Canary>,
    pub(crate) waiting: Vec<mpsc::Receiver<Exercise>>,
    pub(crate) sampler: Arc<Sampler>,
    pub(crate) fallback_file: FallbackFile,
    pub(crate) journal: Option<JournalFacts>,
    /// Bound on all recordings together, in bytes.
    pub(crate) record: Option<u64>,
}

/// The rules' own seed, or one drawn for this process: processes with the same file must not probe in step.
fn seed_of(rules: &Rules) -> u64 {
    match rules.settings().seed {
        0 => RandomState::new().hash_one(std::process::id()),
        given => given,
    }
}

/// What is known of the journals, asked for once a second.
pub(crate) type JournalFacts = Box<dyn Fn() -> Journal + Send + Sync>;

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
        let (clock, seed) = (Clock::start(), seed_of(&rules));
        let fallback_file = FallbackFile::load(&data_dir);
        let sampler = Arc::new(Sampler::new(seed));
        let (exercises, waiting) = rules
            .dependencies()
            .map(|(_, one)| Arc::new(fallback_file.of(&one.name)))
            .map(|fallbacks| Exercises::new(fallbacks, Arc::clone(&sampler)))
            .map(|(exercises, waiting)| (Arc::new(exercises), waiting))
            .unzip();
        let count = rules.endpoints().count();
        Ok(Self {
            shared: Arc::new(Shared {
                clock,
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
            exercises,
            canaries: Vec::new(),
            waiting,
            sampler,
            fallback_file,
            journal: None,
            record: None,
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
        let dependency_id = self.rules.endpoint(id).dependency;
        let dependency = self.rules.dependency(dependency_id);
        let endpoint = Arc::new(Endpoint {
            id,
            dependency: dependency.name.clone(),
            dependency_id,
            breaker,
            limit: Limit::new(spec.limit),
            protection: Protection::default(),
            budget: RetryBudget::default(),
            stats: Stats::default(),
            suspects: Suspects::default(),
            abandoned: Abandoned::default(),
            trials: Trials::new(&dependency.probes.failing),
            call_deadline: AtomicU64::default(),
            resized: Mutex::default(),
            hint_until: AtomicU64::default(),
            exercises: Arc::clone(&self.exercises[dependency_id.index()]),
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

    /// There is a fallback of the guard's dependency, and it is exercised while all is well: a day without that is
    /// told. Answers that it gives are noted by [`Guard::report`].
    pub fn fallback(&mut self, guard: &Guard, source: &Source) {
        self.declare(guard, &source.to_string(), true);
    }

    /// There is a fallback that no read goes through. `launch` tries it with something of the adapter's own, about once
    /// an hour while all is well, and says whether what came out is what went in; `None`: this was no time for it. A day
    /// without one that went well is told. `way` is a source's name where answers come from it, else a word of its own.
    pub fn canary<F, Fut>(&mut self, guard: &Guard, way: impl Into<String>, launch: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Option<Exercised>> + Send + 'static,
    {
        let way = way.into();
        self.declare(guard, &way, false);
        let exercises = Arc::clone(&guard.endpoint.exercises);
        let launch = Box::new(move || Box::pin(launch()) as Flight);
        self.canaries.push(Canary::new(exercises, way, launch));
    }

    fn declare(&self, guard: &Guard, way: &str, by_reads: bool) {
        let fallbacks = &guard.endpoint.exercises.fallbacks;
        let kept = self.fallback_file.kept(&fallbacks.dependency, way);
        fallbacks.declare(way, by_reads, kept, self.shared.clock);
    }

    /// Share of reads that exercise a fallback; `None`: none, no canaries either, and nobody is told. By default 0.005.
    pub fn exercise_share(&mut self, share: Option<f64>) {
        self.sampler.set(share);
    }

    /// Who knows of the journals: asked once a second, and must not wait.
    pub fn journal(&mut self, facts: impl Fn() -> Journal + Send + Sync + 'static) {
        self.journal = Some(Box::new(facts));
    }

    /// Records the controller's inputs in the data directory, in at most so many bytes.
    pub fn record(&mut self, most_bytes: u64) {
        self.record = Some(most_bytes);
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
}
