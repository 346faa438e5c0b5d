//! What every store behind [`Redis`] must do: the embedded one and a real server pass the same suite.
//!
//! Each function is one behaviour and uses keys of its own, so one server can serve them all. A behaviour is a script:
//! a line for each operation, with its fields as JSON where it has any, and what it answers: `hit "one"` is the status
//! with its value, `! conflict` an error's kind.

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
    let ctx = Context::new(CallerId(1), deadline);
    let answer = redis.run(&ctx, Command::parse(operation, &body)?).await?;
    serde_json::to_value(answer.value)
        .map_err(|error| Error::new(ErrorKind::Internal, error.to_string()))
}

/// Runs a script on one key.
async fn check(redis: &Redis, key: &str, script: &str) {
    for line in script
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty())
    {
        let (asked, expected) = line
            .split_once(" => ")
            .expect("a line is `asked => expected`");
        let (operation, fields) = asked.trim().split_once(' ').unwrap_or((asked.trim(), "{}"));
        let mut body = parsed(fields);
        body["key"] = key.into();
        let answer = ask(redis, operation, body).await;
        let answer = answer.map_err(|error| error.kind.as_str().to_owned());
        assert_eq!(answer, expectation(expected), "{key}: {line}");
    }
}

fn expectation(text: &str) -> Result<Value, String> {
    let (status, value) = text.split_once(' ').unwrap_or((text, ""));
    let field = match status {
        "!" => return Err(value.to_owned()),
        "hit" | "counter" => "value",
        "expires" => "ttl",
        // length, changed, values, fields and members carry a field of their own name.
        other => other,
    };
    let mut reply = json!({"status": status});
    if !value.is_empty() {
        reply[field] = parsed(value);
    }
    Ok(reply)
}

fn parsed(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}"))
}

/// get, set, delete.
pub async fn strings_are_stored_read_and_deleted(redis: &Redis) {
    let script = r#"
        get => absent
        delete => absent
        set {"value": "one"} => stored
        get => hit "one"
        set {"value": ""} => stored
        get => hit ""
        set {"value": 7} => stored
        get => hit "7"
        set {"value": "ñandú ✓"} => stored
        get => hit "ñandú ✓"
        delete => deleted
        get => absent
    "#;
    check(redis, "c:string", script).await;
}

/// Bytes travel as base64 in both directions.
pub async fn bytes_that_are_not_text_come_back_unharmed(redis: &Redis) {
    let string = r#"
        set {"value": {"base64": "/wD+"}} => stored
        get => hit {"base64": "/wD+"}
        set {"value": {"base64": "aGk="}} => stored
        get => hit "hi"
    "#;
    check(redis, "c:bytes", string).await;
    let hash = r#"
        hset {"field": {"base64": "/wD+"}, "value": "v"} => changed 1
        hget {"field": {"base64": "/wD+"}} => hit "v"
    "#;
    check(redis, "c:bytes:h", hash).await;
}

/// `if` and `keep_ttl`.
pub async fn conditions_of_set_are_kept(redis: &Redis) {
    let script = r#"
        set {"value": "a", "if": "present"} => not_stored
        set {"value": "b", "if": "absent"} => stored
        set {"value": "c", "if": "absent"} => not_stored
        get => hit "b"
        set {"value": "d", "if": "present"} => stored
        get => hit "d"
    "#;
    check(redis, "c:if", script).await;
}

/// incr, its limits, and what it doesn't accept.
pub async fn counters_count_and_refuse_what_is_no_counter(redis: &Redis) {
    let script = r#"
        incr => counter 1
        incr {"by": -3} => counter -2
        incr {"by": 0} => counter -2
        get => hit "-2"
        set {"value": 9223372036854775807} => stored
        incr {"by": 1} => ! conflict
        get => hit "9223372036854775807"
        incr {"by": -9223372036854775808} => counter -1
        incr {"by": -9223372036854775808} => ! conflict
    "#;
    check(redis, "c:counter", script).await;
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
        let set = format!("set {} => stored", json!({"value": text}));
        check(redis, "c:counter", &format!("{set}\nincr => ! conflict")).await;
    }
}

