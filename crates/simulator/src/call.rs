//! Calls, as the runtime's guard makes them: a place under the limit, admission, a deadline, a verdict.

use std::time::Duration;

use mainstay_breaker::{Admission, FailureKind, Moment, Outcome, Permit, Ticket};
use mainstay_degradation::Input;

use crate::condition::Asker;
use crate::world::{Happening, World, id};

/// One call.
#[derive(Debug)]
pub(crate) struct Call {
    endpoint: usize,
    caller: u64,
    deadline: Moment,
    /// When its caller walks away.
    leaves: Option<Moment>,
    /// `None` while it waits for a place.
    flight: Option<Flight>,
}

#[derive(Debug)]
struct Flight {
    ticket: Ticket,
    started: Moment,
    marked_slow: bool,
    ending: Ending,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    Answered(Outcome),
    Deadline,
    CallerLeft,
}

impl World {
    pub(crate) fn burst(&mut self, stream: usize) {
        let (endpoint, traffic) = &self.traffic[stream];
        let (endpoint, caller, burst) = (*endpoint, traffic.caller, traffic.burst);
        let (every, until, patience) = (traffic.every, traffic.until, traffic.patience);
        for _ in 0..burst {
            self.call(endpoint, caller, patience);
        }
        let next = self.now + self.random.between(every / 2, every * 3 / 2);
        if next.saturating_since(crate::world::START) <= until {
            self.at(
                next.max(self.now + Duration::from_millis(1)),
                Happening::Burst { stream },
            );
        }
    }

    fn call(&mut self, index: usize, caller: u64, patience: Option<Duration>) {
        let now = self.now;
        let endpoint = &mut self.endpoints[index];
        let figures = &endpoint.figures;
        // Others than database and redis have a total deadline of two attempts.
        let total = if figures.request_deadline {
            self.request_deadline
        } else {
            2 * figures.call_deadline
        };
        let call = Call {
            endpoint: index,
            caller,
            deadline: now + total,
            leaves: patience.map(|patience| now + patience),
            flight: None,
        };
        self.number += 1;
        let number = self.number;
        if endpoint.in_flight < endpoint.limit && endpoint.waiting.is_empty() {
            self.calls.insert(number, call);
            self.take_off(number);
        } else if endpoint.refuses(now) {
            // Asked only so that the rejection counts.
            drop(endpoint.breaker.admit(now));
            self.record.calls.rejected += 1;
        } else {
            endpoint.waiting.push_back(number);
            let latest = call.deadline - endpoint.fair_time();
            let latest = call.leaves.map_or(latest, |leaves| leaves.min(latest));
            self.calls.insert(number, call);
            self.at(latest, Happening::NoPlaceCame { call: number });
        }
    }

    /// It has a place: asks the breaker and starts.
    fn take_off(&mut self, number: u64) {
        let now = self.now;
        let Some(index) = self.calls.get(&number).map(|call| call.endpoint) else {
            return;
        };
        let Some(ticket) = self.ask(index) else {
            self.calls.remove(&number);
            self.record.calls.rejected += 1;
            return;
        };
        self.watch_place(index, number, &ticket);
        let endpoint = &mut self.endpoints[index];
        endpoint.in_flight += 1;
        let answer = endpoint
            .condition
            .answer(Asker::Call, &endpoint.figures, &mut self.random);
        let latest = now + endpoint.figures.call_deadline;
        let slow_at = endpoint.breaker.slow_after().map(|after| now + after);
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let (ends, ending) = ending(
            call,
            answer.takes.map(|takes| now + takes),
            latest,
            answer.outcome,
        );
        call.flight = Some(Flight {
            ticket,
            started: now,
            marked_slow: false,
            ending,
        });
        if let Some(slow_at) = slow_at.filter(|slow_at| *slow_at < ends) {
            self.at(slow_at, Happening::SlowMark { call: number });
        }
        self.at(ends, Happening::CallEnds { call: number });
    }

    /// Asks the breaker for a ticket.
    pub(crate) fn ask(&mut self, index: usize) -> Option<Ticket> {
        let Admission { result, transition } = self.endpoints[index].breaker.admit(self.now);
        let ticket = result.ok().map(Permit::into_ticket);
        self.tell(index, transition);
        ticket
    }

    pub(crate) fn mark_slow(&mut self, number: u64) {
        let Some(call) = self.calls.get_mut(&number) else {
            return;
        };
        let index = call.endpoint;
        let Some(flight) = &mut call.flight else {
            return;
        };
        flight.marked_slow = true;
        let endpoint = &mut self.endpoints[index];
        endpoint.count_slow();
        self.inspector.bad(self.now, index);
        let transition = flight.ticket.mark_slow(&endpoint.breaker, self.now);
        self.tell(index, transition);
    }

