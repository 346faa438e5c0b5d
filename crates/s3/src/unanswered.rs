//! Writes that were sent and not properly answered: they may have been carried out, whatever is said afterwards. One
//! that can't be accepted for later either must not be called refused.

use std::sync::atomic::{AtomicBool, Ordering};

use mainstay_runtime::{Answer, Call, CallError, CallerId, Context, Error, ErrorKind};

use crate::classify::{Failed, Meaning, classify, classify_ours, meaning};
use crate::key::Key;
use crate::objects::{DEPENDENCY, Inner, Receipt, to_error};
use crate::staying;
use crate::trace::{Phase, Trace};

/// What a write came to, and how its call of the store failed, if it did.
pub(crate) type Ended = (Result<Answer<Receipt>, Error>, Option<CallError<Failed>>);

/// How a call ended that did not go well.
pub(crate) struct Unwritten {
    /// How its last attempt ended.
    pub(crate) error: CallError<Failed>,
    /// Whether any attempt may have been carried out: a later one that failed proves nothing.
    pub(crate) may_be_done: bool,
}

/// It was only a step: nobody sees what it has left.
impl From<CallError<Failed>> for Unwritten {
    fn from(error: CallError<Failed>) -> Self {
        Self {
            error,
            may_be_done: false,
        }
    }
}

impl Unwritten {
    /// How the write ends that was to be accepted for later instead.
    pub(crate) fn or_accepted<T>(&self, accepted: Result<T, Error>, key: &Key) -> Result<T, Error> {
        accepted.map_err(|refused| match self.may_be_done {
            true => outcome_unknown(key),
            false => refused,
        })
    }
}

impl Inner {
    /// A guarded call of the store that changes something and answers with its first byte.
    pub(crate) async fn write<T, F, Fut>(&self, call: Call, mut work: F) -> Result<T, Unwritten>
    where
        F: FnMut() -> Fut,
        Fut: Future<Output = object_store::Result<T>>,
    {
        let may_be_done = AtomicBool::new(false);
        let sent = &may_be_done;
        let verdict = match call.caller {
            Some(CallerId::OURSELVES) => classify_ours,
            _ => classify,
        };
        let done = self.guard.call(call, verdict, |attempt| {
            let work = work();
            async move {
                let at_store = staying::go().await;
                attempt.mark_sent();
                // Stays so when the deadline ends this attempt.
                let before = sent.swap(true, Ordering::Relaxed);
                let (done, seen) = Trace::run(work).await;
                let done = done.map_err(|error| {
                    let failed = Failed { error, seen };
                    sent.store(before || is_unanswered(&failed), Ordering::Relaxed);
                    failed
                });
                if done.is_ok() {
                    at_store.has_taken_it();
                }
                done
            }
        });
        let done = done.await;
        done.map_err(|error| Unwritten {
            error,
            may_be_done: may_be_done.into_inner(),
        })
    }

    /// How a write of `key` ends whose call failed: as it is accepted for later, if it `may` be; else as the store has
    /// refused it, or the object `read` for it.
    pub(crate) async fn or_later(
        &self,
        ctx: &Context,
        unwritten: Unwritten,
        may: bool,
        (key, read): (&Key, &Key),
        accepted: impl Future<Output = Result<Answer<Receipt>, Error>>,
    ) -> Ended {
        let ended = if staying::is_alone() {
            // Nothing is accepted for a caller who has left: what was written since would be overwritten.
            Err(outcome_unknown(key))
        } else if may && !self.turned_away(ctx, &unwritten.error) {
            unwritten.or_accepted(accepted.await, key)
        } else {
            Err(to_error(&unwritten.error, read.as_str()))
        };
        (ended, Some(unwritten.error))
    }
}

/// How a write ends that was lost on its way: its caller, or the runtime, has ended.
pub(crate) fn lost(key: &Key) -> Ended {
    (Err(outcome_unknown(key)), None)
}

/// Whether this leaves open what the store has done. A status that means "not now" doesn't; a 503 of a proxy that names
/// no time does.
fn is_unanswered(failed: &Failed) -> bool {
    let broken = failed.seen.phase == Phase::Exchange
        || matches!(failed.seen.status, Some(200..=299 | 500..=599));
    meaning(failed) == Meaning::Failing && broken
}

pub(crate) fn outcome_unknown(key: &Key) -> Error {
    let detail = format!(
        "the write of `{}` was sent to the object store and not answered: it may have happened; read the object, or send the same again",
        key.as_str()
    );
    Error::new(ErrorKind::OutcomeUnknown, detail).dependency(DEPENDENCY)
}
