//! Bounds: what is refused, and that nothing is lost by it.

use std::path::Path;
use std::process::Command;

use mainstay_journal::{AppendError, Bound, Filter, Health, Journal, Settings};
use tempfile::tempdir;

use crate::crash::{acknowledged, child, journal_of_child};
use crate::support::{QUEUE, append, files, large, open, settings, spooled, try_append};

fn full(which: Bound) -> AppendError {
    AppendError::Full { which }
}

#[tokio::test]
async fn the_entry_bound_holds_under_concurrency_and_room_comes_back() {
    let dir = tempdir().unwrap();
    let bounded = Settings {
        max_entries: 10,
        ..settings()
    };
    let journal = Journal::open(dir.path(), bounded).await.unwrap();
    let tasks: Vec<_> = (0..32)
        .map(|i| {
            let journal = journal.clone();
            tokio::spawn(async move { try_append(&journal, &i.to_string(), None).await })
        })
        .collect();
    let mut accepted = 0;
    for task in tasks {
        match task.await.unwrap() {
            Ok(_) => accepted += 1,
            Err(error) => assert_eq!(error, full(Bound::Entries)),
        }
    }
    assert_eq!((accepted, journal.stats().entries), (10, 10));
    journal
        .claim(QUEUE, 1, 0)
        .pop()
        .unwrap()
        .complete()
        .await
        .unwrap();
    append(&journal, "again").await;
}

#[tokio::test]
async fn the_byte_bound_refuses_while_the_body_still_arrives() {
    let dir = tempdir().unwrap();
    let bounded = Settings {
        max_bytes: 400_000,
        ..settings()
    };
    let journal = Journal::open(dir.path(), bounded).await.unwrap();
    try_append(&journal, "fits", Some(&large(1))).await.unwrap();
    assert_eq!(
        spooled(&journal, &large(2)).await.unwrap_err(),
        full(Bound::Bytes)
    );
    let small = vec![0; 60_000];
    try_append(&journal, "small", Some(&small)).await.unwrap();
    assert_eq!(
        try_append(&journal, "small", Some(&small)).await,
        Err(full(Bound::Bytes))
    );
    assert_eq!(
        (files(dir.path(), "bodies"), files(dir.path(), "spool")),
        (1, 0)
    );
}

#[tokio::test]
async fn less_free_disk_than_the_floor_refuses() {
    let dir = tempdir().unwrap();
    let bounded = Settings {
        min_free_disk: 1 << 60,
        ..settings()
    };
    let journal = Journal::open(dir.path(), bounded).await.unwrap();
    assert_eq!(
        try_append(&journal, "a", None).await,
        Err(full(Bound::Disk))
    );
    assert_eq!(journal.health(), Health::Ok);
}

#[tokio::test]
async fn oversized_metadata_is_refused_and_harms_nothing() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let key = "k".repeat(1 << 20);
    assert_eq!(
        try_append(&journal, &key, None).await,
        Err(AppendError::TooLarge)
    );
    append(&journal, "a").await;
}

#[tokio::test]
async fn a_storage_failure_stops_acceptance_until_the_next_open() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let accepted = append(&journal, "before").await;
    std::fs::remove_dir(dir.path().join("spool")).unwrap();
    let error = try_append(&journal, "large", Some(&large(1)))
        .await
        .unwrap_err();
    assert!(matches!(error, AppendError::Faulted { .. }), "{error}");
    assert_eq!(
        try_append(&journal, "small", None).await,
        Err(error.clone())
    );
    assert!(matches!(journal.health(), Health::Faulted(_)));
    assert!(journal.stats().faulted && journal.claim(QUEUE, 1, 0).is_empty());
    assert!(
        journal.is_waiting(QUEUE),
        "what was accepted is still there"
    );
    assert!(!journal.is_unresolved(QUEUE, "large"), "no row was written");
    assert_eq!(journal.close().await, Err(error));

    let journal = open(dir.path()).await;
    assert!(journal.get(accepted).is_some());
    append(&journal, "after").await;
}

/// A small file system of its own, unmounted when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount() -> Option<Self> {
        let dir = tempdir().unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=12m", "tmpfs"])
            .arg(dir.path())
            .output();
        mounted
            .is_ok_and(|output| output.status.success())
            .then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// On a small file system where mounting is allowed; where it isn't, in a process that may write small files only.
#[tokio::test]
async fn a_full_disk_refuses_and_loses_nothing() {
    match SmallDisk::mount() {
        Some(disk) => fill_disk(&disk.0.path().join("journal")).await,
        None => limit_file_size().await,
    }
}

async fn fill_disk(dir: &Path) {
    let journal = open(dir).await;
    let mut accepted = Vec::new();
    assert_eq!(files(dir, "spool"), 0);
    // Large bodies until the spool has no room, then small ones until the database has none.
    for content in [large(1), vec![7; 60_000], vec![7; 30_000], vec![7; 10]] {
        let error = loop {
            match try_append(&journal, &accepted.len().to_string(), Some(&content)).await {
                Ok(id) => accepted.push((id, content.clone())),
                Err(error) => break error,
            }
        };
        assert_eq!(error, full(Bound::Disk));
    }
    assert_eq!(journal.health(), Health::Ok);
    assert_eq!(files(dir, "spool"), 0);
    drop(journal);

    let journal = open(dir).await;
    assert_eq!(journal.stats().entries, accepted.len() as u64);
    for (id, content) in &accepted {
        assert_eq!(
            journal.body(*id).await.unwrap().into_bytes().await.unwrap(),
            content
        );
    }
    // Draining works on the full disk, and makes room.
    while let Some(claimed) = journal.claim(QUEUE, 1, 0).pop() {
        claimed.complete().await.unwrap();
    }
    try_append(&journal, "again", Some(&large(1)))
        .await
        .unwrap();
}

#[tokio::test]
async fn a_file_size_limit_refuses_and_loses_nothing() {
    limit_file_size().await;
}

async fn limit_file_size() {
    let dir = tempdir().unwrap();
    let limited = "trap '' XFSZ; ulimit -f 8400; exec \"$0\" \"$@\"";
    let command = child("crash::child_appends_until_refused", dir.path());
    let output = Command::new("sh")
        .args(["-c", limited])
        .arg(command.get_program())
        .args(command.get_args())
        .envs(
            command
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .output()
        .unwrap();
    let acknowledged = acknowledged(&output.stdout);
    assert!(
        acknowledged.len() > 3,
        "{}",
        String::from_utf8_lossy(&output.stdout)
    );
    let journal = journal_of_child(dir.path(), &acknowledged).await;
    append(&journal, "again").await;
    assert!(journal.entries(&Filter::default(), None, 1).len() == 1);
}
