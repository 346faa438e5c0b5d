//! Keeps one caller's slow work from taking a dependency from everybody, and notices callers who give up.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use mainstay_breaker::Moment;

use crate::answer::CallerId;

/// Timeouts in a row from one caller after which a probe decides.
const HOLD_FROM: u32 = 3;
/// Callers in a row who left after `slow.after` before a probe is asked for.
const ABANDONED: u32 = 3;

/// Timeouts whose caller is always the same one.
#[derive(Debug, Default)]
pub(crate) struct Suspects {
    state: Mutex<Option<Streak>>,
}

#[derive(Clone, Copy, Debug)]
struct Streak {
    caller: CallerId,
    timeouts: u32,
    /// When the oldest verdict that is held back was held.
    held_since: Option<Moment>,
}

impl Suspects {
    /// Counts a timeout; true when it must wait for a probe's verdict instead of counting now.
    pub(crate) fn hold_timeout(&self, caller: Option<CallerId>, now: Moment) -> bool {
        let mut state = self.lock();
        let Some(caller) = caller else {
            *state = None;
            return false;
        };
        let streak = match *state {
            Some(streak) if streak.caller == caller => streak,
            _ => Streak {
                caller,
                timeouts: 0,
                held_since: None,
            },
        };
        let timeouts = streak.timeouts.saturating_add(1);
        let hold = timeouts >= HOLD_FROM;
        let held_since = if hold {
            streak.held_since.or(Some(now))
        } else {
            None
        };
        *state = Some(Streak {
            timeouts,
            held_since,
            ..streak
        });
        hold
    }

    /// A probe that began at `started` has its result; true when a held verdict must be delivered: it failed too.
    pub(crate) fn probe_result(&self, passed: bool, started: Moment) -> bool {
        let mut state = self.lock();
        let Some(streak) = state.as_mut() else {
            return false;
        };
        let held = streak.held_since.is_some_and(|since| started >= since);
        if !held {
            return false;
        }
        streak.held_since = None;
        if !passed {
            *state = None;
        }
        !passed
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Streak>> {
        // Nothing panics while the lock is held.
        self.state.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// Slow calls in a row that their callers gave up.
#[derive(Debug, Default)]
pub(crate) struct Abandoned(AtomicU32);

impl Abandoned {
    /// Counts one; true when a probe is due, which starts the count anew.
    pub(crate) fn count(&self) -> bool {
        let before = self.0.fetch_add(1, Ordering::AcqRel);
        if before + 1 < ABANDONED {
            return false;
        }
        self.reset();
        true
    }

    /// A call has been answered.
    pub(crate) fn reset(&self) {
        if self.0.load(Ordering::Relaxed) != 0 {
            self.0.store(0, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: Option<CallerId> = Some(CallerId(1));
    const B: Option<CallerId> = Some(CallerId(2));

    fn at(n: u64) -> Moment {
        Moment::from_nanos(n)
    }

    #[test]
    fn the_third_timeout_of_one_caller_waits_and_another_caller_ends_the_streak() {
        let suspects = Suspects::default();
        let held: Vec<_> = [A, A, A, A, B, B, A]
            .map(|c| suspects.hold_timeout(c, at(1)))
            .into();
        assert_eq!(held, [false, false, true, true, false, false, false]);
    }

    #[test]
    fn a_held_timeout_is_delivered_only_by_a_probe_that_began_after_it_and_failed() {
        let suspects = Suspects::default();
        (0..3).for_each(|_| drop(suspects.hold_timeout(A, at(10))));
        assert!(
            !suspects.probe_result(false, at(9)),
            "that probe began before"
        );
        assert!(suspects.probe_result(false, at(10)));
    }

    #[test]
    fn a_passed_probe_drops_what_is_held_and_keeps_the_suspicion() {
        let suspects = Suspects::default();
        (0..3).for_each(|_| drop(suspects.hold_timeout(A, at(10))));
        assert!(!suspects.probe_result(true, at(11)));
        assert!(
            !suspects.probe_result(false, at(11)),
            "nothing is held any more"
        );
        assert!(suspects.hold_timeout(A, at(12)));
    }

    #[test]
    fn three_callers_in_a_row_who_gave_up_ask_for_a_probe() {
        let abandoned = Abandoned::default();
        assert!(!abandoned.count() && !abandoned.count() && abandoned.count());
        assert!(!abandoned.count());
        abandoned.reset();
        assert!(!abandoned.count() && !abandoned.count() && abandoned.count());
    }
}
