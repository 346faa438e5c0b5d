//! A real Redis: one attempt at it, what answers in its place, and settling what it's owed.

use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use mainstay_runtime::{
    Answer, Call, CallError, Context, Error, ErrorKind, Exercised, Guard, Source,
};
use redis::{RedisError, RedisResult};

use crate::class::Class;
use crate::classify::{self, DEPENDENCY, Meaning};
use crate::command::Command;
use crate::crowd::Crowd;
use crate::memory::{Refusal, Terms};
use crate::pool::{Lease, Pool};
use crate::reply::Reply;
use crate::settings::Settings;
use crate::standin::{Sent, Settled, StandIn};
use crate::sweep::{self, Troubles};
use crate::value::Key;
use crate::{fault, settle, wire};

/// Markers kept to be removed; those beyond end by themselves.
const MOST_SPENT: usize = 10_000;

pub(crate) struct Server {
    guard: Guard,
    settings: Settings,
    pool: Arc<Pool>,
    standin: StandIn,
    pub(crate) crowd: Crowd,
    /// Held while debts are being settled, so that none is sent twice at once. Holds the markers that nothing can ask
    /// for any more.
    settling: tokio::sync::Mutex<Vec<Key>>,
    pub(crate) sweeping: AtomicBool,
}

/// How an operation ended, with what the dependency showed.
#[derive(Clone)]
pub(crate) struct Ended {
    pub(crate) result: Result<Answer<Reply>, Error>,
    /// How the call to Redis failed; `None` when Redis answered, be it with a correct "no".
    pub(crate) failure: Option<CallError<RedisError>>,
}

impl Server {
    pub(crate) fn new(guard: Guard, settings: Settings, pool: Arc<Pool>) -> Self {
        let standin = StandIn::new(settings.memory_bytes, settings.touched_keys);
        let (crowd, settling, sweeping) = Default::default();
        Self {
            crowd,
            guard,
            settings,
            pool,
            standin,
            settling,
            sweeping,
        }
    }

    pub(crate) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    pub(crate) fn guard(&self) -> &Guard {
        &self.guard
    }

    pub(crate) fn standin(&self) -> &StandIn {
        &self.standin
    }

