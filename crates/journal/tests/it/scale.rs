//! A week's outage: very many entries.

use std::path::Path;

use tempfile::tempdir;

use crate::support::{QUEUE, open};

const ENTRIES: usize = 400_000;

/// Writes rows as the journal does, but all in one commit.
fn fill(dir: &Path) {
    let database = rusqlite::Connection::open(dir.join("journal.db")).unwrap();
    let script = format!(
        "PRAGMA synchronous = OFF;
         BEGIN;
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ENTRIES})
         INSERT INTO entries (queue, key, kind, meta, accepted_at_ms, body_len, body_blake3)
         SELECT 's3', printf('2026/%06d/invoice.pdf', i), 'put', '{{\"content_type\":\"application/pdf\"}}', i, 100, zeroblob(32) FROM n;
         INSERT INTO bodies SELECT id, zeroblob(100) FROM entries;
         COMMIT;"
    );
    database.execute_batch(&script).unwrap();
}

/// Seconds that this process has kept a processor busy: a loaded machine makes it wait, not work more.
fn worked() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let after_name = stat.rsplit_once(')').unwrap().1;
    let fields: Vec<&str> = after_name.split_whitespace().collect();
    let ticks = |at: usize| fields[at].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

fn resident_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|l| l.strip_prefix("VmRSS:"));
    let kib: u64 = line
        .unwrap()
        .trim()
        .trim_end_matches(" kB")
        .parse()
        .unwrap();
    kib / 1024
}

#[tokio::test]
async fn four_hundred_thousand_entries_open_within_five_seconds_and_list_within_one() {
    let dir = tempdir().unwrap();
    drop(open(dir.path()).await);
    fill(dir.path());
    let (began, before) = (worked(), resident_mib());
    let journal = open(dir.path()).await;
    let opening = worked() - began;
    let began = worked();
    assert_eq!(journal.stats().entries, ENTRIES as u64);
    assert_eq!(journal.list(QUEUE, "2026/2", None, 1000).len(), 1000);
    assert_eq!(journal.claim(QUEUE, 8, 0).len(), 8);
    let listing = worked() - began;
    let memory = resident_mib() - before;
    println!("opened in {opening:.2} s, listed in {listing:.2} s of work, {memory} MiB");
    assert!(opening < 5.0, "{opening} s to open");
    assert!(listing < 1.0, "{listing} s to list");
    assert!(memory < 200, "{memory} MiB");
}
