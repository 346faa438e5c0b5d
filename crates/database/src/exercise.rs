//! Exercises: now and then, while all is well, a read is made again through what would answer in an outage.

use std::sync::Arc;

use mainstay_runtime::{Attempt, Call, CallError, Context, Exercised, Source};

use crate::cache::{Key, Unreadable};
use crate::client::{Database, Replica};
use crate::fault::Fault;
use crate::reads::REPLICA;
use crate::statement::{Rows, Statement};

impl Database {
    /// The primary has just answered with `rows`; without it, `earlier` would have been the answer, or what is on disk.
    pub(crate) fn exercise(
        &self,
        ctx: &Context,
        (key, statement): (Key, &Statement),
        rows: &Arc<Rows>,
        earlier: Option<Arc<Rows>>,
    ) {
        let guard = self.guard();
        guard.exercise(&Source::Cache, || {
            let (cache, rows) = (Arc::clone(&self.cache), Arc::clone(rows));
            async move {
                let kept = match earlier {
                    Some(earlier) => earlier,
                    None => match cache.examine(&key).await {
                        // Asked for the first time, or too large to be kept: nothing to compare.
                        Ok(found) => found?.0,
                        Err(Unreadable) => return Some(Exercised::Failed),
                    },
                };
                Some(compared(*kept == *rows))
            }
        });
        let Some(replica) = &self.replica else { return };
        guard.exercise(&Source::Replica, || {
            let (replica, rows) = (Arc::clone(replica), Arc::clone(rows));
            let (ctx, statement) = (*ctx, statement.clone());
            async move { ask(&replica, &ctx, &statement, &rows).await }
        });
    }
}

/// Nobody's work: in no other's place, and what the guard holds back says nothing of the replica.
async fn ask(
    replica: &Replica,
    ctx: &Context,
    statement: &Statement,
    rows: &Rows,
) -> Option<Exercised> {
    let Replica { guard, driver } = replica;
    let call = Call {
        deadline: guard.now() + REPLICA,
        instead_of: None,
        ..Call::new("read", ctx)
    };
    let work = async |attempt: Attempt| driver.read(&attempt, statement).await;
    match guard.call(call, |fault: &Fault| fault.verdict, work).await {
        Ok(found) => Some(compared(found == *rows)),
        Err(CallError::Rejected(_) | CallError::Busy { .. }) => None,
        Err(_) => Some(Exercised::Failed),
    }
}

/// Rows may also come in another order, or have been written since: whoever sees many of these should look.
fn compared(same: bool) -> Exercised {
    if same {
        Exercised::Agreed
    } else {
        Exercised::Differed
    }
}
