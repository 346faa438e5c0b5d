//! A client of `/objects` with keys of its own, and what it knows of them: after an answer what it was told, without one either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::{S3, pause};
use reqwest::{Method, RequestBuilder, Response};
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
    possible: BTreeMap<String, Possible>,
    pub(crate) acknowledged: u64,
    /// Acknowledged with 202.
    pub(crate) accepted: u64,
    pub(crate) read: u64,
}

impl Log {
    /// Compares with what the store has in the end.
    pub(crate) fn check(&self, s3: &S3) {
        for (key, possible) in &self.possible {
            let there = s3.content(key).map(|bytes| Content::read(&bytes));
            assert!(
                possible.contains(&there),
                "`{key}` is {there:?} in the store, and should be one of {possible:?}"
            );
        }
    }
}

impl Log {
    /// Nothing is in the store that no client has written, but for the program's own.
    pub(crate) fn check_strangers(logs: &[Self], s3: &S3) {
        let is_known = |key: &String| logs.iter().any(|log| log.possible.contains_key(key));
        let folders = s3.names("").into_iter();
        let keys: Vec<String> = folders
            .filter(|folder| !folder.starts_with('.'))
            .flat_map(|folder| {
                let names = s3.names(&folder).into_iter();
                names.map(move |name| format!("{folder}/{name}"))
            })
            .collect();
        assert!(!keys.is_empty(), "nothing is in the store");
        let strange: Vec<_> = keys.iter().filter(|key| !is_known(key)).collect();
        assert!(strange.is_empty(), "nobody has written {strange:?}");
    }
}

/// How a write ended, as far as its client knows.
enum Told {
    Done,
    Missing,
    Perhaps,
    Never,
}

#[derive(Clone)]
enum Work {
    Put(Content),
    Delete(String),
    Copy { from: String, to: String },
}

impl Work {
    /// The key that it changes.
    fn key(&self) -> &str {
        match self {
            Self::Put(content) => &content.key,
            Self::Delete(key) | Self::Copy { to: key, .. } => key,
        }
    }
}

pub(crate) struct Client {
    number: usize,
    victim: Arc<Victim>,
    dice: Dice,
    version: u64,
    log: Log,
    /// A write without an answer, to be sent again with its idempotency key before anything else is written.
    again: Option<(String, Work)>,
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
            if let Some((once, work)) = self.again.take() {
                self.write(once, work).await;
                continue;
            }
            match self.dice.below(10) {
                0..=7 => {
                    if let Some(work) = self.new_work() {
                        self.version += 1;
                        let once = format!("objects{}-{}", self.number, self.version);
                        self.write(once, work).await;
                    }
                }
                _ => self.read().await,
            }
        }
        self.log
    }

    fn new_work(&mut self) -> Option<Work> {
        match self.dice.below(8) {
            0..=5 => Some(Work::Put(self.new_content())),
            6 => Some(Work::Delete(self.key())),
            _ => {
                let (from, to) = (self.key(), self.key());
                // While the store is down a copy of what may not be there is accepted, and then is a person's business.
                let is_sure = from != to && !self.possible(&from).contains(&None);
                is_sure.then_some(Work::Copy { from, to })
            }
        }
    }

    fn key(&mut self) -> String {
        format!("client{}/key{}", self.number, self.dice.below(KEYS))
    }

    /// Most fit a journal's row, some are files beside it, few go up in parts, but where parts are what it is about.
    fn new_content(&mut self) -> Content {
        let kinds = if self.victim.needs_parts() { 4 } else { 40 };
        let len = match self.dice.below(kinds) {
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

    fn request(&self, work: &Work) -> RequestBuilder {
        match work {
            Work::Put(content) => {
                let path = format!("/objects/{}", content.key);
                let request = self.victim.request(Method::PUT, &path);
                request.body(content.bytes())
            }
            Work::Delete(key) => self
                .victim
                .request(Method::DELETE, &format!("/objects/{key}")),
            Work::Copy { from, to } => {
                let request = self.victim.request(Method::POST, "/objects/copy");
                request.json(&json!({ "from": from, "to": to }))
            }
        }
    }

    async fn write(&mut self, once: String, work: Work) {
        let request = self.request(&work).header("idempotency-key", &once);
        let told = self.told(request.send().await).await;
        let after = match &work {
            Work::Put(content) => Possible::from([Some(content.clone())]),
            Work::Delete(_) => Possible::from([None]),
            Work::Copy { from, .. } => self.possible(from).clone(),
        };
        match told {
            Told::Done => *self.possible(work.key()) = after,
            Told::Missing => panic!("404 for a write to `{}`", work.key()),
            Told::Perhaps => {
                self.possible(work.key()).extend(after);
                self.again = (self.dice.below(2) == 0).then_some((once, work));
            }
            Told::Never => self.again = Some((once, work)),
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
                // Refused, and by its word nothing was written; what an earlier try may have done stays possible.
                503 => {
                    pause(Duration::from_millis(10)).await;
                    Told::Never
                }
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
