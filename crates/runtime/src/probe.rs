//! Active checks: each with its own deadline, side by side, joined with the breaker through its half-open permits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_breaker::{FailureKind, Moment, State};
use mainstay_degradation::ProbeResult;

use crate::call::Verdict;
use crate::endpoint::Endpoint;
use crate::monitor::Wake;

/// The cheapest honest check of an endpoint: it must use what real calls use, and must be able to fail.
#[async_trait]
pub trait Probe: Send + Sync + 'static {
    /// Checks once. The runtime sets the deadline and drops the future when it passes.
    ///
    /// # Errors
    /// The verdict on what was found, as the adapter's classifier gives it.
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
        let started = clock.now();
        let result = match self.admitted(started) {
            Slot::Taken => None,
            Slot::Free(flight) => Some(self.check(started, flight).await),
        };
        endpoint.shared.wake(Wake::ProbeDone {
            endpoint: endpoint.id,
            started,
            result,
        });
    }

    async fn check(&self, started: Moment, flight: Option<crate::flight::Flight>) -> ProbeResult {
        let clock = self.endpoint.shared.clock;
        let checked = clock
            .until(started + self.deadline, self.probe.check())
            .await;
        let verdict = match checked {
            Ok(Ok(())) => Verdict::SUCCESS,
            Ok(Err(verdict)) => verdict,
            Err(_elapsed) => Verdict::failure(FailureKind::Timeout),
        };
        let latency = clock.now().saturating_since(started);
        if let Some(flight) = flight {
            flight.settle_probe(verdict);
        }
        let failure = verdict.failure_kind();
        self.endpoint.probe_result(failure.is_none(), started);
        match failure {
            None => ProbeResult::Passed { latency },
            Some(kind) => ProbeResult::Failed { kind, latency },
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
        match self.endpoint.admit_probe(now) {
            Some(flight) => Slot::Free(Some(flight)),
            None => Slot::Taken,
        }
    }
}

enum Slot {
    Free(Option<crate::flight::Flight>),
    Taken,
}
