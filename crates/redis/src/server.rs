//! A real Redis: one attempt at it, what answers in its place, and making it forget what memory changed meanwhile.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mainstay_runtime::{
    Answer, Attempt, Call, CallError, Context, Error, ErrorKind, Guard, Source,
};

use crate::classify::{self, DEPENDENCY, DriverError, Meaning};
use crate::command::Command;
use crate::memory::Terms;
use crate::pool::{Lease, Pool};
use crate::reply::Reply;
use crate::settings::{Class, Settings};
use crate::standin::StandIn;
use crate::value::Key;
use crate::wire;

/// Keys that one `DEL` removes when Redis is back.
const BATCH: usize = 128;
/// Pause between looks at whether Redis is back.
const PAUSE: Duration = Duration::from_millis(100);

pub(crate) struct Server {
    guard: Guard,
    settings: Settings,
    pool: Arc<Pool>,
    standin: StandIn,
    /// Held while keys are being deleted, so that no command on them slips in between.
    reconciling: tokio::sync::Mutex<()>,
    sweeping: AtomicBool,
}

/// How an operation ended, with what the dependency showed.
pub(crate) struct Ended {
    pub(crate) result: Result<Answer<Reply>, Error>,
    /// How the call to Redis failed; `None` when Redis answered, be it with a correct "no".
    pub(crate) failure: Option<CallError<DriverError>>,
}

impl Server {
    pub(crate) fn new(guard: Guard, settings: Settings, pool: Arc<Pool>) -> Self {
        let standin = StandIn::new(settings.memory_bytes, settings.touched_keys);
        let (reconciling, sweeping) = Default::default();
        Self {
            guard,
            settings,
            pool,
            standin,
            reconciling,
            sweeping,
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn touched(&self) -> usize {
        self.standin.touched()
    }

    /// Carries a command out in Redis, or answers in its place.
    pub(crate) async fn run(self: &Arc<Self>, ctx: &Context, command: &Command) -> Ended {
        let call = Call::new(command.operation(), ctx);
        let call = if command.is_repeatable() {
            call.idempotent()
        } else {
            call
        };
        // Memory can answer, so the retries share the time of one attempt instead of having one each.
        let call = call.no_later_than(self.guard.now() + self.guard.call_deadline());
        let work = |attempt| self.attempt(command, attempt);
        let failure = match self.guard.call(call, classify::verdict, work).await {
            Ok(reply) => {
                self.learn(command, &reply);
                return Ended {
                    result: Ok(Answer::fresh(reply, Source::Primary)),
                    failure: None,
                };
            }
            Err(failure) => failure,
        };
        if matches!(failure, CallError::Deadline { .. }) {
            // Whatever was slow or frozen, the other connections lead there too.
            self.pool.distrust();
        }
        if let CallError::Failed(error) = &failure
            && let Meaning::Refused(refused) = classify::meaning(&error.error)
        {
            return Ended {
                result: Err(refused),
                failure: None,
            };
        }
        let result = self.in_its_place(command, &failure);
        Ended {
            result,
            failure: Some(failure),
        }
    }

    async fn attempt(&self, command: &Command, attempt: Attempt) -> Result<Reply, DriverError> {
        let mut lease = self.pool.lend().await?;
        if let Some(key) = command.key()
            && self.standin.is_touched(key)
        {
            let done = Box::pin(self.reconcile(&mut lease, std::slice::from_ref(key))).await;
            done.map_err(|error| self.lost(DriverError::unsent(error)))?;
        }
        attempt.mark_sent();
        let done = lease
            .exchange(async |con| wire::execute(con, command).await)
            .await;
        done.map_err(|error| self.lost(DriverError::sent(error)))
    }

    /// A broken connection rarely breaks alone.
    fn lost(&self, error: DriverError) -> DriverError {
        if error.error.is_connection_dropped() {
            self.pool.distrust();
        }
        error
    }

    /// Deletes touched keys in Redis, then believes it about them again.
    async fn reconcile(&self, lease: &mut Lease, keys: &[Key]) -> redis::RedisResult<()> {
        let _turn = self.reconciling.lock().await;
        // Another command may have done it while this one waited; deleting again would drop what was written since.
        let keys: Vec<Key> = keys
            .iter()
            .filter(|key| self.standin.is_touched(key))
            .cloned()
            .collect();
        if keys.is_empty() {
            return Ok(());
        }
        lease
            .exchange(async |con| wire::delete(con, &keys).await)
            .await?;
        self.standin.reconciled(&keys);
        Ok(())
    }

    fn learn(&self, command: &Command, reply: &Reply) {
        if let Command::At { key, action } = command
            && self.settings.class_of(key.as_str()) == Class::Cache
        {
            self.standin.learn(key, action, reply, &self.terms());
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            now: self.guard.now(),
            ttl: self.guard.tuning().ttl,
            evictable: true,
        }
    }

    /// What is answered when Redis didn't.
    fn in_its_place(
        self: &Arc<Self>,
        command: &Command,
        failure: &CallError<DriverError>,
    ) -> Result<Answer<Reply>, Error> {
        let Command::At { key, action } = command else {
            return Err(plain(failure));
        };
        let unanswered = match failure {
            CallError::Deadline { sent } => *sent,
            CallError::Failed(error) => error.leaves_outcome_unknown(),
            CallError::Rejected(_) | CallError::Busy { .. } => false,
        };
        let class = self.settings.class_of(key.as_str());
        if unanswered && action.is_write() && (class != Class::Cache || !action.is_idempotent()) {
            self.standin.forget(key);
            return Err(outcome_unknown());
        }
        if matches!(failure, CallError::Busy { .. }) {
            // Redis may be well: memory must not take its place.
            return Err(plain(failure));
        }
        if class != Class::Cache {
            return Err(refused_class(class, failure));
        }
        let held = self.standin.answer(key, action, &self.terms());
        let held = held.map_err(|error| {
            if error.retryable {
                error.retry_after(self.retry_after())
            } else {
                error
            }
        })?;
        if action.is_write() {
            self.start_sweeping();
        }
        Ok(Answer {
            value: held.reply,
            source: Source::Memory,
            age: held.age,
        })
    }

    fn retry_after(&self) -> Option<Duration> {
        self.guard.retry_after().or(Some(Duration::from_secs(1)))
    }

    /// Starts the task that makes Redis forget touched keys nobody asks for, unless it runs.
    fn start_sweeping(self: &Arc<Self>) {
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep(Arc::downgrade(self), self.guard.clone()));
        }
    }

