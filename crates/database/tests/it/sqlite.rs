//! What only the embedded database has to prove: that a statement reaches nothing but its tables.

use std::path::Path;

use mainstay_database::contract::{assert_unharmed, context, rows, try_write, write};
use mainstay_database::{Settings, Statement, Target};
use mainstay_runtime::ErrorKind;
use serde_json::json;

use crate::support::{Fixture, connect};

pub(crate) async fn open(folder: &Path) -> Fixture {
    connect(Settings::new(Target::Sqlite(
        folder.join("database.sqlite"),
    )))
    .await
}

#[tokio::test]
async fn statements_reach_no_other_file_and_no_setting() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(folder.path()).await;
    let database = &fixture.database;
    write(
        database,
        "CREATE TABLE t (id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT)",
        &[],
    )
    .await;
    let other = folder.path().join("other");
    for query in [
        format!("ATTACH '{}' AS x", other.display()),
        format!("VACUUM INTO '{}'", other.display()),
        "DETACH main".to_owned(),
        "EXPLAIN PRAGMA user_version".to_owned(),
        "SELECT * FROM pragma_table_info('t')".to_owned(),
        "SELECT load_extension('x')".to_owned(),
        "CREATE VIRTUAL TABLE v USING fts5(a)".to_owned(),
        "CREATE TEMP TABLE x (a)".to_owned(),
        "UPDATE sqlite_schema SET sql = ''".to_owned(),
        "DELETE FROM sqlite_sequence".to_owned(),
        "CREATE TABLE \"mainstay_x\" (a)".to_owned(),
        "CREATE TABLE 'mainstay_x' (a)".to_owned(),
        "ALTER TABLE t RENAME TO 'mainstay_x'".to_owned(),
    ] {
        for error in [
            try_write(database, &query, &[]).await.expect_err(&query),
            database
                .read(&context(database), Statement::new(query.as_str(), []))
                .await
                .expect_err(&query),
        ] {
            assert!(
                matches!(error.kind, ErrorKind::Forbidden | ErrorKind::InvalidInput),
                "{query}: {error}"
            );
        }
    }
    assert!(!other.exists());
    assert!(
        rows(
            database,
            "SELECT name FROM sqlite_schema WHERE name LIKE 'mainstay%'",
            &[]
        )
        .await
        .is_empty()
    );
    write(database, "INSERT INTO t (a) VALUES ('x')", &[]).await;
    write(database, "DROP TABLE t", &[]).await;
    assert_unharmed(database);
}

#[tokio::test]
async fn a_trigger_with_statements_inside_is_one_statement() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(folder.path()).await;
    let database = &fixture.database;
    write(database, "CREATE TABLE a (id BIGINT)", &[]).await;
    write(database, "CREATE TABLE b (id BIGINT)", &[]).await;
    let trigger = "CREATE TRIGGER t AFTER INSERT ON a BEGIN INSERT INTO b VALUES (new.id); INSERT INTO b VALUES (new.id); END";
    write(database, trigger, &[]).await;
    assert_eq!(
        write(database, "INSERT INTO a VALUES (1)", &[])
            .await
            .rows_affected,
        1
    );
    assert_eq!(
        rows(database, "SELECT count(*) FROM b", &[]).await,
        [[json!(2)]]
    );
}

#[tokio::test]
async fn data_is_there_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(folder.path()).await;
    write(&fixture.database, "CREATE TABLE t (id BIGINT)", &[]).await;
    write(&fixture.database, "INSERT INTO t VALUES (1)", &[]).await;
    drop(fixture);
    let fixture = open(folder.path()).await;
    assert_eq!(
        rows(&fixture.database, "SELECT id FROM t", &[]).await,
        [[json!(1)]]
    );
}

#[tokio::test]
async fn blobs_are_base64_and_come_in_as_hex() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(folder.path()).await;
    assert_eq!(
        rows(&fixture.database, "SELECT unhex($1)", &[json!("00ff")]).await,
        [[json!("AP8=")]]
    );
}