/// Pushes and pops.
pub async fn lists_work_from_both_ends(redis: &Redis) {
    let script = r#"
        llen => absent
        lpop => absent
        rpop => absent
        rpush {"values": ["c", "d"]} => length 2
        lpush {"values": ["b", "a"]} => length 4
        lrange => values ["a", "b", "c", "d"]
        rpush {"value": "a"} => length 5
        lpop => hit "a"
        rpop => hit "a"
        rpop => hit "d"
        llen => length 2
    "#;
    check(redis, "c:list", script).await;
}

/// Negative positions, positions outside, and the difference between an empty part and no list.
pub async fn list_ranges_count_from_both_ends(redis: &Redis) {
    let script = r#"
        lrange {"start": 0, "stop": -1} => absent
        rpush {"values": ["a", "b", "c"]} => length 3
        lrange {"start": 0, "stop": 0} => values ["a"]
        lrange {"start": -2, "stop": -1} => values ["b", "c"]
        lrange {"start": -100, "stop": 100} => values ["a", "b", "c"]
        lrange {"start": 1, "stop": -3} => values []
        lrange {"start": 3, "stop": 9} => values []
        lrange {"start": -9, "stop": -4} => values []
        lrange {"start": -9223372036854775808, "stop": 9223372036854775807} => values ["a", "b", "c"]
    "#;
    check(redis, "c:range", script).await;
}

/// sadd, srem, smembers, scard.
pub async fn sets_hold_members_once(redis: &Redis) {
    let script = r#"
        smembers => absent
        scard => absent
        srem {"member": "x"} => changed 0
        sadd {"members": ["b", "a", "b"]} => changed 2
        sadd {"members": ["b", "c", 5]} => changed 2
        smembers => values ["5", "a", "b", "c"]
        srem {"members": ["a", "x", "a"]} => changed 1
        scard => length 3
    "#;
    check(redis, "c:set", script).await;
}

/// hset, hget, hgetall, hdel.
pub async fn hashes_hold_fields(redis: &Redis) {
    let script = r#"
        hgetall => absent
        hget {"field": "a"} => absent
        hdel {"field": "a"} => changed 0
        hset {"fields": {"a": "1", "b": 2}} => changed 2
        hset {"fields": {"a": "3", "": "4"}} => changed 1
        hget {"field": "a"} => hit "3"
        hget {"field": "z"} => absent
        hgetall => fields [{"field": "", "value": "4"}, {"field": "a", "value": "3"}, {"field": "b", "value": "2"}]
        hdel {"fields": ["a", "z", "a"]} => changed 1
    "#;
    check(redis, "c:hash", script).await;
}

/// zadd, zrange, zcard.
pub async fn sorted_sets_order_by_score_then_bytes(redis: &Redis) {
    let order = r#"
        zcard => absent
        zrange => absent
        zadd {"members": [{"member": "b", "score": 1.0}, {"member": "a", "score": 1.0}]} => changed 2
        zadd {"member": "B", "score": 1} => changed 1
        zrange => values ["B", "a", "b"]
        zadd {"members": [{"member": "a", "score": 2.0}, {"member": "a", "score": 3.0}]} => changed 0
        zrange => values ["B", "b", "a"]
        zrange {"start": -2, "stop": -2} => values ["b"]
        zrange {"start": 5} => values []
        zcard => length 3
    "#;
    check(redis, "c:sorted", order).await;
    let member = |member: &str, score: f64| json!({"member": member, "score": score});
    let (minus, tiny) = (member("minus", -1.5), member("tiny", 5e-324));
    let (third, huge) = (member("third", 0.1 + 0.2), member("huge", 1e300));
    let add = json!({"key": "c:scores", "members": [huge, third, tiny, minus]});
    let added = ask(redis, "zadd", add).await;
    assert_eq!(added, Ok(json!({"status": "changed", "changed": 4})));
    let read = json!({"key": "c:scores", "with_scores": true});
    let in_order = json!({"status": "members", "members": [minus, tiny, third, huge]});
    assert_eq!(ask(redis, "zrange", read).await, Ok(in_order));
    let zeros = r#"
        zadd {"members": [{"member": "b", "score": -0.0}, {"member": "a", "score": 0.0}]} => changed 2
        zrange => values ["a", "b"]
    "#;
    check(redis, "c:zeros", zeros).await;
}

