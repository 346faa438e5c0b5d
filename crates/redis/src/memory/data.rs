//! One key's value and what the operations do to it: Redis' own semantics, without time or bounds.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

use crate::class::Class;
use crate::command::{Action, End, Range, SetCondition};
use crate::memory::score::Score;
use crate::reply::{Field, Member, Reply};
use crate::value::Blob;

/// A correct "no" of the store, or a change it has no room for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The key holds another kind of value.
    WrongType,
    /// The value isn't a 64-bit integer.
    NotAnInteger,
    /// The sum doesn't fit 64 bits.
    Overflow,
    /// There is no room, or only keys that must not be dropped could make some.
    Full,
    /// The result depends on what Redis holds, and Redis is down.
    CannotKnow,
    /// Nothing is done with keys of this class while Redis is down, or not this.
    Class(Class),
    /// As many keys as may be were written while Redis is down.
    TooManyKeys,
}

/// What an element costs beside its bytes: what its container keeps for it, generously rounded.
const LIST_ELEMENT: usize = 40;
const SET_ELEMENT: usize = 64;
const HASH_ELEMENT: usize = 96;
const SORTED_ELEMENT: usize = 160;

/// A value with what it costs in memory.
#[derive(Clone, Debug)]
pub(crate) struct Data {
    kind: Kind,
    bytes: usize,
}

#[derive(Clone, Debug)]
enum Kind {
    Text(Blob),
    List(VecDeque<Blob>),
    Set(BTreeSet<Blob>),
    Hash(BTreeMap<Blob, Blob>),
    Sorted(Sorted),
}

/// Each member twice: to find its score, and to keep the order.
#[derive(Clone, Debug, Default)]
struct Sorted {
    scores: HashMap<Blob, Score>,
    order: BTreeSet<(Score, Blob)>,
}

impl Data {
    pub(crate) fn text(value: Blob) -> Self {
        let bytes = value.len();
        Self {
            kind: Kind::Text(value),
            bytes,
        }
    }

    /// Approximately, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// The value, if it's a string.
    pub(crate) fn as_text(&self) -> Option<&Blob> {
        match &self.kind {
            Kind::Text(value) => Some(value),
            _ => None,
        }
    }

    /// The cost, made anew from the elements.
    #[cfg(test)]
    pub(crate) fn recount(&self) -> usize {
        match &self.kind {
            Kind::Text(value) => value.len(),
            Kind::List(list) => list.iter().map(|value| value.len() + LIST_ELEMENT).sum(),
            Kind::Set(set) => set.iter().map(|value| value.len() + SET_ELEMENT).sum(),
            Kind::Hash(hash) => {
                let cost =
                    |(field, value): (&Blob, &Blob)| field.len() + value.len() + HASH_ELEMENT;
                hash.iter().map(cost).sum()
            }
            Kind::Sorted(sorted) => {
                assert_eq!(sorted.scores.len(), sorted.order.len());
                let cost = |(_, member): &(Score, Blob)| member.len() + SORTED_ELEMENT;
                sorted.order.iter().map(cost).sum()
            }
        }
    }

    fn empty(kind: Kind) -> Self {
        Self { kind, bytes: 0 }
    }

    fn is_empty(&self) -> bool {
        match &self.kind {
            Kind::Text(_) => false,
            Kind::List(list) => list.is_empty(),
            Kind::Set(set) => set.is_empty(),
            Kind::Hash(hash) => hash.is_empty(),
            Kind::Sorted(sorted) => sorted.order.is_empty(),
        }
    }
}

/// What a write adds at most, so that room is made before anything changes.
pub(crate) fn growth(action: &Action) -> usize {
    match action {
        Action::Set { value, .. } => value.len(),
        Action::Incr { .. } => 20,
        Action::Push { values, .. } => values.iter().map(|value| value.len() + LIST_ELEMENT).sum(),
        Action::Sadd(members) => members
            .iter()
            .map(|member| member.len() + SET_ELEMENT)
            .sum(),
        Action::Hset(fields) => fields
            .iter()
            .map(|(field, value)| field.len() + value.len() + HASH_ELEMENT)
            .sum(),
        Action::Zadd(members) => members
            .iter()
            .map(|(_, member)| member.len() + SORTED_ELEMENT)
            .sum(),
        _ => 0,
    }
}

