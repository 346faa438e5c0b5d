//! The only file that reads time.
//!
//! Decisions elsewhere take `now` as a value. Durations and deadlines use the monotonic [`Moment`], which
//! follows tokio's clock, so a paused test clock moves it; what must outlive the process uses wall time.
#![allow(clippy::disallowed_methods)]

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use jiff::Timestamp;
use mainstay_breaker::Moment;
use tokio::task::coop::unconstrained;
use tokio::time::Instant;

/// Reads monotonic and wall time. Cheap to copy.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
    /// The wall clock at the origin.
    begun: Timestamp,
}

/// The deadline passed before the future was ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("deadline elapsed")]
pub struct Elapsed;

/// How far before "now" the origin lies: so far that an outage that began long before the start has its moment.
const HEAD_START: Duration = Duration::from_secs(400 * 86_400);

impl Clock {
    /// A clock whose first moment lies long after its origin.
    pub fn start() -> Self {
        Self {
            origin: Instant::now(),
            begun: Timestamp::now(),
        }
    }

    /// Nanoseconds since the clock's origin, monotonic.
    pub fn now(&self) -> Moment {
        let elapsed = self.origin.elapsed() + HEAD_START;
        Moment::from_nanos(u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX))
    }

    /// Wall-clock time, for people and for what other machines compare. It may jump.
    pub fn wall(&self) -> Timestamp {
        Timestamp::now()
    }

    /// The wall time that belongs to a moment, as far as both clocks agree now.
    pub fn wall_of(&self, moment: Moment) -> Timestamp {
        let (now, wall) = (self.now(), self.wall());
        let past = now.saturating_since(moment);
        let ahead = moment.saturating_since(now);
        wall.checked_sub(past)
            .and_then(|t| t.checked_add(ahead))
            .unwrap_or(wall)
    }

    /// Wall-clock time as it was when the clock began, and what has passed since: for durable ages and expiries. The wall
    /// clock may be set back and forth while the process runs; nothing grows old, young or void by it.
    pub fn steady(&self) -> Timestamp {
        self.steady_of(self.now())
    }

    /// The steady time of a moment.
    pub fn steady_of(&self, moment: Moment) -> Timestamp {
        let passed = Duration::from_nanos(moment.as_nanos());
        let at = self
            .begun
            .checked_add(passed)
            .and_then(|t| t.checked_sub(HEAD_START));
        at.unwrap_or(self.begun)
    }

    /// Waits until the moment has come.
    pub async fn sleep_until(&self, moment: Moment) {
        tokio::time::sleep_until(self.instant(moment)).await;
    }

    /// Waits for the duration.
    pub async fn sleep(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }

    /// Runs the future until it is ready or the moment has come.
    ///
    /// # Errors
    /// [`Elapsed`] when the moment came first; the future is dropped then.
    pub async fn until<F: Future>(&self, moment: Moment, future: F) -> Result<F::Output, Elapsed> {
        let mut future = pin!(future);
        // Made only when the future has to be waited for. Unconstrained: a future that always has something to do
        // must not starve its own deadline.
        let mut timer = pin!(None);
        poll_fn(|cx| {
            if let Poll::Ready(output) = future.as_mut().poll(cx) {
                return Poll::Ready(Ok(output));
            }
            if timer.is_none() {
                let sleep = tokio::time::sleep_until(self.instant(moment));
                timer.set(Some(unconstrained(sleep)));
            }
            let timer = timer.as_mut().as_pin_mut();
            timer.map_or(Poll::Pending, |timer| timer.poll(cx).map(|()| Err(Elapsed)))
        })
        .await
    }

    fn instant(&self, moment: Moment) -> Instant {
        let offset = Duration::from_nanos(moment.as_nanos()).saturating_sub(HEAD_START);
        self.origin
            .checked_add(offset)
            .unwrap_or_else(|| self.origin + Duration::from_secs(86_400 * 365))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn steady_time_begins_with_the_wall_clock_and_follows_the_monotonic_one() {
        let before = Timestamp::now();
        let clock = Clock::start();
        let after = Timestamp::now();
        let (first, moment) = (clock.steady(), clock.now());
        assert!((before..=after).contains(&first), "{first}");
        let day = Duration::from_secs(86_400);
        clock.sleep(day).await;
        assert_eq!(clock.steady().duration_since(first).unsigned_abs(), day);
        assert_eq!(clock.steady_of(moment), first);
    }
}
