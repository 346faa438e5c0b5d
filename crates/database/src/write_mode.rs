//! Read-only mode: set at once when the server says so, ended by a check on a new connection.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use mainstay_breaker::{Mode, State};
use mainstay_runtime::Guard;

use crate::driver::Driver;
use crate::statement::WriteMode;

/// Between two checks whether writes are taken again, and what callers are told to wait.
pub(crate) const CHECK_EVERY: Duration = Duration::from_secs(1);

/// The primary as far as writes go.
pub(crate) struct Primary {
    pub(crate) guard: Guard,
    pub(crate) driver: Driver,
    /// The server has refused a write as such (25006), and no check has found otherwise since.
    refuses_writes: AtomicBool,
    /// How many writes have ended: a read that began before one can't be shared with whoever comes after it.
    pub(crate) writes: AtomicU64,
    /// Whether the last read failed.
    pub(crate) failed_last: AtomicBool,
}

impl Primary {
    pub(crate) fn new(guard: Guard, driver: Driver) -> Self {
        Self {
            guard,
            driver,
            refuses_writes: AtomicBool::new(false),
            writes: AtomicU64::new(0),
            failed_last: AtomicBool::new(false),
        }
    }

    /// Read-only unless the breaker is closed and the server takes writes. A breaker in shadow mode rejects nothing.
    pub(crate) fn write_mode(&self) -> WriteMode {
        let breaker = self.guard.snapshot();
        let rejects = breaker.state != State::Closed && breaker.mode != Mode::Shadow;
        match rejects || self.refuses_writes.load(Ordering::Relaxed) {
            true => WriteMode::ReadOnly,
            false => WriteMode::Enabled,
        }
    }

    /// The server takes no writes. A task ends this when it does again; it ends with the primary, too.
    pub(crate) fn set_read_only(self: &Arc<Self>) {
        if !self.refuses_writes.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                dependency = "database",
                "the server takes no writes: read-only mode"
            );
            tokio::spawn(watch(Arc::downgrade(self)));
        }
    }

    /// When to try a write again.
    pub(crate) fn retry_after(&self) -> Duration {
        self.guard.retry_after().unwrap_or(CHECK_EVERY)
    }

    async fn takes_writes(&self) -> bool {
        let clock = self.guard.clock();
        let checked = clock
            .until(clock.now() + CHECK_EVERY, self.driver.probe_anew())
            .await;
        matches!(checked, Ok(Ok(false)))
    }
}

async fn watch(primary: Weak<Primary>) {
    while let Some(primary) = primary.upgrade() {
        if primary.takes_writes().await {
            // Connections opened under the old setting keep it for life.
            primary.driver.close_idle();
            primary.refuses_writes.store(false, Ordering::Relaxed);
            tracing::info!(dependency = "database", "the server takes writes again");
            return;
        }
        let clock = primary.guard.clock();
        drop(primary);
        clock.sleep(CHECK_EVERY).await;
    }
}
