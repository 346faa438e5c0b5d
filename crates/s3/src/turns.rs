//! What comes after what: of questions to the store and of what happens to a key here. No clock tells as much.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::recent::Recent;

/// Numbers that only grow, one to each thing that is asked or happens.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<AtomicU64>);

/// When the store was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Asked(pub(crate) u64);

/// When something has last happened to each key, of so many keys. To any other it may have happened when it did to the
/// one that was forgotten last.
#[derive(Debug, Default)]
pub(crate) struct Lately {
    keys: Recent<()>,
    forgotten: Option<u64>,
}

impl Turns {
    pub(crate) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }

    /// For what is asked now.
    pub(crate) fn asked(&self) -> Asked {
        Asked(self.next())
    }
}

impl Lately {
    /// It happens to this key, in a turn later than all before.
    pub(crate) fn tell(&mut self, max: usize, turn: u64, key: &str) {
        let forgotten = self.keys.insert(max, turn, key, ());
        self.forgotten = forgotten.or(self.forgotten);
    }

    /// Whether it may have happened since then.
    pub(crate) fn may_follow(&self, asked: Asked, key: &str) -> bool {
        let told = self.keys.get(key).map(|(turn, ())| *turn);
        told.max(self.forgotten).is_some_and(|turn| turn > asked.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_have_happened_since_a_question_is_never_denied() {
        let (turns, mut lately) = (Turns::default(), Lately::default());
        let before = turns.asked();
        lately.tell(2, turns.next(), "a");
        let after = turns.asked();
        assert!(lately.may_follow(before, "a"));
        assert!(!lately.may_follow(before, "b"));
        assert!(!lately.may_follow(after, "a"));
        lately.tell(2, turns.next(), "b");
        lately.tell(2, turns.next(), "c");
        // Of which key it was, nobody knows any more.
        for key in ["a", "b", "never"] {
            assert!(lately.may_follow(before, key), "{key}");
        }
        assert!(!lately.may_follow(after, "a"));
        assert!(lately.may_follow(after, "b"));
    }
}
