//! The adapter as its users see it.

use std::future::ready;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment};
use mainstay_runtime::{
    Answer, Call, CallError, Context, EngineBuilder, Error, ErrorKind, Guard, Report, Secret,
    Source, Status, Verdict,
};
use redis::RedisError;

use crate::canary;
use crate::class::Class;
use crate::classify::{self, DEPENDENCY, refusal};
use crate::command::{Action, Command};
use crate::memory::{Held, Memory, Missing, Refusal, Terms};
use crate::pool::{Connector, Pool};
use crate::probe::{MemoryProbe, ServerProbe};
use crate::reply::Reply;
use crate::server::{Ended, Server};
use crate::settings::{Settings, Target};
use crate::settle;
use crate::value::Key;

/// Redis, or the store in memory, behind a guard. Cheap to clone.
#[derive(Clone)]
pub struct Redis {
    inner: Arc<Inner>,
}

struct Inner {
    guard: Guard,
    store: Store,
    hits: AtomicU64,
    misses: AtomicU64,
}

enum Store {
    Embedded {
        memory: Arc<Mutex<Memory>>,
        settings: Arc<Settings>,
    },
    Server(Arc<Server>),
}

impl Redis {
    /// Sets the adapter up and registers its endpoint and probe. Connects to nothing, so it doesn't fail because Redis is down.
    ///
    /// # Errors
    /// When a setting makes no sense, or the address can't be read.
    pub fn connect(settings: Settings, engine: &mut EngineBuilder) -> Result<Self, Error> {
        settings.validate()?;
        let guard = engine.endpoint(settings.endpoint())?;
        let store = match &settings.target {
            Target::Memory => embedded(&guard, settings, engine),
            Target::Server(url) => {
                let connector = connector(url, &settings, &guard)?;
                let pool = Arc::new(Pool::new(connector, settings.pool_size));
                let follows = Arc::clone(&pool);
                engine.on_limit(&guard, move |size| follows.resize(size));
                engine.fallback(&guard, &Source::Memory);
                engine.probe(
                    &guard,
                    Arc::new(ServerProbe {
                        pool: Arc::clone(&pool),
                    }),
                );
                let server = Arc::new(Server::new(guard.clone(), settings, pool));
                let canaries = Arc::downgrade(&server);
                engine.canary(&guard, canary::WAY, move || {
                    let server = canaries.upgrade();
                    async move { server?.canary().await }
                });
                Store::Server(server)
            }
        };
        let (hits, misses) = Default::default();
        Ok(Self {
            inner: Arc::new(Inner {
                guard,
                store,
                hits,
                misses,
            }),
        })
    }

    /// Carries a command out, in Redis or, while it's down, in memory. The crate's documentation has the rules.
    ///
    /// # Errors
    /// A correct "no" (`conflict`, `invalid-input`); `unavailable` when neither Redis nor memory can answer;
    /// `outcome-unknown` when a command that isn't idempotent was sent and not answered.
    ///
    /// # Cancel safety
    /// Dropped midway, a write may or may not have been carried out. Its connection isn't used again.
    pub async fn run(&self, ctx: &Context, command: Command) -> Result<Answer<Reply>, Error> {
        let started = self.inner.guard.now();
        let ended = match &self.inner.store {
            Store::Embedded { memory, settings } => {
                self.embedded(ctx, &command, memory, settings).await
            }
            Store::Server(server) => server.run(ctx, &command).await,
        };
        self.count(&command, &ended);
        self.report(&command, &ended, started);
        ended.result
    }

    /// The class of a key, by the rules of the configuration.
    pub fn class_of(&self, key: &Key) -> Class {
        let settings = match &self.inner.store {
            Store::Embedded { settings, .. } => settings,
            Store::Server(server) => server.settings(),
        };
        settings.class_of(key.as_str())
    }

    /// How many `get`s and `hget`s found a value.
    pub fn hits(&self) -> u64 {
        self.inner.hits.load(Ordering::Relaxed)
    }

