//! Which copies there are, which of them goes first, and what may not become one any more.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use super::CopyInfo;
use crate::turns::{Asked, Lately, Turns};

/// What a file takes on most disks is a multiple of this, in bytes.
const BLOCK: u64 = 4096;
/// Changes remembered at most: past that, what was asked before the one forgotten last is not kept, of any key.
const MAX_CHANGED: usize = 10_000;

#[derive(Debug)]
pub(super) struct Index {
    by_key: HashMap<Arc<str>, Slot>,
    /// Every key of `by_key` by when it was used, so the first is the one used least recently.
    by_turn: BTreeMap<u64, Arc<str>>,
    bytes: u64,
    turn: u64,
    /// When work of ours on a key has last ended, or it was found to be gone.
    changed: Lately,
    turns: Turns,
}

#[derive(Debug)]
struct Slot {
    info: CopyInfo,
    /// When the store was asked for it; nothing in this process for one of an earlier.
    asked: Option<Asked>,
    used: u64,
}

/// What a copy takes of the disk: its content, and the description beside it. Small ones would otherwise be too many,
/// for the disk and for this index.
pub(super) fn room(content: u64) -> u64 {
    content.next_multiple_of(BLOCK) + BLOCK
}

impl Index {
    pub(super) fn new(turns: Turns) -> Self {
        Self {
            by_key: HashMap::new(),
            by_turn: BTreeMap::new(),
            bytes: 0,
            turn: 0,
            changed: Lately::default(),
            turns,
        }
    }

    pub(super) fn has(&self, key: &str) -> bool {
        self.by_key.contains_key(key)
    }

    pub(super) fn infos(&self) -> impl Iterator<Item = &CopyInfo> {
        self.by_key.values().map(|slot| &slot.info)
    }

    /// What was asked of this key before now is no copy of it any more. Gives when that is.
    pub(super) fn changed(&mut self, key: &str) -> Asked {
        let now = self.turns.asked();
        self.changed.tell(MAX_CHANGED, now.0, key);
        now
    }

    /// Whether the key may have changed since then.
    pub(super) fn has_changed(&self, asked: Asked, key: &str) -> bool {
        self.changed.may_follow(asked, key)
    }

    /// Whether what was asked then is no copy of the key, or an older one than there is.
    pub(super) fn outdates(&self, asked: Asked, key: &str) -> bool {
        let is_older = |slot: &Slot| slot.asked > Some(asked);
        self.has_changed(asked, key) || self.by_key.get(key).is_some_and(is_older)
    }

    pub(super) fn insert(&mut self, info: CopyInfo, asked: Option<Asked>) {
        self.remove(&info.key);
        self.bytes += room(info.size);
        let (key, used) = (Arc::<str>::from(info.key.as_str()), self.next_turn());
        self.by_turn.insert(used, Arc::clone(&key));
        self.by_key.insert(key, Slot { info, asked, used });
    }

    pub(super) fn used(&mut self, key: &str) -> Option<CopyInfo> {
        let turn = self.next_turn();
        let slot = self.by_key.get_mut(key)?;
        let before = std::mem::replace(&mut slot.used, turn);
        if let Some(key) = self.by_turn.remove(&before) {
            self.by_turn.insert(turn, key);
        }
        Some(slot.info.clone())
    }

    pub(super) fn remove(&mut self, key: &str) -> bool {
        let Some(slot) = self.by_key.remove(key) else {
            return false;
        };
        self.by_turn.remove(&slot.used);
        self.bytes -= room(slot.info.size);
        true
    }

    /// Removes all copies, and no knowledge of what has changed.
    pub(super) fn clear(&mut self) {
        self.by_key.clear();
        self.by_turn.clear();
        self.bytes = 0;
    }

    pub(super) fn evict_down_to(&mut self, max_bytes: u64) -> Vec<Arc<str>> {
        let mut evicted = Vec::new();
        while self.bytes > max_bytes
            && let Some(oldest) = self.by_turn.first_key_value().map(|(_, key)| key.clone())
        {
            self.remove(&oldest);
            evicted.push(oldest);
        }
        evicted
    }

    #[cfg(test)]
    pub(super) fn turns(&self) -> usize {
        self.by_turn.len()
    }

    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }
}
