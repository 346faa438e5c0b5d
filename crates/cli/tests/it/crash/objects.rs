//! A client of `/objects` with keys of its own, and what it knows of them: after an answer what it was told, without one either.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::{S3, pause};
use reqwest::{Method, RequestBuilder, Response};
use serde_json::{Value, json};
use tokio::sync::watch;

use super::content::Content;
use super::dice::Dice;
use super::victim::Victim;

const KEYS: u64 = 4;
/// Within this the connection of a caller that has left is closed.
const CLOSED: Duration = Duration::from_millis(20);

/// What a key may hold; none is no object.
type Possible = BTreeSet<Option<Content>>;

/// What a client has done and been told.
#[derive(Clone, Default)]
pub(crate) struct Log {
    possible: BTreeMap<String, Possible>,
    pub(crate) acknowledged: u64,
    /// Acknowledged with 202.
    pub(crate) accepted: u64,
    pub(crate) read: u64,
    pub(crate) listed: u64,
    /// Writes whose answer was not waited for.
    pub(crate) left: u64,
    /// All that was sent, in which life of the program, and what was told: to find out why.
    history: Vec<String>,
    /// By key: what may have been accepted for it.
    queued: BTreeMap<String, BTreeSet<Content>>,
    /// Keys that held, after they were deleted, what had been accepted for them.
    pub(crate) risen: BTreeSet<String>,
}

impl Log {
    /// Whether a key may hold this. One thing may be that shouldn't, as the documentation says: a late duplicate of an
    /// accepted upload, made on condition that there is no object, arrives after the key was deleted: nothing can
    /// fence that.
    fn may_hold(&mut self, key: &str, found: &Option<Content>) -> bool {
        let nothing = Possible::from([None]);
        let possible = self.possible.get(key).unwrap_or(&nothing);
        if possible.contains(found) {
            return true;
        }
        let queued = self.queued.get(key);
        let was_queued = |content| queued.is_some_and(|queued| queued.contains(content));
        let has_risen = possible.contains(&None) && found.as_ref().is_some_and(was_queued);
        if has_risen {
            self.risen.insert(key.to_owned());
        }
        has_risen
    }

    /// The last that was told of a key.
    fn told_of(&self, key: &str) -> String {
        let lines = self.history.iter().filter(|line| line.contains(key));
        let lines: Vec<_> = lines.map(String::as_str).collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }

    /// Compares with what the store has in the end.
    pub(crate) fn check(&mut self, s3: &S3) {
        for (key, possible) in self.possible.clone() {
            let there = s3.content(&key).map(|bytes| Content::read(&bytes));
            assert!(
                self.may_hold(&key, &there),
                "`{key}` is {there:?} in the store, and should be one of {possible:?}\n{}",
                self.told_of(&key)
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
#[derive(Debug)]
enum Told {
    Stored,
    Accepted,
    Missing,
    Perhaps,
    /// Nothing: it wasn't waited for.
    Left,
    Never,
}

#[derive(Clone, Debug)]
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
    /// A key whose last write was left without waiting for its answer: it is written again, as something else.
    left: Option<String>,
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
            left: None,
        }
    }

    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>) -> Log {
        while !*stop.borrow() {
            if let Some((once, work)) = self.again.take() {
                self.write(once, work).await;
                continue;
            }
            let chance = self.dice.below(20);
            match self.left.take() {
                Some(key) => {
                    let work = match self.dice.below(4) {
                        0 => Work::Delete(key),
                        _ => Work::Put(self.new_content(key)),
                    };
                    self.begin(work).await;
                }
                None if chance < 16 => {
                    if let Some(work) = self.new_work() {
                        self.begin(work).await;
                    }
                }
                None if chance < 19 => self.read().await,
                None => self.list().await,
            }
        }
        self.log
    }

    async fn begin(&mut self, work: Work) {
        self.version += 1;
        let once = format!("objects{}-{}", self.number, self.version);
        self.write(once, work).await;
    }

