//! The account of bytes over random histories, and markers.

use std::time::Duration;

use proptest::prelude::*;

use super::*;
use crate::command::{End, SetCondition};

const LIMIT: usize = 16 * 1024;

/// Something that happens to the stand-in.
#[derive(Clone, Debug)]
enum Happens {
    Asked {
        key: usize,
        action: Action,
        landed: bool,
    },
    Learnt {
        key: usize,
        action: Action,
        reply: Reply,
    },
    Sent {
        key: usize,
    },
    Settled {
        key: usize,
        settled: Settled,
    },
    Forgotten {
        key: usize,
    },
    Passed {
        seconds: u64,
    },
}

const CLASSES: [Class; 3] = [Class::Cache, Class::Counter, Class::Session];
const KEYS: usize = 9;

fn key(at: usize) -> Key {
    Key::new(&format!("key-{at}")).expect("a valid key")
}

fn blob() -> impl Strategy<Value = Blob> {
    prop_oneof![
        2 => (-2i64..3).prop_map(|number| Blob::from(number.to_string())),
        1 => prop::sample::select(vec![0, 700, 2000]).prop_map(|len| Blob::from("x".repeat(len))),
    ]
}

fn action() -> impl Strategy<Value = Action> {
    let ttl = prop_oneof![
        Just(SetExpiry::Never),
        Just(SetExpiry::Keep),
        (1u64..20).prop_map(|seconds| SetExpiry::After(Duration::from_secs(seconds))),
    ];
    let set = (blob(), ttl, any::<bool>()).prop_map(|(value, expiry, always)| Action::Set {
        value,
        expiry,
        condition: if always {
            SetCondition::Always
        } else {
            SetCondition::IfPresent
        },
    });
    let end = || prop_oneof![Just(End::Left), Just(End::Right)];
    prop_oneof![
        4 => set,
        2 => Just(Action::Delete),
        3 => (-3i64..4).prop_map(|by| Action::Incr { by }),
        1 => Just(Action::Get),
        2 => (end(), blob()).prop_map(|(end, value)| Action::Push { end, values: vec![value] }),
        1 => end().prop_map(|end| Action::Pop { end }),
        3 => blob().prop_map(|member| Action::Sadd(vec![member])),
        3 => blob().prop_map(|member| Action::Srem(vec![member])),
        2 => (blob(), blob()).prop_map(|pair| Action::Hset(vec![pair])),
        3 => blob().prop_map(|field| Action::Hdel(vec![field])),
        1 => (-3.0..3.0, blob()).prop_map(|pair| Action::Zadd(vec![pair])),
        1 => (1u64..20).prop_map(|seconds| Action::Expire(Duration::from_secs(seconds))),
    ]
}

fn settled() -> impl Strategy<Value = Settled> {
    prop_oneof![
        2 => proptest::option::of(blob()).prop_map(Settled::Done),
        1 => Just(Settled::Kept),
        1 => Just(Settled::Refused),
    ]
}

fn happens() -> impl Strategy<Value = Happens> {
    let key = 0..KEYS;
    prop_oneof![
        8 => (key.clone(), action(), any::<bool>())
            .prop_map(|(key, action, landed)| Happens::Asked { key, action, landed }),
        2 => (key.clone(), blob()).prop_map(|(key, value)| Happens::Learnt {
            key, action: Action::Get, reply: Reply::Hit { value },
        }),
        1 => (key.clone(), -9i64..9).prop_map(|(key, value)| Happens::Learnt {
            key, action: Action::Incr { by: 1 }, reply: Reply::Counter { value },
        }),
        3 => key.clone().prop_map(|key| Happens::Sent { key }),
        2 => (key.clone(), settled()).prop_map(|(key, settled)| Happens::Settled { key, settled }),
        1 => key.prop_map(|key| Happens::Forgotten { key }),
        1 => (1u64..30).prop_map(|seconds| Happens::Passed { seconds }),
    ]
}

struct World {
    standin: StandIn,
    now: Moment,
    /// What is with Redis, for each key.
    sent: Vec<Option<Sent>>,
}

impl World {
    fn new() -> Self {
        Self {
            standin: StandIn::new(LIMIT, KEYS - 1),
            now: Moment::from_nanos(1_000_000_000),
            sent: vec![None; KEYS],
        }
    }

