//! Probes: what the controller asks for, and how often they really begin.

use std::time::Duration;

use mainstay_breaker::Moment;
use mainstay_degradation::{EndpointId, Presence};

use super::{Check, Inspector, longest};

/// Probes are asked for at most this far ahead.
const HORIZON: Duration = Duration::from_secs(1);
/// A probe that hasn't ended this long after its deadline may be asked for again.
const LOST_AFTER: Duration = Duration::from_secs(30);
/// A confirmation, a request, a change of the breaker and the schedule can fall into one second.
const MOST_A_SECOND: usize = 8;

impl Inspector {
    /// The controller asks for a probe at `at`.
    pub fn probe_asked(&mut self, now: Moment, endpoint: EndpointId, at: Moment) {
        let index = endpoint.index();
        let rule = self.rules.endpoint(endpoint);
        let absent = self.rules.dependency(rule.dependency).presence == Presence::Absent;
        let lost = self.schedule(index).deadline + LOST_AFTER;
        let running = self.watched[index].probe_asked;
        let running = running.is_some_and(|since| now.saturating_since(since) < lost);
        let wrong = [
            (running, "one is under way"),
            (absent || !rule.probed, "it has no probe"),
            (at < now || at > now + HORIZON, "not within the horizon"),
        ];
        for (_, what) in wrong.into_iter().filter(|(wrong, _)| *wrong) {
            let detail = format!("{}: {what}", self.name(index));
            self.violated(Check::ProbeSchedule, now, detail);
        }
        self.watched[index].probe_asked = Some(at);
    }

    /// Somebody wants a probe at once.
    pub fn probe_requested(&mut self, now: Moment, endpoint: usize) {
        self.watched[endpoint].requested_at = Some(now);
    }

    /// A probe begins, or finds no half-open place.
    pub fn probe_began(&mut self, now: Moment, endpoint: usize) {
        self.look_at_heartbeat(now, endpoint);
        let begun = &mut self.watched[endpoint].probes_begun;
        begun.push_back(now);
        while begun
            .front()
            .is_some_and(|first| now.saturating_since(*first) >= HORIZON)
        {
            begun.pop_front();
        }
        let count = begun.len();
        if count > MOST_A_SECOND {
            let detail = format!("{}: {count} probes in a second", self.name(endpoint));
            self.violated(Check::ProbePace, now, detail);
        }
    }

    /// Where all has been well for long, there is a heartbeat between probes. Long: after the last trouble a probe may
    /// fail to come for one pause more, and what it finds well again is watched closely for some time.
    fn look_at_heartbeat(&mut self, now: Moment, endpoint: usize) {
        let schedule = self.schedule(endpoint);
        let pause = schedule.failing.iter().max().copied().unwrap_or_default();
        let found = longest(pause, schedule.jitter) + schedule.deadline + schedule.confirm;
        let (heartbeat, settles) = (schedule.heartbeat, found + schedule.recovered_for);
        let watched = &mut self.watched[endpoint];
        let calm_since = watched.uneasy_at().max(self.reloaded_at) + settles + heartbeat;
        let closed = watched
            .opened_at
            .is_none_or(|opened| opened < watched.closed_at);
        let last = watched.last_probe.replace(now).filter(|_| closed);
        let early = last.filter(|last| *last >= calm_since && now < *last + heartbeat);
        if let Some(last) = early {
            let gap = now.saturating_since(last);
            let detail = format!("{}: probed {gap:?} after the last", self.name(endpoint));
            self.violated(Check::ProbePace, now, detail);
        }
    }

    /// A probe has ended.
    pub fn probe_ended(&mut self, endpoint: usize) {
        self.watched[endpoint].probe_ended();
    }

    pub(super) fn look_at_pace(&mut self, now: Moment, index: usize) {
        let rule = self.rules.endpoint(crate::world::id(index));
        let dependency = self.rules.dependency(rule.dependency);
        if !rule.probed || dependency.presence == Presence::Absent {
            return;
        }
        let schedule = &dependency.probes;
        let failing = schedule.failing.iter().max().copied().unwrap_or_default();
        let interval = schedule.heartbeat.max(longest(failing, schedule.jitter));
        let patience = interval + schedule.deadline + 2 * HORIZON;
        let watched = &self.watched[index];
        let last = watched
            .probes_begun
            .back()
            .copied()
            .unwrap_or(watched.started)
            .max(self.reloaded_at);
        let waited = now.saturating_since(last);
        if waited > patience {
            let detail = format!("{}: no probe for {waited:?}", self.name(index));
            self.violated(Check::ProbePace, now, detail);
        }
    }
}
