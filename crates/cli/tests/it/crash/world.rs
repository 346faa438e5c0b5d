//! A program under attack, its clients and its dependencies.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::{eventually, pause};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::dice::Dice;
use super::rows::Way;
use super::sky::{Forecast, Sky};
use super::victim::{PART, Victim};
use super::{counters, objects, rows};

const OBJECT_CLIENTS: usize = 4;
const COUNTER_CLIENTS: u64 = 2;
const ROW_CLIENTS: [Way; 3] = [Way::Deferred, Way::Deferred, Way::AtOnce];
/// Longest life of one process after it is ready, ms.
const LIFE: u64 = 700;
/// What it gets to reach a place where it is to die that it doesn't pass all the time.
const LONG_LIFE: Duration = Duration::from_secs(2);
/// The same for a part of an upload: few are as large, and each waits for those before it.
const PART_LIFE: Duration = Duration::from_secs(6);
/// What it gets where answers are cut off, don't come or come late: what follows from that takes its time.
const ROUGH_LIFE: Duration = Duration::from_millis(1200);
const SOON: Duration = Duration::from_secs(120);

/// All named places.
pub(crate) fn points() -> Vec<&'static str> {
    let all = [
        mainstay_journal::fault::POINTS,
        mainstay_s3::FAULT_POINTS,
        mainstay_database::FAULT_POINTS,
        mainstay_redis::FAULT_POINTS,
    ];
    all.concat()
}

pub(crate) struct World {
    sky: Sky,
    victim: Arc<Victim>,
    dice: Dice,
    seed: u64,
    stop: watch::Sender<bool>,
    objects: Vec<JoinHandle<objects::Log>>,
    counters: Vec<JoinHandle<counters::Log>>,
    places: counters::Places,
    rows: Vec<JoinHandle<rows::Log>>,
}

/// One life of the program.
struct Plan {
    /// Where it is to die by itself.
    point: Option<&'static str>,
    /// The same with the number of the time that counts.
    fault: Option<String>,
    forecast: Forecast,
    life: Duration,
}

impl World {
    pub(crate) async fn start(seed: u64) -> Self {
        let sky = Sky::start().await;
        let database = rows::connect(&sky.postgres.url()).await;
        let made = database.batch_execute(rows::TABLES).await;
        made.expect("the tables are made");
        let victim = Arc::new(Victim::new(&sky));
        let (stop, places) = (watch::Sender::new(false), counters::Places::default());
        let object = |number| {
            let client = objects::Client::new(number, seed, Arc::clone(&victim));
            tokio::spawn(client.run(stop.subscribe()))
        };
        let counter = |number: u64| {
            let (victim, places) = (Arc::clone(&victim), Arc::clone(&places));
            let dice = Dice::new(seed * 1000 + 700 + number);
            tokio::spawn(counters::run(victim, places, dice, stop.subscribe()))
        };
        let row = |(writer, way)| {
            let client = rows::Client::new(writer, seed, way, Arc::clone(&victim));
            tokio::spawn(client.run(stop.subscribe()))
        };
        Self {
            objects: (0..OBJECT_CLIENTS).map(object).collect(),
            counters: (0..COUNTER_CLIENTS).map(counter).collect(),
            rows: (0..).zip(ROW_CLIENTS).map(row).collect(),
            places,
            sky,
            victim,
            dice: Dice::new(seed),
            seed,
            stop,
        }
    }