    fn terms(&self, at: usize) -> Terms {
        Terms {
            now: self.now,
            ttl: Duration::from_secs(10),
            class: CLASSES[at % CLASSES.len()],
        }
    }

    fn let_happen(&mut self, one: &Happens) {
        match one {
            Happens::Asked {
                key: at,
                action,
                landed,
            } => {
                let _ = self
                    .standin
                    .answer(&key(*at), action, &self.terms(*at), *landed);
            }
            Happens::Learnt {
                key: at,
                action,
                reply,
            } => {
                self.standin
                    .learn(&key(*at), action, reply, &self.terms(*at));
            }
            Happens::Sent { key: at } => {
                let batch = self.standin.begin(&[key(*at)], self.now);
                self.sent[*at] = batch.into_iter().next().map(|(_, sent)| sent);
            }
            Happens::Settled { key: at, settled } => {
                if let Some(sent) = self.sent[*at].take() {
                    self.standin
                        .finish(&key(*at), &sent, settled, &self.terms(*at));
                }
            }
            Happens::Forgotten { key: at } => {
                self.standin.forget(&key(*at), self.terms(*at).class);
            }
            Happens::Passed { seconds } => self.now = self.now + Duration::from_secs(*seconds),
        }
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let inner = self.standin.lock();
        prop_assert_eq!(inner.debts.bytes(), inner.debts.recount());
        let all = inner.memory.recount() + inner.debts.recount();
        prop_assert_eq!(inner.memory.bytes(), all);
        prop_assert!(all <= LIMIT, "{} bytes of {}", all, LIMIT);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_account_equals_a_recount_and_stays_within_the_bound(
        history in proptest::collection::vec(happens(), 1..300)
    ) {
        let mut world = World::new();
        for one in &history {
            world.let_happen(one);
            world.check()?;
        }
    }
}

#[test]
fn a_settlement_without_an_answer_is_sent_again_as_it_was_and_later_ones_after_it() {
    let mut world = World::new();
    let (counter, terms) = (key(1), world.terms(1));
    let incr = |world: &World, by| {
        world
            .standin
            .answer(&counter, &Action::Incr { by }, &terms, false)
    };
    let begin = |world: &World| {
        world
            .standin
            .begin(std::slice::from_ref(&counter), world.now)
            .remove(0)
            .1
    };
    let _ = incr(&world, 2);
    let first = begin(&world);
    let told = incr(&world, 5).map(|held| held.reply);
    assert_eq!(told, Ok(delta(7)));
    world.now = world.now + Duration::from_secs(3600);
    let again = begin(&world);
    assert_eq!((&again.marker, &again.step), (&first.marker, &first.step));
    assert!(again.repeated && !again.is_stale(world.now));
    world
        .standin
        .finish(&counter, &again, &Settled::Done(Some("2".into())), &terms);
    let rest = begin(&world);
    assert_ne!(rest.marker, first.marker);
    assert_eq!(rest.step, Step::Add(Addition { by: 5, ends: None }));
    world
        .standin
        .finish(&counter, &rest, &Settled::Done(Some("7".into())), &terms);
    assert_eq!(world.standin.touched(), 0);
}

#[test]
fn a_settlement_whose_marker_may_be_gone_is_stale() {
    let mut world = World::new();
    let (counter, terms) = (key(1), world.terms(1));
    let _ = world
        .standin
        .answer(&counter, &Action::Incr { by: 1 }, &terms, false);
    let long = Duration::from_secs(6 * 24 * 3600 + 1);
    world.now = world.now + long;
    let first = world
        .standin
        .begin(std::slice::from_ref(&counter), world.now)
        .remove(0)
        .1;
    assert!(!first.is_stale(world.now), "it was never sent before");
    world.now = world.now + long;
    let again = world
        .standin
        .begin(std::slice::from_ref(&counter), world.now)
        .remove(0)
        .1;
    assert!(again.is_stale(world.now));
}

#[test]
fn sessions_and_counters_are_refused_rather_than_dropped() {
    let world = World::new();
    let set = |len: usize| Action::Set {
        value: "x".repeat(len).into(),
        expiry: SetExpiry::Never,
        condition: SetCondition::Always,
    };
    let ask = |at: usize, action: &Action| {
        world
            .standin
            .answer(&key(at), action, &world.terms(at), false)
    };
    assert!(ask(0, &set(10_000)).is_ok(), "a cache");
    assert!(ask(1, &Action::Incr { by: 1 }).is_ok(), "a counter");
    assert!(
        ask(2, &set(3000)).is_ok(),
        "a session takes the cache's place"
    );
    assert_eq!(
        ask(0, &Action::Get).map(|held| held.reply),
        Ok(Reply::Unknown)
    );
    assert!(ask(5, &set(3000)).is_ok());
    assert_eq!(
        ask(8, &set(3000)).map(|held| held.reply),
        Err(Refusal::Full)
    );
    assert_eq!(
        ask(0, &set(4000)).map(|held| held.reply),
        Err(Refusal::Full)
    );
    for (at, expected) in [(2, Some(3000)), (5, Some(3000)), (8, None)] {
        let held = ask(at, &Action::Get).map(|held| held.reply);
        let expected = expected.map_or(Reply::Unknown, |len| Reply::Hit {
            value: "x".repeat(len).into(),
        });
        assert_eq!(held, Ok(expected), "{at}");
    }
    assert_eq!(ask(1, &Action::Get).map(|held| held.reply), Ok(delta(1)));
}

#[test]
fn a_batch_is_the_oldest_keys_within_its_bounds_and_one_at_least() {
    let world = World::new();
    for at in [3, 1, 7, 4] {
        let incr = Action::Incr { by: 1 };
        let asked = world
            .standin
            .answer(&key(at), &incr, &world.terms(at), false);
        assert!(asked.is_ok(), "{asked:?}");
    }
    let oldest = |count, bytes| world.standin.oldest_touched(count, bytes);
    assert_eq!(oldest(9, usize::MAX), [key(3), key(1), key(7), key(4)]);
    assert_eq!(oldest(2, usize::MAX), [key(3), key(1)]);
    assert_eq!(
        oldest(9, 900),
        [key(3), key(1)],
        "a debt costs about 400 bytes"
    );
    assert_eq!(oldest(9, 1), [key(3)]);
    world.standin.put_last(&key(3));
    assert_eq!(oldest(1, 1), [key(1)]);
}

#[test]
fn copies_of_what_redis_holds_make_room_after_the_caches_and_before_any_refusal() {
    let world = World::new();
    let hit = |len: usize| Reply::Hit {
        value: "x".repeat(len).into(),
    };
    let learn = |(at, len): (usize, usize)| {
        let terms = world.terms(at);
        world
            .standin
            .learn(&key(at), &Action::Get, &hit(len), &terms);
    };
    let set = Action::Set {
        value: "x".repeat(6000).into(),
        expiry: SetExpiry::Never,
        condition: SetCondition::Always,
    };
    let ask = |at: usize, action: &Action| {
        let held = world
            .standin
            .answer(&key(at), action, &world.terms(at), false);
        held.map(|held| held.reply)
    };
    // Two sessions and a cache; the cache was used last.
    [(2, 4000), (5, 500), (0, 4000)].into_iter().for_each(learn);
    assert_eq!(
        ask(8, &set),
        Ok(Reply::Stored),
        "another session needs twice its value"
    );
    assert_eq!(
        ask(0, &Action::Get),
        Ok(Reply::Unknown),
        "the cache went first"
    );
    assert_eq!(
        ask(2, &Action::Get),
        Ok(Reply::Unknown),
        "then the oldest copy"
    );
    assert_eq!(ask(5, &Action::Get), Ok(hit(500)));
    assert_eq!(ask(8, &Action::Get), Ok(hit(6000)));
    let small = Action::Set {
        value: "y".into(),
        expiry: SetExpiry::Never,
        condition: SetCondition::Always,
    };
    assert_eq!(ask(5, &small), Ok(Reply::Stored));
    assert_eq!(
        ask(2, &set),
        Err(Refusal::Full),
        "what was written here stays"
    );
    let kept = Reply::Hit { value: "y".into() };
    assert_eq!(
        ask(5, &Action::Get),
        Ok(kept),
        "written, it's no copy any more"
    );
}
