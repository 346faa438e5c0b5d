//! The ETags that the store has shown lately: what is known of a key when work on it is accepted.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex};

/// Keys remembered at most. Past this the one seen longest ago is forgotten: nothing is wrong without it, only less is
/// known.
const MAX_KEYS: usize = 50_000;

/// The last ETag seen of each key.
#[derive(Debug, Default)]
pub(crate) struct Etags(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_key: HashMap<Arc<str>, Seen>,
    /// Every key of `by_key` by its turn, so the first is the oldest.
    by_turn: BTreeMap<u64, Arc<str>>,
    next_turn: u64,
}

#[derive(Debug)]
struct Seen {
    etag: String,
    turn: u64,
}

impl Etags {
    /// The store has shown this; none means that the object is gone, or that the store gives no ETags.
    pub(crate) fn saw(&self, key: &str, etag: Option<&str>) {
        let mut known = self.lock();
        known.forget(key);
        if let Some(etag) = etag {
            known.remember(key, etag);
        }
    }

    pub(crate) fn of(&self, key: &str) -> Option<String> {
        self.lock().by_key.get(key).map(|seen| seen.etag.clone())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Known {
    fn forget(&mut self, key: &str) {
        if let Some(seen) = self.by_key.remove(key) {
            self.by_turn.remove(&seen.turn);
        }
    }

    fn remember(&mut self, key: &str, etag: &str) {
        if self.by_key.len() >= MAX_KEYS
            && let Some((_, oldest)) = self.by_turn.pop_first()
        {
            self.by_key.remove(&oldest);
        }
        let (key, turn) = (Arc::<str>::from(key), self.next_turn);
        self.next_turn += 1;
        self.by_turn.insert(turn, Arc::clone(&key));
        let etag = etag.to_owned();
        self.by_key.insert(key, Seen { etag, turn });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_only_the_key_seen_longest_ago_is_forgotten() {
        let etags = Etags::default();
        for at in 0..MAX_KEYS {
            etags.saw(&at.to_string(), Some("first"));
        }
        etags.saw("0", Some("again"));
        etags.saw("one more", Some("first"));
        assert_eq!(etags.of("1"), None);
        assert_eq!(etags.of("0").as_deref(), Some("again"));
        assert_eq!(etags.of("one more").as_deref(), Some("first"));
        let left = (2..MAX_KEYS).filter(|at| etags.of(&at.to_string()).is_some());
        assert_eq!(left.count(), MAX_KEYS - 2);
        let known = etags.lock();
        assert_eq!(
            (known.by_key.len(), known.by_turn.len()),
            (MAX_KEYS, MAX_KEYS)
        );
    }

    #[test]
    fn what_is_gone_is_forgotten_and_leaves_its_place() {
        let etags = Etags::default();
        etags.saw("a", Some("one"));
        etags.saw("a", None);
        etags.saw("never", None);
        assert_eq!(etags.of("a"), None);
        assert!(etags.lock().by_turn.is_empty());
    }
}
