//! A connection on loan. It goes back to the pool clean, or it doesn't go back and its statement is cancelled on the server.

use std::time::Duration;

use deadpool_postgres::Object;
use mainstay_runtime::Clock;
use tokio::runtime::Handle;
use tokio_postgres::{CancelToken, Client};

use super::tls::Tls;

/// How long tidying or cancelling may take before the connection is given up.
const GRACE: Duration = Duration::from_secs(1);

/// Ends a read: its transaction, and what outlives one.
pub(super) const AFTER_READ: &str = "ROLLBACK; SELECT pg_advisory_unlock_all()";
/// Clears the session after a committed write.
pub(super) const AFTER_COMMIT: &str = "CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";
/// Ends a write's transaction that failed, and clears the session.
pub(super) const AFTER_FAILURE: &str = "ROLLBACK; CLOSE ALL; SET SESSION AUTHORIZATION DEFAULT; RESET ALL; UNLISTEN *; \
    SELECT pg_advisory_unlock_all(); DISCARD TEMP; DISCARD SEQUENCES";

pub(super) struct Lease {
    object: Option<Object>,
    cancel: CancelToken,
    tls: Tls,
    clock: Clock,
}

impl Lease {
    pub(super) fn new(object: Object, tls: Tls, clock: Clock) -> Self {
        Self {
            cancel: object.cancel_token(),
            object: Some(object),
            tls,
            clock,
        }
    }

    pub(super) fn client(&self) -> &Client {
        self.object
            .as_ref()
            .expect("only the methods that consume the lease take the connection")
    }

    /// Gives the connection back as it is.
    pub(super) fn give_back(mut self) {
        drop(self.object.take());
    }

    /// Gives the connection back once `tidy` has run, while the caller already has its answer.
    pub(super) fn give_back_after(self, tidy: &'static str) {
        let clock = self.clock;
        tokio::spawn(async move {
            let tidied = clock
                .until(clock.now() + GRACE, self.client().batch_execute(tidy))
                .await;
            if matches!(tidied, Ok(Ok(()))) {
                self.give_back();
            }
        });
    }
}

impl Drop for Lease {
    /// The attempt was abandoned: its statement must not run on, and the connection's state is unknown.
    fn drop(&mut self) {
        let (Some(object), Ok(handle)) = (self.object.take(), Handle::try_current()) else {
            return;
        };
        let client = Object::take(object);
        if client.is_closed() {
            return;
        }
        let (cancel, tls, clock) = (self.cancel.clone(), self.tls.clone(), self.clock);
        handle.spawn(async move {
            let _ = clock
                .until(clock.now() + GRACE, cancel.cancel_query(tls))
                .await;
            // Kept until here, so that the server has nobody else's statement under this number.
            drop(client);
        });
    }
}
