//! Keys with work on its way into the journal: brought to disk, but not yet to be seen there.
//!
//! Whoever sent it may have left meanwhile. What is written to the key next must not go by the journal, or it would be
//! overwritten by what was sent before it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// How much is on its way, by key.
#[derive(Clone, Debug, Default)]
pub(crate) struct Arriving(Arc<Mutex<HashMap<String, usize>>>);

/// Something that is on its way, until it is dropped.
#[derive(Debug)]
pub(crate) struct Arrival {
    arriving: Arriving,
    key: String,
}

impl Arriving {
    pub(crate) fn hold(&self, key: &str) -> Arrival {
        *self.lock().entry(key.to_owned()).or_default() += 1;
        Arrival {
            arriving: self.clone(),
            key: key.to_owned(),
        }
    }

    pub(crate) fn has(&self, key: &str) -> bool {
        self.lock().contains_key(key)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        let mut keys = self.arriving.lock();
        if let Some(count) = keys.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                keys.remove(&self.key);
            }
        }
    }
}
