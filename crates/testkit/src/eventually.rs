//! Waiting for a condition: the only place in tests that sleeps.
//!
//! Sleeps follow tokio's clock, so a test under a paused clock advances it and never really waits.

#![allow(
    clippy::disallowed_methods,
    reason = "tests that talk to real servers have to wait in real time somewhere: here, and nowhere else"
)]

use std::time::Duration;

use tokio::time::{Instant, sleep};

const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(50);

/// Waits until `condition` answers true.
///
/// # Panics
/// When `deadline` passes first; the message names `what`.
///
/// ```
/// # tokio_test();
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn tokio_test() {
/// use std::time::Duration;
/// let mut polls = 0;
/// mainstay_testkit::eventually(Duration::from_secs(1), "three polls", async || {
///     polls += 1;
///     polls == 3
/// })
/// .await;
/// # }
/// ```
pub async fn eventually(deadline: Duration, what: &str, mut condition: impl AsyncFnMut() -> bool) {
    eventually_some(deadline, what, async || condition().await.then_some(())).await;
}

/// Waits until `attempt` answers `Some`, and returns what it holds.
///
/// # Panics
/// When `deadline` passes first; the message names `what`.
pub async fn eventually_some<T>(
    deadline: Duration,
    what: &str,
    mut attempt: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + deadline;
    let mut pause = FIRST_PAUSE;
    loop {
        // An attempt that hangs must not outlive the deadline: hangs are what these tests look for.
        match tokio::time::timeout_at(end, attempt()).await {
            Ok(Some(value)) => return value,
            Ok(None) if Instant::now() < end => sleep(pause).await,
            Ok(None) => panic!("waited {deadline:?} in vain for: {what}"),
            Err(_) => panic!("waited {deadline:?} in vain (the last attempt hung) for: {what}"),
        }
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Sleeps. For the proxy and the test servers, whose slowness is their purpose; a test waits with [`eventually`].
#[doc(hidden)]
pub async fn pause(duration: Duration) {
    sleep(duration).await;
}
