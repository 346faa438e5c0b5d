//! Uploads of 4 KiB acknowledged by the journal, from 1 and from 64 clients, beside what the same disk can fsync, in the
//! same run: as the disk is, and with each fsync made 5 ms slower.
//!
//! Aims: 10 acknowledgements per fsync with 64 clients; with the slow fsync, 10 times the rate of one client.
#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark")]
#![allow(clippy::disallowed_methods, reason = "it measures")]

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use mainstay_journal::{Journal, NewEntry, Settings};
use mainstay_testkit::Trouble;

const SIZE: usize = 4096;
const WARM_UP: Duration = Duration::from_millis(500);
const MEASURED: Duration = Duration::from_secs(4);
/// What the child is to do: a number of clients, or 0 for the disk alone.
const CLIENTS: &str = "MAINSTAY_BENCH_CLIENTS";

fn main() {
    if let Ok(clients) = std::env::var(CLIENTS) {
        return child(clients.parse().unwrap());
    }
    let folder = tempfile::tempdir().unwrap();
    let trouble = Trouble::build(folder.path());
    let slow = Duration::from_millis(5);
    for (name, longer) in [("as it is", Duration::ZERO), ("5 ms slower", slow)] {
        trouble.fsync_takes(longer);
        println!("fsync {name}");
        let [disk, one, many] = [0, 1, 64].map(|clients| measure(&trouble, clients));
        println!("  the disk alone    {:>8.0} fsyncs/s", disk.rate());
        for (clients, measured) in [(1, &one), (64, &many)] {
            println!(
                "  {clients:>2} clients        {:>8.0} acknowledged/s, {:>5.1} to an fsync, {:>5.2} times the disk's fsyncs",
                measured.rate(),
                measured.done / measured.fsyncs,
                measured.rate() / disk.rate(),
            );
        }
        println!(
            "  64 clients / one  {:>8.1} times the rate",
            many.rate() / one.rate()
        );
    }
}

struct Measured {
    done: f64,
    fsyncs: f64,
    seconds: f64,
}

impl Measured {
    fn rate(&self) -> f64 {
        self.done / self.seconds
    }
}

/// In a process of its own, below which fsyncs are counted and slowed down.
fn measure(trouble: &Trouble, clients: usize) -> Measured {
    let folder = tempfile::tempdir().unwrap();
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .current_dir(folder.path())
        .env(CLIENTS, clients.to_string());
    trouble.below(&mut command, folder.path());
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut numbers = said.split_whitespace().map(|n| n.parse::<f64>().unwrap());
    let mut next = || numbers.next().unwrap();
    Measured {
        done: next(),
        fsyncs: next(),
        seconds: next(),
    }
}

fn child(clients: usize) {
    let done = Arc::new(AtomicU64::new(0));
    let stop = Arc::new(AtomicBool::new(false));
    let counted = Arc::clone(&done);
    let ended = Arc::clone(&stop);
    let watch = std::thread::spawn(move || {
        std::thread::sleep(WARM_UP);
        let at = || (done.load(Ordering::SeqCst), Trouble::fsyncs().unwrap());
        let (before, begun) = (at(), Instant::now());
        std::thread::sleep(MEASURED);
        let (after, took) = (at(), begun.elapsed());
        println!(
            "{} {} {}",
            after.0 - before.0,
            after.1 - before.1,
            took.as_secs_f64()
        );
        stop.store(true, Ordering::SeqCst);
    });
    match clients {
        0 => disk(&counted, &ended),
        _ => tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap()
            .block_on(journal(clients, &counted, &ended)),
    }
    watch.join().unwrap();
}

/// One file that grows, as a log does.
fn disk(done: &AtomicU64, stop: &AtomicBool) {
    let mut file = File::create("file").unwrap();
    while !stop.load(Ordering::SeqCst) {
        file.write_all(&[7; SIZE]).unwrap();
        file.sync_data().unwrap();
        done.fetch_add(1, Ordering::SeqCst);
    }
}

async fn journal(clients: usize, done: &Arc<AtomicU64>, stop: &Arc<AtomicBool>) {
    let journal = Journal::open(Path::new("journal"), Settings::default())
        .await
        .unwrap();
    let client = |client: usize| {
        let (journal, done, stop) = (journal.clone(), Arc::clone(done), Arc::clone(stop));
        tokio::spawn(async move {
            for turn in 0.. {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                upload(&journal, format!("{client}/{turn}")).await;
                done.fetch_add(1, Ordering::SeqCst);
            }
        })
    };
    let clients: Vec<_> = (0..clients).map(client).collect();
    for client in clients {
        client.await.unwrap();
    }
    journal.close().await.unwrap();
}

async fn upload(journal: &Journal, key: String) {
    let mut spool = journal.spool();
    spool.write(&[7; SIZE]).await.unwrap();
    let body = spool.finish().await.unwrap();
    let entry = NewEntry {
        queue: "s3",
        key,
        kind: "put".into(),
        meta: serde_json::json!({"content_type": "image/png"}),
        body: Some(body),
        outcome: None,
        accepted_at_ms: 0,
    };
    journal.append(entry).await.unwrap();
}
