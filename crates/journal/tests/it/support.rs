//! What the tests share.

use std::path::Path;

use mainstay_journal::{AppendError, EntryId, Journal, NewEntry, Settings, Spooled};
use serde_json::json;

pub(crate) const QUEUE: &str = "s3";

/// Bounds that no test meets by accident.
pub(crate) fn settings() -> Settings {
    Settings {
        min_free_disk: 0,
        ..Settings::default()
    }
}

pub(crate) async fn open(dir: &Path) -> Journal {
    Journal::open(dir, settings()).await.unwrap()
}

pub(crate) async fn spooled(journal: &Journal, content: &[u8]) -> Result<Spooled, AppendError> {
    let mut spool = journal.spool();
    for chunk in content.chunks(10_000) {
        spool.write(chunk).await?;
    }
    spool.finish().await
}

pub(crate) async fn try_append(
    journal: &Journal,
    key: &str,
    content: Option<&[u8]>,
) -> Result<EntryId, AppendError> {
    let body = match content {
        Some(content) => Some(spooled(journal, content).await?),
        None => None,
    };
    let entry = NewEntry {
        queue: QUEUE,
        key: key.into(),
        kind: "put".into(),
        meta: json!({ "key": key }),
        body,
        outcome: None,
        accepted_at_ms: 1_000,
    };
    journal.append(entry).await
}

pub(crate) async fn append(journal: &Journal, key: &str) -> EntryId {
    try_append(journal, key, None).await.unwrap()
}

/// The files in a subfolder.
pub(crate) fn files(dir: &Path, sub: &str) -> usize {
    std::fs::read_dir(dir.join(sub)).unwrap().count()
}

/// A large body, different for each seed.
pub(crate) fn large(seed: u8) -> Vec<u8> {
    (0..300_000_u32).map(|i| (i % 251) as u8 ^ seed).collect()
}