    pub(crate) fn end_call(&mut self, number: u64) {
        let Some(call) = self.calls.remove(&number) else {
            return;
        };
        let Some(flight) = call.flight else { return };
        let (index, now) = (call.endpoint, self.now);
        let elapsed = now.saturating_since(flight.started);
        let endpoint = &mut self.endpoints[index];
        let slow = endpoint
            .breaker
            .slow_after()
            .is_some_and(|after| elapsed > after);
        let (outcome, slow) = match flight.ending {
            Ending::Answered(outcome) => (outcome, slow),
            Ending::Deadline
                if endpoint.hold_timeout(call.caller, now) && !flight.ticket.is_probe() =>
            {
                self.inspector.probe_requested(self.now, index);
                self.pending.push_back(Input::ProbeNow {
                    endpoint: id(index),
                });
                (Outcome::Neutral, true)
            }
            Ending::Deadline => (Outcome::Failure(FailureKind::Timeout), slow),
            Ending::CallerLeft => {
                if slow && endpoint.abandon() {
                    self.inspector.probe_requested(self.now, index);
                    self.pending.push_back(Input::ProbeNow {
                        endpoint: id(index),
                    });
                }
                (Outcome::Neutral, slow)
            }
        };
        endpoint.in_flight -= 1;
        endpoint.count(outcome, slow && !flight.marked_slow, elapsed);
        if outcome != Outcome::Neutral {
            self.inspector.took(now, index, elapsed);
        }
        self.tally(outcome);
        self.settle(index, number, flight.ticket, outcome, slow);
        self.let_in(index);
    }

    /// Gives a ticket back with its verdict.
    pub(crate) fn settle(
        &mut self,
        index: usize,
        number: u64,
        ticket: Ticket,
        outcome: Outcome,
        slow: bool,
    ) {
        let now = self.now;
        if outcome.failure().is_some() || slow {
            self.inspector.bad(now, index);
        }
        let breaker = &self.endpoints[index].breaker;
        let before = (outcome == Outcome::Neutral && !slow).then(|| breaker.snapshot(now));
        let transition = ticket.settle(breaker, outcome, slow, now);
        if let Some(before) = before {
            self.inspector
                .neutral(now, index, &before, &breaker.snapshot(now));
        }
        self.inspector.given_back(index, number);
        self.tell(index, transition);
    }

    /// Tells the inspector of a half-open place that was taken.
    pub(crate) fn watch_place(&mut self, index: usize, number: u64, ticket: &Ticket) {
        if ticket.is_probe() {
            self.inspector.place_taken(self.now, index, number);
        }
    }

    fn tally(&mut self, outcome: Outcome) {
        let calls = &mut self.record.calls;
        match (outcome, outcome.failure()) {
            (_, Some(_)) => calls.failed += 1,
            (Outcome::Neutral, _) => calls.neutral += 1,
            _ => calls.succeeded += 1,
        }
    }

    pub(crate) fn give_up_waiting(&mut self, number: u64) {
        let waits = |call: &&Call| call.flight.is_none();
        let Some(index) = self
            .calls
            .get(&number)
            .filter(waits)
            .map(|call| call.endpoint)
        else {
            return;
        };
        self.calls.remove(&number);
        self.endpoints[index]
            .waiting
            .retain(|waiting| *waiting != number);
        self.record.calls.neutral += 1;
    }

    /// Nobody waits on for a place under a breaker that refuses.
    pub(crate) fn turn_away_waiting(&mut self, index: usize) {
        if !self.endpoints[index].refuses(self.now) {
            return;
        }
        for number in std::mem::take(&mut self.endpoints[index].waiting) {
            drop(self.endpoints[index].breaker.admit(self.now));
            self.calls.remove(&number);
            self.record.calls.rejected += 1;
        }
    }

    /// Whoever waits and finds a place free goes on.
    pub(crate) fn let_in(&mut self, index: usize) {
        loop {
            let endpoint = &mut self.endpoints[index];
            if endpoint.in_flight >= endpoint.limit {
                return;
            }
            let Some(number) = endpoint.waiting.pop_front() else {
                return;
            };
            self.take_off(number);
        }
    }
}

/// What ends a call first, and when.
fn ending(
    call: &Call,
    answer: Option<Moment>,
    latest: Moment,
    outcome: Outcome,
) -> (Moment, Ending) {
    let deadline = call.deadline.min(latest);
    let (ends, ending) = match answer.filter(|answer| *answer <= deadline) {
        Some(answer) => (answer, Ending::Answered(outcome)),
        None => (deadline, Ending::Deadline),
    };
    match call.leaves.filter(|leaves| *leaves < ends) {
        Some(leaves) => (leaves, Ending::CallerLeft),
        None => (ends, ending),
    }
}