#[tokio::test]
async fn an_abandoned_write_is_rolled_back_and_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(folder.path()).await;
    let database = &fixture.database;
    write(database, "CREATE TABLE t (id BIGINT)", &[]).await;
    let endless = "INSERT INTO t WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT 1 FROM n) SELECT i FROM n WHERE i > 1";
    let abandoned = {
        let ctx = context(database);
        let write = database.write(&ctx, Statement::new(endless, []));
        let soon = database.guard().now() + std::time::Duration::from_millis(100);
        database.guard().clock().until(soon, write).await
    };
    assert!(abandoned.is_err());
    write(database, "INSERT INTO t VALUES (1)", &[]).await;
    assert_eq!(
        rows(database, "SELECT count(*) FROM t", &[]).await,
        [[json!(1)]]
    );
}

#[tokio::test]
async fn a_file_that_cannot_be_opened_is_a_failure_with_a_remedy() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(&folder.path().join("missing")).await;
    let error = fixture
        .database
        .read(&context(&fixture.database), Statement::new("SELECT 1", []))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    let checked = fixture.database.check().await;
    let remedy = checked[0].result.as_ref().unwrap_err().detail.clone();
    assert!(remedy.contains("data directory"), "{remedy}");
}

#[tokio::test]
async fn a_ruined_file_opens_the_breaker_and_old_results_remain() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(folder.path()).await;
    let database = &fixture.database;
    let _ = rows(database, "SELECT 1", &[]).await;
    std::fs::remove_file(folder.path().join("database.sqlite")).unwrap();
    std::fs::create_dir(folder.path().join("database.sqlite")).unwrap();
    mainstay_testkit::eventually(
        std::time::Duration::from_secs(60),
        "the probes notice",
        async || {
            database.guard().probe_now();
            database.guard().state() == mainstay_breaker::State::Open
        },
    )
    .await;
    let answer = database
        .read(&context(database), Statement::new("SELECT 1", []))
        .await
        .unwrap();
    assert_eq!(
        (answer.source, &answer.value.rows[0][0]),
        (mainstay_runtime::Source::Cache, &json!(1))
    );
    let error = try_write(database, "CREATE TABLE t (id BIGINT)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::ReadOnly);
}

/// Says where a child of this test binary finds its folder.
const CHILD_DIR: &str = "MAINSTAY_DATABASE_CHILD_DIR";

/// Not a test by itself: what it writes meets an fsync that fails.
#[tokio::test]
async fn child_writes_where_fsync_fails() {
    let Some(folder) = std::env::var_os(CHILD_DIR) else {
        return;
    };
    let fixture = open(folder.as_ref()).await;
    let told = try_write(&fixture.database, "INSERT INTO t VALUES (1)", &[]).await;
    println!("told {:?}", told.map(drop).map_err(|error| error.kind));
    std::future::pending::<()>().await;
}

/// The row is in the log by then: nobody can promise that it isn't found there.
#[tokio::test]
async fn a_commit_whose_fsync_fails_is_of_unknown_outcome() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = open(folder.path()).await;
    write(&fixture.database, "CREATE TABLE t (id BIGINT)", &[]).await;
    fixture.end().await;
    let trouble = mainstay_testkit::Trouble::build(folder.path());
    trouble.fsync_fails(true);
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child
        .args(["--exact", "sqlite::child_writes_where_fsync_fails"])
        .arg("--nocapture")
        .env(CHILD_DIR, folder.path());
    trouble.below(&mut child, folder.path());
    let child = mainstay_testkit::Program::start(child).unwrap();
    let patience = std::time::Duration::from_secs(60);
    let told = child.line_with(patience, "told ").await.unwrap();
    assert!(told.ends_with("told Err(OutcomeUnknown)"), "{told}");
    child.kill().await;
}
