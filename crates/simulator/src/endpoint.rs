//! One endpoint as the runtime keeps it: breaker, limit, figures since the last tick, callers under suspicion.

use std::collections::VecDeque;

use mainstay_breaker::{
    Breaker, Mode, Moment, Outcome, SettingsError, Snapshot as BreakerSnapshot, State,
};
use mainstay_degradation::{EndpointView, Observed};
use std::time::Duration;

use crate::condition::Condition;
use crate::figures::Figures;

/// Timeouts in a row from one caller after which a probe decides.
const HOLD_FROM: u32 = 3;
/// Callers in a row who left after `slow.after` before a probe is asked for.
const ABANDONED: u32 = 3;

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) name: String,
    pub(crate) figures: Figures,
    pub(crate) breaker: Breaker,
    pub(crate) condition: Condition,
    pub(crate) in_flight: u32,
    /// Calls that wait for a place, first come first served.
    pub(crate) waiting: VecDeque<u64>,
    /// Factor of the limit as last decided, before the ramp.
    pub(crate) factor: f64,
    pub(crate) limit: u32,
    observed: Observed,
    abandoned: u32,
    suspect: Option<Suspect>,
}

#[derive(Debug, Clone, Copy)]
struct Suspect {
    caller: u64,
    timeouts: u32,
    held: u32,
    held_since: Moment,
}

impl Endpoint {
    pub(crate) fn new(name: &str, figures: Figures, seed: u64) -> Result<Self, SettingsError> {
        Ok(Self {
            name: name.to_owned(),
            breaker: Breaker::new(figures.breaker, seed)?,
            condition: Condition::Well,
            in_flight: 0,
            waiting: VecDeque::new(),
            factor: 1.0,
            limit: figures.limit,
            figures,
            observed: Observed::default(),
            abandoned: 0,
            suspect: None,
        })
    }

    /// Whether the breaker would refuse a call now.
    pub(crate) fn refuses(&self, now: Moment) -> bool {
        if self.breaker.state() != State::Open {
            return false;
        }
        let snapshot = self.breaker.snapshot(now);
        let open = snapshot.state == State::Open && !snapshot.ready_for_half_open;
        open && snapshot.mode != Mode::Shadow
    }

    /// Applies the limit: what was decided, less what a breaker that has just closed holds back.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "limits are small and positive"
    )]
    pub(crate) fn apply_limit(&mut self, now: Moment) {
        let ramp = f64::from(self.breaker.ramp_percent(now)) / 100.0;
        let factor = (self.factor * ramp).clamp(0.0, 1.0);
        let wanted = (f64::from(self.figures.limit) * factor).round();
        self.limit = (wanted as u32).max(1);
    }

    /// What a place must leave of the time: with less, a timeout would blame our own queue on the dependency.
    pub(crate) fn fair_time(&self) -> Duration {
        let half = self.figures.call_deadline / 2;
        let slow_after = self.breaker.slow_after();
        slow_after.map_or(half, |after| after.min(half))
    }

    /// Counts a verdict.
    pub(crate) fn count(&mut self, outcome: Outcome, newly_slow: bool, elapsed: Duration) {
        self.observed.slow += u64::from(newly_slow);
        match (outcome, outcome.failure()) {
            (Outcome::Neutral, _) => return,
            (_, Some(kind)) => self.observed.failures[kind as usize] += 1,
            (_, None) => self.observed.successes += 1,
        }
        if outcome == Outcome::Success {
            self.abandoned = 0;
        }
        self.observed.calls += 1;
        self.observed.latency.record(elapsed);
    }

    pub(crate) fn count_slow(&mut self) {
        self.observed.slow += 1;
    }

    /// Takes what was counted, with the breaker as it stands.
    pub(crate) fn drain(&mut self, breaker: &BreakerSnapshot) -> Observed {
        Observed {
            breaker: EndpointView::from(breaker),
            ..std::mem::take(&mut self.observed)
        }
    }

    /// A caller left after `slow.after`. True when a probe is due.
    pub(crate) fn abandon(&mut self) -> bool {
        self.abandoned += 1;
        let due = self.abandoned >= ABANDONED;
        if due {
            self.abandoned = 0;
        }
        due
    }

    /// Counts a timeout; true when it must wait for a probe's verdict.
    pub(crate) fn hold_timeout(&mut self, caller: u64, now: Moment) -> bool {
        let fresh = Suspect {
            caller,
            timeouts: 0,
            held: 0,
            held_since: now,
        };
        let mut suspect = self
            .suspect
            .filter(|suspect| suspect.caller == caller)
            .unwrap_or(fresh);
        suspect.timeouts += 1;
        let hold = suspect.timeouts >= HOLD_FROM;
        if hold && suspect.held == 0 {
            suspect.held_since = now;
        }
        suspect.held += u32::from(hold);
        self.suspect = Some(suspect);
        hold
    }

    /// A probe has its result: how many held verdicts must be delivered now.
    pub(crate) fn deliver_held(&mut self, passed: bool, started: Moment) -> u32 {
        let Some(suspect) = self
            .suspect
            .as_mut()
            .filter(|one| started >= one.held_since)
        else {
            return 0;
        };
        let held = std::mem::take(&mut suspect.held);
        if passed || held == 0 {
            return 0;
        }
        self.suspect = None;
        held
    }
}
