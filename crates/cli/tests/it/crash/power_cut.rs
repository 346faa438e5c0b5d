//! The power goes while the program accepts work for dependencies that are down, after it was killed a few times: what it
//! had acknowledged arrives when it is started on what the disk has kept.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use mainstay_testkit::{PowerCut, Recording};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::dice::Dice;
use super::rows::Way;
use super::sky::{Forecast, Sky};
use super::victim::{DATA, Victim};
use super::world::{check, ended};
use super::{objects, rows};

/// Lives of the program; the power goes at the end of the last.
const LIVES: u64 = 3;
/// Longest of them, ms.
const LIFE: u64 = 1500;
/// What the disk may have kept: so many times drawn.
const DISKS: u64 = 3;
const OBJECT_CLIENTS: usize = 4;
const ROW_CLIENTS: u64 = 2;

/// What clients were told until the power went.
struct Told {
    objects: Vec<objects::Log>,
    rows: Vec<rows::Log>,
}

/// Clients of one program that is recorded.
struct Clients {
    victim: Arc<Victim>,
    stop: watch::Sender<bool>,
    objects: Vec<JoinHandle<objects::Log>>,
    rows: Vec<JoinHandle<rows::Log>>,
}

impl Clients {
    fn start(victim: &Arc<Victim>, seed: u64) -> Self {
        let stop = watch::Sender::new(false);
        let object = |number| {
            let client = objects::Client::new(number, seed, Arc::clone(victim));
            tokio::spawn(client.run(stop.subscribe()))
        };
        let row = |writer| {
            let client = rows::Client::new(writer, seed, Way::Deferred, Arc::clone(victim));
            tokio::spawn(client.run(stop.subscribe()))
        };
        Self {
            objects: (0..OBJECT_CLIENTS).map(object).collect(),
            rows: (0..ROW_CLIENTS).map(row).collect(),
            victim: Arc::clone(victim),
            stop,
        }
    }

    async fn live_and_die(&self, life: Duration) {
        self.victim.start(None);
        assert!(self.victim.is_ready().await, "it starts");
        self.victim.dies_within(life).await;
        self.victim.kill().await;
    }

    async fn told(self) -> Told {
        self.stop.send_replace(true);
        Told {
            objects: ended(self.objects).await,
            rows: ended(self.rows).await,
        }
    }
}

/// A program that accepts and is killed, again and again, and what its clients know.
async fn recorded(folder: &Path, seed: u64) -> (Recording, Told) {
    let mut sky = Sky::start().await;
    sky.morning(Forecast::ALL_DOWN).await;
    let victim = Arc::new(Victim::recorded(&sky, PowerCut::build(folder)));
    let clients = Clients::start(&victim, seed);
    let mut dice = Dice::new(seed);
    for _ in 0..LIVES {
        let life = LIFE / 3 + dice.below(LIFE * 2 / 3);
        clients.live_and_die(Duration::from_millis(life)).await;
    }
    (victim.recording(), clients.told().await)
}

/// Starts the program on what the disk has kept, with everything up, and compares when all has arrived.
async fn compare(recording: &Recording, seed: u64, told: &Told) {
    let sky = Sky::start().await;
    let database = rows::connect(&sky.postgres.url()).await;
    let made = database.batch_execute(rows::TABLES).await;
    made.expect("the tables are made");
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join(DATA);
    fs::create_dir(&data).expect("a folder of ours");
    recording.cut(recording.len(), seed, true, &data);
    fs::set_permissions(&data, Permissions::from_mode(0o700)).expect("a folder of ours");
    let victim = Victim::on(folder, &sky);
    victim.start(None);
    assert!(victim.is_ready().await, "it starts on disk {seed}");
    victim.drained().await;
    let mut objects = told.objects.clone();
    check(&sky, &victim, &mut objects, &[], &told.rows).await;
    victim.kill().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn accepted_work_survives_a_power_cut_after_kills() {
    let folder = tempfile::tempdir().expect("a folder");
    let (recording, told) = recorded(folder.path(), 1).await;
    let objects: u64 = told.objects.iter().map(|log| log.accepted).sum();
    let rows: usize = told.rows.iter().map(|log| log.counts().accepted).sum();
    println!("{objects} writes of objects were accepted, and {rows} of rows");
    assert!(objects > 50 && rows > 10, "hardly anything was accepted");
    for seed in 0..DISKS {
        compare(&recording, seed, &told).await;
    }
}
