//! Bad input names the field and the remedy, and counts against nothing.

use mainstay_redis::{Command, MAX_KEY_BYTES, Reply};
use mainstay_runtime::ErrorKind;
use serde_json::{Value, json};

fn check(operation: &str, body: Value, field: Option<&str>, words: &str) {
    let error = Command::parse(operation, &body).expect_err(&format!("{operation} {body}"));
    assert_eq!(error.kind, ErrorKind::InvalidInput, "{operation} {body}");
    assert_eq!(error.field.as_deref(), field, "{operation} {body}: {error}");
    assert!(error.detail.contains(words), "{operation} {body}: {error}");
}

#[test]
fn an_unknown_operation_is_told_the_nearest_one() {
    check("gte", json!({}), Some("operation"), "did you mean \"get\"");
    check("GET", json!({}), Some("operation"), "did you mean \"get\"");
    check(
        "flushall",
        json!({}),
        Some("operation"),
        "there are: get set delete",
    );
}

#[test]
fn an_unknown_field_is_told_the_nearest_one() {
    check(
        "set",
        json!({"key": "k", "vaule": "v"}),
        Some("vaule"),
        "did you mean \"value\"",
    );
    check(
        "get",
        json!({"key": "k", "xyz": 1}),
        Some("xyz"),
        "it takes: key",
    );
    check("ping", json!({"key": "k"}), Some("key"), "takes no fields");
    check(
        "zadd",
        json!({"key": "k", "members": [{"member": "a", "scoer": 1}]}),
        Some("members[0].scoer"),
        "score",
    );
}

#[test]
fn a_missing_field_is_named() {
    check("get", json!({}), Some("key"), "missing");
    check("set", json!({"key": "k"}), Some("value"), "missing");
    check("expire", json!({"key": "k"}), Some("ttl"), "missing");
    check("lpush", json!({"key": "k"}), Some("values"), "missing");
    check(
        "hset",
        json!({"key": "k", "field": "f"}),
        Some("value"),
        "missing",
    );
    check(
        "hset",
        json!({"key": "k", "value": "f"}),
        Some("field"),
        "missing",
    );
    check(
        "zadd",
        json!({"key": "k", "members": [{"member": "a"}]}),
        Some("members[0].score"),
        "missing",
    );
    check("get", json!([1]), None, "JSON object");
}

#[test]
fn keys_are_checked() {
    check(
        "get",
        json!({"key": ""}),
        Some("key"),
        "at least one character",
    );
    check(
        "get",
        json!({"key": "x".repeat(MAX_KEY_BYTES + 1)}),
        Some("key"),
        "at most 1024 bytes",
    );
    check(
        "get",
        json!({"key": "mainstay:probe"}),
        Some("key"),
        "reserved",
    );
    check("get", json!({"key": 5}), Some("key"), "is a string");
    assert!(Command::parse("get", &json!({"key": "x".repeat(MAX_KEY_BYTES)})).is_ok());
}

#[test]
fn times_to_live_are_checked() {
    for ttl in [json!(0), json!(-1), json!(0.0004), json!(-0.5)] {
        check(
            "set",
            json!({"key": "k", "value": "v", "ttl": ttl}),
            Some("ttl"),
            "at least 0.001",
        );
        check(
            "expire",
            json!({"key": "k", "ttl": ttl}),
            Some("ttl"),
            "use delete",
        );
    }
    check(
        "expire",
        json!({"key": "k", "ttl": 1e18}),
        Some("ttl"),
        "at most 315360000 seconds",
    );
    check(
        "expire",
        json!({"key": "k", "ttl": "5"}),
        Some("ttl"),
        "number of seconds",
    );
    check(
        "set",
        json!({"key": "k", "value": "v", "ttl": 1, "keep_ttl": true}),
        Some("keep_ttl"),
        "exclude",
    );
    check(
        "set",
        json!({"key": "k", "value": "v", "if": "maybe"}),
        Some("if"),
        "\"absent\" or \"present\"",
    );
}

#[test]
fn numbers_are_checked() {
    check(
        "zadd",
        json!({"key": "k", "member": "m", "score": "NaN"}),
        Some("score"),
        "finite",
    );
    check(
        "zadd",
        json!({"key": "k", "member": "m", "score": null}),
        Some("score"),
        "finite",
    );
    check(
        "incr",
        json!({"key": "k", "by": 1.5}),
        Some("by"),
        "whole number",
    );
    check(
        "incr",
        json!({"key": "k", "by": 1e30}),
        Some("by"),
        "whole number",
    );
    check(
        "lrange",
        json!({"key": "k", "start": "0"}),
        Some("start"),
        "whole number",
    );
    check(
        "zrange",
        json!({"key": "k", "with_scores": 1}),
        Some("with_scores"),
        "true or false",
    );
}

#[test]
fn values_are_text_integers_or_base64() {
    for value in [
        json!(1.5),
        json!(true),
        json!(null),
        json!([]),
        json!({}),
        json!({"base64": 1}),
        json!({"x": "y"}),
    ] {
        check(
            "set",
            json!({"key": "k", "value": value}),
            Some("value"),
            "send anything else serialised",
        );
    }
    check(
        "set",
        json!({"key": "k", "value": {"base64": "?"}}),
        Some("value.base64"),
        "RFC 4648",
    );
    check(
        "sadd",
        json!({"key": "k", "members": ["a", null]}),
        Some("members[1]"),
        "a value is a string",
    );
    check(
        "hset",
        json!({"key": "k", "fields": {"f": []}}),
        Some("fields.f"),
        "a value is a string",
    );
    check(
        "lpush",
        json!({"key": "k", "values": []}),
        Some("values"),
        "at least one item",
    );
    check(
        "hset",
        json!({"key": "k", "fields": {}}),
        Some("fields"),
        "at least one field",
    );
    check(
        "sadd",
        json!({"key": "k", "members": ["a"], "member": "b"}),
        Some("members"),
        "exclude",
    );
}

#[test]
fn absent_empty_and_unknown_never_look_alike() {
    let empty = Reply::Values { values: Vec::new() };
    let replies = [
        Reply::Absent,
        Reply::Unknown,
        Reply::Applied,
        empty,
        Reply::Hit { value: "".into() },
    ];
    let texts: std::collections::BTreeSet<String> = replies
        .iter()
        .map(|reply| serde_json::to_value(reply).expect("JSON")["status"].to_string())
        .collect();
    assert_eq!(texts.len(), replies.len());
}
