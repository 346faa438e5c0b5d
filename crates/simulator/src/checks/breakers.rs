//! Breakers: places, open times, detection and the way back.

use std::collections::VecDeque;
use std::time::Duration;

use mainstay_breaker::{Mode, Moment, Rule, Snapshot as BreakerSnapshot, State, Transition};
use mainstay_degradation::{HealthRules, Level, Presence, ProbeSchedule};

use super::{Check, Inspector, longest};
use crate::condition::Health;
use crate::figures::Figures;

/// What ticks, confirmations and a probe that finds no place add to any bound.
const SLACK: Duration = Duration::from_secs(3);

/// What the inspector keeps of one endpoint.
#[derive(Debug)]
pub(super) struct Watched {
    figures: Figures,
    /// The last reload brought the figures that were in force.
    pub(super) same_figures: bool,
    /// What began under the settings before may go on until then.
    earlier_until: Moment,
    pub(super) started: Moment,
    /// Since when everything succeeds.
    well_since: Option<Moment>,
    /// Since when everything fails and the breaker is closed.
    unnoticed_since: Option<Moment>,
    ill: bool,
    /// When something last counted against it, or it last changed from outside.
    pub(super) last_bad: Moment,
    /// When a call last ended that took longer than its health allows, whatever the breaker makes of it.
    last_late: Moment,
    pub(super) touched_at: Option<Moment>,
    pub(super) opened_at: Option<Moment>,
    pub(super) closed_at: Moment,
    retry_at: Option<Moment>,
    /// Half-open calls on their way, and when their leases end.
    places: Vec<(u64, Moment)>,
    pub(super) probe_asked: Option<Moment>,
    pub(super) probes_begun: VecDeque<Moment>,
    /// The last probe that began.
    pub(super) last_probe: Option<Moment>,
    /// When somebody last wanted one at once.
    pub(super) requested_at: Option<Moment>,
}

impl Watched {
    pub(super) fn new(figures: Figures, now: Moment) -> Self {
        Self {
            figures,
            same_figures: true,
            earlier_until: now,
            started: now,
            well_since: Some(now),
            unnoticed_since: None,
            ill: false,
            last_bad: now,
            last_late: now,
            touched_at: None,
            opened_at: None,
            closed_at: now,
            retry_at: None,
            places: Vec::new(),
            probe_asked: None,
            probes_begun: VecDeque::new(),
            last_probe: None,
            requested_at: None,
        }
    }

    pub(super) fn condition(&mut self, now: Moment, health: Health) {
        self.well_since = match health {
            Health::Well => self.well_since.or(Some(now)),
            Health::Ill | Health::Uncertain => None,
        };
        let ill = health == Health::Ill;
        if ill != self.ill {
            self.unnoticed_since = ill.then_some(now);
        }
        self.ill = ill;
        self.last_bad = now;
    }

    pub(super) fn moved(&mut self, now: Moment, transition: &Transition) {
        match transition.to {
            State::Open => {
                self.opened_at = Some(now);
                self.retry_at = transition.retry_at;
                self.last_bad = now;
                self.unnoticed_since = None;
            }
            State::HalfOpen => {}
            State::Closed => {
                self.closed_at = now;
                self.unnoticed_since = self.ill.then_some(now);
            }
        }
    }

    pub(super) fn has(&self, figures: &Figures) -> bool {
        self.figures == *figures
    }

    /// Other figures or rules; `deadline`: of probes so far.
    pub(super) fn reloaded(&mut self, now: Moment, figures: Figures, deadline: Duration) {
        let late = self.figures.call_deadline.max(2 * deadline) + SLACK;
        self.earlier_until = self.earlier_until.max(now + late);
        // A probe that is under way is the last by the schedule before.
        self.unnoticed_since = self.ill.then_some(now);
        self.figures = figures;
    }

    pub(super) fn operator(&mut self, now: Moment) {
        self.last_bad = now;
        self.touched_at = Some(now);
        self.unnoticed_since = self.ill.then_some(now);
    }

