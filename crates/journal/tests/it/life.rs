//! A busy life of a journal, told line by line while it is lived, and the check of what a disk holds against what was
//! told: whatever was said to be done is so, and what was only begun may have happened or not.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::path::Path;

use mainstay_journal::{
    Claimed, Entry, EntryId, Filter, Journal, KeyHold, NewEntry, NewOutcome, Reserved, State,
};
use serde_json::json;

use crate::support::{QUEUE, files, large, settings, spooled};

/// Tasks that accept, each one entry after another.
const WRITERS: u64 = 4;
/// Entries that stay set aside before an operator looks at them.
const ASIDE: usize = 3;

/// Says a line, in one write so that lines of concurrent tasks don't mix.
fn say(line: &str) {
    let line = format!("\ntold {line} .\n");
    std::io::stdout().write_all(line.as_bytes()).unwrap();
}

/// Lives until it is killed: accepts, carries out, gives up on, retries, discards and remembers, all at once.
pub(crate) async fn live(dir: &Path) {
    let journal = Journal::open(dir, settings()).await.unwrap();
    let writers = (0..WRITERS).map(|writer| tokio::spawn(write(journal.clone(), writer)));
    let tasks: Vec<_> = writers
        .chain([tokio::spawn(carry_out(journal.clone()))])
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn write(journal: Journal, writer: u64) {
    for number in (writer..).step_by(WRITERS as usize) {
        let outcome = outcome(number, hold(&journal, number).await.unwrap());
        if number % 11 == 10 {
            journal.record(outcome).await.unwrap();
            say(&format!("recorded {number} 0"));
            continue;
        }
        let body = match content_of(number) {
            Some(content) => Some(spooled(&journal, &content).await.unwrap()),
            None => None,
        };
        let entry = NewEntry {
            queue: QUEUE,
            key: key_of(number),
            kind: "work".into(),
            meta: json!({ "number": number }),
            body,
            outcome: Some(outcome),
            accepted_at_ms: 1_000,
        };
        let id = journal.append(entry).await.unwrap();
        say(&format!("accepted {number} {id}"));
    }
}

/// Puts and deletes of a key by turns.
fn key_of(number: u64) -> String {
    format!("{}/{}", number % WRITERS, number / WRITERS / 2 % 5)
}

/// A put's body, in the row or in a file; a delete has none.
fn content_of(number: u64) -> Option<Vec<u8>> {
    let put = (number / WRITERS).is_multiple_of(2);
    let len = if number.is_multiple_of(3) {
        90_000
    } else {
        2_000
    };
    put.then(|| large(number as u8)[..len].to_vec())
}

fn request_of(number: u64) -> blake3::Hash {
    blake3::hash(&number.to_le_bytes())
}

fn outcome(number: u64, hold: KeyHold) -> NewOutcome {
    NewOutcome {
        hold,
        request: request_of(number),
        answer: format!("answer {number}"),
        at_ms: 1_000,
    }
}

async fn hold(journal: &Journal, number: u64) -> Option<KeyHold> {
    let reserved = journal.reserve("scope", &number.to_string(), 1_000).await;
    match reserved.unwrap() {
        Reserved::First(hold) => Some(hold),
        Reserved::Known(_) => None,
    }
}

/// The drain and the operator in one task, so that what is told of an entry is told in order.
async fn carry_out(journal: Journal) {
    let mut claimable = journal.claimable();
    for now_ms in 0.. {
        let claims = journal.claim(QUEUE, 4, now_ms);
        if claims.is_empty() {
            claimable.changed().await.unwrap();
        }
        for (turn, claimed) in claims.into_iter().enumerate() {
            verdict(claimed, now_ms + turn as i64, now_ms).await;
        }
        operate(&journal, now_ms % 2 == 0).await;
    }
}

async fn verdict(claimed: Claimed, dice: i64, now_ms: i64) {
    let id = claimed.id();
    match dice % 5 {
        0 => {
            say(&format!("aside-begun 0 {id}"));
            claimed.set_aside("refused").await.unwrap();
            say(&format!("aside 0 {id}"));
        }
        1 => claimed.retry_later("failed", now_ms + 1).await.unwrap(),
        _ => {
            say(&format!("removal-begun 0 {id}"));
            claimed.complete().await.unwrap();
            say(&format!("removed 0 {id}"));
        }
    }
}

/// Retries or discards the oldest that was set aside, when they have become many.
async fn operate(journal: &Journal, retry: bool) {
    let filter = Filter {
        queue: None,
        state: Some(State::SetAside),
    };
    let aside = journal.entries(&filter, None, ASIDE + 1);
    let Some(oldest) = aside.get(ASIDE).and(aside.first()) else {
        return;
    };
    let id = oldest.id;
    if retry {
        say(&format!("queued-begun 0 {id}"));
        journal.retry(id, None).await.unwrap();
        say(&format!("queued 0 {id}"));
    } else {
        say(&format!("removal-begun 0 {id}"));
        journal.discard(id).await.unwrap();
        say(&format!("removed 0 {id}"));
    }
}

/// Where an entry may stand on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Queued,
    Aside,
    Gone,
}