    /// How many `get`s and `hget`s found none, or could not know.
    pub fn misses(&self) -> u64 {
        self.inner.misses.load(Ordering::Relaxed)
    }

    /// How many connections are open; 0 for the embedded store.
    pub fn pool_size(&self) -> usize {
        self.server().map_or(0, |server| server.pool().size())
    }

    /// How many keys were written in memory and are still to be brought back to Redis.
    pub fn keys_to_reconcile(&self) -> usize {
        self.server().map_or(0, |server| server.standin().touched())
    }

    /// Reads that got the answer of an identical one under way, since the start.
    pub fn joined_reads(&self) -> u64 {
        self.server().map_or(0, |server| server.crowd.joined())
    }

    /// Whether it's the embedded store.
    pub fn is_embedded(&self) -> bool {
        matches!(self.inner.store, Store::Embedded { .. })
    }

    /// The guard around every call: health, breaker and limit.
    pub fn guard(&self) -> &Guard {
        &self.inner.guard
    }

    /// Tries the store once, for `mainstay check`. The breaker isn't asked and nothing counts.
    ///
    /// # Errors
    /// What is wrong, with the remedy.
    pub async fn check(&self) -> Result<String, Error> {
        let Some(server) = self.server() else {
            return Ok("embedded store in memory; data ends with the process".into());
        };
        let guard = &self.inner.guard;
        let started = guard.now();
        let asked = async {
            let mut con = server.pool().connector().connect().await?;
            let mut info = redis::cmd("INFO");
            let info = info.arg("server").query_async::<String>(&mut con).await?;
            let settles = server.settings().settles_by_script();
            let may_settle = !settles || settle::may_run(&mut con).await?;
            Ok((info, may_settle))
        };
        let (info, may_settle) = match guard
            .clock()
            .until(started + Duration::from_secs(2), asked)
            .await
        {
            Err(_) => return Err(remedy(Some(FailureKind::Timeout))),
            Ok(Err(error)) => {
                return Err(remedy(classify::verdict(&error).failure_kind()));
            }
            Ok(Ok(info)) => info,
        };
        if !may_settle {
            let detail = "the user of redis.url may not run scripts on keys under mainstay:, which counters and sessions need \
                          after an outage: add +eval and ~mainstay:* to its ACL";
            return Err(Error::unavailable(DEPENDENCY, detail));
        }
        let version = info
            .lines()
            .find_map(|line| line.strip_prefix("redis_version:"))
            .unwrap_or("of unknown version");
        let took = guard.now().saturating_since(started);
        Ok(format!(
            "Redis {version} answered in {:.1} ms",
            took.as_secs_f64() * 1000.0
        ))
    }

    fn server(&self) -> Option<&Server> {
        match &self.inner.store {
            Store::Embedded { .. } => None,
            Store::Server(server) => Some(server),
        }
    }

    async fn embedded(
        &self,
        ctx: &Context,
        command: &Command,
        memory: &Mutex<Memory>,
        settings: &Settings,
    ) -> Ended {
        let guard = &self.inner.guard;
        let call = Call::new(command.operation(), ctx);
        let work = |_| ready(in_memory(command, memory, settings, guard));
        // Whatever the store refuses, it has answered.
        let ended = guard.call(call, |_: &Refusal| Verdict::SUCCESS, work).await;
        match ended {
            Ok(held) => Ended {
                result: Ok(Answer::fresh(held.reply, Source::Primary)),
                failure: None,
            },
            Err(CallError::Failed(refused)) => Ended {
                result: Err(refusal(refused)),
                failure: None,
            },
            Err(CallError::Rejected(rejection)) => refused(CallError::Rejected(rejection)),
            Err(CallError::Busy { retry_after }) => refused(CallError::Busy { retry_after }),
            Err(CallError::Deadline { .. }) => refused(CallError::Deadline { sent: false }),
        }
    }

    fn count(&self, command: &Command, ended: &Ended) {
        let is_lookup = matches!(
            command,
            Command::At {
                action: Action::Get | Action::Hget(_),
                ..
            }
        );
        match &ended.result {
            Ok(Answer {
                value: Reply::Hit { .. },
                ..
            }) if is_lookup => self.inner.hits.fetch_add(1, Ordering::Relaxed),
            Ok(_) if is_lookup => self.inner.misses.fetch_add(1, Ordering::Relaxed),
            _ => 0,
        };
    }

