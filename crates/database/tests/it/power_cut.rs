//! The power goes after the embedded database has told what became of a write: it stays so.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mainstay_database::Statement;
use mainstay_database::contract::{context, key, rows, write};
use mainstay_testkit::{PowerCut, Program};
use serde_json::json;

use crate::sqlite::open;

/// Tells a child of this test binary where its database is.
const CHILD: &str = "MAINSTAY_DATABASE_CHILD";
const PATIENCE: Duration = Duration::from_secs(60);
/// Disks that the power cut may leave.
const DISKS: u64 = 40;

fn child(test: &str, root: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", test, "--nocapture"])
        .env(CHILD, root);
    command
}

/// Not a test by itself: it dies while its write is brought to disk, and is told of it when it is started again.
#[tokio::test]
async fn child_writes_under_a_key_and_is_started_again() {
    let Some(root) = std::env::var_os(CHILD) else {
        return;
    };
    let fixture = open(root.as_ref()).await;
    let database = &fixture.database;
    write(
        database,
        "CREATE TABLE IF NOT EXISTS sales (a INTEGER)",
        &[],
    )
    .await;
    println!("writes");
    let insert = Statement::new("INSERT INTO sales VALUES ($1)", [json!(1)]);
    let done = database
        .write_once(&context(database), insert, Some(&key("sale")))
        .await;
    println!("is told: {}", done.unwrap().age.is_some());
    std::future::pending::<()>().await;
}

#[tokio::test]
async fn an_outcome_that_a_restart_tells_is_on_disk_though_the_process_before_died_at_its_fsync() {
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    let root = root.canonicalize().unwrap();
    let power = PowerCut::build(folder.path());
    let start = |dies: bool| {
        let test = "power_cut::child_writes_under_a_key_and_is_started_again";
        let mut command = child(test, &root);
        power.record(&mut command, &root);
        if dies {
            power.kill_at_fsync_after(&mut command, "writes");
        }
        Program::start(command).unwrap()
    };
    start(true).wait(PATIENCE).await;
    let second = start(false);
    let told = second.line_with(PATIENCE, "is told").await.unwrap();
    assert!(told.contains("true"), "it was in the page cache: {told}");
    second.kill().await;
    let recording = power.recording();
    for seed in 0..DISKS {
        let disk = tempfile::tempdir().unwrap();
        recording.cut(recording.len(), seed, true, disk.path());
        let fixture = open(disk.path()).await;
        let found = rows(&fixture.database, "SELECT a FROM sales", &[]).await;
        assert_eq!(found, vec![vec![json!(1)]], "disk {seed}");
    }
}