/// What a life has told.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) accepted: BTreeMap<u64, EntryId>,
    recorded: BTreeSet<u64>,
    /// What may have become of the entries that were heard of again.
    fates: BTreeMap<EntryId, Vec<Fate>>,
    /// How often each word was said.
    pub(crate) words: BTreeMap<String, usize>,
}

impl Told {
    /// From what was said; the line a cut shortened doesn't count.
    pub(crate) fn from(output: &[u8]) -> Self {
        let mut told = Self::default();
        for line in String::from_utf8_lossy(output).lines() {
            let words: Vec<&str> = line.split(' ').collect();
            if let ["told", word, number, id, "."] = words[..] {
                told.hear(word, number.parse().unwrap(), id.parse().unwrap());
            }
        }
        told
    }

    fn hear(&mut self, word: &str, number: u64, id: EntryId) {
        *self.words.entry(word.to_owned()).or_default() += 1;
        let fates = || vec![Fate::Queued];
        match word {
            "accepted" => drop(self.accepted.insert(number, id)),
            "recorded" => drop(self.recorded.insert(number)),
            _ => {
                let (word, begun) = word
                    .strip_suffix("-begun")
                    .map_or((word, false), |word| (word, true));
                let fate = match word {
                    "aside" => Fate::Aside,
                    "queued" => Fate::Queued,
                    _ => Fate::Gone,
                };
                let possible = self.fates.entry(id).or_insert_with(fates);
                if !begun {
                    possible.clear();
                }
                possible.push(fate);
            }
        }
    }

    /// What a journal that was opened again holds against what was told, in words.
    pub(crate) async fn broken_by(&self, journal: &Journal, dir: &Path) -> Vec<String> {
        let mut broken = Vec::new();
        let entries = journal.entries(&Filter::default(), None, usize::MAX);
        self.fates_of(journal, &mut broken);
        let told: BTreeSet<EntryId> = self.accepted.values().copied().collect();
        let untold = entries.iter().filter(|entry| !told.contains(&entry.id));
        if untold.count() > WRITERS as usize {
            broken.push("more was accepted than was under way".into());
        }
        let mut newest = BTreeMap::new();
        for entry in &entries {
            let number = entry.meta["number"].as_u64().unwrap();
            if newest.insert(entry.key.clone(), number) > Some(number) {
                broken.push(format!("{number} has changed places with one of its key"));
            }
            if entry.key != key_of(number) || body(journal, entry).await != Ok(content_of(number)) {
                broken.push(format!("{number} has another body"));
            }
        }
        let with_file = entries.iter().filter(|entry| {
            let body = entry.body.as_ref();
            body.is_some_and(|body| body.len > 64 << 10)
        });
        if with_file.count() != files(dir, "bodies") {
            broken.push("files of bodies and entries don't match".into());
        }
        self.outcomes(journal, &entries, &mut broken).await;
        broken
    }

    fn fates_of(&self, journal: &Journal, broken: &mut Vec<String>) {
        let accepted = self.accepted.values();
        let ids: BTreeSet<&EntryId> = accepted.chain(self.fates.keys()).collect();
        for id in ids {
            let fate = match journal.get(*id).map(|entry| entry.state) {
                Some(State::SetAside) => Fate::Aside,
                Some(_) => Fate::Queued,
                None => Fate::Gone,
            };
            let possible = self.fates.get(id).cloned();
            let possible = possible.unwrap_or_else(|| vec![Fate::Queued]);
            if !possible.contains(&fate) {
                broken.push(format!("entry {id} is {fate:?}, not {possible:?}"));
            }
        }
    }

    /// Each outcome that was told is known, and an outcome is there with its entry or not at all.
    async fn outcomes(&self, journal: &Journal, entries: &[Entry], broken: &mut Vec<String>) {
        let mut expected: BTreeMap<u64, Option<EntryId>> = BTreeMap::new();
        expected.extend(self.recorded.iter().map(|number| (*number, None)));
        expected.extend(
            self.accepted
                .iter()
                .map(|(number, id)| (*number, Some(*id))),
        );
        let present = |entry: &Entry| (entry.meta["number"].as_u64().unwrap(), Some(entry.id));
        expected.extend(entries.iter().map(present));
        for (number, id) in expected {
            let reserved = journal.reserve("scope", &number.to_string(), 1_000).await;
            let right = matches!(reserved, Ok(Reserved::Known(outcome))
                if outcome.entry == id
                    && outcome.request == request_of(number)
                    && outcome.answer == format!("answer {number}"));
            if !right {
                broken.push(format!("the outcome of {number} is lost"));
            }
        }
    }
}

async fn body(journal: &Journal, entry: &Entry) -> Result<Option<Vec<u8>>, String> {
    if entry.body.is_none() {
        return Ok(None);
    }
    let body = journal.body(entry.id).await;
    let body = body.map_err(|error| error.to_string())?;
    let bytes = body.into_bytes().await;
    bytes
        .map(|bytes| Some(bytes.to_vec()))
        .map_err(|error| error.to_string())
}
