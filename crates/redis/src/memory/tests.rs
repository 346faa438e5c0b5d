//! What the store knows, and what it admits not to know, while it stands in for Redis.

use std::time::Duration;

use super::*;
use crate::command::{End, Range, SetCondition};

const ALL: Range = Range { start: 0, stop: -1 };

struct Store {
    memory: Memory,
    now: Moment,
}

impl Store {
    fn standing_in() -> Self {
        Self {
            memory: Memory::new(1 << 20, Missing::Unknown),
            now: Moment::from_nanos(1_000_000_000),
        }
    }

    fn terms(&self) -> Terms {
        Terms {
            now: self.now,
            ttl: Duration::from_secs(60),
            class: Class::Cache,
        }
    }

    fn held(&mut self, action: Action) -> Result<Held, Refusal> {
        let terms = self.terms();
        self.memory.apply(&key(), &action, &terms)
    }

    fn check(&mut self, steps: impl IntoIterator<Item = (Action, Result<Reply, Refusal>)>) {
        for (action, expected) in steps {
            let reply = self.held(action.clone()).map(|held| held.reply);
            assert_eq!(reply, expected, "{action:?}");
        }
    }

    fn pass(&mut self, seconds: u64) {
        self.now = self.now + Duration::from_secs(seconds);
    }
}

fn key() -> Key {
    Key::new("k").expect("a valid key")
}

fn set(value: &str) -> Action {
    set_with(value, SetExpiry::Never, SetCondition::Always)
}

fn set_with(value: &str, expiry: SetExpiry, condition: SetCondition) -> Action {
    Action::Set {
        value: value.into(),
        expiry,
        condition,
    }
}

fn hit(value: &str) -> Result<Reply, Refusal> {
    Ok(Reply::Hit {
        value: value.into(),
    })
}

fn push(value: &str) -> Action {
    Action::Push {
        end: End::Right,
        values: vec![value.into()],
    }
}

#[test]
fn reads_of_a_key_it_does_not_know_are_unknown() {
    let zrange = Action::Zrange {
        range: ALL,
        with_scores: false,
    };
    let hget = Action::Hget("f".into());
    let reads = [
        Action::Get,
        Action::Llen,
        Action::Lrange(ALL),
        Action::Smembers,
        Action::Scard,
        hget,
        Action::Hgetall,
        zrange,
        Action::Zcard,
        Action::Ttl,
    ];
    Store::standing_in().check(reads.map(|read| (read, Ok(Reply::Unknown))));
}

#[test]
fn additions_to_a_key_it_does_not_know_are_taken_without_a_result() {
    let additions = [
        Action::Incr { by: 1 },
        push("v"),
        Action::Sadd(vec!["m".into()]),
        Action::Hset(vec![("f".into(), "v".into())]),
        Action::Zadd(vec![(1.0, "m".into())]),
    ];
    for addition in additions {
        let mut store = Store::standing_in();
        store.check([
            (addition.clone(), Ok(Reply::Applied)),
            (addition, Ok(Reply::Applied)),
        ]);
        store.check(
            [Action::Get, Action::Llen, Action::Scard, Action::Hgetall]
                .map(|read| (read, Ok(Reply::Unknown))),
        );
    }
}

#[test]
fn removals_from_a_key_it_does_not_know_are_taken_without_a_result() {
    let removals = [
        Action::Srem(vec!["m".into()]),
        Action::Hdel(vec!["f".into()]),
    ];
    Store::standing_in().check(removals.map(|removal| (removal, Ok(Reply::Applied))));
}

#[test]
fn what_depends_on_an_unknown_value_is_refused() {
    let refused = [
        Action::Pop { end: End::Left },
        Action::Expire(Duration::from_secs(1)),
        set_with("v", SetExpiry::Never, SetCondition::IfAbsent),
        set_with("v", SetExpiry::Never, SetCondition::IfPresent),
    ];
    Store::standing_in().check(refused.map(|action| (action, Err(Refusal::CannotKnow))));
}

#[test]
fn a_partly_known_hash_answers_for_the_fields_it_was_given() {
    let field = |name: &str| Action::Hget(name.into());
    Store::standing_in().check([
        (
            Action::Hset(vec![("f".into(), "v".into())]),
            Ok(Reply::Applied),
        ),
        (field("f"), hit("v")),
        (field("g"), Ok(Reply::Unknown)),
        (Action::Hdel(vec!["f".into()]), Ok(Reply::Applied)),
        (field("f"), Ok(Reply::Unknown)),
    ]);
}

