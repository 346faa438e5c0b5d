//! A client of counters in Redis. Each of its additions has a digit of its own in the counter's number, which tells in the
//! end how often it was made.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use mainstay_testkit::{Redis, pause};
use reqwest::{Method, Response};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::dice::Dice;
use super::victim::Victim;

/// Additions to one counter: with a digit of two bits each they fit a signed 64-bit number.
const DIGITS: u64 = 31;
/// Additions of each half of the outage at the end.
const HALF: usize = 40;
/// Between two additions.
const PAUSE: Duration = Duration::from_millis(10);

/// The next addition's place, over all clients: so that they meet at one counter.
pub(crate) type Places = Arc<AtomicU64>;

/// What became of an addition, as far as its client knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Added {
    /// Redis has it.
    Once,
    /// In memory only: Redis gets it, unless the process ends before.
    Volatile,
    /// Without an answer.
    Perhaps,
    /// It was refused.
    Never,
}

#[derive(Default)]
pub(crate) struct Log {
    added: BTreeMap<u64, Added>,
}

impl Log {
    fn count(&self, wanted: Added) -> usize {
        self.added.values().filter(|had| **had == wanted).count()
    }

    /// Additions that Redis has acknowledged, and those that were counted in memory or not answered.
    pub(crate) fn counts(&self) -> (usize, usize) {
        let unsure = self.count(Added::Volatile) + self.count(Added::Perhaps);
        (self.count(Added::Once), unsure)
    }

    async fn add(&mut self, victim: &Victim, places: &Places, patience: Option<Duration>) {
        let place = places.fetch_add(1, Ordering::Relaxed);
        let by = 1_u64 << (2 * (place % DIGITS));
        let request = victim.request_for(Method::POST, "/cache/incr", patience);
        let request = request.json(&json!({ "key": key(place / DIGITS), "by": by }));
        let added = told(request.send().await).await;
        self.added.insert(place, added);
        pause(PAUSE).await;
    }

    /// Compares with what Redis holds.
    pub(crate) async fn check(logs: &[Self], redis: &Redis) {
        let all = logs.iter().flat_map(|log| &log.added);
        let mut held = (u64::MAX, 0);
        for (&place, &added) in all {
            let counter = place / DIGITS;
            if held.0 != counter {
                held = (counter, number(redis, &key(counter)).await);
            }
            let times = held.1 >> (2 * (place % DIGITS)) & 3;
            let is_right = match added {
                Added::Once => times == 1,
                Added::Volatile | Added::Perhaps => times <= 1,
                Added::Never => times == 0,
            };
            assert!(
                is_right,
                "addition {place} was made {times} times, and should be {added:?}"
            );
        }
    }
}

pub(crate) async fn run(
    victim: Arc<Victim>,
    places: Places,
    mut dice: Dice,
    stop: watch::Receiver<bool>,
) -> Log {
    let mut log = Log::default();
    while !*stop.borrow() {
        log.add(&victim, &places, dice.patience()).await;
    }
    log
}

/// Redis goes and comes back while the process lives on: then memory owes it each addition once.
pub(crate) async fn outage(victim: &Victim, places: &Places, redis: &Redis) -> Log {
    let mut log = Log::default();
    redis.kill().await;
    for _ in 0..HALF {
        log.add(victim, places, None).await;
    }
    redis.restart().await;
    for _ in 0..HALF {
        log.add(victim, places, None).await;
    }
    let in_memory = log.count(Added::Volatile);
    assert!(
        in_memory > HALF / 2,
        "only {in_memory} were added in memory"
    );
    for added in log.added.values_mut() {
        if *added == Added::Volatile {
            *added = Added::Once;
        }
    }
    log
}

fn key(counter: u64) -> String {
    format!("visits:{counter}")
}

async fn told(sent: Result<Response, reqwest::Error>) -> Added {
    let response = match sent {
        Ok(response) => response,
        Err(error) if error.is_connect() => return Added::Never,
        Err(_) => return Added::Perhaps,
    };
    let status = response.status().as_u16();
    let Ok(body) = response.json::<Value>().await else {
        return Added::Perhaps;
    };
    match status {
        200 if body["source"] == "primary" => Added::Once,
        200 => Added::Volatile,
        // Outcome unknown.
        504 => Added::Perhaps,
        503 | 507 => Added::Never,
        _ => panic!("status {status}: {body}"),
    }
}

/// What Redis itself says.
async fn number(redis: &Redis, key: &str) -> u64 {
    let stream = TcpStream::connect(("127.0.0.1", redis.port())).await;
    let mut stream = BufReader::new(stream.expect("Redis listens"));
    let command = format!("GET {key}\r\n");
    let sent = stream.write_all(command.as_bytes()).await;
    sent.expect("Redis takes a command");
    let mut lines = stream.lines();
    let mut line = async || lines.next_line().await.expect("text").expect("a line");
    match line().await.as_str() {
        "$-1" => 0,
        length if length.starts_with('$') => line().await.parse().expect("a counter is a number"),
        error => panic!("Redis says {error} of {key}"),
    }
}
