//! The results in memory, and the keys they are kept under.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use mainstay_breaker::Moment;
use mainstay_runtime::CallerId;
use serde_json::Value;

use crate::settings::Target;
use crate::statement::{Rows, Statement};

/// Bounds of the result cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheSettings {
    /// Most bytes in memory, as estimated from the values, and on disk.
    pub bytes: usize,
    /// Results older than this are not given any more.
    pub max_stale: Duration,
}

impl Default for CacheSettings {
    fn default() -> Self {
        Self {
            bytes: 64 << 20,
            max_stale: Duration::from_secs(24 * 3600),
        }
    }
}

/// A statement of a caller with its parameters.
pub(crate) type Key = [u8; 32];

/// Results by key, the oldest given up first when the bytes run out.
pub(super) struct Memory {
    settings: CacheSettings,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    entries: HashMap<Key, Entry>,
    /// Keys by the order they were last written in.
    order: BTreeMap<u64, Key>,
    next: u64,
    bytes: usize,
    /// Keys of results that are not on disk yet.
    fresh: HashSet<Key>,
}

struct Entry {
    rows: Arc<Rows>,
    stored: Moment,
    order: u64,
    bytes: usize,
}

impl Memory {
    pub(super) fn new(settings: CacheSettings) -> Self {
        Self {
            settings,
            state: Mutex::default(),
        }
    }

    /// Keeps the result, unless it alone would take more than an eighth of the space. Gives what would have been
    /// answered without it.
    pub(super) fn put(&self, key: Key, rows: Arc<Rows>, now: Moment) -> Option<Arc<Rows>> {
        let bytes = size_of(&rows);
        if bytes > self.settings.bytes / 8 {
            return self.get(&key, now).map(|(rows, _age)| rows);
        }
        let mut state = self.state();
        let earlier = state.remove(&key);
        let order = state.next;
        state.next += 1;
        state.bytes += bytes;
        state.order.insert(order, key);
        state.fresh.insert(key);
        state.entries.insert(
            key,
            Entry {
                rows,
                stored: now,
                order,
                bytes,
            },
        );
        while state.bytes > self.settings.bytes
            && let Some((_, oldest)) = state.order.first_key_value()
        {
            let oldest = *oldest;
            state.remove(&oldest);
        }
        let is_young = |one: &Entry| now.saturating_since(one.stored) <= self.settings.max_stale;
        earlier.filter(is_young).map(|one| one.rows)
    }

    /// The result and its age.
    pub(super) fn get(&self, key: &Key, now: Moment) -> Option<(Arc<Rows>, Duration)> {
        let mut state = self.state();
        let entry = state.entries.get(key)?;
        let age = now.saturating_since(entry.stored);
        if age > self.settings.max_stale {
            state.remove(key);
            return None;
        }
        Some((Arc::clone(&entry.rows), age))
    }

    /// Forgets everything.
    pub(super) fn clear(&self) {
        *self.state() = State::default();
    }

    /// Whether there is a result, of whatever age.
    pub(super) fn has(&self, key: &Key) -> bool {
        self.state().entries.contains_key(key)
    }

    /// Whether there are results that are not on disk.
    pub(super) fn has_fresh(&self) -> bool {
        !self.state().fresh.is_empty()
    }

    /// Results that are not on disk, up to about so many bytes, to be brought there.
    pub(super) fn take_fresh(&self, bytes: usize) -> Vec<(Key, Arc<Rows>, Moment)> {
        let mut state = self.state();
        let (mut taken, mut size) = (Vec::new(), 0);
        while size < bytes
            && let Some(key) = state.fresh.iter().next().copied()
        {
            state.fresh.remove(&key);
            if let Some(entry) = state.entries.get(&key) {
                size += entry.bytes;
                taken.push((key, Arc::clone(&entry.rows), entry.stored));
            }
        }
        taken
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn remove(&mut self, key: &Key) -> Option<Entry> {
        let entry = self.entries.remove(key)?;
        self.order.remove(&entry.order);
        self.fresh.remove(key);
        self.bytes -= entry.bytes;
        Some(entry)
    }
}

/// Makes keys for the results of one database.
pub(crate) struct Keys(blake3::Hasher);

impl Keys {
    /// The file outlives the configuration: another database, or another role, has other results.
    pub(crate) fn new(target: &Target) -> Self {
        let mut hasher = blake3::Hasher::new();
        let identity = match target {
            Target::Postgres(url) => url.identity(),
            Target::Sqlite(path) => format!("sqlite {}", path.display()),
        };
        hasher.update(&identity.len().to_le_bytes());
        hasher.update(identity.as_bytes());
        Self(hasher)
    }

