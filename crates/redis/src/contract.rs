//! What every store behind [`Redis`] must do: the embedded one and a real server pass the same suite.
//!
//! Each function is one behaviour and uses keys of its own, so one server can serve them all.

use std::time::Duration;

use mainstay_runtime::{CallerId, Context, Error, ErrorKind};
use serde_json::{Value, json};

pub use crate::rules::document::{markdown, word};
use crate::{Command, Redis};

/// Runs the whole suite.
pub async fn all(redis: &Redis) {
    strings_are_stored_read_and_deleted(redis).await;
    bytes_that_are_not_text_come_back_unharmed(redis).await;
    conditions_of_set_are_kept(redis).await;
    counters_count_and_refuse_what_is_no_counter(redis).await;
    lists_work_from_both_ends(redis).await;
    list_ranges_count_from_both_ends(redis).await;
    sets_hold_members_once(redis).await;
    hashes_hold_fields(redis).await;
    sorted_sets_order_by_score_then_bytes(redis).await;
    empty_collections_vanish(redis).await;
    every_operation_refuses_a_value_of_another_kind(redis).await;
    times_to_live_are_kept_and_lost_as_in_redis(redis).await;
    expired_keys_are_absent(redis).await;
    the_store_answers_ping(redis).await;
}

/// Runs one operation, given and answered as JSON.
///
/// # Errors
/// The operation's own.
pub async fn ask(redis: &Redis, operation: &str, body: Value) -> Result<Value, Error> {
    let deadline = redis.guard().now() + Duration::from_secs(2);
    let ctx = Context {
        caller: CallerId(1),
        deadline,
    };
    let answer = redis.run(&ctx, Command::parse(operation, &body)?).await?;
    serde_json::to_value(answer.value)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

type Step = (&'static str, Value, Result<Value, ErrorKind>);

fn gives(operation: &'static str, body: Value, expected: Value) -> Step {
    (operation, body, Ok(expected))
}

fn refused(operation: &'static str, body: Value, kind: ErrorKind) -> Step {
    (operation, body, Err(kind))
}

async fn check(redis: &Redis, steps: impl IntoIterator<Item = Step>) {
    for (at, (operation, body, expected)) in steps.into_iter().enumerate() {
        let answer = ask(redis, operation, body.clone())
            .await
            .map_err(|error| error.kind);
        assert_eq!(answer, expected, "step {}: {operation} {body}", at + 1);
    }
}

fn hit(value: &str) -> Value {
    json!({"status": "hit", "value": value})
}

fn status(word: &str) -> Value {
    json!({"status": word})
}

fn length(length: u64) -> Value {
    json!({"status": "length", "length": length})
}

fn changed(changed: u64) -> Value {
    json!({"status": "changed", "changed": changed})
}

fn values(values: &[&str]) -> Value {
    json!({"status": "values", "values": values})
}

/// get, set, delete.
pub async fn strings_are_stored_read_and_deleted(redis: &Redis) {
    let key = json!({"key": "c:string"});
    check(
        redis,
        [
            gives("get", key.clone(), status("absent")),
            gives("delete", key.clone(), status("absent")),
            gives(
                "set",
                json!({"key": "c:string", "value": "one"}),
                status("stored"),
            ),
            gives("get", key.clone(), hit("one")),
            gives(
                "set",
                json!({"key": "c:string", "value": ""}),
                status("stored"),
            ),
            gives("get", key.clone(), hit("")),
            gives(
                "set",
                json!({"key": "c:string", "value": 7}),
                status("stored"),
            ),
            gives("get", key.clone(), hit("7")),
            gives(
                "set",
                json!({"key": "c:string", "value": "ñandú ✓"}),
                status("stored"),
            ),
            gives("get", key.clone(), hit("ñandú ✓")),
            gives("delete", key.clone(), status("deleted")),
            gives("get", key, status("absent")),
        ],
    )
    .await;
}

/// Bytes travel as base64 in both directions.
pub async fn bytes_that_are_not_text_come_back_unharmed(redis: &Redis) {
    let bytes = json!({"base64": "/wD+"});
    check(
        redis,
        [
            gives(
                "set",
                json!({"key": "c:bytes", "value": bytes}),
                status("stored"),
            ),
            gives(
                "get",
                json!({"key": "c:bytes"}),
                json!({"status": "hit", "value": bytes}),
            ),
            gives(
                "hset",
                json!({"key": "c:bytes:h", "field": bytes, "value": "v"}),
                changed(1),
            ),
            gives(
                "hget",
                json!({"key": "c:bytes:h", "field": bytes}),
                hit("v"),
            ),
            gives(
                "set",
                json!({"key": "c:bytes", "value": {"base64": "aGk="}}),
                status("stored"),
            ),
            gives("get", json!({"key": "c:bytes"}), hit("hi")),
        ],
    )
    .await;
}

/// `if` and `keep_ttl`.
pub async fn conditions_of_set_are_kept(redis: &Redis) {
    let set =
        |value: &str, condition: &str| json!({"key": "c:if", "value": value, "if": condition});
    check(
        redis,
        [
            gives("set", set("a", "present"), status("not_stored")),
            gives("set", set("b", "absent"), status("stored")),
            gives("set", set("c", "absent"), status("not_stored")),
            gives("get", json!({"key": "c:if"}), hit("b")),
            gives("set", set("d", "present"), status("stored")),
            gives("get", json!({"key": "c:if"}), hit("d")),
        ],
    )
    .await;
}

/// incr, its limits, and what it doesn't accept.
pub async fn counters_count_and_refuse_what_is_no_counter(redis: &Redis) {
    let incr = |by: i64| json!({"key": "c:counter", "by": by});
    let counter = |value: i64| json!({"status": "counter", "value": value});
    let mut steps = vec![
        gives("incr", json!({"key": "c:counter"}), counter(1)),
        gives("incr", incr(-3), counter(-2)),
        gives("incr", incr(0), counter(-2)),
        gives("get", json!({"key": "c:counter"}), hit("-2")),
        gives(
            "set",
            json!({"key": "c:counter", "value": i64::MAX}),
            status("stored"),
        ),
        refused("incr", incr(1), ErrorKind::Conflict),
        gives(
            "get",
            json!({"key": "c:counter"}),
            hit(&i64::MAX.to_string()),
        ),
        gives("incr", incr(i64::MIN), counter(-1)),
        refused("incr", incr(i64::MIN), ErrorKind::Conflict),
    ];
    for text in [
        "",
        "one",
        "1.0",
        " 1",
        "1 ",
        "+1",
        "01",
        "-0",
        "9223372036854775808",
        "0x1",
    ] {
        steps.push(gives(
            "set",
            json!({"key": "c:counter", "value": text}),
            status("stored"),
        ));
        steps.push(refused("incr", incr(1), ErrorKind::Conflict));
    }
    check(redis, steps).await;
}

/// Pushes and pops.
pub async fn lists_work_from_both_ends(redis: &Redis) {
    let key = json!({"key": "c:list"});
    check(
        redis,
        [
            gives("llen", key.clone(), status("absent")),
            gives("lpop", key.clone(), status("absent")),
            gives("rpop", key.clone(), status("absent")),
            gives(
                "rpush",
                json!({"key": "c:list", "values": ["c", "d"]}),
                length(2),
            ),
            gives(
                "lpush",
                json!({"key": "c:list", "values": ["b", "a"]}),
                length(4),
            ),
            gives("lrange", key.clone(), values(&["a", "b", "c", "d"])),
            gives("rpush", json!({"key": "c:list", "value": "a"}), length(5)),
            gives("lpop", key.clone(), hit("a")),
            gives("rpop", key.clone(), hit("a")),
            gives("rpop", key.clone(), hit("d")),
            gives("llen", key, length(2)),
        ],
    )
    .await;
}

/// Negative positions, positions outside, and the difference between an empty part and no list.
pub async fn list_ranges_count_from_both_ends(redis: &Redis) {
    let range = |start: i64, stop: i64| json!({"key": "c:range", "start": start, "stop": stop});
    check(
        redis,
        [
            gives("lrange", range(0, -1), status("absent")),
            gives(
                "rpush",
                json!({"key": "c:range", "values": ["a", "b", "c"]}),
                length(3),
            ),
            gives("lrange", range(0, 0), values(&["a"])),
            gives("lrange", range(-2, -1), values(&["b", "c"])),
            gives("lrange", range(-100, 100), values(&["a", "b", "c"])),
            gives("lrange", range(1, -3), values(&[])),
            gives("lrange", range(3, 9), values(&[])),
            gives("lrange", range(-9, -4), values(&[])),
            gives(
                "lrange",
                range(i64::MIN, i64::MAX),
                values(&["a", "b", "c"]),
            ),
        ],
    )
    .await;
}

/// sadd, srem, smembers, scard.
pub async fn sets_hold_members_once(redis: &Redis) {
    let key = json!({"key": "c:set"});
    check(
        redis,
        [
            gives("smembers", key.clone(), status("absent")),
            gives("scard", key.clone(), status("absent")),
            gives("srem", json!({"key": "c:set", "member": "x"}), changed(0)),
            gives(
                "sadd",
                json!({"key": "c:set", "members": ["b", "a", "b"]}),
                changed(2),
            ),
            gives(
                "sadd",
                json!({"key": "c:set", "members": ["b", "c", 5]}),
                changed(2),
            ),
            gives("smembers", key.clone(), values(&["5", "a", "b", "c"])),
            gives(
                "srem",
                json!({"key": "c:set", "members": ["a", "x", "a"]}),
                changed(1),
            ),
            gives("scard", key, length(3)),
        ],
    )
    .await;
}

/// hset, hget, hgetall, hdel.
pub async fn hashes_hold_fields(redis: &Redis) {
    let key = json!({"key": "c:hash"});
    let all = json!({"status": "fields", "fields": [
        {"field": "", "value": "4"}, {"field": "a", "value": "3"}, {"field": "b", "value": "2"},
    ]});
    check(
        redis,
        [
            gives("hgetall", key.clone(), status("absent")),
            gives(
                "hget",
                json!({"key": "c:hash", "field": "a"}),
                status("absent"),
            ),
            gives("hdel", json!({"key": "c:hash", "field": "a"}), changed(0)),
            gives(
                "hset",
                json!({"key": "c:hash", "fields": {"a": "1", "b": 2}}),
                changed(2),
            ),
            gives(
                "hset",
                json!({"key": "c:hash", "fields": {"a": "3", "": "4"}}),
                changed(1),
            ),
            gives("hget", json!({"key": "c:hash", "field": "a"}), hit("3")),
            gives(
                "hget",
                json!({"key": "c:hash", "field": "z"}),
                status("absent"),
            ),
            gives("hgetall", key, all),
            gives(
                "hdel",
                json!({"key": "c:hash", "fields": ["a", "z", "a"]}),
                changed(1),
            ),
        ],
    )
    .await;
}

/// zadd, zrange, zcard.
pub async fn sorted_sets_order_by_score_then_bytes(redis: &Redis) {
    let key = json!({"key": "c:sorted"});
    let member = |member: &str, score: f64| json!({"member": member, "score": score});
    let scored = json!({"status": "members", "members": [
        member("minus", -1.5), member("tiny", 5e-324), member("third", 0.1 + 0.2), member("huge", 1e300),
    ]});
    check(
        redis,
        [
            gives("zcard", key.clone(), status("absent")),
            gives("zrange", key.clone(), status("absent")),
            gives("zadd", json!({"key": "c:sorted", "members": [member("b", 1.0), member("a", 1.0)]}), changed(2)),
            gives("zadd", json!({"key": "c:sorted", "member": "B", "score": 1}), changed(1)),
            gives("zrange", key.clone(), values(&["B", "a", "b"])),
            gives("zadd", json!({"key": "c:sorted", "members": [member("a", 2.0), member("a", 3.0)]}), changed(0)),
            gives("zrange", key.clone(), values(&["B", "b", "a"])),
            gives("zrange", json!({"key": "c:sorted", "start": -2, "stop": -2}), values(&["b"])),
            gives("zrange", json!({"key": "c:sorted", "start": 5}), values(&[])),
            gives("zcard", key, length(3)),
            gives(
                "zadd",
                json!({"key": "c:scores", "members": [
                    member("huge", 1e300), member("third", 0.1 + 0.2), member("tiny", 5e-324), member("minus", -1.5),
                ]}),
                changed(4),
            ),
            gives("zrange", json!({"key": "c:scores", "with_scores": true}), scored),
            gives("zadd", json!({"key": "c:zeros", "members": [member("b", -0.0), member("a", 0.0)]}), changed(2)),
            gives("zrange", json!({"key": "c:zeros"}), values(&["a", "b"])),
        ],
    )
    .await;
}

/// A key without elements doesn't exist, whatever kind it was.
pub async fn empty_collections_vanish(redis: &Redis) {
    let key = || json!({"key": "c:empty"});
    check(
        redis,
        [
            gives("rpush", json!({"key": "c:empty", "value": "x"}), length(1)),
            gives("lpop", key(), hit("x")),
            gives("ttl", key(), status("absent")),
            gives("sadd", json!({"key": "c:empty", "member": "x"}), changed(1)),
            gives("srem", json!({"key": "c:empty", "member": "x"}), changed(1)),
            gives(
                "hset",
                json!({"key": "c:empty", "field": "f", "value": "x"}),
                changed(1),
            ),
            gives("hdel", json!({"key": "c:empty", "field": "f"}), changed(1)),
            gives("get", key(), status("absent")),
        ],
    )
    .await;
}

/// A wrong kind is a conflict and changes nothing; set and delete don't mind.
pub async fn every_operation_refuses_a_value_of_another_kind(redis: &Redis) {
    let key = "c:kind";
    let on_list = [
        ("get", json!({"key": key})),
        ("incr", json!({"key": key})),
        ("sadd", json!({"key": key, "member": "x"})),
        ("srem", json!({"key": key, "member": "x"})),
        ("smembers", json!({"key": key})),
        ("scard", json!({"key": key})),
        ("hset", json!({"key": key, "field": "f", "value": "x"})),
        ("hget", json!({"key": key, "field": "f"})),
        ("hgetall", json!({"key": key})),
        ("hdel", json!({"key": key, "field": "f"})),
        ("zadd", json!({"key": key, "member": "x", "score": 1})),
        ("zrange", json!({"key": key})),
        ("zcard", json!({"key": key})),
    ];
    let on_string = [
        ("lpush", json!({"key": key, "value": "x"})),
        ("rpush", json!({"key": key, "value": "x"})),
        ("lpop", json!({"key": key})),
        ("rpop", json!({"key": key})),
        ("llen", json!({"key": key})),
        ("lrange", json!({"key": key})),
    ];
    check(
        redis,
        [gives("rpush", json!({"key": key, "value": "x"}), length(1))],
    )
    .await;
    check(
        redis,
        on_list.map(|(operation, body)| refused(operation, body, ErrorKind::Conflict)),
    )
    .await;
    check(
        redis,
        [
            gives("lrange", json!({"key": key}), values(&["x"])),
            gives("set", json!({"key": key, "value": "s"}), status("stored")),
        ],
    )
    .await;
    check(
        redis,
        on_string.map(|(operation, body)| refused(operation, body, ErrorKind::Conflict)),
    )
    .await;
    check(redis, [gives("get", json!({"key": key}), hit("s"))]).await;
}

/// ttl and expire, and which writes keep the time to live.
pub async fn times_to_live_are_kept_and_lost_as_in_redis(redis: &Redis) {
    let key = || json!({"key": "c:ttl"});
    let hundred = json!({"status": "expires", "ttl": 100.0});
    check(
        redis,
        [
            gives("ttl", key(), status("absent")),
            gives(
                "expire",
                json!({"key": "c:ttl", "ttl": 100}),
                status("absent"),
            ),
            gives(
                "set",
                json!({"key": "c:ttl", "value": "1"}),
                status("stored"),
            ),
            gives("ttl", key(), status("persistent")),
            gives(
                "expire",
                json!({"key": "c:ttl", "ttl": 100}),
                hundred.clone(),
            ),
        ],
    )
    .await;
    assert_lives_about(redis, "c:ttl", 100.0).await;
    check(
        redis,
        [gives(
            "incr",
            key(),
            json!({"status": "counter", "value": 2}),
        )],
    )
    .await;
    assert_lives_about(redis, "c:ttl", 100.0).await;
    check(
        redis,
        [gives(
            "set",
            json!({"key": "c:ttl", "value": "x", "keep_ttl": true}),
            status("stored"),
        )],
    )
    .await;
    assert_lives_about(redis, "c:ttl", 100.0).await;
    check(
        redis,
        [gives(
            "set",
            json!({"key": "c:ttl", "value": "x", "ttl": 50.5}),
            status("stored"),
        )],
    )
    .await;
    assert_lives_about(redis, "c:ttl", 50.5).await;
    check(
        redis,
        [
            gives(
                "set",
                json!({"key": "c:ttl", "value": "x"}),
                status("stored"),
            ),
            gives("ttl", key(), status("persistent")),
            gives(
                "sadd",
                json!({"key": "c:ttl:set", "member": "a"}),
                changed(1),
            ),
            gives("expire", json!({"key": "c:ttl:set", "ttl": 100}), hundred),
            gives(
                "sadd",
                json!({"key": "c:ttl:set", "member": "b"}),
                changed(1),
            ),
        ],
    )
    .await;
    assert_lives_about(redis, "c:ttl:set", 100.0).await;
}

async fn assert_lives_about(redis: &Redis, key: &str, seconds: f64) {
    let answer = ask(redis, "ttl", json!({"key": key}))
        .await
        .expect("ttl of an existing key");
    let ttl = answer["ttl"]
        .as_f64()
        .unwrap_or_else(|| panic!("{key} has no ttl: {answer}"));
    assert!(
        ttl <= seconds && ttl > seconds - 20.0,
        "{key}: {ttl} s left of {seconds}"
    );
}

/// A time to live ends.
pub async fn expired_keys_are_absent(redis: &Redis) {
    let clock = redis.guard().clock();
    check(
        redis,
        [
            gives(
                "set",
                json!({"key": "c:short", "value": "x", "ttl": 0.02}),
                status("stored"),
            ),
            gives(
                "rpush",
                json!({"key": "c:short:list", "value": "x"}),
                length(1),
            ),
            gives(
                "expire",
                json!({"key": "c:short:list", "ttl": 0.02}),
                json!({"status": "expires", "ttl": 0.02}),
            ),
        ],
    )
    .await;
    clock.sleep(Duration::from_millis(60)).await;
    check(
        redis,
        [
            gives("get", json!({"key": "c:short"}), status("absent")),
            gives("llen", json!({"key": "c:short:list"}), status("absent")),
            gives(
                "set",
                json!({"key": "c:short", "value": "x", "if": "present"}),
                status("not_stored"),
            ),
            gives(
                "set",
                json!({"key": "c:short", "value": "x", "keep_ttl": true}),
                status("stored"),
            ),
            gives("ttl", json!({"key": "c:short"}), status("persistent")),
        ],
    )
    .await;
}

/// ping.
pub async fn the_store_answers_ping(redis: &Redis) {
    check(redis, [gives("ping", json!({}), status("pong"))]).await;
}
