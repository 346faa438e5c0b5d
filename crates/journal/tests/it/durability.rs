//! What survives, what is refused at start-up, and what is cleaned up.

use std::os::unix::fs::PermissionsExt;

use mainstay_journal::{AppendError, Filter, Health, Journal, OpenError, Settings, State};
use tempfile::tempdir;

use crate::support::{QUEUE, append, files, large, open, settings, spooled, try_append};

#[tokio::test]
async fn entries_and_bodies_are_there_after_a_reopen() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let small = try_append(&journal, "small", Some(b"hello")).await.unwrap();
    let big = try_append(&journal, "big", Some(&large(1))).await.unwrap();
    let none = append(&journal, "none").await;
    let before = journal.entries(&Filter::default(), None, 10);
    drop(journal);

    let journal = open(dir.path()).await;
    assert_eq!(journal.entries(&Filter::default(), None, 10), before);
    assert_eq!(
        journal
            .body(small)
            .await
            .unwrap()
            .into_bytes()
            .await
            .unwrap(),
        &b"hello"[..]
    );
    assert_eq!(
        journal.body(big).await.unwrap().into_bytes().await.unwrap(),
        large(1)
    );
    assert!(journal.body(none).await.is_err());
    let stats = journal.stats();
    assert_eq!(
        (stats.entries, stats.oldest_accepted_at_ms),
        (3, Some(1_000))
    );
    assert!(stats.bytes > 300_005);
}

#[tokio::test]
async fn verdicts_are_there_after_a_reopen_and_claims_are_not() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    for key in ["done", "failed", "poison", "claimed"] {
        append(&journal, key).await;
    }
    let mut claims = journal.claim(QUEUE, 9, 0).into_iter();
    claims.next().unwrap().complete().await.unwrap();
    claims
        .next()
        .unwrap()
        .retry_later("503", 5_000)
        .await
        .unwrap();
    claims.next().unwrap().set_aside("403").await.unwrap();
    let claimed = claims.next().unwrap();
    assert_eq!(journal.get(claimed.id()).unwrap().state, State::InFlight);
    journal.close().await.unwrap();
    assert_eq!(claimed.complete().await, Err(AppendError::Closed));
    drop(journal);

    let journal = open(dir.path()).await;
    let seen: Vec<_> = journal
        .entries(&Filter::default(), None, 9)
        .into_iter()
        .map(|entry| (entry.key, entry.state, entry.attempts, entry.last_error))
        .collect();
    let error = |text: &str| Some(text.to_owned());
    assert_eq!(
        seen,
        [
            ("failed".to_owned(), State::Queued, 1, error("503")),
            ("poison".to_owned(), State::SetAside, 1, error("403")),
            ("claimed".to_owned(), State::Queued, 0, None),
        ]
    );
    assert_eq!(
        journal.claim(QUEUE, 9, 0).len(),
        2,
        "retry times end with the process"
    );
}

#[tokio::test]
async fn ids_grow_across_reopens_even_when_everything_was_completed() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let first = append(&journal, "a").await;
    journal.discard(first).await.unwrap();
    drop(journal);
    assert!(append(&open(dir.path()).await, "a").await > first);
}

#[tokio::test]
async fn concurrent_appends_share_commits() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let tasks: Vec<_> = (0..64)
        .map(|i| {
            let journal = journal.clone();
            tokio::spawn(async move { append(&journal, &format!("key-{i}")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let stats = journal.stats();
    assert_eq!(stats.entries, 64);
    assert!(stats.commits < 64, "{} commits", stats.commits);
}

#[tokio::test]
async fn the_second_journal_on_a_folder_names_the_first_ones_process() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let error = Journal::open(dir.path(), settings()).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == std::process::id()));
    assert!(
        error
            .to_string()
            .contains(&format!("process {}", std::process::id())),
        "{error}"
    );
    journal.close().await.unwrap();
    open(dir.path()).await;
}

#[tokio::test]
async fn a_closed_journal_refuses_and_stays_closed() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    append(&journal, "a").await;
    journal.flush().await.unwrap();
    assert_eq!(
        std::fs::metadata(dir.path().join("journal.db-wal"))
            .unwrap()
            .len(),
        0
    );
    journal.close().await.unwrap();
    journal.close().await.unwrap();
    assert_eq!(
        try_append(&journal, "a", None).await,
        Err(AppendError::Closed)
    );
    assert_eq!(journal.health(), Health::Closed);
    assert!(journal.claim(QUEUE, 1, 0).is_empty());
}

