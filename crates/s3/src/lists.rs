//! The store's last answers to lists, for the time when it can't be asked. Bounded by keys, least recently used
//! first out.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;

use crate::objects::ListRequest;
use crate::store::Listed;

/// Keys kept over all answers.
const MAX_KEYS: usize = 20_000;

/// What the store holds of a list, before the journal is laid over it.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    /// In key order.
    pub(crate) objects: Vec<Listed>,
    /// The last key it speaks of; `None` when it goes to the end.
    pub(crate) upto: Option<String>,
    /// When the store said so.
    pub(crate) seen: Timestamp,
}

/// The answers by request.
#[derive(Debug, Default)]
pub(crate) struct Lists(Mutex<Answers>);

#[derive(Debug, Default)]
struct Answers {
    by_request: HashMap<ListRequest, (Stored, u64)>,
    keys: usize,
    turn: u64,
}

impl Lists {
    /// Keeps an answer.
    pub(crate) fn keep(&self, request: &ListRequest, stored: Stored) {
        let mut answers = self.lock();
        answers.remove(request);
        // An empty answer costs something too.
        answers.keys += stored.objects.len() + 1;
        answers.turn += 1;
        let turn = answers.turn;
        answers.by_request.insert(request.clone(), (stored, turn));
        while answers.keys > MAX_KEYS {
            let oldest = answers.by_request.iter().min_by_key(|(_, (_, used))| *used);
            let Some(request) = oldest.map(|(request, _)| request.clone()) else {
                return;
            };
            answers.remove(&request);
        }
    }

    /// The last answer to exactly this request.
    pub(crate) fn last(&self, request: &ListRequest) -> Option<Stored> {
        let mut answers = self.lock();
        answers.turn += 1;
        let turn = answers.turn;
        let (stored, used) = answers.by_request.get_mut(request)?;
        *used = turn;
        Some(stored.clone())
    }

    /// Forgets all answers.
    pub(crate) fn clear(&self) {
        *self.lock() = Answers::default();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Answers> {
        // Nothing panics while the lock is held.
        self.0.lock().unwrap_or_else(|e| e.into_inner())
    }
}

impl Answers {
    fn remove(&mut self, request: &ListRequest) {
        if let Some((stored, _)) = self.by_request.remove(request) {
            self.keys -= stored.objects.len() + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(prefix: &str) -> ListRequest {
        ListRequest {
            prefix: prefix.into(),
            after: None,
            limit: 1000,
        }
    }

    fn stored(count: usize) -> Stored {
        let one = Listed {
            key: "k".into(),
            size: Some(1),
            etag: None,
            last_modified: None,
        };
        Stored {
            objects: vec![one; count],
            upto: None,
            seen: Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn the_least_recently_used_answer_makes_room() {
        let lists = Lists::default();
        lists.keep(&request("a"), stored(MAX_KEYS / 2 - 1));
        lists.keep(&request("b"), stored(MAX_KEYS / 2 - 1));
        assert!(lists.last(&request("a")).is_some());
        lists.keep(&request("c"), stored(1));
        assert!(lists.last(&request("a")).is_some());
        assert!(lists.last(&request("b")).is_none());
        assert!(lists.last(&request("c")).is_some());
    }

    #[test]
    fn an_answer_replaces_the_earlier_one_to_the_same_request() {
        let lists = Lists::default();
        lists.keep(&request("a"), stored(3));
        lists.keep(&request("a"), stored(2));
        assert_eq!(lists.last(&request("a")).unwrap().objects.len(), 2);
        assert_eq!(lists.lock().keys, 3);
    }
}