/// Carries an action out on what the key holds; `None` is no key. `expire` and `ttl` are the caller's.
pub(crate) fn apply(slot: &mut Option<Data>, action: &Action) -> Result<Reply, Refusal> {
    let reply = match action {
        Action::Get => Reply::from_option(text(slot)?.cloned()),
        Action::Set {
            value, condition, ..
        } => return Ok(set(slot, value, *condition)),
        Action::Delete => return Ok(slot.take().map_or(Reply::Absent, |_| Reply::Deleted)),
        Action::Incr { by } => incr(slot, *by)?,
        Action::Push { end, values } => push(slot, *end, values)?,
        Action::Pop { end } => pop(slot, *end)?,
        Action::Llen => Reply::length(list(slot)?.map_or(0, VecDeque::len) as u64),
        Action::Lrange(range) => list(slot)?.map_or(Reply::Absent, |list| lrange(list, *range)),
        Action::Sadd(members) => sadd(slot, members)?,
        Action::Srem(members) => srem(slot, members)?,
        Action::Smembers => members(set_of(slot)?),
        Action::Scard => Reply::length(set_of(slot)?.map_or(0, BTreeSet::len) as u64),
        Action::Hset(fields) => hset(slot, fields)?,
        Action::Hget(field) => {
            Reply::from_option(hash(slot)?.and_then(|hash| hash.get(field)).cloned())
        }
        Action::Hgetall => hash(slot)?.map_or(Reply::Absent, hgetall),
        Action::Hdel(fields) => hdel(slot, fields)?,
        Action::Zadd(members) => zadd(slot, members)?,
        Action::Zrange { range, with_scores } => {
            sorted(slot)?.map_or(Reply::Absent, |sorted| zrange(sorted, *range, *with_scores))
        }
        Action::Zcard => Reply::length(sorted(slot)?.map_or(0, |sorted| sorted.order.len()) as u64),
        Action::Expire(_) | Action::Ttl => return Ok(Reply::Absent),
    };
    if slot.as_ref().is_some_and(Data::is_empty) {
        *slot = None;
    }
    Ok(reply)
}

/// Whether a partly known hash holds the field that is asked for.
pub(crate) fn known_field(slot: &Option<Data>, action: &Action) -> Option<Blob> {
    match (slot.as_ref().map(|data| &data.kind), action) {
        (Some(Kind::Hash(hash)), Action::Hget(field)) => hash.get(field).cloned(),
        _ => None,
    }
}

/// Reads one kind of value; another kind is refused.
macro_rules! view {
    ($name:ident, $kind:ident, $type:ty) => {
        fn $name(slot: &Option<Data>) -> Result<Option<&$type>, Refusal> {
            match slot.as_ref().map(|data| &data.kind) {
                None => Ok(None),
                Some(Kind::$kind(value)) => Ok(Some(value)),
                Some(_) => Err(Refusal::WrongType),
            }
        }
    };
}
view!(text, Text, Blob);
view!(list, List, VecDeque<Blob>);
view!(set_of, Set, BTreeSet<Blob>);
view!(hash, Hash, BTreeMap<Blob, Blob>);
view!(sorted, Sorted, Sorted);

/// Opens one kind of value for change, together with its cost; a missing one begins empty.
macro_rules! open {
    ($name:ident, $kind:ident, $type:ty) => {
        fn $name(slot: &mut Option<Data>) -> Result<(&mut $type, &mut usize), Refusal> {
            let data = slot.get_or_insert_with(|| Data::empty(Kind::$kind(<$type>::default())));
            match &mut data.kind {
                Kind::$kind(value) => Ok((value, &mut data.bytes)),
                _ => Err(Refusal::WrongType),
            }
        }
    };
}
open!(open_list, List, VecDeque<Blob>);
open!(open_set, Set, BTreeSet<Blob>);
open!(open_hash, Hash, BTreeMap<Blob, Blob>);
open!(open_sorted, Sorted, Sorted);

fn set(slot: &mut Option<Data>, value: &Blob, condition: SetCondition) -> Reply {
    let holds = match condition {
        SetCondition::Always => true,
        SetCondition::IfAbsent => slot.is_none(),
        SetCondition::IfPresent => slot.is_some(),
    };
    if !holds {
        return Reply::NotStored;
    }
    *slot = Some(Data::text(value.clone()));
    Reply::Stored
}

fn incr(slot: &mut Option<Data>, by: i64) -> Result<Reply, Refusal> {
    let before = text(slot)?
        .map_or(Some(0), strict_integer)
        .ok_or(Refusal::NotAnInteger)?;
    let value = before.checked_add(by).ok_or(Refusal::Overflow)?;
    *slot = Some(Data::text(value.to_string().into()));
    Ok(Reply::Counter { value })
}

/// As Redis reads counters: no sign but one minus, no leading zero, no space.
fn strict_integer(value: &Blob) -> Option<i64> {
    let text = std::str::from_utf8(value.as_bytes()).ok()?;
    let number: i64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}

