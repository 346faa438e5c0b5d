//! The power goes in the middle of a busy life: below SQLite and files alike, what was not fsynced is lost or torn.

use std::path::Path;

use mainstay_journal::{Filter, Journal};
use mainstay_testkit::{PowerCut, Program, Recording, SmallDisk};
use tempfile::tempdir;

use crate::crash::{child, child_dir};
use crate::life::{Told, live};
use crate::support::{append, open, settings, try_append};

/// Moments at which the power goes.
const CUTS: u64 = 40;
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(60);
/// Entries in the log of one that fills it: less than is moved at once, more than a full disk takes.
const IN_LOG: usize = 12;
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

/// Not a test by itself: it dies while its entry is brought to disk, and tells of the entry when it is started again.
#[tokio::test]
async fn child_dies_at_an_fsync_and_is_started_again() {
    let Some(dir) = child_dir() else {
        return;
    };
    let journal = open(&dir).await;
    if journal.stats().entries == 0 {
        println!("appends");
        append(&journal, "entry").await;
    }
    println!("has {}", journal.stats().entries);
    std::future::pending::<()>().await;
}

/// What a process that was killed before its fsync has left is shown by the page cache and not on disk.
#[tokio::test]
async fn what_a_restart_tells_of_is_on_disk_though_the_process_before_died_at_its_fsync() {
    let folder = tempdir().unwrap();
    let journal = folder.path().join("journal");
    std::fs::create_dir(&journal).unwrap();
    let journal = journal.canonicalize().unwrap();
    let power = PowerCut::build(folder.path());
    let start = |last_words: Option<&str>| {
        let test = "power_cut::child_dies_at_an_fsync_and_is_started_again";
        let mut command = child(test, &journal);
        power.record(&mut command, &journal);
        if let Some(words) = last_words {
            power.kill_at_fsync_after(&mut command, words);
        }
        Program::start(command).unwrap()
    };
    start(Some("appends")).wait(PATIENCE).await;
    let second = start(None);
    second.line_with(PATIENCE, "has 1").await.unwrap();
    second.kill().await;
    let recording = power.recording();
    for seed in 0..CUTS {
        let disk = tempdir().unwrap();
        recording.cut(recording.len(), seed, true, disk.path());
        let journal = open(disk.path()).await;
        let entries = journal.entries(&Filter::default(), None, 9);
        assert_eq!(entries.len(), 1, "lost by cut {seed}");
    }
}

/// Not a test by itself: as the one above, with more in the log than a full disk has room for.
#[tokio::test]
async fn child_fills_its_log_and_dies_at_an_fsync() {
    let Some(dir) = child_dir() else {
        return;
    };
    let journal = open(&dir).await;
    if journal.stats().entries == 0 {
        for number in 1..IN_LOG {
            let body = vec![number as u8; 60_000];
            let key = number.to_string();
            try_append(&journal, &key, Some(&body)).await.unwrap();
        }
        println!("appends");
        append(&journal, "entry").await;
    }
    println!("has {}", journal.stats().entries);
    std::future::pending::<()>().await;
}

/// Without room to move what is in the log, the log is written anew where it lies.
#[tokio::test]
async fn on_a_full_disk_too_what_a_restart_tells_of_is_on_disk() {
    let Some(small) = SmallDisk::mount(8 << 20).await else {
        println!("mounting isn't allowed here");
        return;
    };
    let folder = tempdir().unwrap();
    let power = PowerCut::build(folder.path());
    let dir = small.path().join("journal");
    let start = |last_words: Option<&str>| {
        let mut command = child("power_cut::child_fills_its_log_and_dies_at_an_fsync", &dir);
        power.record(&mut command, small.path());
        if let Some(words) = last_words {
            power.kill_at_fsync_after(&mut command, words);
        }
        Program::start(small.with(&command)).unwrap()
    };
    start(Some("appends")).wait(PATIENCE).await;
    // As if the disk had been full before.
    std::fs::remove_file(small.reach().join("journal/reserve")).unwrap();
    small.fill("others", u64::MAX);
    let before = power.recording().len();
    let second = start(None);
    let words = format!("has {IN_LOG}");
    second.line_with(PATIENCE, &words).await.unwrap();
    second.kill().await;
    let recording = power.recording();
    let log = small.reach().join("journal/journal.db-wal");
    assert_eq!(
        recording.written("journal/journal.db-wal", before) as u64,
        log.metadata().unwrap().len(),
        "an fsync alone says nothing after one that has failed: every byte is written anew"
    );
    for seed in 0..CUTS {
        let disk = tempdir().unwrap();
        recording.cut(recording.len(), seed, true, disk.path());
        let journal = open(&disk.path().join("journal")).await;
        let entries = journal.entries(&Filter::default(), None, 99);
        assert_eq!(entries.len(), IN_LOG, "lost by cut {seed}");
    }
}

/// Not a test by itself: it opens a journal two folders further down.
#[tokio::test]
async fn child_opens_a_journal_in_new_folders() {
    if let Some(dir) = child_dir() {
        open(&dir.join("new/journal")).await;
        println!("is open");
        std::future::pending::<()>().await;
    }
}

#[tokio::test]
async fn the_names_of_new_folders_are_brought_to_disk() {
    let folder = tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let root = root.canonicalize().unwrap();
    let power = PowerCut::build(folder.path());
    let mut command = child("power_cut::child_opens_a_journal_in_new_folders", &root);
    power.record(&mut command, &root);
    let program = Program::start(command).unwrap();
    program.line_with(PATIENCE, "is open").await.unwrap();
    program.kill().await;
    let recording = power.recording();
    for name in ["", "new", "new/journal"] {
        assert!(
            recording.synced().contains(name),
            "{:?}",
            recording.synced()
        );
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
