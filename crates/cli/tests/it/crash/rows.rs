//! A client that writes rows, deferred or at once, each under an idempotency key; and what the table must hold in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::pause;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_postgres::NoTls;

use super::dice::Dice;
use super::victim::Victim;

/// The tables: rows in the order in which they came, and one that has no place for another row.
pub(crate) const TABLES: &str = "
    create table ledger (seq bigserial primary key, writer bigint, number bigint);
    create table taken (number bigint primary key);
    insert into taken values (1)";
const INSERT: &str = "insert into ledger (writer, number) values ($1, $2)";
/// Of so many rows whose fate is plain one's is asked for in the end.
const SAMPLE: u64 = 8;
/// Between two writes: what is accepted must drain in the lives that are left.
const PAUSE: Duration = Duration::from_millis(30);

/// The configuration of the statements.
pub(crate) fn statements() -> String {
    format!(
        "[database.deferred.statements]\nbook = \"{INSERT}\"\ntake = \"insert into taken values ($1)\"\n"
    )
}

/// How rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// Over `/db/deferred`.
    Deferred,
    /// Over `/db/write`.
    AtOnce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Row,
    /// What the database refuses.
    Violation,
}

/// What became of a write, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Written {
    /// 202.
    Accepted,
    /// 200.
    Done,
    Perhaps,
    /// It was refused: nothing was done, and nothing will be.
    Never,
}

pub(crate) struct Log {
    writer: u64,
    way: Way,
    writes: BTreeMap<u64, (What, Written)>,
}

pub(crate) struct Client {
    victim: Arc<Victim>,
    dice: Dice,
    log: Log,
    /// A write without an answer, to be sent again before any other.
    again: Option<(u64, What)>,
}

impl Client {
    pub(crate) fn new(writer: u64, seed: u64, way: Way, victim: Arc<Victim>) -> Self {
        let writes = BTreeMap::new();
        Self {
            victim,
            dice: Dice::new(seed * 1000 + 500 + writer),
            log: Log {
                writer,
                way,
                writes,
            },
            again: None,
        }
    }

    pub(crate) async fn run(mut self, stop: watch::Receiver<bool>) -> Log {
        let mut next = 0;
        while !*stop.borrow() {
            match self.again.take() {
                Some((number, what)) => self.write(number, what).await,
                None if next > 0 && self.dice.below(8) == 0 => {
                    let number = self.dice.below(next);
                    self.ask(number).await;
                }
                None => {
                    let violates = self.log.way == Way::Deferred && self.dice.below(20) == 0;
                    let what = if violates { What::Violation } else { What::Row };
                    self.write(next, what).await;
                    next += 1;
                }
            }
            pause(PAUSE).await;
        }
        self.log
    }

    async fn write(&mut self, number: u64, what: What) {
        let writer = self.log.writer;
        let (path, body) = match (self.log.way, what) {
            (Way::AtOnce, _) => (
                "/db/write",
                json!({"query": INSERT, "params": [writer, number]}),
            ),
            (Way::Deferred, What::Row) => (
                "/db/deferred",
                json!({"statement": "book", "params": [writer, number]}),
            ),
            (Way::Deferred, What::Violation) => {
                ("/db/deferred", json!({"statement": "take", "params": [1]}))
            }
        };
        let patience = self.dice.patience();
        let request = self.victim.request_for(Method::POST, path, patience);
        let request = request.json(&body);
        let once = self.log.key(number);
        let told = told(request.header("idempotency-key", once).send().await, what).await;
        let before = self.log.writes.get(&number).map(|(_, written)| *written);
        let (written, again) = match told {
            Told::Ended(Written::Perhaps) => (Written::Perhaps, self.dice.below(2) == 0),
            // That this request did nothing says nothing of an earlier one with the key.
            Told::Ended(Written::Never) => (before.unwrap_or(Written::Never), false),
            Told::Ended(written) => (written, false),
            Told::Again => (before.unwrap_or(Written::Never), true),
        };
        self.log.writes.insert(number, (what, written));
        self.again = again.then_some((number, what));
    }

    /// What was accepted is known from then on, or nobody can tell.
    async fn ask(&mut self, number: u64) {
        let fate = self.log.fate(&self.victim, number).await;
        let (_, written) = self.log.writes[&number];
        if let (Way::Deferred, Written::Accepted, Some(fate)) = (self.log.way, written, fate) {
            let state = fate["state"].as_str();
            assert!(
                state.is_some(),
                "write {number} was accepted, and is {fate}"
            );
        }
    }
}

enum Told {
    Ended(Written),
    /// Not now.
    Again,
}

async fn told(sent: Result<Response, reqwest::Error>, what: What) -> Told {
    let response = match sent {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Told::Again,
        Err(_) => return Told::Ended(Written::Perhaps),
    };
    let status = response.status().as_u16();
    let Ok(body) = response.json::<Value>().await else {
        return Told::Ended(Written::Perhaps);
    };
    Told::Ended(match (status, what) {
        (200, What::Row) => Written::Done,
        (202, _) => Written::Accepted,
        (409, _) if body["retryable"] == true => return Told::Again,
        (409, What::Violation) => Written::Never,
        (503, _) => Written::Never,
        (504, _) => Written::Perhaps,
        _ => panic!("status {status} for {what:?}: {body}"),
    })
}

