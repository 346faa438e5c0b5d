//! The program killed again and again while clients write and the store comes and goes: everything it has
//! acknowledged is in the store in the end, in the order of its key, and nothing that was deleted is.
//!
//! Built with the feature `fault-points` it dies at every named place of the journal's protocol and of the drain, not
//! only at random moments. `MAINSTAY_CRASH_KILLS` and `MAINSTAY_CRASH_SEED` make it longer and different.

mod client;
mod content;
mod dice;
mod victim;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::{S3, eventually, pause};
use tokio::sync::watch;

use client::{Client, Log};
use content::Content;
use dice::Dice;
use victim::Victim;

const KILLS: u64 = 50;
const CLIENTS: usize = 6;
/// Longest life of one process after it is ready, ms.
const LIFE: u64 = 700;

/// What the store does while one process lives.
#[derive(Clone, Copy, Debug)]
enum Weather {
    Up,
    Down,
    Rises,
    Falls,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_work_survives_a_kill_at_any_moment() {
    let kills = number("MAINSTAY_CRASH_KILLS").unwrap_or(KILLS);
    let seed = number("MAINSTAY_CRASH_SEED").unwrap_or(1);
    let mut world = World::start(seed).await;
    for round in 0..kills {
        world.round(round).await;
    }
    let died_at = std::mem::take(&mut world.died_at);
    let logs = world.settle().await;
    let acknowledged: u64 = logs.iter().map(|log| log.acknowledged).sum();
    let accepted: u64 = logs.iter().map(|log| log.accepted).sum();
    let read: u64 = logs.iter().map(|log| log.read).sum();
    println!(
        "{kills} kills: {acknowledged} acknowledged writes ({accepted} of them into the journal), {read} reads; at named places: {died_at:?}"
    );
    assert!(accepted > kills, "hardly anything was accepted for later");
    let places = died_at.len();
    assert!(
        !cfg!(feature = "fault-points") || kills < KILLS || places > 8,
        "it died at {places} named places only"
    );
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

struct World {
    s3: S3,
    is_up: bool,
    victim: Arc<Victim>,
    dice: Dice,
    died_at: BTreeMap<&'static str, u32>,
    stop: watch::Sender<bool>,
    clients: Vec<tokio::task::JoinHandle<Log>>,
}

impl World {
    async fn start(seed: u64) -> Self {
        let s3 = S3::start().await;
        let victim = Arc::new(Victim::new(&s3));
        let stop = watch::Sender::new(false);
        let client = |number| {
            let client = Client::new(number, seed, Arc::clone(&victim));
            tokio::spawn(client.run(stop.subscribe()))
        };
        Self {
            s3,
            is_up: true,
            clients: (0..CLIENTS).map(client).collect(),
            victim,
            dice: Dice::new(seed),
            died_at: BTreeMap::new(),
            stop,
        }
    }

    /// One life of the program and its end.
    async fn round(&mut self, round: u64) {
        let weather = *self.dice.pick(&[
            Weather::Up,
            Weather::Down,
            Weather::Rises,
            Weather::Rises,
            Weather::Falls,
        ]);
        self.store(matches!(weather, Weather::Up | Weather::Falls))
            .await;
        let points = [mainstay_journal::fault::POINTS, mainstay_s3::FAULT_POINTS].concat();
        // Every third dies at random only.
        let turn = (round - round.div_ceil(3)) as usize;
        let point = (!round.is_multiple_of(3)).then(|| points[turn % points.len()]);
        // What happens once in a life, or seldom, and what happens all the time.
        let seldom = point.is_some_and(|p| p.starts_with("open.") || p.starts_with("drain."));
        let count = 1 + if seldom { 0 } else { self.dice.below(6) };
        self.victim
            .start(point.map(|point| format!("{point}:{count}")));
        let life = Duration::from_millis(100 + self.dice.below(LIFE));
        if self.victim.is_ready().await && !self.victim.dies_within(life / 2).await {
            match weather {
                Weather::Rises => self.store(true).await,
                Weather::Falls => self.store(false).await,
                Weather::Up | Weather::Down => {}
            }
            self.victim.dies_within(life / 2).await;
        }
        if self.victim.kill().await
            && let Some(point) = point
        {
            *self.died_at.entry(point).or_default() += 1;
        }
        self.check_clients();
    }

    async fn store(&mut self, up: bool) {
        match (self.is_up, up) {
            (false, true) => self.s3.restart().await,
            (true, false) => self.s3.kill().await,
            _ => {}
        }
        self.is_up = up;
    }

    /// A client ends early only by a panic.
    fn check_clients(&self) {
        let ended = self
            .clients
            .iter()
            .any(tokio::task::JoinHandle::is_finished);
        assert!(!ended, "a client has found something wrong");
    }

    /// Lets everything reach the store and compares.
    async fn settle(mut self) -> Vec<Log> {
        self.store(true).await;
        self.victim.start(None);
        assert!(self.victim.is_ready().await, "it starts after all that");
        pause(Duration::from_millis(300)).await;
        self.stop.send_replace(true);
        let mut logs = Vec::new();
        for client in std::mem::take(&mut self.clients) {
            logs.push(client.await.expect("no client has found anything wrong"));
        }
        let soon = Duration::from_secs(120);
        eventually(soon, "the journal to be empty", async || {
            let journal = self.victim.journal().await;
            assert_eq!(journal["set_aside"], 0, "{journal}");
            journal["entries"] == 0
        })
        .await;
        for log in &logs {
            for (key, possible) in &log.possible {
                let there = self.s3.content(key).map(|bytes| Content::read(&bytes));
                assert!(
                    possible.contains(&there),
                    "`{key}` is {there:?} in the store, and should be one of {possible:?}"
                );
            }
        }
        logs
    }
}
