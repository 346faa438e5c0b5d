//! What waits for one receiver: bounded, the oldest goes first when there is no room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use tokio::sync::Notify;

/// One thing to tell.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Payload {
    pub(super) delivery: String,
    pub(super) kind: &'static str,
    pub(super) body: String,
}

pub(super) struct Queue {
    most: usize,
    waiting: Mutex<VecDeque<Arc<Payload>>>,
    dropped: AtomicU64,
    pushed: Notify,
}

impl Queue {
    pub(super) fn new(most: usize) -> Self {
        Self {
            most: most.max(1),
            waiting: Mutex::default(),
            dropped: AtomicU64::default(),
            pushed: Notify::new(),
        }
    }

    pub(super) fn push(&self, payload: &Arc<Payload>) {
        let mut waiting = self.lock();
        if waiting.len() >= self.most {
            // What is newer matters more: an alert that is over, rather than that it began.
            waiting.pop_front();
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        waiting.push_back(Arc::clone(payload));
        drop(waiting);
        self.pushed.notify_one();
    }

    /// Takes the oldest out.
    ///
    /// # Cancel safety
    /// Nothing is lost when the future is dropped.
    pub(super) async fn next(&self) -> Arc<Payload> {
        loop {
            let pushed = self.pushed.notified();
            if let Some(oldest) = self.lock().pop_front() {
                return oldest;
            }
            pushed.await;
        }
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, VecDeque<Arc<Payload>>> {
        // Nothing panics while the lock is held.
        self.waiting.lock().unwrap_or_else(|e| e.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn payload(n: u32) -> Arc<Payload> {
        Arc::new(Payload {
            delivery: n.to_string(),
            kind: "test",
            body: String::new(),
        })
    }

    #[tokio::test]
    async fn without_room_the_oldest_is_dropped_and_counted() {
        let queue = Queue::new(2);
        let all: Vec<_> = (0..5).map(payload).collect();
        all.iter().for_each(|one| queue.push(one));
        assert_eq!((queue.len(), queue.dropped()), (2, 3));
        assert_eq!(queue.next().await, all[3]);
        assert_eq!(queue.next().await, all[4]);
        assert_eq!((queue.len(), queue.dropped()), (0, 3));
    }
}