fn push(slot: &mut Option<Data>, end: End, values: &[Blob]) -> Result<Reply, Refusal> {
    let (list, bytes) = open_list(slot)?;
    for value in values {
        *bytes += value.len() + LIST_ELEMENT;
        match end {
            End::Left => list.push_front(value.clone()),
            End::Right => list.push_back(value.clone()),
        }
    }
    Ok(Reply::length(list.len() as u64))
}

fn pop(slot: &mut Option<Data>, end: End) -> Result<Reply, Refusal> {
    if list(slot)?.is_none() {
        return Ok(Reply::Absent);
    }
    let (list, bytes) = open_list(slot)?;
    let value = match end {
        End::Left => list.pop_front(),
        End::Right => list.pop_back(),
    };
    *bytes -= value.as_ref().map_or(0, |value| value.len() + LIST_ELEMENT);
    Ok(Reply::from_option(value))
}

fn lrange(list: &VecDeque<Blob>, range: Range) -> Reply {
    let values = list.range(range.within(list.len())).cloned().collect();
    Reply::Values { values }
}

fn sadd(slot: &mut Option<Data>, members: &[Blob]) -> Result<Reply, Refusal> {
    let (set, bytes) = open_set(slot)?;
    let mut changed = 0;
    for member in members {
        if set.insert(member.clone()) {
            *bytes += member.len() + SET_ELEMENT;
            changed += 1;
        }
    }
    Ok(Reply::Changed { changed })
}

fn srem(slot: &mut Option<Data>, members: &[Blob]) -> Result<Reply, Refusal> {
    let mut changed = 0;
    if set_of(slot)?.is_some() {
        let (set, bytes) = open_set(slot)?;
        for member in members.iter().filter(|member| set.remove(*member)) {
            *bytes -= member.len() + SET_ELEMENT;
            changed += 1;
        }
    }
    Ok(Reply::Changed { changed })
}

fn members(set: Option<&BTreeSet<Blob>>) -> Reply {
    set.map_or(Reply::Absent, |set| Reply::Values {
        values: set.iter().cloned().collect(),
    })
}

fn hset(slot: &mut Option<Data>, fields: &[(Blob, Blob)]) -> Result<Reply, Refusal> {
    let (hash, bytes) = open_hash(slot)?;
    let mut changed = 0;
    for (field, value) in fields {
        *bytes += value.len();
        match hash.insert(field.clone(), value.clone()) {
            Some(old) => *bytes -= old.len(),
            None => {
                *bytes += field.len() + HASH_ELEMENT;
                changed += 1;
            }
        }
    }
    Ok(Reply::Changed { changed })
}

fn hgetall(hash: &BTreeMap<Blob, Blob>) -> Reply {
    let pairs = hash.iter();
    Reply::Fields {
        fields: pairs
            .map(|(field, value)| Field {
                field: field.clone(),
                value: value.clone(),
            })
            .collect(),
    }
}

fn hdel(slot: &mut Option<Data>, fields: &[Blob]) -> Result<Reply, Refusal> {
    let mut changed = 0;
    if hash(slot)?.is_some() {
        let (hash, bytes) = open_hash(slot)?;
        for field in fields {
            if let Some(value) = hash.remove(field) {
                *bytes -= field.len() + value.len() + HASH_ELEMENT;
                changed += 1;
            }
        }
    }
    Ok(Reply::Changed { changed })
}

fn zadd(slot: &mut Option<Data>, members: &[(f64, Blob)]) -> Result<Reply, Refusal> {
    let (sorted, bytes) = open_sorted(slot)?;
    let mut changed = 0;
    for (score, member) in members {
        let score = Score::new(*score);
        match sorted.scores.insert(member.clone(), score) {
            Some(old) => {
                sorted.order.remove(&(old, member.clone()));
            }
            None => {
                *bytes += member.len() + SORTED_ELEMENT;
                changed += 1;
            }
        }
        sorted.order.insert((score, member.clone()));
    }
    Ok(Reply::Changed { changed })
}

fn zrange(sorted: &Sorted, range: Range, with_scores: bool) -> Reply {
    let within = range.within(sorted.order.len());
    let part = sorted.order.iter().skip(within.start).take(within.len());
    if with_scores {
        let members = part.map(|(score, member)| Member {
            member: member.clone(),
            score: score.get(),
        });
        return Reply::Members {
            members: members.collect(),
        };
    }
    Reply::Values {
        values: part.map(|(_, member)| member.clone()).collect(),
    }
}
