//! Bodies: sizes, reading while they go, damage.

use std::os::unix::fs::FileExt;

use futures_util::TryStreamExt;
use mainstay_journal::{Journal, ReadError};
use tempfile::tempdir;

use crate::support::{QUEUE, append, files, large, open, settings, try_append};

#[tokio::test]
async fn bodies_of_every_size_come_back_with_their_checksum() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    for size in [0, 1, 65_536, 65_537, 262_144, 600_000] {
        let content: Vec<u8> = (0..size).map(|i| (i % 253) as u8).collect();
        let id = try_append(&journal, "key", Some(&content)).await.unwrap();
        let body = journal.body(id).await.unwrap();
        assert_eq!((body.len(), body.blake3()), (size, blake3::hash(&content)));
        assert_eq!(journal.get(id).unwrap().body.unwrap().len, size);
        assert_eq!(body.into_bytes().await.unwrap(), content);
    }
    assert_eq!(
        (files(dir.path(), "bodies"), files(dir.path(), "spool")),
        (3, 0)
    );
}

#[tokio::test]
async fn a_body_being_read_survives_its_entrys_completion() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let id = try_append(&journal, "key", Some(&large(3))).await.unwrap();
    let body = journal.body(id).await.unwrap();
    let claimed = journal.claim(QUEUE, 1, 0).pop().unwrap();
    claimed.complete().await.unwrap();
    // The file goes after the acknowledgement; a flush comes after both.
    journal.flush().await.unwrap();
    assert_eq!(files(dir.path(), "bodies"), 0);
    assert_eq!(body.into_bytes().await.unwrap(), large(3));
    assert!(matches!(journal.body(id).await, Err(ReadError::Unknown(_))));
}

#[tokio::test]
async fn verify_finds_damage_in_rows_and_files_and_nothing_else() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    append(&journal, "no body").await;
    let good = try_append(&journal, "good", Some(&large(1))).await.unwrap();
    let row = try_append(&journal, "row", Some(b"small")).await.unwrap();
    let file = try_append(&journal, "file", Some(&large(2))).await.unwrap();
    let short = try_append(&journal, "short", Some(&large(3)))
        .await
        .unwrap();
    let clean = journal.verify(|_| ()).await.unwrap();
    assert_eq!(
        (clean.checked, clean.bytes, clean.damaged.len()),
        (5, 900_005, 0)
    );
    drop(journal);

    damage(dir.path());
    let journal = Journal::open(dir.path(), settings()).await.unwrap();
    let mut seen = Vec::new();
    let report = journal
        .verify(|progress| seen.push((progress.checked, progress.entries)))
        .await;
    let damaged: Vec<_> = report
        .unwrap()
        .damaged
        .into_iter()
        .map(|damage| damage.id)
        .collect();
    assert_eq!(damaged, [row, file, short]);
    assert_eq!(seen, [(1, 5), (2, 5), (3, 5), (4, 5), (5, 5)]);
    assert!(journal.body(good).await.unwrap().into_bytes().await.is_ok());

    // The damaged part comes early, but the error must come before a reader has all bytes.
    let (mut body, mut read) = (journal.body(file).await.unwrap(), 0);
    let end = loop {
        match body.try_next().await {
            Ok(Some(chunk)) => read += chunk.len(),
            end => break end,
        }
    };
    assert!(matches!(end, Err(ReadError::Corrupt { .. })), "{end:?}");
    assert!(read < 300_000);
}

/// Flips a byte in the row's and in the second file's body, and cuts the third file.
fn damage(dir: &std::path::Path) {
    let database = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    database
        .execute("UPDATE bodies SET body = x'736d616c6d'", [])
        .unwrap();
    let path = |n: u64| dir.join(format!("bodies/{n:016x}"));
    let open = |n| {
        std::fs::OpenOptions::new()
            .write(true)
            .open(path(n))
            .unwrap()
    };
    open(1).write_all_at(&[0xee], 5).unwrap();
    open(2).set_len(299_999).unwrap();
}
