//! The verdict on an entry that did not reach the store: tried again, set aside for a person, or pointless by now.

use mainstay_journal::{Claimed, Entry, EntryId, ReadError};
use mainstay_runtime::CallError;

use crate::carry::{Carried, Pause, complete, end, has_replacement};
use crate::classify::{Failed, Meaning, is_foreign_no, meaning};
use crate::copying::{untouched, was_tried};
use crate::drain::{LONGEST_PAUSE, Turn};
use crate::key::is_canary;
use crate::objects::{COPY, DEPENDENCY, Inner};
use crate::replaced::{MAYBE_MADE, NO_SOURCE};
use crate::standing::Base;
use crate::trace::Phase;
use crate::unanswered::Unwritten;

/// Refusals for its own sake after which an entry is set aside.
const REFUSALS: u32 = 3;
/// First pause of an entry that failed, ms.
const FIRST_PAUSE: i64 = 1000;

/// Why an entry didn't reach the store.
pub(crate) enum Trouble {
    Store(CallError<Failed>),
    Body(ReadError),
    /// The store doesn't have what it said it took.
    Differs(String),
    /// Only a person can tell what to do.
    Person(&'static str),
    /// The same: the source of a copy is gone. Its name, which no log may have.
    NoSource(String),
}

impl From<CallError<Failed>> for Trouble {
    fn from(error: CallError<Failed>) -> Self {
        Self::Store(error)
    }
}

impl From<Unwritten> for Trouble {
    fn from(unwritten: Unwritten) -> Self {
        Self::Store(unwritten.error)
    }
}

impl From<ReadError> for Trouble {
    fn from(error: ReadError) -> Self {
        Self::Body(error)
    }
}

/// Who is to blame for that.
enum Blame {
    /// The entry: the store refuses it for its own sake.
    Entry,
    /// Nobody in particular: the store is well, and refuses what the entry asks for, or has no room for it.
    Kind,
    /// The store failed, or nobody answered; our own disk has a bad moment.
    Others,
}

/// Judges an entry that did not reach the store.
pub(crate) async fn judge(
    inner: &Inner,
    claimed: Claimed,
    trouble: Trouble,
    turn: Turn,
) -> Carried {
    let id = claimed.id();
    let (blame, why) = match trouble {
        Trouble::Person(_) | Trouble::NoSource(_) if has_replacement(inner, &claimed) => {
            let base = match &trouble {
                Trouble::NoSource(_) => untouched(inner, claimed.entry()),
                // Somebody else's change was seen just now.
                _ => Base::of(claimed.entry()),
            };
            let ended = complete(claimed, base).await;
            return ended.map_or(Carried::Stuck, |()| Carried::Pointless(id));
        }
        Trouble::Person(why) => return set_aside(claimed, why, why).await,
        Trouble::NoSource(source) => {
            let maybe = match was_tried(inner, claimed.entry()) {
                true => MAYBE_MADE,
                false => "",
            };
            let why = format!("{NO_SOURCE}`{source}` is gone from the store{maybe}");
            return set_aside(claimed, &why, "its source is gone from the store").await;
        }
        Trouble::Body(error @ (ReadError::Corrupt { .. } | ReadError::NoBody(_))) => {
            let why = error.to_string();
            return set_aside(claimed, &why, &why).await;
        }
        // Given back as it is: the journal is being closed, or our disk has a bad moment.
        Trouble::Body(error) => (Blame::Others, error.to_string()),
        Trouble::Differs(why) => (Blame::Entry, why),
        Trouble::Store(error) => {
            let blame = blame(inner, claimed.entry(), &error).await;
            (blame, words(&error))
        }
    };
    // What replaces it, maybe since this was begun, need not wait for its pause, or for a store that never makes a copy.
    // Not what went unanswered: the store may still be at it.
    if !matches!(blame, Blame::Others) && has_replacement(inner, &claimed) {
        let base = match claimed.entry().kind.as_str() {
            // It was sent, maybe more than once.
            COPY => Base::Unknown,
            _ => Base::of(claimed.entry()),
        };
        let ended = complete(claimed, base).await;
        return ended.map_or(Carried::Stuck, |()| Carried::Pointless(id));
    }
    if matches!(blame, Blame::Entry) && turn.refusals + 1 >= REFUSALS {
        return set_aside(claimed, &why, &why).await;
    }
    let pause = pause(id, claimed.entry().attempts);
    let written = claimed.retry_later(&why, turn.now_ms + pause).await;
    if end(written).is_err() {
        return Carried::Stuck;
    }
    let claimed = turn.now_ms - turn.ahead;
    let until = claimed + pause;
    let pause = Pause { claimed, until };
    match blame {
        Blame::Entry => Carried::Refused { id, pause },
        Blame::Kind => Carried::Denied { id, pause },
        Blame::Others => Carried::Failed,
    }
}

/// Sets it aside; the log has other words where those for the operator name an object.
async fn set_aside(claimed: Claimed, why: &str, logged: &str) -> Carried {
    let id = claimed.id();
    if is_canary(&claimed.entry().key) {
        tracing::warn!(
            dependency = DEPENDENCY,
            why = logged,
            "the journal's canary did not reach the store"
        );
        return end(claimed.complete().await).map_or(Carried::Stuck, |()| Carried::Pointless(id));
    }
    tracing::warn!(dependency = DEPENDENCY, entry = %id, why = logged, "accepted work was set aside: see GET /journal");
    end(claimed.set_aside(why).await).map_or(Carried::Stuck, |()| Carried::SetAside(id))
}

/// The store refuses this entry and not everything (a permission or a route may be missing) if it does as much with a
/// small object of our own.
async fn blame(inner: &Inner, entry: &Entry, error: &CallError<Failed>) -> Blame {
    let CallError::Failed(failed) = error else {
        return Blame::Others;
    };
    match meaning(failed) {
        Meaning::NoRoom => return Blame::Kind,
        Meaning::Overloaded => return Blame::Others,
        Meaning::Failing if !is_foreign_no(failed) => return Blame::Others,
        _ => {}
    }
    match is_canary(&entry.key) || inner.takes_ours(&entry.kind).await {
        true => Blame::Entry,
        false => Blame::Kind,
    }
}

fn words(error: &CallError<Failed>) -> String {
    match error {
        CallError::Failed(failed) => match (meaning(failed), failed.seen.status) {
            (Meaning::Misconfigured, _) => "the store denied it".into(),
            (Meaning::NoRoom, _) => "the store, or a quota there, has no room for it".into(),
            (Meaning::Failing, Some(status)) if is_foreign_no(failed) => {
                format!("something before the store refused it with status {status}")
            }
            (Meaning::Failing | Meaning::Overloaded, Some(status)) => {
                format!("the store failed with status {status}")
            }
            (_, Some(status)) => format!("the store refused it with status {status}"),
            (_, None) if matches!(failed.seen.phase, Phase::Connect | Phase::Exchange) => {
                "the store can't be reached".into()
            }
            (_, None) => "the store can't take it".into(),
        },
        CallError::Deadline { .. } => "the store did not answer in time".into(),
        CallError::Rejected(_) => "the circuit breaker is open".into(),
        CallError::Busy { .. } => "too many calls to the store are in flight".into(),
    }
}

/// Doubles with every attempt, and is spread by the entry's number over its upper half. In ms.
fn pause(id: EntryId, attempts: u32) -> i64 {
    let whole = (FIRST_PAUSE << attempts.min(6)).min(LONGEST_PAUSE);
    let digest = blake3::hash(format!("{id}/{attempts}").as_bytes());
    whole / 2 + whole / 2 * i64::from(digest.as_bytes()[0]) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_differ_between_entries() {
        let id: EntryId = "7".parse().unwrap();
        let other: EntryId = "8".parse().unwrap();
        for attempts in 0..40 {
            let whole = (1000_i64 << attempts.min(6)).min(60_000);
            assert!(
                (whole / 2..=whole).contains(&pause(id, attempts)),
                "{attempts}"
            );
        }
        assert_ne!(pause(id, 3), pause(other, 3));
    }
}
