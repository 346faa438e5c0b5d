//! Canaries: fallbacks that no read goes through (a queue of writes, another company's model) are tried with something
//! of our own, about once an hour, while all is well.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::exercise::Exercises;
use crate::fallbacks::Exercised;

/// How often it is asked whether one is due.
const LOOK: Duration = Duration::from_secs(5);
/// Pause after one that found out nothing; twice as long after each further one, up to [`LATER`].
const SOON: Duration = Duration::from_secs(30);
/// Pause after one that shows that the fallback does not work.
const LATER: Duration = Duration::from_secs(300);
/// Longest time one may take.
const PATIENCE: Duration = Duration::from_secs(300);

/// Ends with what was found out; `None`: this was no time for it.
pub(crate) type Flight = Pin<Box<dyn Future<Output = Option<Exercised>> + Send>>;

/// Sets off one flight.
pub(crate) type Launch = Box<dyn Fn() -> Flight + Send + Sync>;

/// A way to be tried.
pub(crate) struct Canary {
    exercises: Arc<Exercises>,
    way: String,
    launch: Launch,
}

impl std::fmt::Debug for Canary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Canary")
            .field("way", &self.way)
            .finish_non_exhaustive()
    }
}

impl Canary {
    pub(crate) fn new(exercises: Arc<Exercises>, way: String, launch: Launch) -> Self {
        Self {
            exercises,
            way,
            launch,
        }
    }

    /// Lets one go whenever it is due, until the engine stops.
    pub(crate) async fn run(self, clock: Clock, stop: CancellationToken) {
        let work = async {
            let (mut pause, mut in_vain) = (LOOK, 0);
            loop {
                clock.sleep(pause).await;
                pause = LOOK;
                if self.is_due(clock) {
                    let after = self.fly(clock).await;
                    in_vain = after.map_or(in_vain + 1, |_| 0);
                    pause = after.unwrap_or_else(|| longer(in_vain));
                }
            }
        };
        // What it leaves behind is for the next one, or the adapter's next start, to remove.
        stop.run_until_cancelled(work).await;
    }

    fn is_due(&self, clock: Clock) -> bool {
        let fallbacks = &self.exercises.fallbacks;
        self.exercises.is_allowed(clock) && fallbacks.is_seldom(&self.way, clock.now())
    }

    /// One of them, and the pause after it; `None`: it found out nothing.
    async fn fly(&self, clock: Clock) -> Option<Duration> {
        let until = clock.now() + PATIENCE;
        let ended = match clock.until(until, (self.launch)()).await {
            Ok(None) => return None,
            Ok(Some(ended)) => ended,
            Err(_elapsed) => Exercised::Failed,
        };
        let fallbacks = &self.exercises.fallbacks;
        fallbacks.note_canary(&self.way, ended, clock);
        if ended != Exercised::Agreed {
            let (dependency, way) = (&fallbacks.dependency, &self.way);
            let result = ended.as_str();
            tracing::warn!(dependency, way, result, "a fallback does not work");
        }
        Some(match ended {
            Exercised::Agreed | Exercised::Used => LOOK,
            Exercised::Differed | Exercised::Failed => LATER,
        })
    }
}

/// The pause after so many in a row that found out nothing.
fn longer(in_vain: u32) -> Duration {
    let factor = 1 << in_vain.saturating_sub(1).min(8);
    (SOON * factor).min(LATER)
}
