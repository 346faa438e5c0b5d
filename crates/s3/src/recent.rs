//! Something of each key, of so many keys: past that, the one told of longest ago is forgotten.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Recent<V> {
    by_key: HashMap<Arc<str>, (u64, V)>,
    /// Every key of `by_key` by its turn, so the first is the oldest.
    by_turn: BTreeMap<u64, Arc<str>>,
}

impl<V> Recent<V> {
    /// The turn at which the key was told of, and what was told.
    pub(crate) fn get(&self, key: &str) -> Option<&(u64, V)> {
        self.by_key.get(key)
    }

    /// Of turns that only grow. Gives the turn of what it forgets.
    pub(crate) fn insert(&mut self, max: usize, turn: u64, key: &str, value: V) -> Option<u64> {
        self.remove(key);
        let is_full = self.by_key.len() >= max;
        let oldest = is_full.then(|| self.by_turn.pop_first()).flatten();
        if let Some((_, oldest)) = &oldest {
            self.by_key.remove(oldest);
        }
        let key = Arc::<str>::from(key);
        self.by_turn.insert(turn, Arc::clone(&key));
        self.by_key.insert(key, (turn, value));
        oldest.map(|(turn, _)| turn)
    }

    pub(crate) fn remove(&mut self, key: &str) -> Option<V> {
        let (turn, value) = self.by_key.remove(key)?;
        self.by_turn.remove(&turn);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn past_the_bound_only_the_key_told_of_longest_ago_is_forgotten() {
        let mut recent = Recent::default();
        for (turn, key) in ["a", "b", "c", "a"].into_iter().enumerate() {
            assert_eq!(recent.insert(3, turn as u64, key, turn), None, "{key}");
        }
        assert_eq!(recent.insert(3, 4, "d", 4), Some(1));
        let left = ["a", "b", "c", "d"].map(|key| recent.get(key).copied());
        assert_eq!(left, [Some((3, 3)), None, Some((2, 2)), Some((4, 4))]);
        assert_eq!((recent.by_key.len(), recent.by_turn.len()), (3, 3));
    }

    #[test]
    fn what_is_removed_leaves_its_place() {
        let mut recent = Recent::default();
        recent.insert(1, 0, "a", "one");
        assert_eq!(recent.remove("a"), Some("one"));
        assert_eq!(recent.remove("never"), None);
        assert!(recent.by_turn.is_empty());
        assert_eq!(recent.insert(1, 1, "b", "two"), None);
    }
}
