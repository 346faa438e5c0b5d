//! One accepted write on its way into the database, and the verdict on it.

use std::time::Duration;

use mainstay_breaker::Moment;
use mainstay_journal::{AppendError, Claimed, EntryId, fault};
use mainstay_runtime::{CallerId, Context, Error, ErrorKind};

use super::news::{self, News};
use super::{Content, Deferred, PAUSE, key_id_of};
use crate::client::Database;
use crate::fault::DATABASE;
use crate::keyed::is_still_running;
use crate::writes::Work;

/// Refusals for the moment (deadlocks, time limits) after which an entry is set aside.
const REFUSALS: u32 = 10;
/// How long time limits have to last before they count as the entry's own fault, rather than that of somebody who holds
/// a lock.
const LASTING: Duration = Duration::from_secs(300);
/// Longest pause.
const LONGEST: Duration = Duration::from_secs(5);
/// Pause while the database can't be used.
const DOWN: Duration = Duration::from_millis(500);

/// How often the entry at the head of the queue was refused for the moment, and since when.
#[derive(Default)]
pub(super) struct Refusals(Option<Refused>);

#[derive(Clone, Copy)]
struct Refused {
    id: EntryId,
    since: Moment,
    /// All of them, for the pause.
    all: u32,
    /// Those that may be the entry's own fault.
    own: u32,
}

impl Refusals {
    /// Counts one; gives the pause before the next attempt, or nothing where there is no use in another.
    fn count(&mut self, id: EntryId, error: &Error, now: Moment) -> Option<Duration> {
        let is_time_limit = matches!(error.kind, ErrorKind::Timeout | ErrorKind::Busy);
        if !error.retryable && !is_time_limit {
            return None;
        }
        let known = self.0.filter(|known| known.id == id);
        let mut refused = known.unwrap_or(Refused {
            id,
            since: now,
            all: 0,
            own: 0,
        });
        refused.all += 1;
        // An attempt whose connection was lost is still there in the database: it ends one day, and tells the truth.
        refused.own += u32::from(!is_still_running(error));
        self.0 = Some(refused);
        let lasts = !is_time_limit || now.saturating_since(refused.since) >= LASTING;
        let is_hopeless = refused.own >= REFUSALS && lasts;
        (!is_hopeless).then(|| (PAUSE * (1 << refused.all.min(6))).min(LONGEST))
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
    let now = database.guard().now();
    let Some(pause) = refusals.count(claimed.id(), error, now) else {
        return set_aside(database, claimed, error.kind, &error.detail).await;
    };
    end(claimed.retry_later(&error.detail, 0).await);
    pause
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keyed::still_running;

    /// How many refusals, each so long after the one before, set an entry aside; none within a thousand.
    fn set_aside_after(error: &Error, every: Duration) -> Option<u32> {
        let (id, mut refusals) = ("7".parse().unwrap(), Refusals::default());
        (1..=1000).find(|n| {
            let now = Moment::from_nanos(0) + every * *n;
            refusals.count(id, error, now).is_none()
        })
    }

    #[test]
    fn only_what_is_the_writes_own_fault_sets_it_aside() {
        let second = Duration::from_secs(1);
        let deadlock = Error::new(ErrorKind::Conflict, "deadlock").retryable(true);
        assert_eq!(set_aside_after(&deadlock, second), Some(10));
        let refused = Error::new(ErrorKind::Conflict, "a row has this key");
        assert_eq!(set_aside_after(&refused, second), Some(1));
        // Somebody holds a lock: for a while, or for good.
        let time_limit = Error::new(ErrorKind::Timeout, "time limit");
        assert_eq!(set_aside_after(&time_limit, second), Some(301));
        // An attempt before it is still there, behind a connection that was lost.
        assert_eq!(set_aside_after(&still_running(), second), None);
    }

    #[test]
    fn pauses_grow_and_each_entry_has_its_own() {
        let (first, second) = ("7".parse().unwrap(), "8".parse().unwrap());
        let (mut refusals, now) = (Refusals::default(), Moment::from_nanos(0));
        let error = still_running();
        let mut pause = |id| refusals.count(id, &error, now);
        let pauses = [pause(first), pause(first), pause(second)];
        assert_eq!(
            pauses,
            [200, 400, 200].map(|ms| Some(Duration::from_millis(ms)))
        );
    }
}
