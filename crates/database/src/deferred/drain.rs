//! Runs what waits, oldest first and one at a time, behind live traffic.

use std::sync::Arc;
use std::time::Duration;

use mainstay_breaker::State;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::Deferred;
use super::carry::{Refusals, carry};
use super::news::News;
use crate::client::Database;
use crate::statement::WriteMode;

/// How often the drain looks whether the database takes writes again.
const LOOK: Duration = Duration::from_millis(100);
/// How long it waits for work before it looks by itself.
const IDLE: Duration = Duration::from_secs(5);
/// Smallest share of the full rate: a level can slow the drain down, not stop it.
const LEAST_SHARE: f64 = 0.05;

pub(crate) async fn run(
    database: Database,
    deferred: Arc<Deferred>,
    stop: CancellationToken,
    share: watch::Receiver<f64>,
) {
    let mut news = News::default();
    // What is under way when the engine stops returns to the queue.
    stop.run_until_cancelled(work(&database, &deferred, share, &mut news))
        .await;
    news.tell(database.guard());
}

async fn work(
    database: &Database,
    deferred: &Deferred,
    share: watch::Receiver<f64>,
    news: &mut News,
) {
    let clock = database.guard().clock();
    let mut claimable = deferred.journal.claimable();
    let mut refusals = Refusals::default();
    loop {
        let is_usable = database.guard().state() == State::Closed
            && database.write_mode() == WriteMode::Enabled;
        if !is_usable {
            news.tell(database.guard());
            clock.sleep(LOOK).await;
            continue;
        }
        claimable.mark_unchanged();
        let Some(claimed) = deferred.next() else {
            news.tell(database.guard());
            let _ = clock.until(clock.now() + IDLE, claimable.changed()).await;
            continue;
        };
        let started = clock.now();
        let pause = carry(database, deferred, claimed, &mut refusals, news).await;
        if !pause.is_zero() {
            // What is in the way may be there for long.
            news.tell(database.guard());
        }
        let took = clock.now().saturating_since(started);
        let behind = rest(took, *share.borrow());
        clock.sleep(pause.max(behind)).await;
    }
}

/// How long to leave the database to others after a write, so that the drain has this share of the time.
fn rest(took: Duration, share: f64) -> Duration {
    took.mul_f64(1.0 / share.clamp(LEAST_SHARE, 1.0) - 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drain_has_the_share_of_the_time_that_the_batch_multiplier_gives_it() {
        let took = Duration::from_millis(100);
        for (multiplier, share) in [(1.0, 1.0), (0.8, 0.8), (0.5, 0.5), (0.1, 0.1), (0.0, 0.05)] {
            let turn = took + rest(took, multiplier);
            let had = took.as_secs_f64() / turn.as_secs_f64();
            assert!((had - share).abs() < 1e-6, "{multiplier}: {had}");
        }
    }
}
