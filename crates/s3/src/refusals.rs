//! What the store has refused: how often, and until when each makes a pause. Those that are refused in any number get
//! turns one after another, so that a store is not sent the same bodies again as fast as it can refuse them.

use std::collections::HashMap;

use mainstay_journal::EntryId;

use crate::carry::Pause;

/// Between the turns of two that the store refuses, though not for their own sake, ms: twenty in a second.
const TURN: i64 = 50;
/// But no turn is later than this, ms: nobody may tell us that the store refuses no more.
pub(crate) const LATEST_TURN: i64 = 600_000;

/// Times are in ms of the clock: the end of an outage ends the pause of what has failed, not of what was refused.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    known: HashMap<EntryId, Refused>,
    /// The last turn that somebody got.
    last_turn: i64,
    /// When all pauses were ended: also those of what was under way then.
    ended: Option<i64>,
}

#[derive(Debug, Default)]
struct Refused {
    /// How often for its own sake.
    times: u32,
    /// Until when it makes a pause.
    until: i64,
}

impl Refusals {
    /// How often the store has refused an entry for its own sake.
    pub(crate) fn times(&self, id: EntryId) -> u32 {
        self.known.get(&id).map_or(0, |one| one.times)
    }

    /// Whether the store has refused it, for its own sake or not.
    pub(crate) fn knows(&self, id: EntryId) -> bool {
        self.known.contains_key(&id)
    }

    /// What is left of the pause that it makes, ms.
    pub(crate) fn rest(&self, id: EntryId, now: i64) -> i64 {
        self.known
            .get(&id)
            .map_or(0, |one| (one.until - now).max(0))
    }

    /// It was refused for its own sake.
    pub(crate) fn refused(&mut self, id: EntryId, pause: Pause) {
        let until = if self.has_ended(pause) {
            0
        } else {
            pause.until
        };
        let one = self.known.entry(id).or_default();
        *one = Refused {
            times: one.times + 1,
            until,
        };
    }

    /// It was refused, and would have been whatever it was: that counts for nothing, but it waits for its turn.
    pub(crate) fn denied(&mut self, id: EntryId, pause: Pause, now: i64) {
        let has_ended = self.has_ended(pause);
        let one = self.known.entry(id).or_default();
        if has_ended {
            one.until = 0;
            return;
        }
        self.last_turn = (self.last_turn.max(now) + TURN).min(now + LATEST_TURN);
        one.until = pause.until.max(self.last_turn);
    }

    fn has_ended(&self, pause: Pause) -> bool {
        self.ended.is_some_and(|ended| pause.claimed < ended)
    }

    /// It has left the queue.
    pub(crate) fn forget(&mut self, id: EntryId) {
        self.known.remove(&id);
    }

    /// Forgets what an operator has discarded: more are known here than there are.
    pub(crate) fn tidy(&mut self, entries: u64, is_there: impl Fn(EntryId) -> bool) {
        if self.known.len() as u64 > entries {
            self.known.retain(|id, _| is_there(*id));
        }
    }

    /// Ends all pauses, also those of what is under way now.
    pub(crate) fn end_pauses(&mut self, now: i64) {
        self.last_turn = 0;
        self.ended = Some(now);
        self.known.values_mut().for_each(|one| one.until = 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn until(until: i64) -> Pause {
        Pause {
            claimed: 1000,
            until,
        }
    }

    fn id(number: i64) -> EntryId {
        number.to_string().parse().unwrap()
    }

    #[test]
    fn those_that_are_denied_get_turns_one_after_another_but_none_waits_for_more_than_ten_minutes()
    {
        let mut refusals = Refusals::default();
        refusals.denied(id(1), until(1900), 1000);
        assert_eq!(refusals.rest(id(1), 1000), 900, "one alone: its own pause");
        for one in 2..=100 {
            refusals.denied(id(one), until(1000), 1000);
        }
        assert_eq!(refusals.rest(id(100), 1000), 5000, "its turn");
        assert_eq!(refusals.rest(id(100), 9000), 0);
        for one in 101..=20_000 {
            refusals.denied(id(one), until(1000), 1000);
        }
        assert_eq!(refusals.rest(id(20_000), 1000), LATEST_TURN);
        refusals.end_pauses(1000);
        assert_eq!(refusals.rest(id(20_000), 1000), 0);
        let before = Pause {
            claimed: 999,
            until: 9000,
        };
        refusals.denied(id(1), before, 1000);
        refusals.refused(id(2), before);
        let rests = [1, 2].map(|one| refusals.rest(id(one), 1000));
        assert_eq!(rests, [0, 0], "they were under way");
        refusals.denied(id(1), until(1000), 1000);
        assert_eq!(refusals.rest(id(1), 1000), TURN, "the turns begin anew");
    }

    #[test]
    fn only_a_refusal_for_its_own_sake_counts_and_a_denial_between_two_takes_nothing_back() {
        let mut refusals = Refusals::default();
        refusals.refused(id(1), until(1500));
        assert_eq!(
            (refusals.times(id(1)), refusals.rest(id(1), 1000)),
            (1, 500)
        );
        refusals.denied(id(1), until(1800), 1500);
        assert_eq!(
            (refusals.times(id(1)), refusals.rest(id(1), 1500)),
            (1, 300)
        );
        refusals.refused(id(1), until(2500));
        assert_eq!(refusals.times(id(1)), 2);
        refusals.forget(id(1));
        assert_eq!((refusals.times(id(1)), refusals.rest(id(1), 2000)), (0, 0));
    }

    #[test]
    fn what_was_discarded_is_forgotten_as_soon_as_more_are_known_than_there_are() {
        let mut refusals = Refusals::default();
        (1..=3).for_each(|one| refusals.refused(id(one), until(0)));
        refusals.tidy(3, |_| unreachable!("there may be as many"));
        refusals.tidy(2, |one| one == id(2));
        assert_eq!([1, 2, 3].map(|one| refusals.times(id(one))), [0, 1, 0]);
    }
}
