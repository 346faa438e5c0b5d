//! One accepted write on its way into the database, and the verdict on it.

use std::time::Duration;

use mainstay_journal::{AppendError, Claimed, EntryId, fault};
use mainstay_runtime::{CallerId, Context, Error, ErrorKind};

use super::news::{self, News};
use super::{Content, Deferred, PAUSE, key_id_of};
use crate::client::Database;
use crate::fault::DATABASE;
use crate::writes::Work;

/// Refusals for the moment (deadlocks, time limits) after which an entry is set aside.
const REFUSALS: u32 = 10;
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);
/// Pause while the database can't be used.
const DOWN: Duration = Duration::from_millis(500);

/// How often the entry at the head of the queue was refused for the moment.
#[derive(Default)]
pub(super) struct Refusals(Option<(EntryId, u32)>);

impl Refusals {
    fn count(&mut self, id: EntryId) -> u32 {
        let before = self
            .0
            .filter(|(known, _)| *known == id)
            .map_or(0, |(_, n)| n);
        self.0 = Some((id, before + 1));
        before + 1
    }
}

/// Carries a claimed entry out; gives the time to wait before the next.
pub(super) async fn carry(
    database: &Database,
    deferred: &Deferred,
    claimed: Claimed,
    refusals: &mut Refusals,
    news: &mut News,
) -> Duration {
    fault::point("deferred.claimed");
    let entry = claimed.entry();
    let (Some(id), Some(content)) = (key_id_of(entry), Content::of(entry)) else {
        let why = ErrorKind::Internal;
        return set_aside(database, claimed, why, "its entry can't be read").await;
    };
    let Some(statement) = deferred.statement(&entry.kind, content.params) else {
        let reason = format!("no statement `{}` is configured any more", entry.kind);
        return set_aside(database, claimed, ErrorKind::NotConfigured, &reason).await;
    };
    let keyed = deferred.keyed(id, content.fingerprint);
    // A request with this key is looking at it just now.
    let Ok(_turn) = database.running.enter(&keyed) else {
        return PAUSE;
    };
    let ctx = Context::new(
        CallerId::OURSELVES,
        database.guard().now() + database.guard().call_deadline(),
    );
    let work = Work::deferred(&statement, keyed);
    match database.write_work(&ctx, &work).await {
        (Ok(_), _) => {
            fault::point("deferred.done");
            let entry = claimed.id();
            end(claimed.complete().await);
            fault::point("deferred.completed");
            news.done(entry, database.guard());
            Duration::ZERO
        }
        (Err(_), Some(trouble)) => {
            end(claimed.retry_later(trouble.words(), 0).await);
            DOWN
        }
        (Err(error), None) => refused(database, claimed, &error, refusals).await,
    }
}

async fn refused(
    database: &Database,
    claimed: Claimed,
    error: &Error,
    refusals: &mut Refusals,
) -> Duration {
    let for_now = error.retryable || matches!(error.kind, ErrorKind::Timeout | ErrorKind::Busy);
    let refused = refusals.count(claimed.id());
    if !for_now || refused >= REFUSALS {
        return set_aside(database, claimed, error.kind, &error.detail).await;
    }
    end(claimed.retry_later(&error.detail, 0).await);
    (PAUSE * (1 << refused.min(6))).min(LONGEST)
}

async fn set_aside(
    database: &Database,
    claimed: Claimed,
    why: ErrorKind,
    reason: &str,
) -> Duration {
    let (entry, statement) = (claimed.id(), claimed.entry().kind.clone());
    let written = claimed.set_aside(reason).await;
    // What couldn't be set aside is tried again, and told then.
    if written.is_ok() {
        news::set_aside(database.guard(), entry, &statement, why);
    }
    end(written);
    Duration::ZERO
}

/// An entry whose verdict can't be written returns to the queue; its record keeps it from being done twice.
fn end(written: Result<(), AppendError>) {
    if let Err(error) = written {
        tracing::warn!(dependency = DATABASE, %error, "the journal can't be changed");
    }
}