    fn new_work(&mut self) -> Option<Work> {
        match self.dice.below(8) {
            0..=5 => {
                let key = self.key();
                Some(Work::Put(self.new_content(key)))
            }
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
        let key = self.dice.below(KEYS);
        self.key_of(key)
    }

    fn key_of(&self, key: u64) -> String {
        format!("client{}/key{key}", self.number)
    }

    /// Most fit a journal's row, some are files beside it, few go up in parts, but where parts are what it is about.
    fn new_content(&mut self, key: String) -> Content {
        let kinds = if self.victim.needs_parts() { 4 } else { 40 };
        let len = match self.dice.below(kinds) {
            0 => 9 << 20,
            1..=10 => 70_000 + self.dice.below(200_000),
            _ => 100 + self.dice.below(5_000),
        };
        Content {
            key,
            // The one that `begin` is about to give it.
            version: self.version + 1,
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

    fn request(&self, work: &Work, patience: Option<Duration>) -> RequestBuilder {
        let request = |method, path: &str| self.victim.request_for(method, path, patience);
        match work {
            Work::Put(content) => {
                let path = format!("/objects/{}", content.key);
                request(Method::PUT, &path).body(content.bytes())
            }
            Work::Delete(key) => request(Method::DELETE, &format!("/objects/{key}")),
            Work::Copy { from, to } => {
                let body = json!({ "from": from, "to": to });
                request(Method::POST, "/objects/copy").json(&body)
            }
        }
    }

    async fn write(&mut self, once: String, work: Work) {
        let patience = self.dice.patience();
        let request = self.request(&work, patience);
        let request = request.header("idempotency-key", &once);
        let life = self.victim.lives();
        let told = self.told(request.send().await).await;
        let line = format!("life {life}: {once} {work:?}, patience {patience:?}: {told:?}");
        self.log.history.push(line);
        let after = match &work {
            Work::Put(content) => Possible::from([Some(content.clone())]),
            Work::Delete(_) => Possible::from([None]),
            Work::Copy { from, .. } => self.possible(from).clone(),
        };
        if !matches!(told, Told::Stored | Told::Never) {
            let queued = self.log.queued.entry(work.key().to_owned()).or_default();
            queued.extend(after.iter().flatten().cloned());
        }
        match told {
            // What was left before without an answer has had its effect by now, or has none any more.
            Told::Stored | Told::Accepted => *self.possible(work.key()) = after,
            Told::Missing => panic!("404 for a write to `{}`", work.key()),
            Told::Perhaps => {
                self.possible(work.key()).extend(after);
                self.again = (self.dice.below(2) == 0).then_some((once, work));
            }
            Told::Left => {
                self.possible(work.key()).extend(after);
                self.left = Some(work.key().to_owned());
                // The server has read by then what was sent, and seen that its caller is gone: nobody can say which of
                // two requests comes first that are both still in sockets.
                pause(CLOSED).await;
                self.victim.notices().await;
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
        if source.as_ref().is_some_and(|source| source == "cache") {
            return;
        }
        let found = match status {
            200 => Some(Content::read(&body)),
            404 => None,
            _ => return,
        };
        self.log.read += 1;
        let is_right = self.log.may_hold(&key, &found);
        let possible = self.possible(&key).clone();
        assert!(
            is_right,
            "`{key}` reads {found:?} from {source:?} in life {}, and should be one of {possible:?}\n{}",
            self.victim.lives(),
            self.log.told_of(&key)
        );
    }

    /// Lists all its keys, a few at a time: what was acknowledged is listed, and what was deleted isn't. An answer that
    /// says that it is old is none.
    async fn list(&mut self) {
        let limit = 1 + self.dice.below(KEYS + 1);
        let Some(listed) = self.pages(limit).await else {
            return pause(Duration::from_millis(10)).await;
        };
        self.log.listed += 1;
        let keys: Vec<_> = (0..KEYS).map(|key| self.key_of(key)).collect();
        let strange = listed.keys().find(|key| !keys.contains(key));
        assert_eq!(strange, None, "nobody has written what is listed");
        for key in keys {
            let (found, mut may) = (listed.get(&key), self.possible(&key).clone());
            if may.contains(&None) {
                let queued = self.log.queued.get(&key).cloned().unwrap_or_default();
                // See `may_hold`.
                may.extend(queued.into_iter().map(Some));
            }
            let fits = |may: &Option<Content>| match (may, found) {
                (None, None) => true,
                // A copy that was accepted without asking for its source has no size yet.
                (Some(content), Some(size)) => size.is_none_or(|size| size == content.len as u64),
                _ => false,
            };
            assert!(
                may.iter().any(fits),
                "`{key}` is listed with {found:?} bytes, and should be one of {may:?}\n{}",
                self.log.told_of(&key)
            );
        }
    }

    /// What is listed, and its sizes; nothing when no whole and fresh list could be had.
    async fn pages(&mut self, limit: u64) -> Option<BTreeMap<String, Option<u64>>> {
        let (mut listed, mut after) = (BTreeMap::new(), String::new());
        loop {
            let path = format!(
                "/objects?prefix=client{}/&limit={limit}{after}",
                self.number
            );
            let reply = self.victim.request(Method::GET, &path).send().await.ok()?;
            let status = reply.status().as_u16();
            let body: Value = reply.json().await.ok()?;
            if status != 200 || body["source"] != "primary" {
                return None;
            }
            for object in body["objects"].as_array().expect("a list") {
                let key = object["key"].as_str().expect("a key").to_owned();
                let before = listed.insert(key, object["size"].as_u64());
                assert_eq!(before, None, "listed twice: {object}");
            }
            match body["next_after"].as_str() {
                Some(key) => after = format!("&after={key}"),
                None => return Some(listed),
            }
        }
    }

    async fn told(&mut self, sent: Result<Response, reqwest::Error>) -> Told {
        match sent {
            Ok(response) => match response.status().as_u16() {
                status @ (200 | 202) => {
                    self.log.acknowledged += 1;
                    self.log.accepted += u64::from(status == 202);
                    match status {
                        200 => Told::Stored,
                        _ => Told::Accepted,
                    }
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
            Err(error) if error.is_timeout() => {
                self.log.left += 1;
                Told::Left
            }
            Err(_) => Told::Perhaps,
        }
    }
}
