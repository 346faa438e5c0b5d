//! The bounded stream of what happened: a ring to replay from, live subscriptions, and a count of what was dropped.
//!
//! A slow subscriber loses events, never slows the monitor, and is told how many it lost.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use serde::Serialize;
use tokio::sync::broadcast;

/// Events kept for replay.
const RING: usize = 1024;
/// Events a live subscriber may lag behind before it loses the oldest.
const LIVE: usize = 256;

/// One thing that happened, in a form that can leave the process.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct EventRecord {
    /// Grows by one with every event; starts anew with the process.
    pub id: u64,
    /// Wall-clock time.
    pub at: Timestamp,
    /// A word from a closed set, e.g. `level_changed`.
    pub kind: &'static str,
    /// One English sentence.
    pub message: String,
    /// The same as data.
    pub data: serde_json::Value,
}

/// Where the monitor writes and readers subscribe.
#[derive(Debug)]
pub struct EventLog {
    ring: Mutex<Ring>,
    live: broadcast::Sender<EventRecord>,
    dropped: AtomicU64,
}

#[derive(Debug)]
struct Ring {
    next_id: u64,
    records: VecDeque<EventRecord>,
}

/// A reader: first what it missed, then what happens.
#[derive(Debug)]
pub struct Subscription {
    /// Events after the last one seen that the ring has given up.
    lost: u64,
    backlog: VecDeque<EventRecord>,
    live: broadcast::Receiver<EventRecord>,
}

/// What a subscription yields.
#[derive(Clone, Debug, PartialEq)]
pub enum Delivery {
    /// The next event.
    Event(EventRecord),
    /// So many events were dropped because the reader was too slow, or away for too long.
    Lost(u64),
}

impl Default for EventLog {
    fn default() -> Self {
        Self {
            ring: Mutex::new(Ring {
                next_id: 1,
                records: VecDeque::with_capacity(RING),
            }),
            live: broadcast::channel(LIVE).0,
            dropped: AtomicU64::new(0),
        }
    }
}

impl EventLog {
    /// Appends an event and hands it to whoever listens.
    pub fn push(
        &self,
        at: Timestamp,
        kind: &'static str,
        message: String,
        data: serde_json::Value,
    ) {
        let mut ring = self.lock();
        let record = EventRecord {
            id: ring.next_id,
            at,
            kind,
            message,
            data,
        };
        ring.next_id += 1;
        if ring.records.len() == RING {
            ring.records.pop_front();
        }
        ring.records.push_back(record.clone());
        // Under the lock, so that readers get events in order; it only wakes them. No reader is no loss: the ring
        // keeps it.
        let _ = self.live.send(record);
    }

    /// The newest `limit` events, oldest first.
    pub fn recent(&self, limit: usize) -> Vec<EventRecord> {
        let ring = self.lock();
        let skip = ring.records.len().saturating_sub(limit);
        ring.records.iter().skip(skip).cloned().collect()
    }

    /// Listens from now on, after a replay of what is kept after the event `last_seen`. An id that this process has
    /// not given yet is an earlier process's: everything kept is replayed.
    pub fn subscribe(&self, last_seen: Option<u64>) -> Subscription {
        let ring = self.lock();
        let newest = ring.next_id - 1;
        let last = match last_seen {
            Some(last) if last <= newest => last,
            Some(_) => 0,
            None => newest,
        };
        let missed = ring.records.iter().filter(|record| record.id > last);
        let backlog: VecDeque<_> = missed.cloned().collect();
        Subscription {
            lost: (newest - last) - backlog.len() as u64,
            backlog,
            live: self.live.subscribe(),
        }
    }

    /// How many events slow subscribers have lost since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// The next delivery for this subscription; `None` when the log is gone.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub async fn next(&self, subscription: &mut Subscription) -> Option<Delivery> {
        if subscription.lost > 0 {
            return Some(Delivery::Lost(std::mem::take(&mut subscription.lost)));
        }
        if let Some(record) = subscription.backlog.pop_front() {
            return Some(Delivery::Event(record));
        }
        match subscription.live.recv().await {
            Ok(record) => Some(Delivery::Event(record)),
            Err(broadcast::error::RecvError::Lagged(count)) => {
                self.dropped.fetch_add(count, Ordering::Relaxed);
                Some(Delivery::Lost(count))
            }
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Ring> {
        // Nothing panics while the lock is held.
        self.ring.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(log: &EventLog, n: usize) {
        for i in 0..n {
            log.push(
                Timestamp::UNIX_EPOCH,
                "test",
                format!("{i}"),
                serde_json::Value::Null,
            );
        }
    }

    #[tokio::test]
    async fn a_reader_that_comes_back_gets_what_it_missed_once() {
        let log = EventLog::default();
        push(&log, 3);
        let mut reader = log.subscribe(Some(1));
        push(&log, 1);
        let mut ids = Vec::new();
        for _ in 0..3 {
            if let Some(Delivery::Event(e)) = log.next(&mut reader).await {
                ids.push(e.id);
            }
        }
        assert_eq!(ids, [2, 3, 4]);
    }

    #[tokio::test]
    async fn a_slow_reader_is_told_how_many_events_it_lost() {
        let log = EventLog::default();
        let mut reader = log.subscribe(None);
        push(&log, LIVE + 10);
        assert_eq!(log.next(&mut reader).await, Some(Delivery::Lost(10)));
        assert_eq!(log.dropped(), 10);
    }

    #[tokio::test]
    async fn a_reader_that_was_away_too_long_is_told_what_the_ring_gave_up() {
        let log = EventLog::default();
        push(&log, RING + 5);
        let mut reader = log.subscribe(Some(2));
        assert_eq!(log.next(&mut reader).await, Some(Delivery::Lost(3)));
        let next = log.next(&mut reader).await;
        assert!(matches!(next, Some(Delivery::Event(e)) if e.id == 6));
    }

    #[tokio::test]
    async fn an_id_of_an_earlier_process_replays_everything() {
        let log = EventLog::default();
        push(&log, 2);
        let mut reader = log.subscribe(Some(900));
        let next = log.next(&mut reader).await;
        assert!(matches!(next, Some(Delivery::Event(e)) if e.id == 1));
    }

    #[test]
    fn the_ring_is_bounded() {
        let log = EventLog::default();
        push(&log, RING + 5);
        let recent = log.recent(usize::MAX);
        assert_eq!((recent.len(), recent[0].id), (RING, 6));
    }
}
