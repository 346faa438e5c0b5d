//! One admitted attempt on its way: its ticket, its slow mark, and what happens when its caller walks away.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Outcome, Ticket};

use crate::answer::CallerId;
use crate::call::Verdict;
use crate::clock::Elapsed;
use crate::endpoint::Endpoint;

/// An attempt the breaker has admitted. Dropped without a verdict, its caller has gone away.
#[derive(Debug)]
pub(crate) struct Flight {
    endpoint: Arc<Endpoint>,
    ticket: Option<Ticket>,
    caller: Option<CallerId>,
    /// When it began, later by every pause since.
    started: Moment,
    paused_at: Option<Moment>,
    marked_slow: bool,
}

impl Flight {
    pub(crate) fn new(
        endpoint: Arc<Endpoint>,
        ticket: Ticket,
        caller: Option<CallerId>,
        started: Moment,
    ) -> Self {
        Self {
            endpoint,
            ticket: Some(ticket),
            caller,
            started,
            paused_at: None,
            marked_slow: false,
        }
    }

    pub(crate) fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    pub(crate) fn is_probe(&self) -> bool {
        self.ticket.as_ref().is_some_and(Ticket::is_probe)
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
        let elapsed = self.elapsed();
        self.settle_after(verdict, elapsed);
    }

    /// Gives the verdict with the time that was the dependency's.
    pub(crate) fn settle_after(&mut self, verdict: Verdict, elapsed: Duration) {
        let Some(ticket) = self.ticket.take() else {
            return;
        };
        let endpoint = &self.endpoint;
        let slow = verdict.slow || self.is_slow(elapsed);
        endpoint
            .stats
            .record(&verdict, slow && !self.marked_slow, elapsed);
        if let Some(kind) = verdict.failure_kind() {
            endpoint.shared.observer.failure(&endpoint.dependency, kind);
        } else if verdict.outcome == Outcome::Success {
            endpoint.abandoned.reset();
        }
        let transition = ticket.settle(&endpoint.breaker, verdict.outcome, slow, self.now());
        endpoint.tell(transition);
    }

    /// Our deadline passed. When one caller alone runs into it again and again, a probe decides first.
    pub(crate) fn settle_timeout(mut self) {
        let elapsed = self.elapsed();
        let endpoint = &self.endpoint;
        let can_wait = !self.is_probe() && endpoint.probed.load(Ordering::Relaxed);
        if can_wait && endpoint.suspects.hold_timeout(self.caller, self.now()) {
            endpoint.ask_for_probe();
            let slow = Verdict {
                slow: true,
                ..Verdict::NEUTRAL
            };
            self.settle_after(slow, elapsed);
        } else {
            self.settle_after(Verdict::failure(FailureKind::Timeout), elapsed);
        }
    }

    /// Gives the verdict of an active probe: for the breaker only, since the controller hears of it by itself.
    pub(crate) fn settle_probe(mut self, verdict: Verdict) {
        if let Some(ticket) = self.ticket.take() {
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
        if let Some(ticket) = &mut self.ticket {
            let transition = ticket.mark_slow(&self.endpoint.breaker, now);
            self.endpoint.tell(transition);
        }
    }

    fn now(&self) -> Moment {
        self.endpoint.shared.clock.now()
    }

    fn elapsed(&self) -> Duration {
        let until = self.paused_at.unwrap_or_else(|| self.now());
        until.saturating_since(self.started)
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        if self.ticket.is_none() {
            return;
        }
        let elapsed = self.elapsed();
        if self.is_slow(elapsed) && self.endpoint.abandoned.count() {
            self.endpoint.ask_for_probe();
        }
        self.settle_after(Verdict::NEUTRAL, elapsed);
    }
}