#[tokio::test]
async fn a_newer_schema_and_a_foreign_database_are_refused_untouched() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()).await);
    let path = dir.path().join("journal.db");
    let set = |pragma: &str, value: i64| {
        let database = rusqlite::Connection::open(&path).unwrap();
        database.pragma_update(None, pragma, value).unwrap();
    };
    set("user_version", 99);
    let error = Journal::open(dir.path(), settings()).await.unwrap_err();
    assert!(
        matches!(error, OpenError::Newer { found: 99, .. }),
        "{error}"
    );
    set("user_version", 1);
    set("application_id", 7);
    let error = Journal::open(dir.path(), settings()).await.unwrap_err();
    assert!(matches!(error, OpenError::Foreign(_)), "{error}");
}

#[tokio::test]
async fn a_damaged_database_is_an_error_not_an_empty_journal() {
    let dir = tempdir().unwrap();
    std::fs::write(dir.path().join("journal.db"), vec![7; 8192]).unwrap();
    let error = Journal::open(dir.path(), settings()).await.unwrap_err();
    assert!(matches!(error, OpenError::Database { .. }), "{error}");
}

#[tokio::test]
async fn senseless_settings_are_refused() {
    let dir = tempdir().unwrap();
    for settings in [
        Settings {
            max_entries: 0,
            ..settings()
        },
        Settings {
            max_bytes: 0,
            ..settings()
        },
        Settings {
            inline_limit: 1 << 30,
            ..settings()
        },
    ] {
        let error = Journal::open(dir.path(), settings).await.unwrap_err();
        assert!(matches!(error, OpenError::Settings(_)), "{error}");
    }
}

#[tokio::test]
async fn the_folder_is_private() {
    let dir = tempdir().unwrap();
    let path = dir.path().join("new/journal");
    drop(open(&path).await);
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o700
    );
}

#[tokio::test]
async fn start_up_removes_half_written_bodies_and_sets_aside_what_lost_its_body() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let kept = try_append(&journal, "kept", Some(&large(1))).await.unwrap();
    drop(journal);
    let body = std::fs::read_dir(dir.path().join("bodies"))
        .unwrap()
        .next()
        .unwrap()
        .unwrap();
    std::fs::write(
        dir.path().join("bodies/00000000000000ff"),
        b"renamed, no row",
    )
    .unwrap();
    std::fs::write(dir.path().join("spool/1-1"), b"never finished").unwrap();

    let journal = open(dir.path()).await;
    assert_eq!(
        (files(dir.path(), "bodies"), files(dir.path(), "spool")),
        (1, 0)
    );
    assert_eq!(
        journal
            .body(kept)
            .await
            .unwrap()
            .into_bytes()
            .await
            .unwrap(),
        large(1)
    );
    drop(journal);

    std::fs::remove_file(body.path()).unwrap();
    for _ in 0..2 {
        let journal = open(dir.path()).await;
        let entry = journal.get(kept).unwrap();
        assert_eq!((entry.state, entry.attempts), (State::SetAside, 1));
        assert_eq!(
            entry.last_error.as_deref(),
            Some("its body file is missing")
        );
    }
}

#[tokio::test]
async fn what_is_not_appended_leaves_no_file() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let mut unfinished = journal.spool();
    unfinished.write(&large(1)).await.unwrap();
    let unused = spooled(&journal, &large(2)).await.unwrap();
    assert_eq!(files(dir.path(), "spool"), 2);
    drop((unfinished, unused));
    assert_eq!(
        (files(dir.path(), "bodies"), files(dir.path(), "spool")),
        (0, 0)
    );
}
