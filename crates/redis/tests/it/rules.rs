//! Every operation on a key of every class, while Redis is down and after it: as the table says, and as the page says.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_redis::{Class, OPERATIONS, contract};
use mainstay_runtime::{Error, ErrorKind};
use mainstay_testkit::{Fault, FaultProxy, Redis};
use serde_json::{Value, json};

use crate::world::{World, classed, url};

/// One cell of the table, on a key that memory knows or on one that only Redis knows.
struct Case {
    class: Class,
    operation: &'static str,
    known: bool,
    answer: Option<Result<Value, Error>>,
}

/// What Redis holds under strings before the outage.
const SEEN: &str = "5";
const UNSEEN: &str = "7";

/// What the operations are asked to do, beside the key.
fn body(operation: &str) -> Value {
    match operation {
        "set" => json!({"value": "new"}),
        "incr" => json!({"by": 3}),
        "lpush" | "rpush" => json!({"value": "x"}),
        "sadd" | "srem" => json!({"member": "m"}),
        "hset" => json!({"field": "m", "value": "x"}),
        "hget" | "hdel" => json!({"field": "m"}),
        "zadd" => json!({"member": "m", "score": 1}),
        "expire" => json!({"ttl": 1000}),
        _ => json!({}),
    }
}

/// The operation that makes the kind of collection this one is about; `None` for strings.
fn maker(operation: &str) -> Option<&'static str> {
    match operation {
        "lpush" | "rpush" | "lpop" | "rpop" | "llen" | "lrange" => Some("rpush"),
        "sadd" | "srem" | "smembers" | "scard" => Some("sadd"),
        "hset" | "hget" | "hgetall" | "hdel" => Some("hset"),
        "zadd" | "zrange" | "zcard" => Some("zadd"),
        _ => None,
    }
}

impl Case {
    fn all() -> Vec<Self> {
        let mut cases = Vec::new();
        for class in Class::ALL {
            for operation in OPERATIONS
                .into_iter()
                .filter(|operation| *operation != "ping")
            {
                cases.extend([true, false].map(|known| Self {
                    class,
                    operation,
                    known,
                    answer: None,
                }));
            }
        }
        cases
    }

