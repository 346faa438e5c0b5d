//! Probes, as the runtime makes them: a breaker that isn't closed must grant a place, and hears the verdict.

use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment, Outcome, State};
use mainstay_degradation::{Input, ProbeResult};

use crate::condition::{Answer, Asker};
use crate::world::{Happening, RunningProbe, START, World, id};

impl World {
    pub(crate) fn probe(&mut self, endpoint: usize, at: Moment) {
        self.at(at, Happening::ProbeBegins { endpoint });
    }

    pub(crate) fn begin_probe(&mut self, index: usize) {
        let started = self.now;
        self.inspector.probe_began(started, index);
        let snapshot = self.endpoints[index].breaker.snapshot(started);
        let ready = match snapshot.state {
            State::Closed => false,
            State::Open => snapshot.ready_for_half_open,
            State::HalfOpen => true,
        };
        let mut ticket = None;
        if ready {
            let Some(taken) = self.ask(index) else {
                self.report_probe(index, started, ProbeResult::Nothing);
                return;
            };
            self.number += 1;
            self.watch_place(index, self.number, &taken);
            ticket = Some((self.number, taken));
        }
        let endpoint = &self.endpoints[index];
        let answer = endpoint
            .condition
            .answer(Asker::Probe, &endpoint.figures, &mut self.random);
        let answer = within(self.probe_deadline(index), answer);
        let ends = started + answer.takes.unwrap_or_default();
        self.at(
            ends,
            Happening::ProbeEnds(RunningProbe {
                endpoint: index,
                started,
                answer,
                ticket,
            }),
        );
    }

    pub(crate) fn end_probe(&mut self, probe: RunningProbe) {
        let RunningProbe {
            endpoint: index,
            started,
            answer,
            ticket,
        } = probe;
        let (outcome, latency) = (answer.outcome, self.now.saturating_since(started));
        let failure = outcome.failure();
        if failure.is_some() {
            self.inspector.bad(self.now, index);
        }
        if let Some((number, ticket)) = ticket {
            self.settle(index, number, ticket, outcome, false);
        }
        self.deliver_held(index, failure.is_none(), started);
        let result = match failure {
            None => ProbeResult::Passed { latency },
            Some(kind) => ProbeResult::Failed { kind, latency },
        };
        self.record.trace.line(
            self.now.saturating_since(START),
            format_args!(
                "{} probe {}",
                self.endpoints[index].name,
                failure.map_or("passed", FailureKind::as_str)
            ),
        );
        self.report_probe(index, started, result);
    }

    fn report_probe(&mut self, index: usize, started: Moment, result: ProbeResult) {
        self.inspector.probe_ended(index);
        self.pending.push_back(Input::Probe {
            endpoint: id(index),
            started,
            result,
        });
    }

    fn deliver_held(&mut self, index: usize, passed: bool, started: Moment) {
        let kind = FailureKind::Timeout;
        for _ in 0..self.endpoints[index].deliver_held(passed, started) {
            self.inspector.bad(self.now, index);
            let permit = self.endpoints[index].breaker.try_admit();
            let opened =
                permit.and_then(|permit| permit.settle(Outcome::Failure(kind), false, self.now));
            self.tell(index, opened);
        }
    }

    fn probe_deadline(&self, index: usize) -> Duration {
        let dependency = self.rules.endpoint(id(index)).dependency;
        self.rules.dependency(dependency).probes.deadline
    }
}

/// What a probe finds that is given up at its deadline.
fn within(deadline: Duration, answer: Answer) -> Answer {
    if answer.takes.is_some_and(|takes| takes <= deadline) {
        return answer;
    }
    Answer {
        takes: Some(deadline),
        outcome: Outcome::Failure(FailureKind::Timeout),
    }
}
