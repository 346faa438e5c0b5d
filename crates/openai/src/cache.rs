//! Earlier answers, for when no provider can answer. Successes only, exact match, apart for each caller.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use mainstay_breaker::Moment;
use mainstay_runtime::CallerId;
use serde_json::{Map, Value};

use crate::request::Operation;

/// What an answer is kept for longest, whatever a level would still accept.
const LONGEST: Duration = Duration::from_secs(86_400);
/// One answer may take this share of the whole bound.
const LARGEST_SHARE: usize = 4;
/// What an entry takes beside its answer, in bytes: keys, indices, allocation.
const OVERHEAD: usize = 256;

/// Who asked what, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Key([u8; 32]);

impl Key {
    /// The same request with its members in another order has the same key.
    pub(crate) fn new(caller: CallerId, operation: Operation, request: &Value) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&caller.0.to_le_bytes());
        hasher.update(operation.name().as_bytes());
        hasher.update(&[0]);
        hasher.update(canonical(request).to_string().as_bytes());
        Self(*hasher.finalize().as_bytes())
    }
}

/// The value with the members of every object in the order of their names, whatever order serde_json keeps.
fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(members) => {
            let sorted: BTreeMap<&String, &Value> = members.iter().collect();
            let sorted = sorted
                .into_iter()
                .map(|(name, value)| (name.clone(), canonical(value)));
            Value::Object(sorted.collect::<Map<_, _>>())
        }
        Value::Array(items) => Value::Array(items.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

/// A bounded store of answers; the oldest go first.
#[derive(Debug)]
pub(crate) struct Cache {
    bound: usize,
    kept: Mutex<Kept>,
}

#[derive(Debug, Default)]
struct Kept {
    entries: HashMap<Key, Entry>,
    /// By the order of writing.
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: usize,
}

#[derive(Debug)]
struct Entry {
    answer: Bytes,
    at: Moment,
    order: u64,
}

impl Cache {
    /// At most `bound` bytes.
    pub(crate) fn new(bound: usize) -> Self {
        Self {
            bound,
            kept: Mutex::default(),
        }
    }

    /// Keeps an answer, in place of an earlier one to the same request.
    pub(crate) fn put(&self, key: Key, answer: Bytes, now: Moment) {
        if size(&answer) > self.bound / LARGEST_SHARE {
            return;
        }
        let mut kept = self.kept();
        kept.remove(&key);
        kept.add(key, answer, now);
        kept.shrink(self.bound, now);
    }

    /// The answer and its age, if it is at most `ttl` old.
    pub(crate) fn get(&self, key: &Key, ttl: Duration, now: Moment) -> Option<(Bytes, Duration)> {
        let kept = self.kept();
        let entry = kept.entries.get(key)?;
        let age = now.saturating_since(entry.at);
        (age <= ttl.min(LONGEST)).then(|| (entry.answer.clone(), age))
    }

    /// Forgets everything.
    pub(crate) fn clear(&self) {
        *self.kept() = Kept::default();
    }

    /// Bytes held now.
    pub(crate) fn bytes(&self) -> usize {
        self.kept().bytes
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change is whole before anything in it can panic.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn add(&mut self, key: Key, answer: Bytes, at: Moment) {
        let order = self.next;
        self.next += 1;
        self.bytes += size(&answer);
        self.order.insert(order, key);
        self.entries.insert(key, Entry { answer, at, order });
    }

    fn remove(&mut self, key: &Key) {
        if let Some(entry) = self.entries.remove(key) {
            self.order.remove(&entry.order);
            self.bytes -= size(&entry.answer);
        }
    }

    /// Drops the oldest until the rest is within the bound and young enough.
    fn shrink(&mut self, bound: usize, now: Moment) {
        while let Some(oldest) = self.order.first_entry() {
            let key = *oldest.get();
            let old = self
                .entries
                .get(&key)
                .is_none_or(|entry| now.saturating_since(entry.at) > LONGEST);
            if !old && self.bytes <= bound {
                return;
            }
            oldest.remove();
            self.remove(&key);
        }
    }
}

fn size(answer: &Bytes) -> usize {
    answer.len() + OVERHEAD
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    const TTL: Duration = Duration::from_secs(60);

    fn key(caller: u64, text: &str) -> Key {
        Key::new(CallerId(caller), Operation::Chat, &json!({ "text": text }))
    }

    fn at(seconds: u64) -> Moment {
        Moment::from_nanos(seconds * 1_000_000_000)
    }

    #[test]
    fn an_answer_comes_back_with_its_age_until_it_is_too_old() {
        let cache = Cache::new(1 << 20);
        cache.put(key(1, "a"), Bytes::from_static(b"x"), at(100));
        let young = cache.get(&key(1, "a"), TTL, at(160));
        assert_eq!(young, Some((Bytes::from_static(b"x"), TTL)));
        assert_eq!(cache.get(&key(1, "a"), TTL, at(161)), None);
        assert!(cache.get(&key(1, "a"), TTL * 2, at(161)).is_some());
    }

    #[test]
    fn callers_operations_and_requests_never_cross() {
        let request = json!({ "text": "a" });
        let first = Key::new(CallerId(1), Operation::Chat, &request);
        assert_ne!(first, Key::new(CallerId(2), Operation::Chat, &request));
        assert_ne!(first, Key::new(CallerId(1), Operation::Embed, &request));
        assert_ne!(first, key(1, "b"));
        assert_eq!(first, key(1, "a"));
    }

    #[test]
    fn the_order_of_members_does_not_matter_and_the_order_of_items_does() {
        let of = |text: &str| {
            let request: Value = serde_json::from_str(text).unwrap();
            Key::new(CallerId(1), Operation::Chat, &request)
        };
        assert_eq!(
            of(r#"{"a":{"x":1,"y":2},"b":3}"#),
            of(r#"{"b":3,"a":{"y":2,"x":1}}"#)
        );
        assert_ne!(of(r#"{"a":[1,2]}"#), of(r#"{"a":[2,1]}"#));
        assert_ne!(of(r#"{"a":1}"#), of(r#"{"a":"1"}"#));
    }

    #[test]
    fn an_answer_over_a_quarter_of_the_bound_is_not_kept() {
        let cache = Cache::new(4 * (100 + OVERHEAD));
        cache.put(key(1, "a"), Bytes::from(vec![0; 101]), at(1));
        assert_eq!(cache.bytes(), 0);
        cache.put(key(1, "a"), Bytes::from(vec![0; 100]), at(1));
        assert_eq!(cache.bytes(), 100 + OVERHEAD);
        Cache::new(0).put(key(1, "a"), Bytes::new(), at(1));
    }

    #[test]
    fn what_is_older_than_a_day_goes_with_the_next_write() {
        let cache = Cache::new(1 << 20);
        cache.put(key(1, "a"), Bytes::from_static(b"x"), at(1));
        cache.put(key(1, "b"), Bytes::from_static(b"y"), at(86_500));
        assert_eq!(cache.bytes(), 1 + OVERHEAD);
        assert!(cache.get(&key(1, "b"), TTL, at(86_500)).is_some());
    }

    proptest! {
        #[test]
        fn the_bound_holds_and_the_newest_stays(writes in prop::collection::vec((0u64..8, 0usize..900), 1..60)) {
            let bound = 4096;
            let cache = Cache::new(bound);
            for (second, (caller, length)) in writes.iter().enumerate() {
                let answer = Bytes::from(vec![0; *length]);
                let fits = size(&answer) <= bound / LARGEST_SHARE;
                let now = at(second as u64);
                cache.put(key(*caller, "a"), answer, now);
                prop_assert!(cache.bytes() <= bound);
                let found = cache.get(&key(*caller, "a"), Duration::ZERO, now);
                prop_assert_eq!(found.map(|(answer, _)| answer.len()), fits.then_some(*length));
            }
        }
    }
}
