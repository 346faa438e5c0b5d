//! The plain form of a permit: two words, so that it travels in registers.

use crate::half_open::Place;
use crate::lane::Lane;
use crate::word::{GENERATION_AT, Word};
use crate::{Breaker, Moment, Outcome, State, Transition};

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

const KINDS: u64 = 3;
const PROBE: u64 = 1;
const SHADOWED: u64 = 2;
const UNCOUNTED: u64 = 3;
const SLOW: u64 = 1 << 2;
const PLACE_AT: u32 = 3;

/// The right to make one call, and the duty to say what became of it: plain data, for calls that
/// outlive a borrow of the breaker. Give it back to the breaker that gave it, with [`Ticket::settle`] or
/// [`Ticket::release`]; a ticket that is lost leaves a probe's place taken until its lease ends.
#[derive(Debug)]
#[must_use = "settle or release it: a lost probe holds its place until its lease ends"]
pub struct Ticket {
    /// From the low bit: kind 2, slow 1, place 8; the generation where the word has it. All zero beside the
    /// generation: an ordinary call.
    bits: u64,
    /// End of a probe's lease.
    until: Moment,
}

impl Ticket {
    /// Let through closed, in the word's generation.
    #[inline]
    pub(crate) const fn counted(word: Word) -> Self {
        Self {
            bits: word.generation() << GENERATION_AT,
            until: Moment::from_nanos(0),
        }
    }

    pub(crate) fn new(word: Word, kind: Kind) -> Self {
        let Self { bits, until } = Self::counted(word);
        match kind {
            Kind::Counted => Self { bits, until },
            Kind::Probe(Place { index, until }) => Self {
                bits: bits | PROBE | u64::from(index) << PLACE_AT,
                until,
            },
            Kind::Shadowed => Self {
                bits: bits | SHADOWED,
                until,
            },
            Kind::Uncounted => Self {
                bits: bits | UNCOUNTED,
                until,
            },
        }
    }

    pub(crate) fn kind(&self) -> Kind {
        match self.bits & KINDS {
            0 => Kind::Counted,
            PROBE => Kind::Probe(Place {
                index: (self.bits >> PLACE_AT) as u8,
                until: self.until,
            }),
            SHADOWED => Kind::Shadowed,
            _ => Kind::Uncounted,
        }
    }

    /// For a permit that is about to vanish.
    #[inline]
    pub(crate) const fn copy(&self) -> Self {
        Self { ..*self }
    }

    /// Already counted as a slow call.
    pub(crate) const fn is_slow(&self) -> bool {
        self.bits & SLOW != 0
    }

    pub(crate) fn set_slow(&mut self) {
        self.bits |= SLOW;
    }

    /// An ordinary call of the closed breaker that `word` shows, not slow so far.
    #[inline]
    pub(crate) const fn is_plain(&self, word: Word) -> bool {
        word.generation() << GENERATION_AT == self.bits && matches!(word.state(), State::Closed)
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

    /// Like [`Permit::try_success`](crate::Permit::try_success).
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
        breaker.release(self);
    }

    /// The call is a half-open probe.
    #[must_use]
    pub const fn is_probe(&self) -> bool {
        self.bits & KINDS == PROBE
    }

    /// Shadow mode let it pass where it would have been rejected.
    #[must_use]
    pub const fn would_be_rejected(&self) -> bool {
        self.bits & KINDS == SHADOWED
    }

    /// The generation it belongs to.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.bits >> GENERATION_AT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_keeps_what_it_is_told() {
        let word = Word::at_generation((1 << 43) - 1);
        let place = Place {
            index: 31,
            until: Moment::from_nanos(u64::MAX - 1),
        };
        for kind in [
            Kind::Counted,
            Kind::Probe(place),
            Kind::Shadowed,
            Kind::Uncounted,
        ] {
            let mut ticket = Ticket::new(word, kind);
            assert_eq!((ticket.kind(), ticket.is_slow()), (kind, false));
            assert_eq!(ticket.is_plain(word), kind == Kind::Counted);
            ticket.set_slow();
            assert_eq!((ticket.kind(), ticket.is_slow()), (kind, true));
            assert!(!ticket.is_plain(word));
            assert_eq!(ticket.generation(), (1 << 43) - 1);
        }
    }
}
