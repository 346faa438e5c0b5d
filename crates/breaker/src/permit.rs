//! What admission hands out: a permit that gives itself back, and its plain form for owned use.

use core::mem;

use crate::half_open::Place;
use crate::{Breaker, Lane, Moment, Outcome, State, Transition};

/// How a verdict will count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Let through closed.
    Counted,
    /// A half-open probe.
    Probe(Place),
    /// Let through by shadow mode although open: only totals count it.
    Shadowed,
    /// Let through by a disabled breaker, or already given back: counts nowhere.
    Uncounted,
}

/// The right to make one call, and the duty to say what became of it: plain data, for calls that
/// outlive a borrow of the breaker. Give it back to the breaker that gave it, with [`Ticket::settle`] or
/// [`Ticket::release`]; a ticket that is lost leaves a probe's place taken until its lease ends.
#[derive(Debug)]
#[must_use = "settle or release it: a lost probe holds its place until its lease ends"]
pub struct Ticket {
    pub(crate) generation: u64,
    pub(crate) kind: Kind,
    /// Already counted as a slow call.
    pub(crate) slow: bool,
}

impl Ticket {
    pub(crate) const fn new(generation: u64, kind: Kind) -> Self {
        Self {
            generation,
            kind,
            slow: false,
        }
    }

    /// Gives the verdict. `slow`: the call took longer than the slow rule's `after`.
    pub fn settle(
        self,
        breaker: &Breaker,
        outcome: Outcome,
        slow: bool,
        now: Moment,
    ) -> Option<Transition> {
        breaker.settle(&self, outcome, slow, now)
    }

    /// Like [`Permit::try_success`].
    ///
    /// # Errors
    /// The ticket itself, if the verdict needs a moment.
    #[inline]
    pub fn try_success(self, breaker: &Breaker, lane: &Lane) -> Result<(), Self> {
        if breaker.try_success(&self, lane) {
            Ok(())
        } else {
            Err(self)
        }
    }

    /// The call is still running past the slow rule's `after`: it counts as slow now, once.
    pub fn mark_slow(&mut self, breaker: &Breaker, now: Moment) -> Option<Transition> {
        breaker.mark_slow(self, now)
    }

    /// Gives it back without a verdict, as neutral.
    pub fn release(self, breaker: &Breaker) {
        breaker.release(&self);
    }

    /// The call is a half-open probe.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        matches!(self.kind, Kind::Probe(_))
    }

    /// Shadow mode let it pass where it would have been rejected.
    #[must_use]
    pub const fn would_be_rejected(&self) -> bool {
        matches!(self.kind, Kind::Shadowed)
    }

    /// The generation it belongs to.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }
}

/// The right to make one call. Dropped without a verdict (cancelled, panicked) it counts as neutral.
#[derive(Debug)]
#[must_use = "a permit dropped without a verdict counts as neutral"]
pub struct Permit<'a> {
    breaker: &'a Breaker,
    ticket: Ticket,
}

impl<'a> Permit<'a> {
    pub(crate) const fn new(breaker: &'a Breaker, ticket: Ticket) -> Self {
        Self { breaker, ticket }
    }

    /// Gives the verdict. `slow`: the call took longer than the slow rule's `after`.
    pub fn settle(self, outcome: Outcome, slow: bool, now: Moment) -> Option<Transition> {
        let breaker = self.breaker;
        breaker.settle(&self.into_ticket(), outcome, slow, now)
    }

    /// Success of a call that wasn't slow, told without a clock: the counterpart of [`Breaker::try_admit`]. A window
    /// dates it by the moments that other verdicts and [`Breaker::tick`] bring.
    ///
    /// # Errors
    /// The permit itself, if the verdict needs a moment: a half-open probe's does. Ask [`Permit::settle`] then.
    #[inline]
    pub fn try_success(self, lane: &Lane) -> Result<(), Self> {
        let breaker = self.breaker;
        let ticket = self.into_ticket();
        ticket
            .try_success(breaker, lane)
            .map_err(|ticket| Permit::new(breaker, ticket))
    }

    /// The call is still running past the slow rule's `after`: it counts as slow now, once.
    pub fn mark_slow(&mut self, now: Moment) -> Option<Transition> {
        self.breaker.mark_slow(&mut self.ticket, now)
    }

    /// Plain data without a borrow, for calls that outlive this scope.
    pub fn into_ticket(mut self) -> Ticket {
        let spent = Ticket::new(self.ticket.generation, Kind::Uncounted);
        mem::replace(&mut self.ticket, spent)
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
        self.ticket.generation
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.breaker.release(&self.ticket);
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