    /// When something last gave a reason to probe it sooner than when all is well.
    pub(super) fn uneasy_at(&self) -> Moment {
        let reasons = [self.touched_at, self.opened_at, self.requested_at];
        let reasons = reasons.into_iter().flatten();
        reasons.fold(
            self.last_bad.max(self.closed_at).max(self.started),
            Moment::max,
        )
    }

    /// How long everything takes to be noticed without traffic: a heartbeat, then as many failed probes as it takes.
    fn detection_bound(schedule: &ProbeSchedule) -> Duration {
        let steps = usize::try_from(schedule.trip_after).unwrap_or(usize::MAX);
        let last = schedule
            .failing
            .last()
            .copied()
            .unwrap_or(schedule.heartbeat);
        let failing = schedule
            .failing
            .iter()
            .copied()
            .chain(std::iter::repeat(last));
        let failing: Duration = failing
            .take(steps)
            .map(|base| longest(base, schedule.jitter) + schedule.deadline)
            .sum();
        // A probe that began before may still pass.
        schedule.heartbeat + schedule.deadline + failing + SLACK
    }

    /// When its breaker must be closed, if it is well.
    fn closed_by(&self, schedule: &ProbeSchedule) -> Moment {
        let from = self
            .retry_at
            .map_or(self.last_bad, |at| at.max(self.last_bad));
        // What holds a place may do so until its lease ends.
        let held = self.places.iter().map(|(_, until)| *until).max();
        let from = held.map_or(from, |until| from.max(until));
        // A probe may be under way as it ends, and only the next one finds out.
        from + 2 * schedule.deadline + SLACK
    }
}

impl Watched {
    pub(super) fn probe_ended(&mut self) {
        self.probe_asked = None;
    }
}

impl Inspector {
    /// A half-open place was taken by call `number`.
    pub fn place_taken(&mut self, now: Moment, endpoint: usize, number: u64) {
        let watched = &mut self.watched[endpoint];
        let half_open = watched.figures.breaker.half_open;
        watched.places.retain(|(_, until)| *until > now);
        watched.places.push((number, now + half_open.lease));
        let count = watched.places.len();
        if count > usize::try_from(half_open.probes).unwrap_or(usize::MAX) {
            let detail = format!("{}: {count} calls half-open", self.name(endpoint));
            self.violated(Check::HalfOpenPlaces, now, detail);
        }
    }

    /// Call `number` has ended.
    pub fn given_back(&mut self, endpoint: usize, number: u64) {
        let places = &mut self.watched[endpoint].places;
        places.retain(|(other, _)| *other != number);
    }

    /// A breaker before and after a neutral verdict.
    pub fn neutral(
        &mut self,
        now: Moment,
        endpoint: usize,
        before: &BreakerSnapshot,
        after: &BreakerSnapshot,
    ) {
        let mut expected = *before;
        expected.totals.neutral = after.totals.neutral;
        // Its place is free again.
        expected.probes_in_flight = after.probes_in_flight;
        if expected != *after {
            let detail = format!("{}: {before:?} became {after:?}", self.name(endpoint));
            self.violated(Check::Neutral, now, detail);
        }
    }

    /// A call that counts took this long. What was asked before a repair may be answered long after it, and no breaker
    /// need call that slow: its latency is a real call's all the same, and weighs on the score for a window from now.
    pub fn took(&mut self, now: Moment, endpoint: usize, elapsed: Duration) {
        let rule = self.rules.endpoint(crate::world::id(endpoint));
        let health = &self.rules.dependency(rule.dependency).health;
        if elapsed > health.p95_threshold {
            self.watched[endpoint].last_late = now;
        }
    }

    pub(super) fn look_at_opening(&mut self, now: Moment, index: usize, transition: &Transition) {
        if transition.to != State::Open {
            return;
        }
        let watched = &self.watched[index];
        let settings = &watched.figures.breaker;
        let by_hand = watched.touched_at == Some(now) || transition.rule == Some(Rule::Operator);
        if let (Some(retry_at), false) = (transition.retry_at, by_hand) {
            let open = retry_at.saturating_since(now);
            let shortest = settings.reset_timeout.mul_f64(1.0 - settings.jitter);
            if open < shortest || open > longest(settings.max_open_time(), settings.jitter) {
                let detail = format!("{}: open for {open:?}", self.name(index));
                self.violated(Check::OpenTime, now, detail);
            }
        }
        let watched = &self.watched[index];
        // What began before may end in failure until its deadline.
        let late = watched.figures.call_deadline + self.schedule(index).deadline + SLACK;
        let well = watched.well_since.is_some_and(|since| now > since + late);
        if well && !by_hand && now > watched.earlier_until {
            let detail = format!("{}: {:?}", self.name(index), transition.rule);
            self.violated(Check::OpenedForNothing, now, detail);
        }
    }

