//! What people are told of how deferred writes ended: in the log and as events, without keys, parameters or the reason's words.
//!
//! What was set aside needs a person: each is told. What is done is told in sums, so that a long queue doesn't drive
//! everything else out of the events that are kept.

use std::time::Duration;

use mainstay_breaker::Moment;
use mainstay_journal::EntryId;
use mainstay_runtime::{ErrorKind, Guard};
use serde_json::json;

use crate::fault::DATABASE;

/// How long what is done may wait to be told while there is more to do.
const PATIENCE: Duration = Duration::from_secs(1);

/// What is done and not told yet.
#[derive(Default)]
pub(super) struct News(Option<Done>);

struct Done {
    since: Moment,
    count: u64,
    first: EntryId,
    last: EntryId,
}

impl News {
    /// Notes one more, and tells if the first has waited long enough.
    pub(super) fn done(&mut self, entry: EntryId, guard: &Guard) {
        let now = guard.now();
        let done = self.0.get_or_insert(Done {
            since: now,
            count: 0,
            first: entry,
            last: entry,
        });
        (done.count, done.last) = (done.count + 1, entry);
        if now.saturating_since(done.since) >= PATIENCE {
            self.tell(guard);
        }
    }

    /// Tells what isn't told yet.
    pub(super) fn tell(&mut self, guard: &Guard) {
        let Some(done) = self.0.take() else {
            return;
        };
        let Done {
            count, first, last, ..
        } = done;
        let message = match count {
            1 => format!("The deferred write of journal entry {first} is done."),
            _ => {
                format!("{count} deferred writes are done: journal entries from {first} to {last}.")
            }
        };
        let data = json!({"dependency": DATABASE, "count": count, "first": first, "last": last});
        guard.tell("deferred_done", message, data);
    }
}

/// Tells of one that needs a person.
pub(super) fn set_aside(guard: &Guard, entry: EntryId, statement: &str, why: ErrorKind) {
    let message = format!(
        "The deferred write of journal entry {entry} (statement `{statement}`) was set aside: GET /journal tells why."
    );
    let data = json!({"dependency": DATABASE, "entry": entry, "statement": statement, "why": why.as_str()});
    guard.announce("deferred_set_aside", message, data);
}
