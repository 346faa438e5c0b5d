//! Removes the records of keys that count no longer, a few at a time and behind live traffic.

use std::time::Duration;

use mainstay_runtime::{Attempt, Call, CallerId, Context, Error};
use tokio_util::sync::CancellationToken;

use crate::client::Database;
use crate::ended::into_error;
use crate::fault::Fault;
use crate::statement::WriteMode;
use crate::write_mode::Primary;

/// Records removed by one statement.
const AT_ONCE: i64 = 1_000;
/// Longest and shortest time between two looks.
const EVERY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(600));
/// Longest time for one statement.
const PATIENCE: Duration = Duration::from_secs(5);

/// Looks from time to time, as long as the engine runs.
pub(crate) async fn run(database: Database, stop: CancellationToken) {
    let every = (database.kept.plain / 4).clamp(EVERY.0, EVERY.1);
    let clock = database.guard().clock();
    while stop.run_until_cancelled(clock.sleep(every)).await.is_some() {
        if database.write_mode() == WriteMode::Enabled
            && let Some(Err(error)) = stop.run_until_cancelled(database.purge_records()).await
        {
            tracing::warn!(dependency = "database", %error, "old records of idempotency keys were not removed");
        }
    }
}

impl Database {
    async fn purge_records(&self) -> Result<(), Error> {
        let Primary { guard, driver, .. } = &*self.primary;
        loop {
            let ctx = Context::new(CallerId::OURSELVES, guard.now() + PATIENCE);
            let purge =
                async |attempt: Attempt| driver.purge_records(&attempt, self.kept, AT_ONCE).await;
            let call = Call::new("purge", &ctx);
            let removed = guard.call(call, |fault: &Fault| fault.verdict, purge).await;
            if removed.map_err(into_error)? < AT_ONCE.unsigned_abs() {
                return Ok(());
            }
        }
    }
}