    /// Carries a command out in Redis for its caller alone, or answers in its place.
    pub(crate) async fn run_alone(self: &Arc<Self>, ctx: &Context, command: &Command) -> Ended {
        let call = Call::new(command.operation(), ctx);
        let call = if command.is_repeatable() {
            call.idempotent()
        } else {
            call
        };
        // Memory can answer, so the retries share the time of one attempt instead of having one each.
        let call = call.no_later_than(self.guard.now() + self.guard.call_deadline());
        // Attempts that were sent and not answered: any of them may have been carried out, whatever became of the last.
        let unanswered = AtomicU32::new(0);
        let work = |_| self.attempt(command, &unanswered);
        let failure = match self.guard.call(call, classify::verdict, work).await {
            Ok(reply) => {
                self.exercise(command, &reply);
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
            && let Meaning::Refused(refused) = classify::meaning(error)
        {
            return Ended {
                result: Err(refused),
                failure: None,
            };
        }
        let unanswered = unanswered.into_inner() > 0;
        self.in_its_place(command, failure, unanswered)
    }

    /// What is said when Redis didn't answer.
    pub(crate) fn in_its_place(
        self: &Arc<Self>,
        command: &Command,
        failure: CallError<RedisError>,
        unanswered: bool,
    ) -> Ended {
        Ended {
            result: self.answer_in_its_place(command, &failure, unanswered),
            failure: Some(failure),
        }
    }

    /// Now and then, what memory would have said, before it learns what Redis said.
    fn exercise(&self, command: &Command, reply: &Reply) {
        let Command::At { key, action } = command else {
            return;
        };
        if action.is_write() || self.settings.class_of(key.as_str()) != Class::Cache {
            return;
        }
        self.guard.exercise(&Source::Memory, || {
            let held = self.standin.answer(key, action, &self.terms(key), false);
            // A key that memory doesn't know is nothing to compare.
            let ended = held.ok().map(|held| match held.reply == *reply {
                true => Exercised::Agreed,
                false => Exercised::Differed,
            });
            ready(ended)
        });
    }

    pub(crate) async fn attempt(
        &self,
        command: &Command,
        unanswered: &AtomicU32,
    ) -> RedisResult<Reply> {
        let mut lease = self.pool.lend().await?;
        if let Some(key) = command.key()
            && self.standin.is_touched(key)
        {
            Box::pin(self.settle(&mut lease, std::slice::from_ref(key))).await?;
        }
        unanswered.fetch_add(1, Ordering::Relaxed);
        let done = lease
            .exchange(async |con| wire::execute(con, command).await)
            .await;
        if done.as_ref().err().is_none_or(classify::is_reply) {
            unanswered.fetch_sub(1, Ordering::Relaxed);
        }
        fault::point("command.answered");
        done.map_err(|error| self.lost(error))
    }

    /// Does in Redis what is owed for these keys, then believes it about them again.
    pub(crate) async fn settle(&self, lease: &mut Lease, keys: &[Key]) -> RedisResult<()> {
        let mut spent = self.settling.lock().await;
        let now = self.guard.now();
        // Another command may have settled some while this one waited.
        let (stale, batch): (Vec<_>, Vec<_>) = self
            .standin
            .begin(keys, now)
            .into_iter()
            .partition(|(_, sent)| sent.is_stale(now));
        let mut troubles = Troubles::default();
        for (key, sent) in &stale {
            self.finish(key, sent, Settled::GivenUp, &mut troubles);
        }
        let done = if batch.is_empty() && spent.is_empty() {
            Ok(())
        } else {
            self.exchange(lease, &batch, &mut spent, &mut troubles)
                .await
        };
        drop(spent);
        troubles.announce(&self.guard);
        done
    }

    /// Whether markers in Redis wait to be removed.
    pub(crate) fn has_spent_markers(&self) -> bool {
        // Held: somebody is at it, and may leave some.
        let spent = self.settling.try_lock();
        spent.map_or(true, |spent| !spent.is_empty())
    }

    async fn exchange(
        &self,
        lease: &mut Lease,
        batch: &[(Key, Sent)],
        spent: &mut Vec<Key>,
        troubles: &mut Troubles,
    ) -> RedisResult<()> {
        let now = self.guard.now();
        fault::point("reconcile.begun");
        let sending = lease.exchange(async |con| settle::send(con, batch, spent, now).await);
        let answers = sending.await.map_err(|error| self.lost(error))?;
        fault::point("reconcile.answered");
        spent.clear();
        let mut failed = None;
        for ((key, sent), answer) in batch.iter().zip(answers) {
            match answer {
                Ok(settled) => {
                    self.finish(key, sent, settled, troubles);
                    // Sent once and answered: no other can arrive. The others' markers stay for their time.
                    if sent.has_marker() && !sent.repeated && spent.len() < MOST_SPENT {
                        spent.push(sent.marker.clone());
                    }
                }
                Err(error) => {
                    self.standin.put_last(key);
                    failed = Some(error);
                }
            }
        }
        fault::point("reconcile.settled");
        failed.map_or(Ok(()), Err)
    }

    fn finish(&self, key: &Key, sent: &Sent, settled: Settled, troubles: &mut Troubles) {
        self.standin.finish(key, sent, &settled, &self.terms(key));
        troubles.note(&settled, self.settings.rule_of(key.as_str()));
    }

    fn learn(&self, command: &Command, reply: &Reply) {
        if let Command::At { key, action } = command {
            self.standin.learn(key, action, reply, &self.terms(key));
        }
    }

    fn terms(&self, key: &Key) -> Terms {
        Terms {
            now: self.guard.now(),
            ttl: self.guard.tuning().ttl,
            class: self.settings.class_of(key.as_str()),
        }
    }

    /// What is answered when Redis didn't.
    fn answer_in_its_place(
        self: &Arc<Self>,
        command: &Command,
        failure: &CallError<RedisError>,
        unanswered: bool,
    ) -> Result<Answer<Reply>, Error> {
        let Command::At { key, action } = command else {
            return Err(plain(failure));
        };
        let may_have_landed = unanswered && action.is_write();
        let terms = self.terms(key);
        let unknown = || {
            self.standin.forget(key, terms.class);
            outcome_unknown()
        };
        if may_have_landed && !action.is_idempotent() {
            return Err(unknown());
        }
        if matches!(failure, CallError::Busy { .. }) {
            // Redis may be well: memory must not take its place.
            return Err(plain(failure));
        }
        let held = match self.standin.answer(key, action, &terms, may_have_landed) {
            // Memory has changed nothing, and Redis may have.
            Err(_) if may_have_landed => return Err(unknown()),
            Err(refused) => return Err(self.refused(refused)),
            Ok(held) => held,
        };
        if action.is_write() {
            self.start_sweeping();
        }
        Ok(Answer {
            value: held.reply,
            source: Source::Memory,
            age: held.age,
        })
    }

    fn refused(&self, refused: Refusal) -> Error {
        let error = classify::refusal(refused);
        if error.retryable {
            let after = self.guard.retry_after();
            error.retry_after(after.or(Some(Duration::from_secs(1))))
        } else {
            error
        }
    }

    /// Starts the task that settles what nobody asks for, unless it runs.
    pub(crate) fn start_sweeping(self: &Arc<Self>) {
        if !self.sweeping.swap(true, Ordering::AcqRel) {
            tokio::spawn(sweep::run(Arc::downgrade(self), self.guard.clone()));
        }
    }

    /// A broken connection rarely breaks alone.
    fn lost(&self, error: RedisError) -> RedisError {
        if error.is_connection_dropped() {
            self.pool.distrust();
        }
        error
    }
}

fn plain(failure: &CallError<RedisError>) -> Error {
    failure
        .clone()
        .into_error(DEPENDENCY, |error| classify::unavailable(&error))
}

fn outcome_unknown() -> Error {
    let detail = "the command was sent to Redis and not answered: it may have been carried out, or may still be; \
                  read the key when Redis is back before repeating it";
    Error::new(ErrorKind::OutcomeUnknown, detail).dependency(DEPENDENCY)
}
