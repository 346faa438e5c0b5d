//! The power goes in the middle of a busy life: below SQLite and files alike, what was not fsynced is lost or torn.

use std::path::Path;

use mainstay_journal::Journal;
use mainstay_testkit::{PowerCut, Program, Recording};
use tempfile::tempdir;

use crate::crash::{child, child_dir};
use crate::life::{Told, live};
use crate::support::settings;

/// Moments at which the power goes.
const CUTS: u64 = 40;
/// Acknowledgements recorded.
const ENTRIES: usize = 160;

/// Not a test by itself: what the others record.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_lives_a_busy_life() {
    if let Some(dir) = child_dir() {
        live(&dir).await;
    }
}

/// A process with a busy life, recorded until it is killed.
async fn recorded(folder: &Path) -> Recording {
    let journal = folder.join("journal");
    std::fs::create_dir(&journal).unwrap();
    let journal = journal.canonicalize().unwrap();
    let power = PowerCut::build(folder);
    let mut command = child("power_cut::child_lives_a_busy_life", &journal);
    power.record(&mut command, &journal);
    let program = Program::start(command).unwrap();
    let count = || {
        let told = Told::from(program.stdout().join("\n").as_bytes());
        told.accepted.len()
    };
    mainstay_testkit::eventually(
        std::time::Duration::from_secs(60),
        "enough to be acknowledged",
        async || count() >= ENTRIES,
    )
    .await;
    program.kill().await;
    power.recording()
}

/// What was told before the power went at one of the moments spread over the recording, and what the disk makes of it.
async fn cut(recording: &Recording, cut: u64, honest: bool) -> (Told, Vec<String>) {
    let moment = recording.len() * (cut as usize + 1) / CUTS as usize;
    let disk = tempdir().unwrap();
    recording.cut(moment, cut, honest, disk.path());
    let told = Told::from(&recording.said(moment));
    let broken = match Journal::open(disk.path(), settings()).await {
        Ok(journal) => told.broken_by(&journal, disk.path()).await,
        Err(error) => vec![error.to_string()],
    };
    (told, broken)
}

#[tokio::test]
async fn what_was_told_before_the_power_went_holds_when_it_is_back() {
    let folder = tempdir().unwrap();
    let recording = recorded(folder.path()).await;
    let mut last = Told::default();
    for number in 0..CUTS {
        let broken;
        (last, broken) = cut(&recording, number, true).await;
        assert_eq!(broken, Vec::<String>::new(), "cut {number}");
    }
    println!("told: {:?}", last.words);
    for (word, least) in [
        ("accepted", ENTRIES / 2),
        ("recorded", 3),
        ("removed", 10),
        ("aside", 4),
        ("queued", 1),
    ] {
        let said = last.words.get(word).copied().unwrap_or_default();
        assert!(said >= least, "only {said} {word}");
    }
}

/// The check can fail: on a disk that lies about fsync the same journal breaks its word.
#[tokio::test]
async fn a_disk_that_lies_about_fsync_is_found_out_by_the_same_check() {
    let folder = tempdir().unwrap();
    let recording = recorded(folder.path()).await;
    let mut found = Vec::new();
    for number in 0..CUTS {
        let (_, broken) = cut(&recording, number, false).await;
        found.extend(broken);
    }
    assert!(
        !found.is_empty(),
        "nothing ever breaks: the check checks nothing"
    );
}