    fn rule(&self) -> &'static str {
        contract::word(self.class, self.operation)
    }

    fn key(&self) -> String {
        format!("{}:{}:{}", self.class.as_str(), self.operation, self.known)
    }

    fn asks(&self, operation: &str) -> Value {
        let mut body = body(operation);
        body["key"] = self.key().into();
        body
    }

    /// Memory learns strings from Redis; a collection of a cache it knows only when it was made during the outage.
    fn made_in_memory(&self) -> Option<&'static str> {
        maker(self.operation).filter(|_| self.known && self.class == Class::Cache)
    }

    async fn prepare(&self, world: &World, aside: &World) {
        let set = |value: &str| json!({"key": self.key(), "value": value});
        match maker(self.operation) {
            _ if self.made_in_memory().is_some() => {}
            Some(maker) if !self.known => {
                aside.ok(maker, self.asks(maker)).await;
            }
            _ if self.known => {
                let mut body = set(SEEN);
                if matches!(self.operation, "ttl" | "incr") {
                    body["ttl"] = 1000.into();
                }
                world.ok("set", body).await;
            }
            _ => {
                aside.ok("set", set(UNSEEN)).await;
            }
        }
    }

    async fn ask(&mut self, world: &World) {
        if let Some(maker) = self.made_in_memory() {
            world.ok("delete", self.asks("delete")).await;
            world.ok(maker, self.asks(maker)).await;
        }
        let asked = world.ask(self.operation, self.asks(self.operation)).await;
        self.answer = Some(asked.map(|(reply, _)| reply));
    }

    /// The answer is one that the rule allows.
    fn check_answer(&self) {
        let answer = self.answer.as_ref().expect("it was asked");
        let status = match answer {
            Ok(reply) => reply["status"].as_str().expect("a status"),
            Err(error) if error.kind == ErrorKind::Unavailable => "refused",
            Err(error) if error.kind == ErrorKind::Conflict => "conflict",
            Err(error) => panic!("{}: {error}", self.key()),
        };
        let answered = !["unknown", "applied", "delta", "refused"].contains(&status);
        let right = match (self.rule(), self.known) {
            ("read" | "sum" | "add" | "remove" | "known", true) => answered,
            ("read" | "sum", false) => status == "unknown",
            ("write", _) => status == "stored",
            ("add" | "remove", false) => status == "applied",
            ("count", true) => {
                answer.as_ref().ok() == Some(&json!({"status": "counter", "value": 8}))
            }
            ("count", false) => {
                answer.as_ref().ok() == Some(&json!({"status": "delta", "delta": 3, "value": null}))
            }
            ("known", false) | ("refused", _) => status == "refused",
            other => panic!("no such rule: {other:?}"),
        };
        assert!(
            right,
            "{} is {:?}, and answered {answer:?}",
            self.key(),
            self.rule()
        );
    }

    /// What Redis holds afterwards: a string, `""` for a collection, nothing.
    fn afterwards(&self) -> Option<&'static str> {
        let before = match (maker(self.operation), self.known) {
            (Some(_), false) => "",
            (_, true) => SEEN,
            (None, false) => UNSEEN,
        };
        let refused =
            matches!(&self.answer, Some(Err(error)) if error.kind == ErrorKind::Unavailable);
        let changed = !refused && !matches!(self.rule(), "read" | "sum");
        match (self.class, self.operation, self.known) {
            (Class::Cache, _, _) if changed || self.made_in_memory().is_some() => None,
            (Class::Counter, "incr", true) => Some("8"),
            (Class::Counter, "incr", false) => Some("10"),
            (Class::Session, "set", true) => Some("new"),
            (Class::Session, "delete", true) => None,
            (Class::Session, "incr", true) => Some("8"),
            _ => Some(before),
        }
    }

    async fn check_redis(&self, aside: &World) {
        let found = match aside.ask("get", self.asks("get")).await {
            Ok((reply, _)) => reply["value"].as_str().map(str::to_owned),
            Err(error) if error.kind == ErrorKind::Conflict => Some(String::new()),
            Err(error) => panic!("{}: {error}", self.key()),
        };
        assert_eq!(found.as_deref(), self.afterwards(), "{}", self.key());
    }
}

#[tokio::test]
async fn every_operation_does_to_every_class_what_the_table_says() {
    let server = Redis::start().await;
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
    let world = World::new(classed(&url(proxy.addr())));
    let aside = World::of(&server);
    let mut cases = Case::all();
    for case in &cases {
        case.prepare(&world, &aside).await;
    }
    proxy.set(Fault::RefuseConnections).await;
    world.until_open().await;
    for case in &mut cases {
        case.ask(&world).await;
        case.check_answer();
    }
    let error = world
        .run("ping", json!({}))
        .await
        .expect_err("Redis is down");
    assert_eq!(error.kind, ErrorKind::Unavailable);
    proxy.set(Fault::Pass).await;
    world.until_settled().await;
    for case in &cases {
        case.check_redis(&aside).await;
    }
    let ttl = aside
        .ok("ttl", json!({"key": "session:expire:true"}))
        .await
        .0;
    let left = ttl["ttl"].as_f64().map(Duration::from_secs_f64);
    assert!(
        left.is_some_and(|left| left <= Duration::from_secs(1000)),
        "{ttl}"
    );
    let kept = json!({"class": "session", "prefix": "session:", "count": 1});
    assert_eq!(
        world.events("redis_value_kept"),
        [kept],
        "the session that Redis held unseen"
    );
}

#[test]
fn the_documentation_holds_the_table_that_the_code_follows() {
    let page = include_str!("../../../../docs/redis-is-down.md");
    let table = contract::markdown();
    assert!(
        page.contains(&table),
        "docs/redis-is-down.md must hold:\n{table}"
    );
}