    /// One batch. Returns whether there is nothing left.
    async fn sweep_once(&self) -> bool {
        let keys = self.standin.some_touched(BATCH);
        if !keys.is_empty() && !self.guard.is_open() {
            let now = self.guard.now();
            let call = Call {
                operation: "reconcile",
                idempotent: true,
                deadline: now + self.guard.call_deadline(),
                caller: None,
            };
            let work = async |_: Attempt| {
                let mut lease = self.pool.lend().await?;
                let done = self.reconcile(&mut lease, &keys).await;
                done.map_err(|error| self.lost(DriverError::unsent(error)))
            };
            // Failing, it's tried again: deleting is idempotent.
            let _ = self.guard.call(call, classify::verdict, work).await;
        }
        if self.standin.touched() > 0 {
            return false;
        }
        self.sweeping.store(false, Ordering::Release);
        // A key touched between the look and the store would find the task still running, and gone.
        self.standin.touched() == 0 || self.sweeping.swap(true, Ordering::AcqRel)
    }
}

/// Makes Redis forget touched keys, batch by batch behind the guard, as soon as the breaker lets it.
async fn sweep(server: Weak<Server>, guard: Guard) {
    loop {
        guard.clock().sleep(PAUSE).await;
        match server.upgrade() {
            Some(server) if !server.sweep_once().await => {}
            _ => return,
        }
    }
}

fn plain(failure: &CallError<DriverError>) -> Error {
    failure
        .clone()
        .into_error(DEPENDENCY, |error| classify::unavailable(&error.error))
}

fn refused_class(class: Class, failure: &CallError<DriverError>) -> Error {
    let error = plain(failure);
    let detail = format!(
        "{}; keys of class {} can't be served without it yet",
        error.detail,
        class.as_str()
    );
    Error {
        detail,
        kind: ErrorKind::Unavailable,
        retryable: true,
        ..error
    }
}

fn outcome_unknown() -> Error {
    let detail = "the command was sent to Redis and not answered: it may have been carried out, or may still be; \
                  read the key when Redis is back before repeating it";
    Error::new(ErrorKind::OutcomeUnknown, detail).dependency(DEPENDENCY)
}
