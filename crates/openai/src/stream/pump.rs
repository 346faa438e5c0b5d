//! Moves a stream from its provider to the lane of its reader, to its end, and gives the verdict on it.

use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment};
use mainstay_runtime::{Clock, Elapsed, Error, ErrorKind, Running, Verdict};

use crate::classify::classify;
use crate::fault::Fault;
use crate::reply::ChatReply;
use crate::stream::lane::Sender;
use crate::stream::upstream::{Chunk, Upstream};

/// One stream after its first content.
pub(crate) struct Pump {
    pub(crate) clock: Clock,
    pub(crate) provider: String,
    pub(crate) running: Running,
    pub(crate) upstream: Upstream,
    pub(crate) to_content: Duration,
    /// Longest wait for the next chunk.
    pub(crate) idle: Duration,
    /// Past this a wait is slow, and a caller who leaves in it has seen something slow.
    pub(crate) slow_after: Option<Duration>,
    /// When it must be over.
    pub(crate) deadline: Moment,
}

/// How a stream ended.
#[derive(Debug)]
pub(crate) enum Ending {
    /// With a whole answer.
    Whole(Option<ChatReply>),
    /// The provider failed midway.
    Failed(Option<FailureKind>, Error),
    /// The caller reads too slowly.
    Behind(Error),
    /// The caller has left.
    Left,
}

impl Pump {
    /// Runs to the end. On return the provider is done with: its place is free and its connection given up if it
    /// isn't at its end.
    pub(crate) async fn run(mut self, held: Vec<Chunk>, lane: &Sender) -> Ending {
        for chunk in held {
            if lane.send(chunk.json).is_err() {
                return self.behind();
            }
        }
        loop {
            let since = self.clock.now();
            let until = (since + self.idle).min(self.deadline);
            let next = tokio::select! {
                biased;
                () = lane.over() => return self.left(since),
                next = self.clock.until(until, self.upstream.next()) => next,
            };
            match next {
                Ok(Ok(Some(chunk))) => {
                    if lane.send(chunk.json).is_err() {
                        return self.behind();
                    }
                }
                Ok(Ok(None)) => return self.whole(),
                // All that can be missing is the usage, or a word of farewell.
                Ok(Err(_)) | Err(Elapsed) if self.upstream.is_whole() => return self.whole(),
                Ok(Err(fault)) => return self.failed(&fault),
                Err(Elapsed) => return self.timed_out(until),
            }
        }
    }

    fn whole(mut self) -> Ending {
        self.running.settle_after(Verdict::SUCCESS, self.to_content);
        Ending::Whole(self.upstream.into_reply())
    }

    fn failed(mut self, fault: &Fault) -> Ending {
        let verdict = classify(fault);
        self.running.settle_after(verdict, self.to_content);
        let kind = match fault {
            Fault::Malformed(_) | Fault::TooLarge { .. } => ErrorKind::BadAnswer,
            _ => ErrorKind::Unavailable,
        };
        let error = self.error(kind, &fault.to_string());
        Ending::Failed(verdict.failure_kind(), error)
    }

    fn timed_out(mut self, until: Moment) -> Ending {
        self.running.timed_out();
        let what = match until < self.deadline {
            true => "it stopped sending",
            false => "it was not done in time",
        };
        let error = self.error(ErrorKind::Timeout, what);
        Ending::Failed(Some(FailureKind::Timeout), error)
    }

    fn behind(mut self) -> Ending {
        self.running.settle_after(Verdict::NEUTRAL, self.to_content);
        Ending::Behind(unread())
    }

    /// A caller who leaves says nothing about the provider, unless it had been silent for long.
    fn left(mut self, since: Moment) -> Ending {
        let waited = self.clock.now().saturating_since(since);
        if self.slow_after.is_none_or(|after| waited < after) {
            self.running.settle_after(Verdict::NEUTRAL, self.to_content);
        }
        Ending::Left
    }

    fn error(&self, kind: ErrorKind, what: &str) -> Error {
        let detail = format!(
            "the answer of the provider `{}` broke off: {what}; what came before is not the whole answer",
            self.provider
        );
        Error::new(kind, detail).dependency("openai")
    }
}

/// The error for a caller whose answer waited too long or grew too large unread.
pub(crate) fn unread() -> Error {
    let detail = "the answer was read too slowly, and what was left of it has been dropped";
    Error::new(ErrorKind::Timeout, detail)
}
