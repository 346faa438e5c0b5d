//! `mainstay journal`: through a running server, and on the folder when none runs.

use std::path::Path;

use mainstay_testkit::{S3, Signal, eventually, free_port};

use super::server::{KEY, SOON, Server};
use crate::support::{Ran, mainstay};
use crate::support::{borrowed, s3_settings};

fn journal(folder: &Path, url: Option<&str>, arguments: &[&str]) -> Ran {
    let mut command = mainstay(folder);
    command.arg("journal").args(arguments);
    if let Some(url) = url {
        command.args(["--url", url]).env("MAINSTAY_KEY", KEY);
    }
    Ran::from(command.output().expect("the program starts"))
}

fn s3(endpoint: &str) -> Vec<(&str, &str)> {
    vec![
        ("S3_ENDPOINT", endpoint),
        ("S3_BUCKET", "shop"),
        ("S3_ACCESS_KEY_ID", "id"),
        ("S3_SECRET_ACCESS_KEY", "secret"),
    ]
}

/// A server whose object store isn't there, with two accepted uploads: a small one and one with a file of its own.
async fn with_two_entries() -> (Server, String) {
    let endpoint = format!("http://127.0.0.1:{}", free_port());
    let server = Server::start(&s3(&endpoint)).await;
    server.breaker("s3", "open").await;
    for (name, size) in [("small.txt", 10), ("large.bin", 100 << 10)] {
        let accepted = server
            .put(&format!("/objects/{name}"), vec![b'x'; size])
            .await;
        assert_eq!(accepted.status, 202, "{accepted:?}");
    }
    let url = server.url("");
    (server, url)
}

/// The rows of a table: lines that begin with a number, but for the count below it.
fn rows(out: &str) -> Vec<Vec<&str>> {
    let lines = out.lines().map(|line| line.split_whitespace().collect());
    let is_row = |row: &Vec<&str>| {
        let begins = row.first().is_some_and(|id| id.parse::<u64>().is_ok());
        begins && !row[1].starts_with("entr")
    };
    lines.filter(is_row).collect()
}

#[tokio::test]
async fn a_running_server_lists_shows_verifies_and_says_what_it_could_not_carry_out() {
    let (server, url) = with_two_entries().await;
    let run = |arguments: &[&str]| journal(server.folder.path(), Some(&url), arguments);
    let listed = run(&["ls"]);
    let found: Vec<_> = rows(&listed.out)
        .iter()
        .map(|row| (row[2], row.last().copied()))
        .collect();
    assert_eq!(
        found,
        [("put", Some("small.txt")), ("put", Some("large.bin"))],
        "{listed:?}"
    );
    let one = run(&["ls", "--limit", "1"]);
    assert_eq!(rows(&one.out).len(), 1);
    assert!(one.out.contains("1 entry more"), "{one:?}");
    let aside = run(&["ls", "--state", "set-aside"]);
    assert_eq!(rows(&aside.out).len(), 0, "{aside:?}");
    let id = rows(&listed.out)[1][0];
    let shown = run(&["show", id]);
    for words in ["large.bin", "100.0 KiB", "BLAKE3", "queued"] {
        assert!(shown.out.contains(words), "{words} in {shown:?}");
    }
    let verified = run(&["verify"]);
    assert_eq!(verified.code, Some(0), "{verified:?}");
    assert!(verified.out.contains("2 entries looked at"), "{verified:?}");
    let unknown = run(&["show", "999"]);
    assert_eq!(unknown.code, Some(1));
    assert!(unknown.err.contains("no journal entry 999"), "{unknown:?}");
    let flushed = run(&["flush"]);
    assert_eq!(flushed.code, Some(1), "{flushed:?}");
    assert!(
        flushed.out.contains("2 entries still waiting"),
        "{flushed:?}"
    );
    assert_eq!(run(&["retry", id]).code, Some(1), "it isn't set aside");
    let discarded = run(&["discard", id]);
    assert_eq!(discarded.code, Some(0), "{discarded:?}");
    assert_eq!(rows(&run(&["ls"]).out).len(), 1);
}

