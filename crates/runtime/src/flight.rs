//! One admitted attempt on its way: its ticket, its slow mark, and what happens when its caller walks away.

use std::future::Future;
use std::ops::Deref;
use std::pin::pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_breaker::{Breaker, FailureKind, Lane, Moment, Outcome, Ticket};

use crate::answer::CallerId;
use crate::call::Verdict;
use crate::clock::Elapsed;
use crate::endpoint::Endpoint;

thread_local! {
    /// Where the calls that end on this thread count their successes, with a plain load and store.
    static LANE: Lane = Lane::claim();
}

/// What lets an attempt through.
#[derive(Debug)]
pub(crate) enum Pass {
    /// The breaker has admitted it.
    Ticket(Ticket),
    /// The breaker is open, and a trial was due.
    Trial,
}

/// An attempt that may be made. Dropped without a verdict, its caller has gone away. Borrows its endpoint
/// within one future, and holds it beyond.
#[derive(Debug)]
pub(crate) struct Flight<E: Deref<Target = Endpoint>> {
    endpoint: E,
    /// `None` once it is settled.
    pass: Option<Pass>,
    caller: Option<CallerId>,
    /// When it began, later by every pause since.
    started: Moment,
    paused_at: Option<Moment>,
    marked_slow: bool,
}

impl<E: Deref<Target = Endpoint>> Flight<E> {
    pub(crate) fn new(endpoint: E, pass: Pass, caller: Option<CallerId>, started: Moment) -> Self {
        Self {
            endpoint,
            pass: Some(pass),
            caller,
            started,
            paused_at: None,
            marked_slow: false,
        }
    }

    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Whether its verdict decides on a breaker that isn't closed.
    pub(crate) fn is_probe(&self) -> bool {
        match &self.pass {
            Some(Pass::Ticket(ticket)) => ticket.is_probe(),
            Some(Pass::Trial) => true,
            None => false,
        }
    }

    /// From here on the time is the caller's, not the dependency's.
    pub(crate) fn pause(&mut self) {
        let now = self.now();
        self.paused_at.get_or_insert(now);
    }

    /// From here on the time is the dependency's again.
    pub(crate) fn resume(&mut self) {
        if let Some(paused_at) = self.paused_at.take() {
            self.started = self.started + self.now().saturating_since(paused_at);
        }
    }

    /// Runs the work until `deadline`, and marks the attempt slow when `slow.after` passes before that.
    pub(crate) async fn run<F: Future>(
        &mut self,
        deadline: Moment,
        work: F,
    ) -> Result<F::Output, Elapsed> {
        let clock = self.endpoint.shared.clock;
        let mut work = pin!(work);
        if let Some(slow_at) = self.slow_at().filter(|at| *at < deadline) {
            match clock.until(slow_at, work.as_mut()).await {
                Ok(output) => return Ok(output),
                Err(Elapsed) => self.mark_slow(),
            }
        }
        clock.until(deadline, work).await
    }

    /// Gives the verdict.
    pub(crate) fn settle(mut self, verdict: Verdict) {
        let now = self.now();
        self.settle_at(now, verdict, self.elapsed(now));
    }

    /// Gives the verdict with the time that was the dependency's.
    pub(crate) fn settle_after(&mut self, verdict: Verdict, elapsed: Duration) {
        self.settle_at(self.now(), verdict, elapsed);
    }

    fn settle_at(&mut self, now: Moment, verdict: Verdict, elapsed: Duration) {
        let Some(pass) = self.pass.take() else {
            return;
        };
        let endpoint = &*self.endpoint;
        let slow = verdict.slow || self.is_slow(elapsed);
        endpoint
            .stats
            .record(&verdict, slow && !self.marked_slow, elapsed);
        if let Some(kind) = verdict.failure_kind() {
            endpoint.shared.observer.failure(&endpoint.dependency, kind);
        } else if verdict.outcome == Outcome::Success {
            endpoint.abandoned.reset();
        }
        let Pass::Ticket(ticket) = pass else {
            endpoint.end_trial(verdict.outcome, now);
            return;
        };
        let plain = verdict.outcome == Outcome::Success && !slow;
        let ticket = if plain {
            succeed(&endpoint.breaker, ticket)
        } else {
            Some(ticket)
        };
        let told = ticket.and_then(|one| one.settle(&endpoint.breaker, verdict.outcome, slow, now));
        endpoint.tell(told);
    }

    /// Our deadline passed. When one caller alone runs into it again and again, a probe decides first.
    pub(crate) fn settle_timeout(mut self) {
        let now = self.now();
        let elapsed = self.elapsed(now);
        let endpoint = &*self.endpoint;
        let can_wait = !self.is_probe() && endpoint.probed.load(Ordering::Relaxed);
        let verdict = if can_wait && endpoint.suspects.hold_timeout(self.caller, now) {
            endpoint.ask_for_probe();
            Verdict {
                slow: true,
                ..Verdict::NEUTRAL
            }
        } else {
            Verdict::failure(FailureKind::Timeout)
        };
        self.settle_at(now, verdict, elapsed);
    }

    /// Gives the verdict of an active probe: for the breaker only, since the controller hears of it by itself.
    pub(crate) fn settle_probe(mut self, verdict: Verdict) {
        if let Some(Pass::Ticket(ticket)) = self.pass.take() {
            let now = self.now();
            self.endpoint
                .tell(ticket.settle(&self.endpoint.breaker, verdict.outcome, false, now));
        }
    }

    fn slow_at(&self) -> Option<Moment> {
        let after = self.endpoint.breaker.slow_after()?;
        (!self.marked_slow).then_some(self.started + after)
    }

    fn is_slow(&self, elapsed: Duration) -> bool {
        let after = self.endpoint.breaker.slow_after();
        self.marked_slow || after.is_some_and(|after| elapsed > after)
    }

    fn mark_slow(&mut self) {
        let now = self.now();
        self.marked_slow = true;
        self.endpoint.stats.record_slow();
        if let Some(Pass::Ticket(ticket)) = &mut self.pass {
            let transition = ticket.mark_slow(&self.endpoint.breaker, now);
            self.endpoint.tell(transition);
        }
    }

    fn now(&self) -> Moment {
        self.endpoint.shared.clock.now()
    }

    fn elapsed(&self, now: Moment) -> Duration {
        let until = self.paused_at.unwrap_or(now);
        until.saturating_since(self.started)
    }
}

/// Counts a success without a clock. Gives the ticket back when its verdict needs a moment: a half-open probe's does.
fn succeed(breaker: &Breaker, ticket: Ticket) -> Option<Ticket> {
    let mut ticket = Some(ticket);
    let counted = LANE.try_with(|lane| {
        let left = ticket.take().map(|one| one.try_success(breaker, lane));
        ticket = left.and_then(Result::err);
    });
    // A thread that is ending has no lane any more: the ticket is still here then.
    let _ = counted;
    ticket
}

impl<E: Deref<Target = Endpoint>> Drop for Flight<E> {
    fn drop(&mut self) {
        if self.pass.is_none() {
            return;
        }
        let now = self.now();
        let elapsed = self.elapsed(now);
        if self.is_slow(elapsed) && self.endpoint.abandoned.count() {
            self.endpoint.ask_for_probe();
        }
        self.settle_at(now, Verdict::NEUTRAL, elapsed);
    }
}
