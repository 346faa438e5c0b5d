//! A guarded call that is a stream: begun, perhaps given its verdict at the first content, settled at its end.
//!
//! Its time is the dependency's, but for what lies between [`Running::pause`] and the next [`Running::run`] or
//! [`Running::resume`]: waiting for the caller's body, or for the caller to read, says nothing about the dependency,
//! and holds no place under the in-flight limit, which callers in no hurry could fill among themselves.

use std::future::Future;
use std::sync::Arc;

use mainstay_breaker::Moment;

use crate::call::Verdict;
use crate::clock::{Clock, Elapsed};
use crate::endpoint::Endpoint;
use crate::flight::Flight;
use crate::limit::{Limit, Place};
use crate::protection::Share;

/// A begun call. Dropped without [`Running::settle`], its caller has gone away, which is no failure.
#[derive(Debug)]
pub struct Running {
    flight: Option<Flight<Arc<Endpoint>>>,
    deadline: Moment,
    clock: Clock,
    limit: Arc<Limit>,
    /// None while the caller is waited for, and after a pause in which the limit has filled up.
    place: Option<Place<Arc<Limit>>>,
    /// Made in the place of another dependency: it needs one of the few places for those, too.
    instead: bool,
    few: Option<Share>,
}

impl Running {
    pub(crate) fn new(
        flight: Flight<Arc<Endpoint>>,
        place: Place<Arc<Limit>>,
        few: Option<Share>,
        deadline: Moment,
    ) -> Self {
        Self {
            clock: flight.endpoint().shared.clock,
            limit: Arc::clone(&flight.endpoint().limit),
            flight: Some(flight),
            deadline,
            place: Some(place),
            instead: few.is_some(),
            few,
        }
    }

    /// When the whole call must be over.
    pub fn deadline(&self) -> Moment {
        self.deadline
    }

    /// Runs a part of the call until `until`, marking the call slow when `slow.after` passes first.
    /// Passing the deadline gives no verdict by itself: say [`Running::timed_out`].
    ///
    /// # Errors
    /// [`Elapsed`] when the moment came first.
    pub async fn run<F: Future>(&mut self, until: Moment, work: F) -> Result<F::Output, Elapsed> {
        self.resume();
        match &mut self.flight {
            Some(flight) => flight.run(until, work).await,
            None => self.clock.until(until, work).await,
        }
    }

    /// The caller is waited for from here on: the time isn't the dependency's, and the place is free for others.
    pub fn pause(&mut self) {
        self.place = None;
        self.few = None;
        if let Some(flight) = &mut self.flight {
            flight.pause();
        }
    }

    /// The dependency is waited for again. Where the limit has filled up meanwhile the call goes on above it: what was
    /// begun is not broken off for want of a place.
    pub fn resume(&mut self) {
        if self.place.is_none() {
            self.place = Limit::try_place(Arc::clone(&self.limit));
        }
        if self.instead
            && self.few.is_none()
            && let Some(flight) = &self.flight
        {
            self.few = flight.endpoint().protection.share(&self.limit);
        }
        if let Some(flight) = &mut self.flight {
            flight.resume();
        }
    }

    /// The first content is here. In HALF_OPEN that is the verdict: success.
    pub fn first_content(&mut self) {
        if self.flight.as_ref().is_some_and(Flight::is_probe) {
            self.settle(Verdict::SUCCESS);
        }
    }

    /// Gives the verdict, once; later ones change nothing.
    pub fn settle(&mut self, verdict: Verdict) {
        if let Some(flight) = self.flight.take() {
            flight.settle(verdict);
        }
    }

    /// Gives the verdict with the time that was the dependency's own, where the caller has measured it.
    pub fn settle_after(&mut self, verdict: Verdict, dependency_time: std::time::Duration) {
        if let Some(mut flight) = self.flight.take() {
            flight.settle_after(verdict, dependency_time);
        }
    }

    /// Our deadline passed while the dependency was working.
    pub fn timed_out(&mut self) {
        if let Some(flight) = self.flight.take() {
            flight.settle_timeout();
        }
    }
}
