//! `mainstay purge`: through a running server, and on the data directory when none runs.

use std::path::Path;

use mainstay_testkit::{Signal, eventually};
use serde_json::json;

use super::server::{KEY, SOON, Server};
use crate::support::{Ran, mainstay};

/// Without a URL: the data directory's lock says where to go.
fn purge(server: &Server, what: &str) -> Ran {
    let mut command = mainstay(server.folder.path());
    let listen = server.url("").replace("http://", "");
    command
        .args(["purge", what])
        .env("MAINSTAY_SERVER_LISTEN", listen)
        .env("MAINSTAY_KEY", KEY);
    Ran::from(command.output().expect("the program starts"))
}

/// Files in a folder of the data directory.
fn files(server: &Server, folder: &str) -> usize {
    let folder = server.folder.path().join("mainstay-data").join(folder);
    std::fs::read_dir(folder).map_or(0, Iterator::count)
}

/// Something in every cache that reaches the disk.
async fn fill(server: &Server) {
    assert_eq!(server.put("/objects/a", "kept").await.status, 200);
    let read = server
        .post("/db/read", json!({"query": "select 'remembered' as word"}))
        .await;
    assert_eq!(read.status, 200, "{read:?}");
    eventually(SOON, "both are on the disk", async || {
        files(server, "object-copies") == 2 && remembers(server.folder.path())
    })
    .await;
}

/// Whether the result of the read is in the file of results, or in one beside it.
fn remembers(folder: &Path) -> bool {
    let word = b"remembered";
    ["", "-wal"].iter().any(|ending| {
        let path = folder.join(format!("mainstay-data/database-results.sqlite{ending}"));
        let bytes = std::fs::read(path).unwrap_or_default();
        bytes.windows(word.len()).any(|part| part == word)
    })
}

fn check(ran: &Ran, says: &str) {
    assert_eq!((ran.code, ran.out.trim()), (Some(0), says), "{ran:?}");
}

#[tokio::test]
async fn a_purge_goes_through_the_server_that_has_the_data_directory() {
    let server = Server::start(&[]).await;
    fill(&server).await;
    let caches = purge(&server, "caches");
    check(
        &caches,
        "purged: database_results, object_copies, model_answers",
    );
    assert_eq!(files(&server, "object-copies"), 0);
    assert!(!remembers(server.folder.path()));
    let old = "mainstay-data/recordings/2026-01-31T12-00-00Z-000.rec.gz";
    let old = server.folder.path().join(old);
    std::fs::write(&old, "old").expect("the folder of recordings");
    check(&purge(&server, "recordings"), "purged: recordings");
    assert!(!old.exists());
    let stored = server.get("/objects/a").await;
    assert_eq!(stored.body, "kept", "{stored:?}");
}

#[tokio::test]
async fn without_a_server_a_purge_works_on_the_data_directory() {
    let mut server = Server::start(&[]).await;
    fill(&server).await;
    server.program.signal(Signal::TERM);
    assert!(server.program.wait(SOON).await.success());
    assert!(files(&server, "recordings") > 0);
    let caches = purge(&server, "caches");
    check(&caches, "purged: database_results, object_copies");
    assert_eq!(files(&server, "object-copies"), 0);
    assert!(!remembers(server.folder.path()));
    assert!(files(&server, "recordings") > 0);
    check(&purge(&server, "recordings"), "purged: recordings");
    assert_eq!(files(&server, "recordings"), 0);
    server.start_again().await;
    let stored = server.get("/objects/a").await;
    assert_eq!(stored.body, "kept", "{stored:?}");
}

#[test]
fn where_no_server_ever_ran_there_is_nothing_to_purge() {
    let folder = tempfile::tempdir().expect("a folder");
    let ran = crate::support::run(folder.path(), &["purge", "recordings"]);
    check(&ran, "purged: recordings");
    assert!(!folder.path().join("mainstay-data").exists());
    let unknown = crate::support::run(folder.path(), &["purge", "everything"]);
    assert_eq!(unknown.code, Some(2));
    assert!(unknown.err.contains("caches, recordings"), "{unknown:?}");
}
