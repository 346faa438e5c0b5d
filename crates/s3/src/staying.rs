//! Writes with an idempotency key, whose callers may leave: what is at the store by then goes on to its end, so that the key
//! is held until then and the outcome is kept.
//!
//! Nothing else does. What was not sent yet, is to be sent once more, or is to be accepted for later would come after what
//! the caller, or anybody, has written to the key since, and overwrite it.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::task::Poll;

use futures_util::future::poll_fn;
use futures_util::task::AtomicWaker;
use tracing::Instrument;

use crate::arriving::{Arrival, Arriving};
use crate::key::Key;

tokio::task_local! {
    static STAY: Arc<Stay>;
}

/// A write and its caller.
#[derive(Default)]
struct Stay {
    left: AtomicBool,
    /// An attempt is at the store, or the store has taken it.
    at_store: AtomicBool,
    wakes: AtomicWaker,
    /// From when the caller has left until the write has ended.
    held: Mutex<Option<Arrival>>,
}

/// Tells that the caller has left. What is written to the key until then waits for the end of what is at the store.
struct Caller {
    stay: Arc<Stay>,
    staying: Arriving,
    key: Key,
    /// It has stayed.
    has_heard: bool,
}

impl Drop for Caller {
    fn drop(&mut self) {
        if self.has_heard {
            return;
        }
        let held = self.staying.hold(self.key.as_str());
        *self
            .stay
            .held
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = Some(held);
        self.stay.left.store(true, Ordering::Release);
        self.stay.wakes.wake();
    }
}

impl Stay {
    fn is_alone(&self) -> bool {
        self.left.load(Ordering::Acquire)
    }

    fn is_over(&self) -> bool {
        self.is_alone() && !self.at_store.load(Ordering::Acquire)
    }
}

/// An attempt at the store. Dropped before the store [has taken it](Self::has_taken_it), it has failed or was given up.
pub(crate) struct AtStore(Option<Arc<Stay>>);

impl AtStore {
    /// The store has taken it: what is left is to keep its outcome.
    pub(crate) fn has_taken_it(mut self) {
        self.0 = None;
    }
}

impl Drop for AtStore {
    fn drop(&mut self) {
        if let Some(stay) = &self.0 {
            stay.at_store.store(false, Ordering::Release);
        }
    }
}

/// Begins an attempt. Never, where the caller has left: the write is over then.
pub(crate) async fn go() -> AtStore {
    let stay = STAY.try_with(Arc::clone).ok();
    if let Some(stay) = &stay {
        if stay.is_alone() {
            std::future::pending::<()>().await;
        }
        stay.at_store.store(true, Ordering::Release);
    }
    AtStore(stay)
}

/// Whether the caller of the write that runs here has left.
pub(crate) fn is_alone() -> bool {
    STAY.try_with(|stay| stay.is_alone()).unwrap_or(false)
}

/// Carries a write out; one of a `staying` key goes on when its caller leaves while it is at the store. `lost` is how one
/// ends that the end of the runtime takes along.
pub(crate) fn to_the_end<T: Send + 'static>(
    staying: Option<(Arriving, Key)>,
    write: impl Future<Output = T> + Send + 'static,
    lost: impl FnOnce() -> T + Send,
) -> impl Future<Output = T> + Send {
    // So that who awaits it isn't as large as all that it does.
    let write = Box::pin(write);
    async move {
        let Some((staying, key)) = staying else {
            return write.await;
        };
        let stay = Arc::new(Stay::default());
        let mut caller = Caller {
            stay: Arc::clone(&stay),
            staying,
            key,
            has_heard: false,
        };
        let write = STAY.scope(Arc::clone(&stay), until_over(stay, write));
        let done = tokio::spawn(write.in_current_span()).await;
        caller.has_heard = true;
        done.ok().flatten().unwrap_or_else(lost)
    }
}

/// The write's end; none where its caller leaves at a time when nothing is at the store.
async fn until_over<T>(stay: Arc<Stay>, write: impl Future<Output = T>) -> Option<T> {
    let mut write = pin!(write);
    poll_fn(|cx| {
        stay.wakes.register(cx.waker());
        if stay.is_over() {
            return Poll::Ready(None);
        }
        let polled = write.as_mut().poll(cx).map(Some);
        // An attempt may just have failed.
        match polled.is_pending() && stay.is_over() {
            true => Poll::Ready(None),
            false => polled,
        }
    })
    .await
}