#[test]
fn a_set_makes_a_key_known_whatever_it_was() {
    Store::standing_in().check([
        (push("v"), Ok(Reply::Applied)),
        (set("x"), Ok(Reply::Stored)),
        (Action::Get, hit("x")),
        (Action::Ttl, Ok(Reply::Persistent)),
        (set("7"), Ok(Reply::Stored)),
        (Action::Incr { by: 1 }, Ok(Reply::Counter { value: 8 })),
    ]);
}

#[test]
fn a_deleted_key_is_known_to_be_gone_and_can_be_filled_anew() {
    Store::standing_in().check([
        (Action::Delete, Ok(Reply::Applied)),
        (Action::Get, Ok(Reply::Absent)),
        (Action::Delete, Ok(Reply::Absent)),
        (push("a"), Ok(Reply::Length { length: 1 })),
        (Action::Pop { end: End::Left }, hit("a")),
        (Action::Llen, Ok(Reply::Absent)),
        (
            set_with("v", SetExpiry::Never, SetCondition::IfAbsent),
            Ok(Reply::Stored),
        ),
    ]);
}

#[test]
fn a_mirrored_value_is_answered_with_its_age() {
    let mut store = Store::standing_in();
    let terms = store.terms();
    store.memory.mirror(&key(), "v".into(), None, &terms);
    store.pass(10);
    let ten = Some(Duration::from_secs(10));
    assert_eq!(
        store.held(Action::Get),
        Ok(Held {
            reply: Reply::Hit { value: "v".into() },
            age: ten
        })
    );
    assert_eq!(
        store.held(Action::Ttl).map(|held| held.reply),
        Ok(Reply::Unknown)
    );
    assert_eq!(
        store.held(set("w")),
        Ok(Held {
            reply: Reply::Stored,
            age: None
        })
    );
    assert_eq!(
        store.held(Action::Get),
        Ok(Held {
            reply: Reply::Hit { value: "w".into() },
            age: None
        })
    );
}

#[test]
fn a_mirrored_value_ends_with_its_own_time_or_the_levels() {
    let mut store = Store::standing_in();
    let (terms, twenty) = (store.terms(), SetExpiry::After(Duration::from_secs(20)));
    store
        .memory
        .mirror(&key(), "v".into(), Some(twenty), &terms);
    // A read tells the value but not the time: the time that is known stays.
    store.memory.mirror(&key(), "v".into(), None, &terms);
    store.pass(19);
    store.check([
        (Action::Get, hit("v")),
        (
            Action::Ttl,
            Ok(Reply::Expires {
                ttl: Duration::from_secs(1),
            }),
        ),
    ]);
    store.pass(1);
    store.check([(Action::Get, Ok(Reply::Unknown))]);
    let terms = store.terms();
    store
        .memory
        .mirror(&key(), "w".into(), Some(SetExpiry::Never), &terms);
    store.pass(60);
    store.check([(Action::Get, Ok(Reply::Unknown))]);
}

#[test]
fn what_was_written_here_and_has_expired_is_known_to_be_gone() {
    let mut store = Store::standing_in();
    let short = SetExpiry::After(Duration::from_secs(1));
    store.check([(
        set_with("v", short, SetCondition::Always),
        Ok(Reply::Stored),
    )]);
    store.pass(1);
    store.check([(Action::Get, Ok(Reply::Absent))]);
}

#[test]
fn keep_ttl_on_a_key_it_does_not_know_leaves_the_time_unknown() {
    Store::standing_in().check([
        (
            set_with("v", SetExpiry::Keep, SetCondition::Always),
            Ok(Reply::Stored),
        ),
        (Action::Ttl, Ok(Reply::Unknown)),
    ]);
}

#[test]
fn the_bytes_never_exceed_the_bound_and_return_to_nothing() {
    let mut memory = Memory::new(4096, Missing::Unknown);
    let terms = Store::standing_in().terms();
    let keys: Vec<Key> = (0..100)
        .map(|at| Key::new(&format!("k{at}")).expect("a valid key"))
        .collect();
    for key in &keys {
        for action in [
            push("value"),
            Action::Delete,
            set("value"),
            Action::Incr { by: 1 },
        ] {
            let _ = memory.apply(key, &action, &terms);
            assert!(memory.bytes() <= 4096);
        }
    }
    keys.iter().for_each(|key| memory.forget(key));
    assert_eq!(
        (memory.bytes(), memory.used.len(), memory.ends.len()),
        (0, 0, 0)
    );
}
