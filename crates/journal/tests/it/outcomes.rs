//! Idempotency keys, and what one entry tells the next.

use mainstay_journal::{Journal, KeyError, KeyHold, NewEntry, NewOutcome, Outcome, Reserved};
use serde_json::json;
use tempfile::tempdir;

use crate::support::{QUEUE, append, open, settings, spooled};

const DAY: i64 = 24 * 3600 * 1000;

async fn first(journal: &Journal, key: &str) -> KeyHold {
    match journal.reserve("scope", key, 1_000).await.unwrap() {
        Reserved::First(hold) => hold,
        Reserved::Known(outcome) => panic!("{key} is known: {outcome:?}"),
    }
}

async fn known(journal: &Journal, key: &str, now_ms: i64) -> Option<Outcome> {
    match journal.reserve("scope", key, now_ms).await.unwrap() {
        Reserved::First(_) => None,
        Reserved::Known(outcome) => Some(outcome),
    }
}

fn outcome(hold: KeyHold) -> NewOutcome {
    NewOutcome {
        hold,
        request: blake3::hash(b"request"),
        answer: "answer".into(),
        at_ms: 1_000,
    }
}

#[tokio::test]
async fn a_key_is_held_while_its_request_runs_and_free_when_it_fails() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let hold = first(&journal, "a").await;
    let running = journal.reserve("scope", "a", 1_000).await.unwrap_err();
    assert_eq!(running, KeyError::Running);
    // Other keys, and the same key of somebody else, don't meet it.
    first(&journal, "b").await;
    let other = journal.reserve("other scope", "a", 1_000).await.unwrap();
    assert!(matches!(other, Reserved::First(_)));
    drop(hold);
    first(&journal, "a").await;
}

#[tokio::test]
async fn a_recorded_outcome_is_found_after_a_reopen_for_a_day() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    journal
        .record(outcome(first(&journal, "a").await))
        .await
        .unwrap();
    journal.close().await.unwrap();
    let journal = open(dir.path()).await;
    let found = known(&journal, "a", 1_000 + DAY - 1).await.unwrap();
    let expected = Outcome {
        request: blake3::hash(b"request"),
        answer: "answer".into(),
        entry: None,
        discarded: false,
    };
    assert_eq!(found, expected);
    assert_eq!(known(&journal, "a", 1_000 + DAY).await, None);
}

#[tokio::test]
async fn an_outcome_is_committed_with_its_entry_or_not_at_all() {
    let dir = tempdir().unwrap();
    let journal = Journal::open(
        dir.path(),
        mainstay_journal::Settings {
            max_entries: 1,
            ..settings()
        },
    )
    .await
    .unwrap();
    let entry = async |key: &str| {
        let hold = first(&journal, key).await;
        let entry = NewEntry {
            queue: QUEUE,
            key: key.into(),
            kind: "put".into(),
            meta: json!(null),
            body: Some(spooled(&journal, b"body").await.unwrap()),
            outcome: Some(outcome(hold)),
            accepted_at_ms: 1_000,
        };
        journal.append(entry).await
    };
    let id = entry("accepted").await.unwrap();
    entry("refused").await.unwrap_err();
    assert_eq!(known(&journal, "refused", 1_000).await, None);
    journal.close().await.unwrap();
    let journal = open(dir.path()).await;
    assert_eq!(
        known(&journal, "accepted", 1_000).await.unwrap().entry,
        Some(id)
    );
    assert_eq!(known(&journal, "refused", 1_000).await, None);
}

#[tokio::test]
async fn a_completed_entry_tells_the_next_one_in_the_same_commit() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let (_, next) = (append(&journal, "a").await, append(&journal, "a").await);
    let claimed = journal.claim(QUEUE, 1, 0).pop().unwrap();
    let told = json!({ "told": "what the first one left behind, which is longer than before" });
    claimed
        .complete_and_tell(Some((next, told.clone())))
        .await
        .unwrap();
    assert_eq!(journal.get(next).unwrap().meta, told);
    journal.close().await.unwrap();
    let journal = open(dir.path()).await;
    assert_eq!(journal.get(next).unwrap().meta, told);
    journal.discard(next).await.unwrap();
    assert_eq!(journal.stats().bytes, 0);
}

#[tokio::test]
async fn an_identity_is_a_journals_own_for_life() {
    let (dir, other) = (tempdir().unwrap(), tempdir().unwrap());
    let journal = open(dir.path()).await;
    let identity = journal.identity().to_owned();
    assert_eq!(identity.len(), 16);
    journal.close().await.unwrap();
    assert_eq!(open(dir.path()).await.identity(), identity);
    assert_ne!(open(other.path()).await.identity(), identity);
}

#[tokio::test]
async fn a_journal_of_the_first_schema_is_migrated_with_its_entries() {
    let dir = tempdir().unwrap();
    let journal = open(dir.path()).await;
    let id = append(&journal, "a").await;
    journal.close().await.unwrap();
    drop(journal);
    let database = rusqlite::Connection::open(dir.path().join("journal.db")).unwrap();
    database
        .execute_batch("DROP TABLE identity; DROP TABLE outcomes; DROP TABLE discarded; PRAGMA user_version = 1;")
        .unwrap();
    drop(database);
    let journal = open(dir.path()).await;
    assert_eq!(journal.get(id).unwrap().key, "a");
    first(&journal, "key").await;
}
