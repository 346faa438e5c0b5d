//! The guard around every call to an endpoint: a place under the limit, admission, deadline, verdict, retry.

use std::convert::Infallible;
use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Outcome, Snapshot, State};
use mainstay_degradation::{DependencyId, Tuning};

use crate::answer::Source;
use crate::call::{Attempt, Call, CallError, Verdict};
use crate::clock::{Clock, Elapsed};
use crate::endpoint::Endpoint;
use crate::fallbacks::Exercised;
use crate::flight::{Flight, Pass};
use crate::limit::{Limit, Place};
use crate::observe::{Direction, Report, Status};
use crate::protection::Share;
use crate::running::Running;

/// Guards one endpoint. Cheap to clone; every clone shares the breaker, the limit and the figures.
#[derive(Clone, Debug)]
pub struct Guard {
    pub(crate) endpoint: Arc<Endpoint>,
}

/// First pause before a retry, before jitter and the level's factor.
const BACKOFF: Duration = Duration::from_millis(50);
/// Longest pause before a retry.
const BACKOFF_MAX: Duration = Duration::from_secs(2);

/// When to try again after no place came in time. A guess: it depends on the calls that hold the places.
const PLACES_COME_BACK: Duration = Duration::from_secs(1);

impl Guard {
    /// Makes the call: waits for a place, asks the breaker, runs the driver with a deadline, settles, and
    /// retries what is idempotent within the level's count and the budget.
    ///
    /// `classify` says what a driver's error means for the dependency; `Ok` is a success.
    ///
    /// # Errors
    /// See [`CallError`]. An error that `classify` calls a success comes back as [`CallError::Failed`] and counts as none.
    ///
    /// # Cancel safety
    /// Dropping the future drops the driver's. A call dropped early counts nowhere; one dropped after
    /// `slow.after` counts as slow.
    pub async fn call<T, E, F, Fut>(
        &self,
        call: Call,
        classify: impl Fn(&E) -> Verdict,
        mut attempt: F,
    ) -> Result<T, CallError<E>>
    where
        F: FnMut(Attempt) -> Fut,
        Fut: Future<Output = Result<T, E>>,
    {
        let _places = self.places(&call, &*self.endpoint.limit).await?;
        let sent = Arc::new(AtomicBool::new(false));
        let (mut number, mut earlier) = (1, None);
        loop {
            let now = self.now();
            let flight = match self.admit(&call, number, now) {
                Ok(pass) => Flight::new(&*self.endpoint, pass, call.caller, now),
                // Refused a retry, the driver's own word on the attempt before says more.
                Err(refused) => return Err(earlier.unwrap_or(refused)),
            };
            let time = self.endpoint.call_deadline().max(call.as_long_as);
            let one = Attempt {
                number,
                deadline: call.deadline.min(now + time),
                sent: Arc::clone(&sent),
            };
            let (deadline, work) = (one.deadline, attempt(one));
            let (ended, verdict) = self.drive(flight, deadline, work, &classify).await;
            let error = match ended {
                Ok(Ok(value)) => return Ok(value),
                Ok(Err(error)) => CallError::Failed(error),
                Err(Elapsed) => CallError::Deadline {
                    sent: sent.load(Ordering::Acquire),
                },
            };
            if !self.pause_before_retry(&call, number, &verdict).await {
                return Err(error);
            }
            earlier = Some(error);
            number += 1;
        }
    }

    /// Begins a call whose end lies beyond one future: a stream. The verdict is given on [`Running`].
    ///
    /// # Errors
    /// `Rejected`, `Busy`, and `Deadline` when that has passed already.
    pub async fn begin(&self, call: Call) -> Result<Running, CallError<Infallible>> {
        let limit = Arc::clone(&self.endpoint.limit);
        let (few, place) = self.places(&call, limit).await?;
        let now = self.now();
        let pass = self.admit(&call, 1, now)?;
        let flight = Flight::new(Arc::clone(&self.endpoint), pass, call.caller, now);
        Ok(Running::new(flight, place, few, call.deadline))
    }

    /// The endpoint's name, e.g. `database/replica`.
    pub fn name(&self) -> &str {
        &self.endpoint.name
    }

    /// The dependency's name.
    pub fn dependency(&self) -> &str {
        &self.endpoint.dependency
    }

    /// The breaker's present state.
    pub fn state(&self) -> State {
        self.endpoint.breaker.state()
    }