    pub(super) fn look_at_breaker(&mut self, now: Moment, index: usize, breaker: &BreakerSnapshot) {
        let watched = &mut self.watched[index];
        if breaker.mode != Mode::Auto {
            watched.last_bad = now;
            watched.unnoticed_since = watched.ill.then_some(now);
            return;
        }
        if self.is_absent(index) {
            return;
        }
        let schedule = self.schedule(index);
        let watched = &self.watched[index];
        let by = watched.closed_by(schedule);
        let by = by.max(watched.earlier_until);
        let stuck = watched.well_since.is_some() && breaker.state != State::Closed && now > by;
        let bound = Watched::detection_bound(schedule);
        let late = watched
            .unnoticed_since
            .is_some_and(|since| now > since + bound);
        if stuck {
            let detail = format!("{}: {}", self.name(index), breaker.state);
            self.violated(Check::StuckOpen, now, detail);
        }
        if late && breaker.state == State::Closed {
            let detail = format!("{}: not noticed within {bound:?}", self.name(index));
            self.violated(Check::LateDetection, now, detail);
        }
    }

    /// With everything well and nobody's hand on anything, the level comes back.
    pub(super) fn look_for_the_way_back(&mut self, now: Moment, breakers: &[BreakerSnapshot]) {
        let present = |index: &usize| !self.is_absent(*index);
        let mut calm_since = self.watched.first().map_or(now, |first| first.started);
        for index in (0..self.watched.len()).filter(present) {
            let (watched, breaker) = (&self.watched[index], &breakers[index]);
            if watched.well_since.is_none() || breaker.mode != Mode::Auto {
                return;
            }
            let closed = if breaker.state == State::Closed {
                watched.closed_at
            } else {
                watched.closed_by(self.schedule(index))
            };
            let uneasy = watched.last_bad.max(watched.last_late);
            calm_since = calm_since.max(uneasy).max(closed);
        }
        let Some(last) = self.last.as_ref().filter(|last| last.pin.is_none()) else {
            return;
        };
        let calm_since = calm_since.max(self.level_free_since).max(self.reloaded_at);
        let (level, score) = (last.level, last.score);
        let bound = self.way_back();
        if level != Level::Optimal && now > calm_since + bound {
            let detail = format!("{level} at score {score}, all well since {calm_since:?}");
            self.violated(Check::NotBack, now, detail);
        }
    }

    /// Until samples of the outage have left every window, and then step by step.
    fn way_back(&self) -> Duration {
        let settings = &self.rules.settings().level;
        let present = || {
            let all = self.rules.settings().dependencies.iter();
            all.filter(|one| one.presence != Presence::Absent)
        };
        let weights: f64 = present().map(|one| one.weight).sum();
        let fade = |rules: &HealthRules| {
            rules
                .recent_error
                .map_or((0.0, Duration::ZERO), |error| (error.points, error.fade))
        };
        let lost: f64 = present()
            .map(|one| one.weight / weights * fade(&one.health).0)
            .sum();
        let matters = 100.0 - lost < settings.bands[0] + settings.margin;
        let window = present().map(|one| {
            let fade = if matters {
                fade(&one.health).1
            } else {
                Duration::ZERO
            };
            one.health.window.max(fade)
        });
        window.max().unwrap_or_default() + 4 * settings.dwell + 2 * SLACK
    }

    fn is_absent(&self, index: usize) -> bool {
        let rule = self.rules.endpoint(crate::world::id(index));
        self.rules.dependency(rule.dependency).presence == Presence::Absent
    }
}
