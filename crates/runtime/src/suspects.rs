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
    /// Verdicts held back.
    held: u32,
    /// Since when: the oldest one.
    held_since: Moment,
}

impl Suspects {
    /// Counts a timeout; true when it must wait for a probe's verdict instead of counting now.
    pub(crate) fn hold_timeout(&self, caller: Option<CallerId>, now: Moment) -> bool {
        let mut state = self.lock();
        let Some(caller) = caller else {
            *state = None;
            return false;
        };
        let mut streak = match *state {
            Some(streak) if streak.caller == caller => streak,
            _ => Streak {
                caller,
                timeouts: 0,
                held: 0,
                held_since: now,
            },
        };
        streak.timeouts = streak.timeouts.saturating_add(1);
        let hold = streak.timeouts >= HOLD_FROM;
        if hold && streak.held == 0 {
            streak.held_since = now;
        }
        streak.held += u32::from(hold);
        *state = Some(streak);
        hold
    }

    /// A probe that began at `started` has its result. Gives how many held verdicts must be delivered now: all, if
    /// it failed too, and none, if it passed.
    pub(crate) fn probe_result(&self, passed: bool, started: Moment) -> u32 {
        let mut state = self.lock();
        let Some(streak) = state.as_mut().filter(|streak| started >= streak.held_since) else {
            return 0;
        };
        let held = std::mem::take(&mut streak.held);
        if passed || held == 0 {
            return 0;
        }
        *state = None;
        held
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

    fn time_out(suspects: &Suspects, moments: impl IntoIterator<Item = u64>) {
        for moment in moments {
            suspects.hold_timeout(A, at(moment));
        }
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
    fn all_that_is_held_is_delivered() {
        let suspects = Suspects::default();
        time_out(&suspects, 10..15);
        assert_eq!(suspects.probe_result(false, at(20)), 3);
    }

    #[test]
    fn a_held_timeout_is_delivered_only_by_a_probe_that_began_after_it_and_failed() {
        let suspects = Suspects::default();
        time_out(&suspects, [10; 3]);
        assert_eq!(suspects.probe_result(false, at(9)), 0, "it began before");
        assert_eq!(suspects.probe_result(false, at(10)), 1);
        assert_eq!(suspects.probe_result(false, at(10)), 0, "delivered once");
    }

    #[test]
    fn a_passed_probe_drops_what_is_held_and_keeps_the_suspicion() {
        let suspects = Suspects::default();
        time_out(&suspects, [10; 3]);
        assert_eq!(suspects.probe_result(true, at(11)), 0);
        assert_eq!(suspects.probe_result(false, at(11)), 0, "nothing is held");
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