    fn report(&self, command: &Command, ended: &Ended, started: Moment) {
        let guard = &self.inner.guard;
        let (status, source) = match (&ended.result, &ended.failure) {
            (Ok(answer), None) => (Status::Success, Some(answer.source.clone())),
            (Ok(answer), Some(_)) => (Status::Fallback, Some(answer.source.clone())),
            (Err(_), None) => (Status::Success, Some(Source::Primary)),
            (Err(_), Some(failure)) if failure.was_refused() => (Status::Rejected, None),
            (Err(_), Some(_)) => (Status::Failure, None),
        };
        guard.report(&Report {
            operation: command.operation(),
            status,
            source,
            error: ended.failure.as_ref().and_then(failure_kind),
            elapsed: guard.now().saturating_since(started),
        });
    }
}

fn failure_kind(failure: &CallError<RedisError>) -> Option<FailureKind> {
    match failure {
        CallError::Failed(error) => classify::verdict(error).failure_kind(),
        CallError::Deadline { .. } => Some(FailureKind::Timeout),
        CallError::Rejected(_) | CallError::Busy { .. } => None,
    }
}

fn refused(failure: CallError<RedisError>) -> Ended {
    let error = failure
        .clone()
        .into_error(DEPENDENCY, |error| classify::unavailable(&error));
    Ended {
        result: Err(error),
        failure: Some(failure),
    }
}

fn embedded(guard: &Guard, settings: Settings, engine: &mut EngineBuilder) -> Store {
    let memory = Arc::new(Mutex::new(Memory::new(
        settings.memory_bytes,
        Missing::Absent,
    )));
    let probe = MemoryProbe {
        memory: Arc::clone(&memory),
        clock: guard.clock(),
    };
    engine.probe(guard, Arc::new(probe));
    Store::Embedded {
        memory,
        settings: Arc::new(settings),
    }
}

fn in_memory(
    command: &Command,
    memory: &Mutex<Memory>,
    settings: &Settings,
    guard: &Guard,
) -> Result<Held, Refusal> {
    let Command::At { key, action } = command else {
        return Ok(Held {
            reply: Reply::Pong,
            age: None,
        });
    };
    let terms = Terms {
        now: guard.now(),
        ttl: guard.tuning().ttl,
        class: settings.class_of(key.as_str()),
    };
    memory
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .apply(key, action, &terms)
}

fn connector(url: &Secret, settings: &Settings, guard: &Guard) -> Result<Connector, Error> {
    if url.expose().starts_with("rediss://") {
        // Err: somebody has chosen a provider already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    Connector::new(url, settings.call_deadline, guard.clock()).map_err(|_| {
        let detail = "can't be read as redis://[user[:password]@]host[:port][/db] or rediss://…; \
                      percent-encode special characters of the password";
        Error::new(ErrorKind::InvalidInput, detail)
            .field("redis.url")
            .dependency(DEPENDENCY)
    })
}

fn remedy(kind: Option<FailureKind>) -> Error {
    let detail = match kind {
        Some(FailureKind::Config) => {
            "Redis refuses the login or the database number: check user, password and /db in redis.url, and the user's ACL"
        }
        Some(FailureKind::Timeout) => {
            "nothing answered within 2 s: check host, port and firewall, and that Redis isn't frozen"
        }
        Some(FailureKind::Connect) => {
            "no connection: check that Redis runs at the host and port of redis.url (and speaks TLS if it is rediss://)"
        }
        Some(FailureKind::Protocol) => {
            "what answers there is not Redis: check the port in redis.url"
        }
        Some(FailureKind::Overload) => {
            "Redis is loading its data, or has no client connection left: wait, or raise its maxclients"
        }
        _ => "Redis answered but can't serve: look at its log",
    };
    Error::unavailable(DEPENDENCY, detail)
}