/// Sums of what clients were told.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) done: usize,
    pub(crate) accepted: usize,
    /// Of these, those that the database refuses.
    pub(crate) violations: usize,
}

impl Log {
    fn key(&self, number: u64) -> String {
        format!("rows{}-{number}", self.writer)
    }

    /// What the server says of a deferred write; `None` when it can't say anything now.
    async fn fate(&self, victim: &Victim, number: u64) -> Option<Value> {
        let path = format!("/db/deferred/{}", self.key(number));
        let reply = victim.request(Method::GET, &path).send().await.ok()?;
        let can_tell = reply.status().as_u16() < 500;
        let body = reply.json().await.ok()?;
        can_tell.then_some(body)
    }

    pub(crate) fn counts(&self) -> Counts {
        let count = |wanted: fn(What, Written) -> bool| {
            let matching = self
                .writes
                .values()
                .filter(|(what, had)| wanted(*what, *had));
            matching.count()
        };
        Counts {
            done: count(|_, had| had == Written::Done),
            accepted: count(|_, had| had == Written::Accepted),
            violations: count(|what, had| what == What::Violation && had == Written::Accepted),
        }
    }

    /// Compares with the table: what was acknowledged is there once and in order, all else once at most.
    pub(crate) async fn check(&self, database: &str, victim: &Victim) {
        let rows = rows(database, self.writer).await;
        let times = |number: u64| rows.iter().filter(|row| **row == number).count();
        for (&number, &(what, written)) in &self.writes {
            let times = times(number);
            let is_right = match (what, written) {
                // It can't come by a row of its own, whatever happens: what is said of it is checked.
                (What::Violation, _) => true,
                (_, Written::Never) => times == 0,
                (_, Written::Accepted | Written::Done) => times == 1,
                (_, Written::Perhaps) => times <= 1,
            };
            let (writer, way) = (self.writer, self.way);
            assert!(
                is_right,
                "row {number} of writer {writer} ({way:?}) is there {times} times, and should be {written:?}"
            );
            // A question costs a round trip: all that isn't plain, and a sample of the rest.
            let is_plain = what == What::Row && written != Written::Perhaps;
            if self.way == Way::Deferred && (!is_plain || number % SAMPLE == 0) {
                self.check_fate(victim, number, times).await;
            }
        }
        let is_sent = |number: &u64| matches!(self.writes.get(number), Some((What::Row, _)));
        assert!(
            rows.iter().all(is_sent),
            "writer {} has rows that it never sent: {rows:?}",
            self.writer
        );
        let is_sure = |number: &&u64| {
            let write = self.writes.get(number);
            write.is_some_and(|(_, had)| matches!(had, Written::Accepted | Written::Done))
        };
        let sure: Vec<&u64> = rows.iter().filter(is_sure).collect();
        assert!(
            sure.is_sorted(),
            "rows of writer {} are out of order: {sure:?}",
            self.writer
        );
    }

    /// Nobody else's rows are there, and what the database refuses isn't either.
    pub(crate) async fn check_strangers(logs: &[Self], database: &str) {
        let client = connect(database).await;
        let writer = |log: &Self| i64::try_from(log.writer).expect("few writers");
        let writers: Vec<i64> = logs.iter().map(writer).collect();
        let query = "select (select count(*) from ledger where writer = any($1) is not true),
                            (select count(*) from taken)";
        let row = client.query_one(query, &[&writers]).await.expect("a row");
        let found: (i64, i64) = (row.get(0), row.get(1));
        assert_eq!(found, (0, 1), "strange rows, and those taken");
    }

    async fn check_fate(&self, victim: &Victim, number: u64, times: usize) {
        let (what, written) = self.writes[&number];
        let fate = self.fate(victim, number).await.expect("the server answers");
        let state = fate["state"].as_str();
        let is_right = match (what, written) {
            (What::Row, _) => state == (times == 1).then_some("done"),
            (What::Violation, Written::Accepted) => state == Some("set_aside"),
            (What::Violation, _) => matches!(state, None | Some("set_aside")),
        };
        assert!(
            is_right,
            "write {number} of writer {} ({what:?}, {written:?}, there {times} times) is said to be {fate}",
            self.writer
        );
    }
}

/// The numbers of a writer's rows in the order in which they came.
async fn rows(database: &str, writer: u64) -> Vec<u64> {
    let client = connect(database).await;
    let query = "select number from ledger where writer = $1 order by seq";
    let writer = i64::try_from(writer).expect("few writers");
    let rows = client.query(query, &[&writer]).await.expect("rows");
    let number = |row: &tokio_postgres::Row| row.get::<_, i64>(0).unsigned_abs();
    rows.iter().map(number).collect()
}

/// A connection past the server under test.
pub(crate) async fn connect(database: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(database, NoTls)
        .await
        .expect("PostgreSQL is up");
    tokio::spawn(connection);
    client
}
