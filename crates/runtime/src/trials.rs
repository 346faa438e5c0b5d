//! Trials: real calls to an endpoint whose breaker is open, for callers who have nobody else to ask.
//!
//! When everything of a kind is open, refusing everybody makes an outage of what may be over for real calls, and
//! cheap probes may not show that. One call at a time is let through, paced as the probes of what is failing
//! are, and never before the time that a server has asked for. The breaker stays open meanwhile: a trial that fails
//! changes nothing but the time of the next, and one that succeeds opens the half-open door and counts there.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_breaker::{Mode, Moment, Outcome, Snapshot, State};

use crate::endpoint::Endpoint;
use crate::guard::Guard;

/// The trials of one endpoint.
#[derive(Debug)]
pub(crate) struct Trials(Mutex<Book>);

#[derive(Debug)]
struct Book {
    /// Before the first trial of an outage, before the second, and so on; the last one repeated.
    pauses: Vec<Duration>,
    /// When the breaker had opened at the last trial.
    outage: Option<Moment>,
    tried: usize,
    last: Option<Moment>,
    running: bool,
}

impl Trials {
    pub(crate) fn new(pauses: &[Duration]) -> Self {
        Self(Mutex::new(Book {
            pauses: pauses.to_vec(),
            outage: None,
            tried: 0,
            last: None,
            running: false,
        }))
    }

    /// Other pauses from now on.
    pub(crate) fn pace(&self, pauses: &[Duration]) {
        self.book().pauses = pauses.to_vec();
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        // Every change is whole before anything in it can panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// When the next trial is due; `None` while one is running, or unless a rule has opened the breaker.
    fn due(&self, breaker: &Snapshot) -> Option<Moment> {
        let by_rule = breaker.state == State::Open && breaker.mode == Mode::Auto;
        if !by_rule || self.running {
            return None;
        }
        let (tried, last) = match self.is_of(breaker) {
            true => (self.tried, self.last),
            false => (0, None),
        };
        let failed = breaker.last_failure.map(|failure| failure.at);
        let since = breaker.opened_at.max(failed).max(last)?;
        let pause = self.pauses.get(tried).or(self.pauses.last())?;
        Some((since + *pause).max(breaker.hint_until.unwrap_or(since)))
    }

    /// Whether what is noted belongs to the present outage. One that goes on after a short recovery is the same.
    fn is_of(&self, breaker: &Snapshot) -> bool {
        self.outage == breaker.opened_at || breaker.reopenings > 0
    }

    fn begin(&mut self, breaker: &Snapshot, now: Moment) -> bool {
        if self.due(breaker).is_none_or(|at| now < at) {
            return false;
        }
        if !self.is_of(breaker) {
            self.tried = 0;
        }
        self.outage = breaker.opened_at;
        self.tried += 1;
        self.last = Some(now);
        self.running = true;
        true
    }
}

impl Guard {
    /// When a call marked as a [trial](crate::Call::trial) would be let through although the breaker is open: as
    /// long after the last failure as probes of what is failing follow each other (10, 20, 40 s for model
    /// providers), and never before a server's hint. `None` unless a rule has opened it, and while a trial is running.
    pub fn trial_at(&self) -> Option<Moment> {
        let endpoint = &self.endpoint;
        endpoint
            .trials
            .book()
            .due(&endpoint.breaker.snapshot(self.now()))
    }
}

impl Endpoint {
    /// Whether this call is the trial.
    pub(crate) fn begin_trial(&self, now: Moment) -> bool {
        let breaker = self.breaker.snapshot(now);
        self.trials.book().begin(&breaker, now)
    }

    /// A trial is over.
    pub(crate) fn end_trial(&self, outcome: Outcome, now: Moment) {
        {
            let mut book = self.trials.book();
            book.running = false;
            book.last = Some(now);
        }
        match outcome {
            Outcome::Success => {
                self.tell(self.breaker.half_open_early(now));
                let admission = self.breaker.admit(now);
                self.tell(admission.transition);
                if let Ok(permit) = admission.result {
                    self.tell(permit.settle(Outcome::Success, false, now));
                }
            }
            Outcome::Overload {
                retry_after: Some(hint),
            } => self.breaker.hint(hint, now),
            Outcome::Overload { retry_after: None } | Outcome::Failure(_) | Outcome::Neutral => {}
        }
    }
}