#[tokio::test]
async fn the_lock_sends_the_commands_to_the_server_that_has_the_journal() {
    let (server, _) = with_two_entries().await;
    let mut command = mainstay(server.folder.path());
    let port = server
        .url("")
        .rsplit(':')
        .next()
        .unwrap_or_default()
        .to_owned();
    command
        .args(["journal", "ls"])
        .env("MAINSTAY_SERVER_LISTEN", format!("127.0.0.1:{port}"))
        .env("MAINSTAY_KEY", KEY);
    let listed = Ran::from(command.output().expect("the program starts"));
    assert_eq!(rows(&listed.out).len(), 2, "{listed:?}");
    let keyless = journal(server.folder.path(), None, &["ls"]);
    assert_eq!(keyless.code, Some(2));
    assert!(keyless.err.contains("MAINSTAY_KEY"), "{keyless:?}");
}

#[tokio::test]
async fn without_a_server_the_folder_is_listed_verified_and_mended() {
    let (server, _) = with_two_entries().await;
    server.program.signal(Signal::TERM);
    assert!(server.program.wait(SOON).await.success());
    let folder = server.folder.path();
    let run = |arguments: &[&str]| journal(folder, None, arguments);
    let listed = run(&["ls"]);
    assert_eq!(rows(&listed.out).len(), 2, "{listed:?}");
    let id = rows(&listed.out)[1][0].to_owned();
    assert_eq!(run(&["verify"]).code, Some(0));
    let flush = run(&["flush"]);
    assert_eq!(flush.code, Some(1));
    assert!(flush.err.contains("no server runs"), "{flush:?}");

    let bodies = folder.join("mainstay-data/journal/bodies");
    let body = std::fs::read_dir(&bodies)
        .expect("the folder of bodies")
        .next()
        .expect("one body")
        .expect("readable")
        .path();
    let mut content = std::fs::read(&body).expect("the body");
    let last = content.len() - 1;
    content[last] ^= 1;
    std::fs::write(&body, content).expect("the body is changed");
    let damaged = run(&["verify"]);
    assert_eq!(damaged.code, Some(1), "{damaged:?}");
    assert_eq!(rows(&damaged.out)[0][0], id, "{damaged:?}");

    std::fs::remove_file(&body).expect("the body is removed");
    let aside = run(&["ls", "--state", "set-aside"]);
    assert_eq!(rows(&aside.out)[0][0], id, "{aside:?}");
    let shown = run(&["show", &id]);
    assert!(shown.out.contains("body file is missing"), "{shown:?}");
    assert_eq!(run(&["retry", "--all", &id]).code, Some(2), "which?");
    let retried = run(&["retry", "--all"]);
    assert!(
        retried.out.starts_with("1 entry queued again"),
        "{retried:?}"
    );
    assert_eq!(retried.code, Some(0));
    assert_eq!(run(&["discard", &id]).code, Some(0));
    let none = run(&["retry", "--all"]);
    assert!(none.out.starts_with("0 entries queued again"), "{none:?}");
    assert_eq!(none.code, Some(0));
    let left = run(&["ls"]);
    assert_eq!(rows(&left.out).len(), 1, "{left:?}");
}

#[tokio::test]
async fn a_flush_empties_the_journal_once_the_store_is_back() {
    let s3_server = S3::start().await;
    let server = Server::start(&borrowed(&s3_settings(&s3_server))).await;
    s3_server.kill().await;
    server.breaker("s3", "open").await;
    assert_eq!(server.put("/objects/a", "kept").await.status, 202);
    s3_server.restart().await;
    let url = server.url("");
    let flush = || journal(server.folder.path(), Some(&url), &["flush"]);
    eventually(SOON, "everything is carried out", async || {
        flush().code == Some(0)
    })
    .await;
    let listed = journal(server.folder.path(), Some(&url), &["ls"]);
    assert!(listed.out.contains("the journal is empty"), "{listed:?}");
}

#[test]
fn where_nothing_was_ever_accepted_the_journal_is_empty() {
    let folder = tempfile::tempdir().expect("a folder");
    let listed = journal(folder.path(), None, &["ls"]);
    assert_eq!(
        (listed.code, listed.out.trim()),
        (Some(0), "the journal is empty: nothing waits")
    );
    assert_eq!(journal(folder.path(), None, &["verify"]).code, Some(0));
    assert_eq!(
        journal(folder.path(), None, &["discard", "1"]).code,
        Some(1)
    );
    assert!(!folder.path().join("mainstay-data").exists());
}