/// A key without elements doesn't exist, whatever kind it was.
pub async fn empty_collections_vanish(redis: &Redis) {
    let script = r#"
        rpush {"value": "x"} => length 1
        lpop => hit "x"
        ttl => absent
        sadd {"member": "x"} => changed 1
        srem {"member": "x"} => changed 1
        hset {"field": "f", "value": "x"} => changed 1
        hdel {"field": "f"} => changed 1
        get => absent
    "#;
    check(redis, "c:empty", script).await;
}

/// A wrong kind is a conflict and changes nothing; set and delete don't mind.
pub async fn every_operation_refuses_a_value_of_another_kind(redis: &Redis) {
    let script = r#"
        rpush {"value": "x"} => length 1
        get => ! conflict
        incr => ! conflict
        sadd {"member": "x"} => ! conflict
        srem {"member": "x"} => ! conflict
        smembers => ! conflict
        scard => ! conflict
        hset {"field": "f", "value": "x"} => ! conflict
        hget {"field": "f"} => ! conflict
        hgetall => ! conflict
        hdel {"field": "f"} => ! conflict
        zadd {"member": "x", "score": 1} => ! conflict
        zrange => ! conflict
        zcard => ! conflict
        lrange => values ["x"]
        set {"value": "s"} => stored
        lpush {"value": "x"} => ! conflict
        rpush {"value": "x"} => ! conflict
        lpop => ! conflict
        rpop => ! conflict
        llen => ! conflict
        lrange => ! conflict
        get => hit "s"
    "#;
    check(redis, "c:kind", script).await;
}

/// ttl and expire, and which writes keep the time to live.
pub async fn times_to_live_are_kept_and_lost_as_in_redis(redis: &Redis) {
    let script = r#"
        ttl => absent
        expire {"ttl": 100} => absent
        set {"value": "1"} => stored
        ttl => persistent
        expire {"ttl": 100} => expires 100.0
    "#;
    check(redis, "c:ttl", script).await;
    assert_lives_about(redis, "c:ttl", 100.0).await;
    check(redis, "c:ttl", "incr => counter 2").await;
    assert_lives_about(redis, "c:ttl", 100.0).await;
    let keep = r#"set {"value": "x", "keep_ttl": true} => stored"#;
    check(redis, "c:ttl", keep).await;
    assert_lives_about(redis, "c:ttl", 100.0).await;
    check(
        redis,
        "c:ttl",
        r#"set {"value": "x", "ttl": 50.5} => stored"#,
    )
    .await;
    assert_lives_about(redis, "c:ttl", 50.5).await;
    let lost = r#"
        set {"value": "x"} => stored
        ttl => persistent
    "#;
    check(redis, "c:ttl", lost).await;
    let set = r#"
        sadd {"member": "a"} => changed 1
        expire {"ttl": 100} => expires 100.0
        sadd {"member": "b"} => changed 1
    "#;
    check(redis, "c:ttl:set", set).await;
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
    let list = r#"
        rpush {"value": "x"} => length 1
        expire {"ttl": 0.02} => expires 0.02
    "#;
    check(
        redis,
        "c:short",
        r#"set {"value": "x", "ttl": 0.02} => stored"#,
    )
    .await;
    check(redis, "c:short:list", list).await;
    redis.guard().clock().sleep(Duration::from_millis(60)).await;
    let string = r#"
        get => absent
        set {"value": "x", "if": "present"} => not_stored
        set {"value": "x", "keep_ttl": true} => stored
        ttl => persistent
    "#;
    check(redis, "c:short", string).await;
    check(redis, "c:short:list", "llen => absent").await;
}

/// ping.
pub async fn the_store_answers_ping(redis: &Redis) {
    let answer = ask(redis, "ping", json!({})).await;
    assert_eq!(answer, Ok(json!({"status": "pong"})));
}
