//! An engine over the four standard dependencies, and probes that do as they are told.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mainstay_runtime::breaker::{self, FailureKind, HalfOpen, SlowRule, State};
use mainstay_runtime::degradation::{Level, Settings};
use mainstay_runtime::{
    Action, Call, CallError, CallerId, Context, EndpointSpec, EngineBuilder, Error, Guard, Handle,
    NoObserver, OperatorCommand, Probe, Verdict,
};

pub(crate) const NAMES: [&str; 4] = ["database", "openai", "redis", "s3"];

/// What a probe finds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Finds {
    Up,
    Down(FailureKind),
    Hangs,
    Nothing,
    Asks(Duration),
    Panics,
}

pub(crate) const DOWN: Finds = Finds::Down(FailureKind::Connect);

pub(crate) struct FakeProbe {
    finds: Mutex<Finds>,
    checks: AtomicUsize,
}

impl FakeProbe {
    pub(crate) fn set(&self, finds: Finds) {
        *self.finds.lock().unwrap() = finds;
    }

    pub(crate) fn checks(&self) -> usize {
        self.checks.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Probe for FakeProbe {
    async fn check(&self) -> Result<(), Verdict> {
        self.checks.fetch_add(1, Ordering::Relaxed);
        let finds = *self.finds.lock().unwrap();
        match finds {
            Finds::Up => Ok(()),
            Finds::Down(kind) => Err(Verdict::failure(kind)),
            Finds::Hangs => std::future::pending().await,
            Finds::Nothing => Err(Verdict::NEUTRAL),
            Finds::Asks(hint) => Err(Verdict::overload(Some(hint))),
            Finds::Panics => panic!("as told"),
        }
    }
}

/// What else is done to an engine before it starts, with the guards in the order of `NAMES`.
pub(crate) type Prepare = Box<dyn FnOnce(&mut EngineBuilder, &[Guard])>;

/// What a world is to be like.
pub(crate) struct Setup {
    pub(crate) finds: BTreeMap<&'static str, Finds>,
    pub(crate) without_probe: Option<&'static str>,
    pub(crate) limit: Option<usize>,
    pub(crate) fail_max: Option<u32>,
    /// Of the jitter: the same one in every run, if nothing else is said.
    pub(crate) seed: u64,
    pub(crate) prepare: Option<Prepare>,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            finds: NAMES.map(|name| (name, Finds::Up)).into(),
            without_probe: None,
            limit: None,
            fail_max: None,
            seed: 1,
            prepare: None,
        }
    }
}

impl Setup {
    pub(crate) fn all(finds: Finds) -> Self {
        Self {
            finds: NAMES.map(|name| (name, finds)).into(),
            ..Self::default()
        }
    }

    pub(crate) fn with(mut self, name: &'static str, finds: Finds) -> Self {
        self.finds.insert(name, finds);
        self
    }

    pub(crate) fn start(self) -> World {
        let data = tempfile::tempdir().unwrap();
        let (handle, probes) = self.start_in(data.path()).unwrap();
        World {
            handle,
            probes,
            data,
        }
    }

    pub(crate) fn start_in(
        self,
        data: &Path,
    ) -> Result<(Handle, BTreeMap<&'static str, Arc<FakeProbe>>), Error> {
        let rules = self.rules().validate().unwrap();
        let mut engine = EngineBuilder::new(rules, data, Arc::new(NoObserver))?;
        let (mut probes, mut guards) = (BTreeMap::new(), Vec::new());
        for name in NAMES {
            let guard = engine.endpoint(self.spec(name))?;
            let probe = Arc::new(FakeProbe {
                finds: Mutex::new(self.finds[name]),
                checks: AtomicUsize::new(0),
            });
            if self.without_probe != Some(name) {
                engine.probe(&guard, Arc::clone(&probe) as Arc<dyn Probe>);
            }
            probes.insert(name, probe);
            guards.push(guard);
        }
        if let Some(prepare) = self.prepare {
            prepare(&mut engine, &guards);
        }
        Ok((engine.start()?, probes))
    }

    pub(crate) fn rules(&self) -> Settings {
        let mut rules = Settings::standard();
        rules.seed = self.seed;
        for dependency in &mut rules.dependencies {
            let unprobed = self.without_probe == Some(dependency.name.as_str());
            dependency.endpoints[0].probed = !unprobed;
        }
        rules
    }