    /// One life of the program and its end; tells the named place where it died, if it did at one.
    pub(crate) async fn round(&mut self, round: u64) -> Option<&'static str> {
        let Plan {
            point,
            fault,
            forecast,
            life,
        } = self.plan(round);
        println!("life {round}: {forecast:?}, to die at {fault:?}");
        self.sky.morning(forecast).await;
        self.victim.start(fault);
        let noon = life.min(Duration::from_millis(LIFE)) / 2;
        if self.victim.is_ready().await && !self.victim.dies_within(noon).await {
            self.sky.noon(forecast).await;
            self.victim.dies_within(life - noon).await;
        }
        let died_by_itself = self.victim.kill().await;
        self.check_clients();
        point.filter(|_| died_by_itself)
    }

    /// The same for the same seed.
    fn plan(&mut self, round: u64) -> Plan {
        let points = points();
        // Every third dies at random only; each world begins elsewhere.
        let turn = (round - round.div_ceil(3) + self.seed * 33) as usize;
        let point = (!round.is_multiple_of(3)).then(|| points[turn % points.len()]);
        let forecast = Forecast::draw(&mut self.dice);
        let forecast = point.map_or(forecast, |point| forecast.leading_to(point));
        let (count, life) = (1 + self.dice.below(6), 100 + self.dice.below(LIFE));
        // What happens all the time, and what happens once in a life, or seldom.
        let is_frequent = |point: &str| point.starts_with("group.") || point.starts_with("spool.");
        let count = |point| if is_frequent(point) { count } else { 1 };
        Plan {
            point,
            fault: point.map(|point| format!("{point}:{}", count(point))),
            forecast,
            life: match point {
                Some(PART) => PART_LIFE,
                Some(_) => LONG_LIFE,
                None if forecast.is_rough() => ROUGH_LIFE,
                None => Duration::from_millis(life),
            },
        }
    }

    /// A client ends early only by a panic.
    fn check_clients(&self) {
        let ended = self.objects.iter().any(JoinHandle::is_finished)
            || self.counters.iter().any(JoinHandle::is_finished)
            || self.rows.iter().any(JoinHandle::is_finished);
        assert!(!ended, "a client has found something wrong");
    }

    /// Lets everything reach its dependency and compares.
    pub(crate) async fn settle(mut self) -> Told {
        self.sky.clear().await;
        self.victim.start(None);
        assert!(self.victim.is_ready().await, "it starts after all that");
        pause(Duration::from_millis(300)).await;
        self.stop.send_replace(true);
        let mut objects = ended(self.objects).await;
        let mut counters = ended(self.counters).await;
        let rows = ended(self.rows).await;
        self.victim.drained().await;
        let outage = counters::outage(&self.victim, &self.places, &self.sky.redis);
        counters.push(outage.await);
        self.victim.drained().await;
        self.sky.all_have_arrived().await;
        check(&self.sky, &self.victim, &mut objects, &counters, &rows).await;
        Told::sum(&objects, &counters, &rows)
    }
}

/// Compares what clients were told with what the dependencies have.
pub(super) async fn check(
    sky: &Sky,
    victim: &Victim,
    objects: &mut [objects::Log],
    counters: &[counters::Log],
    rows: &[rows::Log],
) {
    for log in &mut *objects {
        log.check(&sky.s3);
    }
    objects::Log::check_strangers(objects, &sky.s3);
    counters::Log::check(counters, &sky.redis).await;
    let database = sky.postgres.url();
    for log in rows {
        log.check(&database, victim).await;
    }
    rows::Log::check_strangers(rows, &database).await;
}

pub(super) async fn ended<T>(clients: Vec<JoinHandle<T>>) -> Vec<T> {
    let mut logs = Vec::new();
    for client in clients {
        logs.push(client.await.expect("no client has found anything wrong"));
    }
    logs
}

impl Victim {
    /// Waits until nothing is owed to anybody any more, but for what was rightly set aside.
    pub(super) async fn drained(&self) {
        eventually(SOON, "the journal to be empty", async || {
            let Some(journal) = self.journal().await else {
                return false;
            };
            let items = journal["items"].as_array().expect("entries");
            let is_aside = |item: &&serde_json::Value| item["state"] == "set_aside";
            let strange = items
                .iter()
                .filter(is_aside)
                .find(|item| item["kind"] != "take");
            assert!(strange.is_none(), "set aside: {strange:?}");
            journal["entries"] == journal["set_aside"]
        })
        .await;
        eventually(SOON, "Redis to be owed nothing", async || {
            self.metrics()
                .await
                .contains("\nredis_keys_to_reconcile 0\n")
        })
        .await;
    }
}

/// What clients were told, in sums.
#[derive(Default)]
pub(crate) struct Told {
    pub(crate) accepted: u64,
    acknowledged: u64,
    read: u64,
    listed: u64,
    left: u64,
    risen: usize,
    counted: (usize, usize),
    rows: rows::Counts,
}

impl Told {
    fn sum(objects: &[objects::Log], counters: &[counters::Log], rows: &[rows::Log]) -> Self {
        let mut told = Self::default();
        for log in objects {
            told.accepted += log.accepted;
            told.acknowledged += log.acknowledged;
            told.read += log.read;
            told.listed += log.listed;
            told.left += log.left;
            told.risen += log.risen.len();
        }
        for (durable, volatile) in counters.iter().map(counters::Log::counts) {
            told.counted = (told.counted.0 + durable, told.counted.1 + volatile);
        }
        for counts in rows.iter().map(rows::Log::counts) {
            told.rows.done += counts.done;
            told.rows.accepted += counts.accepted;
            told.rows.violations += counts.violations;
        }
        told
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            accepted,
            acknowledged,
            read,
            listed,
            left,
            risen,
            counted: (durable, volatile),
            rows,
        } = self;
        write!(
            f,
            "objects: {acknowledged} writes acknowledged ({accepted} into the journal), {left} left unanswered, {read} reads, \
             {listed} lists, {risen} deleted that came back late; \
             counters: {durable} in Redis, {volatile} in memory or unanswered; \
             rows: {} at once, {} deferred ({} of them set aside)",
            rows.done, rows.accepted, rows.violations
        )
    }
}