    /// The key of a statement: results are never shared between callers.
    pub(crate) fn of(&self, caller: CallerId, statement: &Statement) -> Key {
        let mut hasher = self.0.clone();
        add(&mut hasher, caller, statement);
        *hasher.finalize().as_bytes()
    }
}

fn add(hasher: &mut blake3::Hasher, caller: CallerId, statement: &Statement) {
    hasher.update(&caller.0.to_le_bytes());
    hasher.update(&statement.query.len().to_le_bytes());
    hasher.update(statement.query.as_bytes());
    for param in &statement.params {
        let text = param.to_string();
        hasher.update(&text.len().to_le_bytes());
        hasher.update(text.as_bytes());
    }
}

/// Bytes that the rows take in memory, roughly.
fn size_of(rows: &Rows) -> usize {
    let columns: usize = rows
        .columns
        .iter()
        .map(|column| 64 + column.name.len() + column.r#type.len())
        .sum();
    256 + columns
        + rows
            .rows
            .iter()
            .map(|row| 24 + row.iter().map(size_of_value).sum::<usize>())
            .sum::<usize>()
}

fn size_of_value(value: &Value) -> usize {
    size_of_val(value)
        + match value {
            Value::Null | Value::Bool(_) | Value::Number(_) => 0,
            Value::String(text) => text.len(),
            Value::Array(items) => items.iter().map(size_of_value).sum(),
            Value::Object(map) => map
                .iter()
                .map(|(key, value)| 48 + key.len() + size_of_value(value))
                .sum(),
        }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DAY: Duration = Duration::from_secs(24 * 3600);

    fn rows(text: &str) -> Arc<Rows> {
        Arc::new(Rows {
            columns: Vec::new(),
            rows: vec![vec![json!(text)]],
        })
    }

    fn key(caller: CallerId, statement: &Statement) -> Key {
        Keys::new(&Target::Sqlite("x".into())).of(caller, statement)
    }

    fn at(age: Duration) -> Moment {
        Moment::from_nanos(1) + age
    }

    #[test]
    fn a_result_has_its_age_and_is_gone_after_a_day() {
        let memory = Memory::new(CacheSettings::default());
        let key = key(CallerId(1), &Statement::new("SELECT 1", []));
        memory.put(key, rows("a"), at(Duration::ZERO));
        assert_eq!(memory.get(&key, at(DAY)), Some((rows("a"), DAY)));
        assert_eq!(memory.get(&key, at(DAY + Duration::from_nanos(1))), None);
        assert_eq!(memory.state.lock().unwrap().bytes, 0);
    }

    #[test]
    fn callers_databases_statements_and_parameters_are_kept_apart() {
        let keys = [
            key(CallerId(1), &Statement::new("SELECT $1", [json!(1)])),
            key(CallerId(2), &Statement::new("SELECT $1", [json!(1)])),
            key(CallerId(1), &Statement::new("SELECT $1", [json!("1")])),
            key(
                CallerId(1),
                &Statement::new("SELECT $1", [json!(1), json!(null)]),
            ),
            key(CallerId(1), &Statement::new("SELECT $11", [])),
            Keys::new(&Target::Sqlite("y".into()))
                .of(CallerId(1), &Statement::new("SELECT $1", [json!(1)])),
        ];
        for (index, key) in keys.iter().enumerate() {
            assert!(!keys[..index].contains(key), "key {index} is not its own");
        }
    }

    #[test]
    fn bytes_are_bounded_and_the_oldest_goes_first() {
        let memory = Memory::new(CacheSettings {
            bytes: 16_000,
            max_stale: DAY,
        });
        let key = |n: u64| key(CallerId(n), &Statement::new("SELECT 1", []));
        for n in 0..100 {
            memory.put(key(n), rows(&"x".repeat(1000)), at(Duration::ZERO));
        }
        assert!(memory.state.lock().unwrap().bytes <= 16_000);
        assert!(memory.get(&key(0), at(Duration::ZERO)).is_none());
        assert!(memory.get(&key(99), at(Duration::ZERO)).is_some());
        memory.put(key(99), rows(&"x".repeat(3000)), at(Duration::ZERO));
        assert_eq!(
            memory.get(&key(99), at(Duration::ZERO)).unwrap().0,
            rows(&"x".repeat(1000)),
            "too large to keep"
        );
    }
}
