//! Processes that die: what they acknowledged is there.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use mainstay_journal::{EntryId, Journal, OpenError};
use tempfile::tempdir;

use crate::support::{large, open, settings, try_append};

/// Says where a child of this test binary finds its journal.
const CHILD_DIR: &str = "MAINSTAY_JOURNAL_CHILD_DIR";

/// This test binary again, running one test in which it plays the child.
pub(crate) fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD_DIR, dir);
    command
}

/// A child's journal; none in a process that is no child.
pub(crate) fn child_dir() -> Option<PathBuf> {
    std::env::var_os(CHILD_DIR).map(PathBuf::from)
}

/// The ids in a child's output.
pub(crate) fn acknowledged(output: &[u8]) -> Vec<EntryId> {
    let text = String::from_utf8_lossy(output);
    // The line a kill cut short ends without the mark.
    let line = |line: &str| line.strip_prefix("ack ")?.strip_suffix(" .")?.parse().ok();
    text.lines().filter_map(line).collect()
}

/// Opens what a dead child left, and finds everything it acknowledged whole.
pub(crate) async fn journal_of_child(dir: &Path, acknowledged: &[EntryId]) -> Journal {
    let journal = open(dir).await;
    for id in acknowledged {
        let entry = journal
            .get(*id)
            .unwrap_or_else(|| panic!("entry {id} is lost"));
        let content = journal.body(*id).await.unwrap().into_bytes().await.unwrap();
        assert_eq!(content, content_of(&entry.key));
    }
    let report = journal.verify(|_| ()).await.unwrap();
    assert_eq!(report.damaged, []);
    journal
}

fn content_of(key: &str) -> Vec<u8> {
    let number: usize = key.parse().unwrap();
    let content = large(number as u8);
    if number.is_multiple_of(4) {
        content
    } else {
        content[..number * 7919 % 60_000].to_vec()
    }
}

async fn append_numbered(journal: &Journal, numbers: impl Iterator<Item = usize>) {
    for number in numbers {
        let key = number.to_string();
        let Ok(id) = try_append(journal, &key, Some(&content_of(&key))).await else {
            return;
        };
        // One write, so that lines of concurrent tasks don't mix.
        std::io::stdout()
            .write_all(format!("\nack {id} .\n").as_bytes())
            .unwrap();
    }
}

/// Not a test by itself: what [`acknowledged_entries_survive_sigkill`] kills.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child_appends_from_many_tasks() {
    let Some(dir) = child_dir() else {
        return;
    };
    let journal = open(&dir).await;
    let tasks: Vec<_> = (0..8)
        .map(|task| {
            let journal = journal.clone();
            tokio::spawn(async move { append_numbered(&journal, (task..).step_by(8)).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
}

/// Not a test by itself: it appends under a limit that its parent sets.
#[tokio::test]
async fn child_appends_until_refused() {
    let Some(dir) = child_dir() else {
        return;
    };
    append_numbered(&open(&dir).await, 0..).await;
}

#[tokio::test]
async fn acknowledged_entries_survive_sigkill() {
    let dir = tempdir().unwrap();
    let mut before = Vec::new();
    for round in 1..=3 {
        let mut command = child("crash::child_appends_from_many_tasks", dir.path());
        let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut read = Vec::new();
        while acknowledged(&read).len() < 40 * round {
            assert!(
                output.read_until(b'\n', &mut read).unwrap() > 0,
                "the child died early"
            );
        }
        child.kill().unwrap();
        output.read_to_end(&mut read).unwrap();
        child.wait().unwrap();
        before.extend(acknowledged(&read));
        journal_of_child(dir.path(), &before).await;
    }
}

#[tokio::test]
async fn a_second_process_is_refused_until_the_first_dies() {
    let dir = tempdir().unwrap();
    let mut command = child("crash::child_appends_from_many_tasks", dir.path());
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    let mut read = Vec::new();
    while acknowledged(&read).is_empty() {
        assert!(
            output.read_until(b'\n', &mut read).unwrap() > 0,
            "the child died early"
        );
    }
    let error = Journal::open(dir.path(), settings()).await.unwrap_err();
    assert!(matches!(error, OpenError::Locked { pid: Some(pid), .. } if pid == child.id()));
    child.kill().unwrap();
    child.wait().unwrap();
    open(dir.path()).await;
}