    pub(crate) fn spec(&self, name: &'static str) -> EndpointSpec {
        let ms = Duration::from_millis;
        let (fail_max, reset, probes, deadline, slow, limit) = match name {
            "database" => (3, ms(30_000), 1, ms(5_000), ms(500), 20),
            "openai" => (5, ms(60_000), 2, ms(30_000), ms(20_000), 16),
            "redis" => (5, ms(20_000), 2, ms(250), ms(100), 50),
            _ => (5, ms(30_000), 2, ms(5_000), ms(5_000), 32),
        };
        EndpointSpec {
            name: name.to_owned(),
            breaker: breaker::Settings {
                consecutive: NonZeroU32::new(self.fail_max.unwrap_or(fail_max)),
                slow: Some(SlowRule {
                    after: slow,
                    threshold: 0.8,
                    min_calls: 20,
                }),
                reset_timeout: reset,
                jitter: 0.0,
                half_open: HalfOpen {
                    probes,
                    successes: probes,
                    ..breaker::Settings::default().half_open
                },
                ..breaker::Settings::default()
            },
            limit: self.limit.unwrap_or(limit),
            call_deadline: deadline,
        }
    }
}

/// A running engine.
pub(crate) struct World {
    pub(crate) handle: Handle,
    pub(crate) probes: BTreeMap<&'static str, Arc<FakeProbe>>,
    pub(crate) data: tempfile::TempDir,
}

/// What an operation of a test ends with.
pub(crate) type Ended<T = ()> = Result<T, CallError<FailureKind>>;

impl World {
    /// One in which everything works and the first round is over.
    pub(crate) async fn new() -> Self {
        Self::from(Setup::default()).await
    }

    /// As set up, when the first round is over.
    pub(crate) async fn from(setup: Setup) -> Self {
        let world = setup.start();
        while !world.handle.is_started() {
            world.pass(1).await;
        }
        world
    }

    /// Lets so many milliseconds of the paused clock pass, and everything that is due in them happen.
    pub(crate) async fn pass(&self, ms: u64) {
        self.handle.clock().sleep(Duration::from_millis(ms)).await;
    }

    /// Ends the engine, in real time: what is written to a file then takes some.
    pub(crate) async fn end(&self) {
        tokio::time::resume();
        self.handle.shutdown(Duration::from_secs(30)).await;
        tokio::time::pause();
    }

    /// Lets time pass until it is so; fails when it isn't within the given seconds. Gives how long it took.
    pub(crate) async fn until(&self, seconds: u64, so: impl Fn() -> bool) -> Duration {
        let begun = self.handle.clock().now();
        while !so() {
            self.pass(10).await;
            let passed = self.handle.clock().now().saturating_since(begun);
            assert!(
                passed <= Duration::from_secs(seconds),
                "not so after {seconds} s"
            );
        }
        self.handle.clock().now().saturating_since(begun)
    }

    pub(crate) fn guard(&self, name: &str) -> Guard {
        self.handle.guard(name).unwrap()
    }

    pub(crate) fn state(&self, name: &str) -> State {
        self.guard(name).state()
    }

    pub(crate) fn level(&self) -> Level {
        self.handle.level()
    }

    pub(crate) fn find(&self, name: &str, finds: Finds) {
        self.probes[name].set(finds);
    }

    /// A call of this caller that must be answered within so many milliseconds.
    pub(crate) fn call(&self, caller: u64, ms: u64) -> Call {
        let ctx = Context::new(
            CallerId(caller),
            self.handle.clock().now() + Duration::from_millis(ms),
        );
        Call::new("test", &ctx)
    }

    pub(crate) async fn succeed(&self, name: &str) -> Ended {
        let call = self.call(1, 60_000);
        self.guard(name)
            .call(call, classify, |_| async { Ok(()) })
            .await
    }

    pub(crate) async fn fail(&self, name: &str) -> Ended {
        let call = self.call(1, 60_000);
        let kind = FailureKind::Connect;
        self.guard(name)
            .call(call, classify, |_| async move { Err(kind) })
            .await
    }

    /// Fails until the breaker opens.
    pub(crate) async fn open(&self, name: &str) {
        while self.state(name) == State::Closed {
            let _ = self.fail(name).await;
        }
        assert_eq!(self.state(name), State::Open);
    }

    pub(crate) async fn hang(&self, name: &str, caller: u64) -> Ended {
        let call = self.call(caller, 60_000);
        self.guard(name)
            .call(call, classify, |_| std::future::pending())
            .await
    }

    /// A caller that goes away after so many milliseconds.
    pub(crate) async fn abandon(&self, name: &str, ms: u64) {
        let clock = self.handle.clock();
        let leaves = clock.now() + Duration::from_millis(ms);
        assert!(clock.until(leaves, self.hang(name, 1)).await.is_err());
    }

    pub(crate) async fn command(&self, action: Action) -> Result<(), Error> {
        self.handle.command(command(action, None)).await
    }
}

pub(crate) fn command(action: Action, lasts: Option<Duration>) -> OperatorCommand {
    OperatorCommand {
        action,
        actor: "ana".to_owned(),
        reason: "maintenance".to_owned(),
        lasts,
    }
}

pub(crate) fn classify(kind: &FailureKind) -> Verdict {
    Verdict::failure(*kind)
}
