//! What all guards of one endpoint share: breaker, limit, budget, figures.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use mainstay_breaker::{
    Breaker, FailureKind, Mode, Moment, Outcome, RejectedWhy, State, Ticket, Transition,
};
use mainstay_degradation::{DependencyId, EndpointId, Tuning};
use tokio::sync::{Notify, mpsc};

use crate::budget::RetryBudget;
use crate::call::Rejection;
use crate::clock::Clock;
use crate::events::EventLog;
use crate::exercise::Exercises;
use crate::flight::{Flight, Pass};
use crate::limit::Limit;
use crate::monitor::Wake;
use crate::observe::Observer;
use crate::protection::Protection;
use crate::stats::Stats;
use crate::suspects::{Abandoned, Suspects};
use crate::trials::Trials;

pub(crate) type Resized = Arc<dyn Fn(usize) + Send + Sync>;

/// One place that a dependency's work is done: the primary, a replica, a model provider.
pub(crate) struct Endpoint {
    pub(crate) id: EndpointId,
    pub(crate) name: String,
    pub(crate) dependency: String,
    pub(crate) dependency_id: DependencyId,
    pub(crate) breaker: Breaker,
    pub(crate) limit: Arc<Limit>,
    pub(crate) protection: Protection,
    pub(crate) budget: RetryBudget,
    pub(crate) stats: Stats,
    pub(crate) suspects: Suspects,
    pub(crate) abandoned: Abandoned,
    pub(crate) trials: Trials,
    /// In nanoseconds.
    pub(crate) call_deadline: AtomicU64,
    /// Until when the server asked a probe to stay away, in nanoseconds; 0: it didn't.
    pub(crate) hint_until: AtomicU64,
    pub(crate) exercises: Arc<Exercises>,
    /// Told when the configured limit changes: pools of connections follow it.
    pub(crate) resized: Mutex<Vec<Resized>>,
    /// A probe can give a verdict on it.
    pub(crate) probed: AtomicBool,
    /// Told when the breaker opens: nobody waits on for a place then.
    pub(crate) opened: Notify,
    pub(crate) shared: Arc<Shared>,
}

/// What all endpoints of one engine share.
pub(crate) struct Shared {
    pub(crate) clock: Clock,
    pub(crate) observer: Arc<dyn Observer>,
    pub(crate) tuning: ArcSwap<Tuning>,
    pub(crate) wake: mpsc::UnboundedSender<Wake>,
    pub(crate) random: AtomicU64,
    pub(crate) events: Arc<EventLog>,
}

impl std::fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.name)
            .field("breaker", &self.breaker)
            .finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Shared {
    /// A pause anywhere between nothing and `ceiling`.
    pub(crate) fn full_jitter(&self, ceiling: Duration) -> Duration {
        // SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom number generators", 2014.
        let mut z = self
            .random
            .fetch_add(0x9E37_79B9_7F4A_7C15, Ordering::Relaxed)
            .wrapping_add(0x9E37_79B9_7F4A_7C15);
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        ceiling.mul_f64((z >> 11) as f64 / (1u64 << 53) as f64)
    }

    /// Hands the monitor an event; without a monitor (shutting down) it goes nowhere.
    pub(crate) fn wake(&self, wake: Wake) {
        let _ = self.wake.send(wake);
    }
}

/// When to try again after half-open had no place left: its probes decide soon, nobody knows when.
const PROBES_DECIDE: Duration = Duration::from_secs(1);

impl Endpoint {
    /// Longest time one attempt may take.
    pub(crate) fn call_deadline(&self) -> Duration {
        Duration::from_nanos(self.call_deadline.load(Ordering::Relaxed))
    }

    pub(crate) fn set_call_deadline(&self, deadline: Duration) {
        let nanos = u64::try_from(deadline.as_nanos()).unwrap_or(u64::MAX);
        self.call_deadline.store(nanos, Ordering::Relaxed);
    }

    /// Asks the breaker for an attempt.
    pub(crate) fn admit(&self, now: Moment) -> Result<Ticket, Rejection> {
        let permit = match self.breaker.try_admit() {
            Some(permit) => permit,
            None => {
                let admission = self.breaker.admit(now);
                self.tell(admission.transition);
                admission.result.map_err(|rejected| {
                    self.shared.observer.rejection(&self.dependency);
                    let known = rejected.retry_at.map(|at| at.saturating_since(now));
                    let full = rejected.why == RejectedWhy::HalfOpenFull;
                    Rejection {
                        state: rejected.state,
                        retry_after: known.or(full.then_some(PROBES_DECIDE)),
                    }
                })?
            }
        };
        Ok(permit.into_ticket())
    }

    /// Whether the breaker would refuse a call now. Asking changes nothing.
    pub(crate) fn refuses(&self, now: Moment) -> bool {
        if self.breaker.state() != State::Open {
            return false;
        }
        let snapshot = self.breaker.snapshot(now);
        let open = snapshot.state == State::Open && !snapshot.ready_for_half_open;
        open && snapshot.mode != Mode::Shadow
    }

    /// Asks a breaker that isn't closed for a probe's place.
    pub(crate) fn admit_probe(self: &Arc<Self>, now: Moment) -> Option<Flight<Arc<Self>>> {
        let admission = self.breaker.admit(now);
        self.tell(admission.transition);
        let ticket = admission.result.ok()?.into_ticket();
        Some(Flight::new(
            Arc::clone(self),
            Pass::Ticket(ticket),
            None,
            now,
        ))
    }

    /// Passes a transition on to the monitor and to observers.
    pub(crate) fn tell(&self, transition: Option<Transition>) {
        if let Some(transition) = transition {
            self.shared.observer.breaker(&self.name, &transition);
            if transition.to == State::Open {
                self.opened.notify_waiters();
            }
            self.shared.wake(Wake::Transition {
                endpoint: self.id,
                transition,
            });
        }
    }

    /// What is left of the time for which the server asked a probe to stay away.
    pub(crate) fn hint(&self, now: Moment) -> Option<Duration> {
        let until = Moment::from_nanos(self.hint_until.load(Ordering::Relaxed));
        Some(until.saturating_since(now)).filter(|left| !left.is_zero())
    }

    pub(crate) fn ask_for_probe(&self) {
        self.shared.wake(Wake::ProbeNow { endpoint: self.id });
    }

    /// A probe of this endpoint has its result: what waited for it is delivered or dropped.
    pub(crate) fn probe_result(&self, passed: bool, started: Moment) {
        let kind = FailureKind::Timeout;
        for _ in 0..self.suspects.probe_result(passed, started) {
            self.shared.observer.failure(&self.dependency, kind);
            if let Some(permit) = self.breaker.try_admit() {
                let now = self.shared.clock.now();
                self.tell(permit.settle(Outcome::Failure(kind), false, now));
            }
        }
    }
}
