//! Active checks: each with its own deadline, side by side, joined with the breaker through its half-open permits.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::FutureExt;
use mainstay_breaker::{FailureKind, Moment, Outcome, State};
use mainstay_degradation::ProbeResult;

use crate::call::Verdict;
use crate::endpoint::Endpoint;
use crate::flight::Flight;
use crate::monitor::Wake;

/// The cheapest honest check of an endpoint: it must use what real calls use, and must be able to fail.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// Checks once. The runtime sets the deadline and drops the future when it passes.
    ///
    /// # Errors
    /// The verdict on what was found, as the adapter's classifier gives it. A neutral one (our own pool was full)
    /// says nothing: the probe is tried again soon.
    async fn check(&self) -> Result<(), Verdict>;
}

/// A probe and how long it may take.
#[derive(Clone)]
pub(crate) struct Prober {
    pub(crate) endpoint: Arc<Endpoint>,
    pub(crate) probe: Arc<dyn Probe>,
    pub(crate) deadline: Duration,
}

impl Prober {
    /// Waits for `at`, probes, and tells the breaker and the monitor.
    pub(crate) async fn run(self, at: Moment) {
        let endpoint = &self.endpoint;
        let clock = endpoint.shared.clock;
        clock.sleep_until(at).await;
        let started = clock.now().max(at);
        let result = match self.admitted(started) {
            Slot::Taken => ProbeResult::Nothing,
            Slot::Free(flight) => self.check(started, flight).await,
        };
        endpoint.shared.wake(Wake::ProbeDone {
            endpoint: endpoint.id,
            started,
            result,
        });
    }

    async fn check(&self, started: Moment, flight: Option<Flight<Arc<Endpoint>>>) -> ProbeResult {
        let verdict = self.verdict(started + self.deadline).await;
        let latency = self.endpoint.shared.clock.now().saturating_since(started);
        if let Some(flight) = flight {
            flight.settle_probe(verdict);
        }
        if verdict.outcome == Outcome::Neutral {
            return ProbeResult::Nothing;
        }
        // If the probes open the breaker, it stays open for as long as the server asked.
        let until = asked_to_wait(verdict.outcome).map_or(0, |hint| {
            let heard = started + latency;
            (heard + hint).as_nanos()
        });
        self.endpoint.hint_until.store(until, Ordering::Relaxed);
        let failure = verdict.failure_kind();
        self.endpoint.probe_result(failure.is_none(), started);
        match failure {
            None => ProbeResult::Passed { latency },
            Some(kind) => ProbeResult::Failed { kind, latency },
        }
    }

    /// A probe that panics has failed: nothing it might have found can be relied on.
    async fn verdict(&self, deadline: Moment) -> Verdict {
        let checking = AssertUnwindSafe(self.probe.check()).catch_unwind();
        match self.endpoint.shared.clock.until(deadline, checking).await {
            Ok(Ok(Ok(()))) => Verdict::SUCCESS,
            Ok(Ok(Err(verdict))) => verdict,
            Ok(Err(_panic)) => {
                tracing::error!(endpoint = self.endpoint.name, "a probe panicked");
                Verdict::failure(FailureKind::Internal)
            }
            Err(_elapsed) => Verdict::failure(FailureKind::Timeout),
        }
    }

    /// A half-open breaker must grant the probe a place; a closed or an open one isn't asked.
    fn admitted(&self, now: Moment) -> Slot {
        let snapshot = self.endpoint.breaker.snapshot(now);
        let ready = match snapshot.state {
            State::Closed => false,
            State::Open => snapshot.ready_for_half_open,
            State::HalfOpen => true,
        };
        if !ready {
            return Slot::Free(None);
        }
        // Looked at before asking: a refusal would count as a rejected call.
        let places = self.endpoint.breaker.settings().half_open.probes;
        if snapshot.probes_in_flight >= places {
            return Slot::Taken;
        }
        match self.endpoint.admit_probe(now) {
            Some(flight) => Slot::Free(Some(flight)),
            None => Slot::Taken,
        }
    }
}

fn asked_to_wait(outcome: Outcome) -> Option<Duration> {
    match outcome {
        Outcome::Overload { retry_after } => retry_after,
        _ => None,
    }
}

enum Slot {
    Free(Option<Flight<Arc<Endpoint>>>),
    Taken,
}
