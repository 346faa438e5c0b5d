//! Identical reads that are made once: while another dependency's outage sends its readers to Redis, and for readers who
//! say that they come in another's place.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use mainstay_runtime::{Answer, Boarding, CallError, Context, Flight, Flights, Moment};

use crate::command::{Action, Command};
use crate::reply::Reply;
use crate::server::{Ended, Server};
use crate::value::{Blob, Key};

/// What a read asks. The same question has the same answer, whoever asks.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Question {
    operation: &'static str,
    key: Key,
    field: Option<Blob>,
    range: Option<(i64, i64, bool)>,
    /// Asked in another's place: refused sooner than others, who must not share that.
    instead: bool,
}

/// The reads that may be joined, and how many writes have ended.
#[derive(Default)]
pub(crate) struct Crowd {
    flights: Flights<Question, Ended>,
    writes: AtomicU64,
}

impl Crowd {
    /// Reads that got the answer of an identical one under way.
    pub(crate) fn joined(&self) -> u64 {
        self.flights.joined()
    }
}

impl Server {
    /// Carries a command out in Redis, or answers in its place.
    pub(crate) async fn run(self: &Arc<Self>, ctx: &Context, command: &Command) -> Ended {
        let Some(question) = self.question(ctx, command) else {
            let ended = self.run_alone(ctx, command).await;
            if command.is_write() {
                self.crowd.writes.fetch_add(1, Ordering::AcqRel);
            }
            return ended;
        };
        let clock = self.guard().clock();
        // Whoever joins a second flight has no more time for both than for one of its own.
        let deadline = ctx.deadline.min(clock.now() + self.guard().call_deadline());
        let ctx = Context { deadline, ..*ctx };
        loop {
            let (flight, joined) = self.board(&ctx, command, question.clone());
            // It ends in time by itself; given up from here, nobody would know that it was late.
            let Some(age) = joined else {
                return flight.await;
            };
            match clock.until(deadline, flight).await {
                // The deadline of who began it.
                Ok(ended) if is_out_of_time(&ended) && self.is_early(deadline) => {}
                Ok(ended) => return aged(ended, age),
                Err(_elapsed) => {
                    let late = CallError::Deadline { sent: false };
                    return self.in_its_place(command, late, false);
                }
            }
        }
    }

    /// The same read under way with its age, or one of its own.
    fn board(
        self: &Arc<Self>,
        ctx: &Context,
        command: &Command,
        question: Question,
    ) -> (Flight<Ended>, Option<Duration>) {
        let boarding = Boarding {
            key: question,
            now: self.guard().now(),
            writes: self.crowd.writes.load(Ordering::Acquire),
            max_age: None,
        };
        self.crowd.flights.board(boarding, || {
            let (server, ctx, command) = (Arc::clone(self), *ctx, command.clone());
            async move { server.run_alone(&ctx, &command).await }.boxed()
        })
    }

    /// Whether so much time is left that a timeout would say something about Redis.
    fn is_early(&self, deadline: Moment) -> bool {
        deadline.saturating_since(self.guard().now()) >= self.guard().call_deadline() / 2
    }

    /// What this command asks, if it is to be asked once for all.
    fn question(&self, ctx: &Context, command: &Command) -> Option<Question> {
        let instead = ctx.instead_of.is_some();
        if !instead && !self.guard().is_threatened() {
            return None;
        }
        let Command::At { key, action } = command else {
            return None;
        };
        let (field, range) = match action {
            Action::Hget(field) => (Some(field.clone()), None),
            Action::Lrange(range) => (None, Some((range.start, range.stop, false))),
            Action::Zrange { range, with_scores } => {
                (None, Some((range.start, range.stop, *with_scores)))
            }
            Action::Get
            | Action::Llen
            | Action::Smembers
            | Action::Scard
            | Action::Hgetall
            | Action::Zcard
            | Action::Ttl => (None, None),
            _ => return None,
        };
        Some(Question {
            operation: action.operation(),
            key: key.clone(),
            field,
            range,
            instead,
        })
    }
}

fn is_out_of_time(ended: &Ended) -> bool {
    matches!(ended.failure, Some(CallError::Deadline { .. }))
}

fn aged(ended: Ended, age: Duration) -> Ended {
    let with_age = |answer: Answer<Reply>| Answer {
        age: answer.age.or(Some(age)),
        ..answer
    };
    Ended {
        result: ended.result.map(with_age),
        ..ended
    }
}