    /// Whether a call would be refused by the breaker now. Asking changes nothing.
    pub fn is_open(&self) -> bool {
        self.endpoint.refuses(self.now())
    }

    /// How long until the breaker may admit again, if it refuses now.
    pub fn retry_after(&self) -> Option<Duration> {
        let now = self.now();
        let open = self.endpoint.refuses(now);
        let retry_at = self.endpoint.breaker.snapshot(now).retry_at;
        Some(retry_at.filter(|_| open)?.saturating_since(now))
    }

    /// Everything about the breaker.
    pub fn snapshot(&self) -> Snapshot {
        self.endpoint.breaker.snapshot(self.now())
    }

    /// Now, by the engine's clock.
    pub fn now(&self) -> Moment {
        self.endpoint.shared.clock.now()
    }

    /// The engine's clock.
    pub fn clock(&self) -> Clock {
        self.endpoint.shared.clock
    }

    /// Past this a running call is slow; `None` while that rule is off.
    pub fn slow_after(&self) -> Option<Duration> {
        self.endpoint.breaker.slow_after()
    }

    /// What the present level asks of calls and caches.
    pub fn tuning(&self) -> Tuning {
        (**self.endpoint.shared.tuning.load()).clone()
    }

    /// Longest time one attempt may take.
    pub fn call_deadline(&self) -> Duration {
        self.endpoint.call_deadline()
    }

    /// Whether another dependency's being down weighs on this one: those who used that one may come here now.
    pub fn is_threatened(&self) -> bool {
        self.endpoint.protection.is_threatened()
    }

    /// Whether a call for this one is made in the place of another dependency, and gets what that leaves it.
    pub fn is_instead(&self, instead_of: Option<DependencyId>) -> bool {
        instead_of.is_some_and(|one| one != self.endpoint.dependency_id)
    }

    /// How many calls may be in flight now.
    pub fn limit(&self) -> usize {
        self.endpoint.limit.size()
    }

    /// Tells observers how an operation that a caller asked for ended.
    pub fn report(&self, report: &Report) {
        let shared = &self.endpoint.shared;
        let fallbacks = &self.endpoint.exercises.fallbacks;
        match (report.status, &report.source) {
            (Status::Success, _) => fallbacks.rested(),
            (Status::Fallback, Some(source)) => fallbacks.used(&source.to_string(), shared.clock),
            _ => {}
        }
        shared.observer.operation(&self.endpoint.dependency, report);
    }

    /// Tells observers that bytes went to or came from the store.
    pub fn report_bytes(&self, direction: Direction, count: u64) {
        let shared = &self.endpoint.shared;
        shared
            .observer
            .bytes(&self.endpoint.dependency, direction, count);
    }

    /// Records something that an adapter has decided and that people should know: `kind` from a closed set, one English
    /// sentence, and the same as data, without keys, values or statements.
    pub fn announce(&self, kind: &'static str, message: String, data: serde_json::Value) {
        tracing::warn!(event = kind, dependency = self.dependency(), "{message}");
        self.push_event(kind, message, data);
    }

    /// The same of what went as it should: the log has it as information, not as a warning.
    pub fn tell(&self, kind: &'static str, message: String, data: serde_json::Value) {
        tracing::info!(event = kind, dependency = self.dependency(), "{message}");
        self.push_event(kind, message, data);
    }

    fn push_event(&self, kind: &'static str, message: String, data: serde_json::Value) {
        let shared = &self.endpoint.shared;
        shared.events.push(shared.clock.wall(), kind, message, data);
    }

    /// After a read that went well: makes it again through a fallback, now and then, off the caller's way, while all
    /// is well. `work` says what the fallback gave, compared with the answer; `None` when it can't know.
    pub fn exercise<F, Fut>(&self, source: &Source, work: F)
    where
        F: FnOnce() -> Fut,
        Fut: Future<Output = Option<Exercised>> + Send + 'static,
    {
        let exercises = &self.endpoint.exercises;
        exercises.offer(source.label(), self.clock(), work);
    }

    /// Asks for a probe of this endpoint at once.
    pub fn probe_now(&self) {
        self.endpoint.ask_for_probe();
    }

