//! A client with keys of its own, and what it knows of them: after an answer what it was told, without one either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::pause;
use reqwest::{Method, Response};
use serde_json::json;
use tokio::sync::watch;

use super::content::Content;
use super::dice::Dice;
use super::victim::Victim;

const KEYS: u64 = 4;

/// What a key may hold; none is no object.
type Possible = BTreeSet<Option<Content>>;

/// What a client has done and been told.
#[derive(Default)]
pub(crate) struct Log {
    pub(crate) possible: BTreeMap<String, Possible>,
    pub(crate) acknowledged: u64,
    /// Acknowledged with 202.
    pub(crate) accepted: u64,
    pub(crate) read: u64,
}

/// How a write ended, as far as its client knows.
enum Told {
    Done,
    Missing,
    Perhaps,
    Never,
}

pub(crate) struct Client {
    number: usize,
    victim: Arc<Victim>,
    dice: Dice,
    version: u64,
    log: Log,
    /// An upload without an answer, to be sent again with its idempotency key.
    again: Option<Content>,
}

impl Client {
    pub(crate) fn new(number: usize, seed: u64, victim: Arc<Victim>) -> Self {
        Self {
            number,
            victim,
            dice: Dice::new(seed * 1000 + number as u64),
            version: 0,
            log: Log::default(),
            again: None,
        }
    }

    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>) -> Log {
        while !*stop.borrow() {
            match (self.again.take(), self.dice.below(10)) {
                (Some(content), _) => self.put(content).await,
                (None, 0..=5) => {
                    let content = self.new_content();
                    self.put(content).await;
                }
                (None, 6) => self.delete().await,
                (None, 7) => self.copy().await,
                _ => self.read().await,
            }
        }
        self.log
    }

    fn key(&mut self) -> String {
        format!("client{}/key{}", self.number, self.dice.below(KEYS))
    }

    /// Most fit a journal's row, some are files beside it, few go up in parts.
    fn new_content(&mut self) -> Content {
        self.version += 1;
        let len = match self.dice.below(40) {
            0 => 9 << 20,
            1..=10 => 70_000 + self.dice.below(200_000),
            _ => 100 + self.dice.below(5_000),
        };
        Content {
            key: self.key(),
            version: self.version,
            len: len as usize,
        }
    }

    fn possible(&mut self, key: &str) -> &mut Possible {
        let nothing = || Possible::from([None]);
        self.log
            .possible
            .entry(key.to_owned())
            .or_insert_with(nothing)
    }

    async fn put(&mut self, content: Content) {
        let once = format!("{}-{}", self.number, content.version);
        let request = self
            .victim
            .request(Method::PUT, &format!("/objects/{}", content.key))
            .header("idempotency-key", once)
            .body(content.bytes());
        let told = self.told(request.send().await).await;
        let key = content.key.clone();
        match told {
            Told::Done => *self.possible(&key) = Possible::from([Some(content)]),
            Told::Missing => panic!("404 for an upload"),
            Told::Perhaps => {
                self.possible(&key).insert(Some(content.clone()));
                self.again = (self.dice.below(2) == 0).then_some(content);
            }
            Told::Never => self.again = Some(content),
        }
    }

    async fn delete(&mut self) {
        let key = self.key();
        let request = self
            .victim
            .request(Method::DELETE, &format!("/objects/{key}"));
        match self.told(request.send().await).await {
            Told::Done => *self.possible(&key) = Possible::from([None]),
            Told::Missing => panic!("404 for a delete"),
            Told::Perhaps => drop(self.possible(&key).insert(None)),
            Told::Never => {}
        }
    }

    async fn copy(&mut self) {
        let (from, to) = (self.key(), self.key());
        // While the store is down a copy of what may not be there is accepted, and then is a person's business.
        if from == to || self.possible(&from).contains(&None) {
            return;
        }
        let request = self.victim.request(Method::POST, "/objects/copy");
        let request = request.json(&json!({ "from": from, "to": to }));
        let told = self.told(request.send().await).await;
        let source = self.possible(&from).clone();
        match told {
            Told::Missing => panic!("`{from}` is missing, and should be {source:?}"),
            Told::Done => *self.possible(&to) = source,
            Told::Perhaps => self.possible(&to).extend(source),
            Told::Never => {}
        }
    }

    /// Reads back: what was acknowledged is there, in the journal or in the store.
    async fn read(&mut self) {
        let key = self.key();
        let request = self.victim.request(Method::GET, &format!("/objects/{key}"));
        let Ok(response) = request.send().await else {
            return pause(Duration::from_millis(10)).await;
        };
        let source = response.headers().get("mainstay-source").cloned();
        let status = response.status().as_u16();
        let Ok(body) = response.bytes().await else {
            return;
        };
        // A local copy says that it is old.
        if source.is_some_and(|source| source == "cache") {
            return;
        }
        let found = match status {
            200 => Some(Content::read(&body)),
            404 => None,
            _ => return,
        };
        self.log.read += 1;
        let possible = self.possible(&key);
        assert!(
            possible.contains(&found),
            "`{key}` reads {found:?}, and should be one of {possible:?}"
        );
    }

    async fn told(&mut self, sent: Result<Response, reqwest::Error>) -> Told {
        match sent {
            Ok(response) => match response.status().as_u16() {
                status @ (200 | 202) => {
                    self.log.acknowledged += 1;
                    self.log.accepted += u64::from(status == 202);
                    Told::Done
                }
                404 => Told::Missing,
                // The first request with this key still runs.
                409 => Told::Never,
                500.. => Told::Perhaps,
                status => panic!("status {status}: {:?}", response.text().await),
            },
            Err(error) if error.is_connect() => {
                pause(Duration::from_millis(10)).await;
                Told::Never
            }
            Err(_) => Told::Perhaps,
        }
    }
}
