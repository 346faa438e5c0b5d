//! What admission hands out: a permit that gives itself back, or why there is none.

use core::mem;

use crate::{Breaker, Lane, Moment, Outcome, State, Ticket, Transition};

/// The right to make one call. Dropped without a verdict (cancelled, panicked) it counts as neutral.
#[derive(Debug)]
#[must_use = "a permit dropped without a verdict counts as neutral"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    ticket: Ticket,
}

impl<'a> Permit<'a> {
    #[inline]
    pub(crate) const fn new(breaker: &'a Breaker, ticket: Ticket) -> Self {
        Self { breaker, ticket }
    }

    /// Gives the verdict. `slow`: the call took longer than the slow rule's `after`.
    pub fn settle(self, outcome: Outcome, slow: bool, now: Moment) -> Option<Transition> {
        let transition = self.breaker.settle(&self.ticket, outcome, slow, now);
        mem::forget(self);
        transition
    }

    /// Success of a call that wasn't slow, told without a clock: the counterpart of [`Breaker::try_admit`]. A window
    /// dates it by the moments that other verdicts and [`Breaker::tick`] bring.
    ///
    /// # Errors
    /// The permit itself, if the verdict needs a moment: a half-open probe's does. Ask [`Permit::settle`] then.
    #[inline]
    pub fn try_success(self, lane: &Lane) -> Result<(), Self> {
        if !self.breaker.try_success(&self.ticket, lane) {
            return Err(self);
        }
        mem::forget(self);
        Ok(())
    }

    /// The call is still running past the slow rule's `after`: it counts as slow now, once.
    pub fn mark_slow(&mut self, now: Moment) -> Option<Transition> {
        self.breaker.mark_slow(&mut self.ticket, now)
    }

    /// Plain data without a borrow, for calls that outlive this scope.
    #[inline]
    pub fn into_ticket(self) -> Ticket {
        let ticket = self.ticket.copy();
        mem::forget(self);
        ticket
    }

    /// The call is a half-open probe.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.ticket.is_probe()
    }

    /// Shadow mode let it pass where it would have been rejected.
    #[must_use]
    pub const fn would_be_rejected(&self) -> bool {
        self.ticket.would_be_rejected()
    }

    /// The generation it belongs to.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.ticket.generation()
    }
}

impl Drop for Permit<'_> {
    #[inline]
    fn drop(&mut self) {
        self.breaker.release(self.ticket.copy());
    }
}

/// Why a call was rejected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectedWhy {
    /// The open time isn't over.
    Open,
    /// As many probes as allowed are in flight.
    HalfOpenFull,
    /// An operator forced it open.
    ForcedOpen,
}

/// The call must not be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rejected {
    /// The exported state.
    pub state: State,
    /// When the open time ends; `None` where nobody knows.
    pub retry_at: Option<Moment>,
    /// Why.
    pub why: RejectedWhy,
}

/// The answer to asking for a call.
#[derive(Debug)]
pub struct Admission<'a> {
    /// The permit, or why there is none.
    pub result: Result<Permit<'a>, Rejected>,
    /// Open to half-open happens at admission.
    pub transition: Option<Transition>,
}
