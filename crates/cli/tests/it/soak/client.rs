//! A client with objects, rows and a counter of its own, and what it was told of them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::rest;
use crate::crash::dice::Dice;
use crate::end_to_end::server::KEY;

const KEYS: u64 = 8;
/// Sizes of uploads: in the journal's row, and as files beside it.
const SMALL: usize = 2_000;
const LARGE: usize = 90_000;

/// The server under load.
pub(crate) struct Target {
    url: String,
    client: reqwest::Client,
}

impl Target {
    pub(crate) fn new(url: String) -> Self {
        let client = reqwest::Client::builder().timeout(Duration::from_secs(40));
        let client = client.build().expect("a client");
        Self { url, client }
    }

    fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let request = self.client.request(method, format!("{}{path}", self.url));
        request.header("x-api-key", KEY)
    }
}

/// What one client has been told.
#[derive(Default)]
pub(crate) struct Ledger {
    /// What each object may be; none is no object.
    pub(crate) objects: BTreeMap<String, BTreeSet<Option<String>>>,
    /// Deferred writes that were acknowledged.
    pub(crate) rows: Vec<String>,
    /// How many nobody answered.
    pub(crate) perhaps_rows: usize,
    pub(crate) counter: String,
    pub(crate) counted: u64,
    pub(crate) perhaps_counted: u64,
    /// Answers with 202.
    pub(crate) accepted: u64,
    /// How often each kind of request got which status; 0 is none at all.
    pub(crate) answers: BTreeMap<String, u64>,
}

pub(crate) struct Client {
    number: usize,
    target: Arc<Target>,
    dice: Dice,
    turn: u64,
    ledger: Ledger,
}

impl Client {
    pub(crate) fn new(number: usize, seed: u64, target: Arc<Target>) -> Self {
        Self {
            number,
            target,
            dice: Dice::new(seed * 1000 + number as u64),
            turn: 0,
            ledger: Ledger {
                counter: format!("count:{number}"),
                ..Ledger::default()
            },
        }
    }

    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>) -> Ledger {
        while !*stop.borrow() {
            self.turn += 1;
            match self.dice.below(12) {
                0..=2 => self.put().await,
                3 => self.delete().await,
                4 => self.get().await,
                5 | 6 => self.defer().await,
                7 | 8 => self.count().await,
                9 => self.read().await,
                10 => self.chat().await,
                _ => self.look().await,
            }
            rest().await;
        }
        self.ledger
    }

    fn key(&mut self) -> String {
        format!("client{}-{}", self.number, self.dice.below(KEYS))
    }

    /// The status, 0 without an answer, and the body.
    async fn send(&mut self, what: &str, request: RequestBuilder) -> (u16, Value) {
        let (mut status, mut body) = (0, Value::Null);
        if let Ok(response) = request.send().await {
            let said = response.status().as_u16();
            if let Ok(bytes) = response.bytes().await {
                status = said;
                body = serde_json::from_slice(&bytes).unwrap_or_default();
            }
        }
        *self
            .ledger
            .answers
            .entry(format!("{what} {status}"))
            .or_default() += 1;
        self.ledger.accepted += u64::from(status == 202);
        (status, body)
    }

    async fn put(&mut self) {
        let key = self.key();
        let size = if self.dice.below(8) == 0 {
            LARGE
        } else {
            SMALL
        };
        let content = format!("{key} {} {}", self.turn, "x".repeat(size));
        let request = self.target.request(Method::PUT, &format!("/objects/{key}"));
        let once = format!("{}-{}", self.number, self.turn);
        let request = request
            .header("idempotency-key", once)
            .body(content.clone());
        let status = self.send("put", request).await.0;
        self.told(key, Some(content), status);
    }

    async fn delete(&mut self) {
        let key = self.key();
        let request = self
            .target
            .request(Method::DELETE, &format!("/objects/{key}"));
        let status = self.send("delete", request).await.0;
        self.told(key, None, status);
    }

    /// What was acknowledged is so; what was refused is not; what ended otherwise may be.
    fn told(&mut self, key: String, now: Option<String>, status: u16) {
        let possible = self.ledger.objects.entry(key);
        let possible = possible.or_insert_with(|| BTreeSet::from([None]));
        match status {
            200 | 202 => *possible = BTreeSet::from([now]),
            // By its word nothing was written.
            503 => {}
            0 | 500.. => {
                possible.insert(now);
            }
            _ => panic!("status {status} for a write"),
        }
    }

    async fn get(&mut self) {
        let key = self.key();
        let request = self.target.request(Method::GET, &format!("/objects/{key}"));
        self.send("get", request).await;
    }

    async fn defer(&mut self) {
        let id = format!("{}-{}", self.number, self.turn);
        let request = self.target.request(Method::POST, "/db/deferred");
        let request = request.header("idempotency-key", &id);
        let body = json!({"statement": "add", "params": [id]});
        match self.send("defer", request.json(&body)).await.0 {
            200 | 202 => self.ledger.rows.push(id),
            0 | 504 => self.ledger.perhaps_rows += 1,
            _ => {}
        }
    }

    async fn count(&mut self) {
        let request = self.target.request(Method::POST, "/cache/incr");
        let request = request.json(&json!({"key": self.ledger.counter}));
        match self.send("count", request).await.0 {
            200 => self.ledger.counted += 1,
            0 | 504 => self.ledger.perhaps_counted += 1,
            // Refused: it must not count.
            _ => {}
        }
    }

    async fn read(&mut self) {
        let query = "select count(*) as rows, $1::bigint as turn from added";
        let body = json!({"query": query, "params": [self.dice.below(100)]});
        let request = self.target.request(Method::POST, "/db/read").json(&body);
        self.send("read", request).await;
    }

    async fn chat(&mut self) {
        let stream = self.dice.below(2) == 0;
        let words = format!("question {}", self.dice.below(100));
        let message = json!({"role": "user", "content": words});
        let body = json!({"messages": [message], "stream": stream});
        let request = self.target.request(Method::POST, "/ai/chat").json(&body);
        self.send("chat", request).await;
    }

    async fn look(&mut self) {
        let path = *self
            .dice
            .pick(&["/metrics", "/status", "/status/why", "/objects?limit=20"]);
        let request = self.target.request(Method::GET, path);
        self.send("look", request).await;
    }
}
