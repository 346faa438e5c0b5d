//! The ETags that the store has shown lately: what is known of a key when work on it is accepted.

use std::collections::HashMap;
use std::sync::Mutex;

/// Keys remembered at most. Past this all are forgotten: nothing is wrong without them, only less is known.
const MAX_KEYS: usize = 50_000;

/// The last ETag seen of each key.
#[derive(Debug, Default)]
pub(crate) struct Etags(Mutex<HashMap<String, String>>);

impl Etags {
    /// The store has shown this; none means that the object is gone, or that the store gives no ETags.
    pub(crate) fn saw(&self, key: &str, etag: Option<&str>) {
        let mut known = self.lock();
        let Some(etag) = etag else {
            known.remove(key);
            return;
        };
        if known.len() >= MAX_KEYS && !known.contains_key(key) {
            known.clear();
        }
        known.insert(key.to_owned(), etag.to_owned());
    }

    pub(crate) fn of(&self, key: &str) -> Option<String> {
        self.lock().get(key).cloned()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, String>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}