    /// What a call needs under the limit. One in the place of another dependency takes what is free, or nothing: waiting,
    /// it would stand before those of the endpoint's own work that come later.
    async fn places<E, L>(
        &self,
        call: &Call,
        limit: L,
    ) -> Result<(Option<Share>, Place<L>), CallError<E>>
    where
        L: Deref<Target = Limit> + Clone,
    {
        if !self.is_instead(call.instead_of) {
            return Ok((None, self.place(limit, call.deadline).await?));
        }
        match self.endpoint.protection.admit(limit) {
            Some((few, place)) => Ok((Some(few), place)),
            None => Err(self.rejection().unwrap_or(CallError::Busy {
                retry_after: PLACES_COME_BACK,
            })),
        }
    }

    /// What the breaker says while it refuses.
    fn rejection<E>(&self) -> Option<CallError<E>> {
        let now = self.now();
        let refused = self.endpoint.refuses(now).then(|| self.endpoint.admit(now));
        Some(CallError::Rejected(refused?.err()?))
    }

    async fn place<E, L>(&self, limit: L, deadline: Moment) -> Result<Place<L>, CallError<E>>
    where
        L: Deref<Target = Limit> + Clone,
    {
        let endpoint = &self.endpoint;
        if let Some(place) = Limit::try_place(limit.clone()) {
            return Ok(place);
        }
        let (clock, latest) = (self.clock(), deadline - self.fair_time());
        let mut place = pin!(clock.until(latest, Limit::place(limit)));
        loop {
            let opened = endpoint.opened.notified();
            if let Some(rejected) = self.rejection() {
                return Err(rejected);
            }
            tokio::select! {
                place = &mut place => return place.map_err(|Elapsed| CallError::Busy {
                    retry_after: PLACES_COME_BACK,
                }),
                () = opened => {}
            }
        }
    }

    /// What a place must leave of the time: with less, a timeout would blame our own queue on the dependency.
    fn fair_time(&self) -> Duration {
        let half = self.endpoint.call_deadline() / 2;
        let slow_after = self.endpoint.breaker.slow_after();
        slow_after.map_or(half, |after| after.min(half))
    }

    /// Asks the breaker for an attempt, and counts a call for the retry budget when it is the first.
    fn admit<E>(&self, call: &Call, number: u32, now: Moment) -> Result<Pass, CallError<E>> {
        if now >= call.deadline {
            return Err(CallError::Deadline { sent: false });
        }
        let endpoint = &self.endpoint;
        if call.trial && endpoint.refuses(now) && endpoint.begin_trial(now) {
            return Ok(Pass::Trial);
        }
        let ticket = endpoint.admit(now).map_err(CallError::Rejected)?;
        if number == 1 {
            endpoint.budget.call(now);
        }
        Ok(Pass::Ticket(ticket))
    }

    /// Runs one attempt to its verdict.
    async fn drive<T, E, Fut>(
        &self,
        mut flight: Flight<&Endpoint>,
        deadline: Moment,
        work: Fut,
        classify: &impl Fn(&E) -> Verdict,
    ) -> (Result<Result<T, E>, Elapsed>, Verdict)
    where
        Fut: Future<Output = Result<T, E>>,
    {
        let ended = flight.run(deadline, work).await;
        let verdict = match &ended {
            Ok(Ok(_)) => Verdict::SUCCESS,
            Ok(Err(error)) => classify(error),
            Err(Elapsed) => Verdict::failure(FailureKind::Timeout),
        };
        match ended {
            Err(Elapsed) => flight.settle_timeout(),
            Ok(_) => flight.settle(verdict),
        }
        (ended, verdict)
    }

    /// Whether to try again, after the pause that this takes.
    async fn pause_before_retry(&self, call: &Call, number: u32, verdict: &Verdict) -> bool {
        let tuning = self.tuning();
        let worth_it = call.idempotent && number <= tuning.retries && is_passing(verdict);
        let now = self.now();
        if !worth_it || self.is_open() {
            return false;
        }
        let ceiling = BACKOFF
            .mul_f64(tuning.backoff * f64::from(1u32 << (number - 1).min(10)))
            .min(BACKOFF_MAX);
        let pause = self.endpoint.shared.full_jitter(ceiling);
        if now + pause >= call.deadline || !self.endpoint.budget.try_retry(now) {
            return false;
        }
        self.clock().sleep(pause).await;
        true
    }
}

/// A failure that may be gone at the next attempt. Overload is not: trying again at once makes it worse.
fn is_passing(verdict: &Verdict) -> bool {
    matches!(
        verdict.outcome,
        Outcome::Failure(
            FailureKind::Connect
                | FailureKind::Timeout
                | FailureKind::Protocol
                | FailureKind::Unavailable
                | FailureKind::Internal
        )
    )
}
