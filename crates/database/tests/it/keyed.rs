//! Keys of writes where the database and the network do their worst.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mainstay_database::contract::{context_for, key, rows, write, write_once};
use mainstay_database::{Database, Isolation, Settings, Statement, Target};
use mainstay_runtime::ErrorKind;
use mainstay_testkit::{Fault, FaultProxy, Postgres, eventually};
use serde_json::json;

use crate::support::{connect, postgres, settings, through};

async fn once(database: &Database, id: u64, left: Duration) -> Result<Option<Duration>, ErrorKind> {
    let insert = Statement::new("INSERT INTO cut VALUES ($1)", [json!(id)]);
    let name = key(&format!("cut-{id}"));
    let ctx = context_for(database, left);
    let done = database.write_once(&ctx, insert, Some(&name)).await;
    done.map(|answer| answer.age).map_err(|error| error.kind)
}

/// A write on a new connection that is cut, and then the truth about it. Tells how the first request ended.
async fn cut(
    database: &Database,
    proxy: &FaultProxy,
    fault: Fault,
    id: u64,
) -> Result<Option<Duration>, ErrorKind> {
    proxy.set(Fault::Reset).await;
    proxy.set(fault).await;
    let first = once(database, id, Duration::from_secs(2)).await;
    proxy.set(Fault::Pass).await;
    eventually(Duration::from_secs(10), "the truth is known", async || {
        once(database, id, Duration::from_secs(2)).await.is_ok()
    })
    .await;
    first
}

/// Wherever the connection breaks, the request with the same key tells the truth afterwards.
#[tokio::test]
async fn a_write_that_is_cut_anywhere_happens_once() {
    let server = Postgres::start().await;
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
    let mut patient = settings(&through(&server, proxy.addr().port()));
    patient.breaker.consecutive = None;
    patient.breaker.rate = None;
    let fixture = connect(patient).await;
    let database = &fixture.database;
    write(database, "CREATE TABLE cut (id BIGINT)", &[]).await;
    let (mut id, mut bytes) = (0, 0);
    while cut(database, &proxy, Fault::CutAfter(bytes), id)
        .await
        .is_err()
    {
        (bytes, id) = (bytes + 130, id + 1);
    }
    // The pool may find its connection reset before COMMIT is sent.
    let mut ended = Ok(None);
    for _ in 0..20 {
        id += 1;
        ended = cut(database, &proxy, Fault::LoseAnswer("COMMIT"), id).await;
        if ended == Err(ErrorKind::OutcomeUnknown) {
            break;
        }
    }
    assert_eq!(ended, Err(ErrorKind::OutcomeUnknown));
    for bytes in (0..2400).step_by(300) {
        id += 1;
        let _ = cut(database, &proxy, Fault::CutRequestAfter(bytes), id).await;
    }
    id += 1;
    let counted = "SELECT count(*), count(DISTINCT id) FROM cut";
    assert_eq!(rows(database, counted, &[]).await, [[json!(id), json!(id)]]);
}

#[tokio::test]
async fn a_server_that_hangs_after_the_write_was_sent_tells_the_truth_later() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    write(database, "CREATE TABLE cut (id BIGINT)", &[]).await;
    assert_eq!(once(database, 0, Duration::from_secs(5)).await, Ok(None));
    server.stop().await;
    let hung = once(database, 1, Duration::from_millis(700)).await;
    assert!(hung.is_err(), "{hung:?}");
    server.cont();
    eventually(Duration::from_secs(20), "the truth is known", async || {
        once(database, 1, Duration::from_secs(5)).await.is_ok()
    })
    .await;
    assert_eq!(
        rows(database, "SELECT id FROM cut", &[]).await,
        [[json!(0)], [json!(1)]]
    );
}

#[tokio::test]
async fn two_processes_with_one_key_do_it_once() {
    let (server, one) = postgres().await;
    let other = connect(settings(&server.url())).await;
    write(&one.database, "CREATE TABLE shared (id int)", &[]).await;
    let insert = "INSERT INTO shared SELECT 1 FROM pg_sleep(3)";
    let late = async {
        eventually(Duration::from_secs(5), "the first runs", async || {
            let query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(3)%' AND pid <> pg_backend_pid()";
            !rows(&other.database, query, &[]).await.is_empty()
        })
        .await;
        write_once(&other.database, insert, "a").await
    };
    let (first, late) = tokio::join!(write_once(&one.database, insert, "a"), late);
    assert_eq!(first.unwrap().age, None);
    let error = late.unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::Conflict, true),
        "{error}"
    );
    assert!(
        write_once(&other.database, insert, "a")
            .await
            .unwrap()
            .age
            .is_some()
    );
    let found = rows(&one.database, "SELECT count(*) FROM shared", &[]).await;
    assert_eq!(found, [[json!(1)]]);
}

#[tokio::test]
async fn a_statement_that_moves_the_search_path_does_not_move_the_record() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    write(database, "CREATE SCHEMA elsewhere", &[]).await;
    let trick = "SELECT set_config('search_path', 'elsewhere', false)";
    assert_eq!(write_once(database, trick, "a").await.unwrap().age, None);
    assert!(
        write_once(database, trick, "a")
            .await
            .unwrap()
            .age
            .is_some()
    );
}

#[tokio::test]
async fn a_role_that_may_not_make_the_table_is_told_the_remedy() {
    let server = Postgres::start().await;
    let mut admin = settings(&server.superuser_url());
    admin.allow_superuser = true;
    let admin = connect(admin).await;
    let role = "CREATE ROLE limited LOGIN PASSWORD 'limited'";
    write(&admin.database, role, &[]).await;
    let limited = server
        .url()
        .replace("mainstay:mainstay@", "limited:limited@");
    let fixture = connect(settings(&limited)).await;
    let error = write_once(&fixture.database, "SELECT 1", "a")
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Forbidden, "{error}");
    assert!(error.detail.contains("mainstay_idempotency"), "{error}");
    write(
        &admin.database,
        "GRANT CREATE ON SCHEMA public TO limited",
        &[],
    )
    .await;
    assert!(write_once(&fixture.database, "SELECT 1", "a").await.is_ok());
}

/// How many records there are, by a query put together inside the database, which nobody's statement checks see.
async fn records(database: &Database) -> u64 {
    let query = "SELECT (xpath('//c/text()', query_to_xml('SELECT count(*) AS c FROM main' || 'stay_idempotency', false, true, '')))[1]::text";
    let found = rows(database, query, &[]).await;
    found[0][0].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn records_are_purged_and_their_keys_free_again() {
    let server = Postgres::start().await;
    let mut short = settings(&server.url());
    short.idempotency_keep = Duration::from_secs(3);
    let fixture = connect(short).await;
    let database = &fixture.database;
    write(database, "CREATE TABLE cut (id BIGINT)", &[]).await;
    assert_eq!(once(database, 1, Duration::from_secs(5)).await, Ok(None));
    assert_eq!(records(database).await, 1);
    eventually(Duration::from_secs(20), "the record is gone", async || {
        records(database).await == 0
    })
    .await;
    assert_eq!(once(database, 1, Duration::from_secs(5)).await, Ok(None));
}

fn embedded(folder: &Path, keep: Duration) -> Settings {
    Settings {
        idempotency_keep: keep,
        ..Settings::new(Target::Sqlite(folder.join("database.sqlite")))
    }
}

#[tokio::test]
async fn embedded_records_outlive_the_process_and_are_purged() {
    let folder = tempfile::tempdir().unwrap();
    let fixture = connect(embedded(folder.path(), Duration::from_secs(3600))).await;
    write(&fixture.database, "CREATE TABLE cut (id BIGINT)", &[]).await;
    assert_eq!(
        once(&fixture.database, 1, Duration::from_secs(5)).await,
        Ok(None)
    );
    fixture.end().await;
    let fixture = connect(embedded(folder.path(), Duration::from_secs(3600))).await;
    let known = once(&fixture.database, 1, Duration::from_secs(5))
        .await
        .unwrap();
    assert!(known.is_some());
    fixture.end().await;
    let fixture = connect(embedded(folder.path(), Duration::from_secs(1))).await;
    let file = rusqlite::Connection::open(folder.path().join("database.sqlite")).unwrap();
    eventually(Duration::from_secs(20), "the record is gone", async || {
        let query = "SELECT count(*) FROM mainstay_idempotency";
        file.query_row(query, [], |row| row.get::<_, i64>(0))
            .unwrap()
            == 0
    })
    .await;
    drop(fixture);
}

#[tokio::test]
async fn a_key_stands_for_a_transaction_in_its_isolation() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    let ctx = context_for(database, Duration::from_secs(5));
    let name = key("a");
    for (isolation, known) in [
        (Isolation::RepeatableRead, Ok(false)),
        (Isolation::RepeatableRead, Ok(true)),
        (Isolation::Serializable, Err(ErrorKind::KeyReused)),
    ] {
        let one = vec![Statement::new("SELECT 1", [])];
        let done = database
            .transaction_once(&ctx, one, isolation, Some(&name))
            .await;
        assert_eq!(done.map(|d| d.age.is_some()).map_err(|e| e.kind), known);
    }
}

/// COMMIT ends the server's side of the connection, and the guard's next attempt meets a server that takes no writes: that
/// one knows nothing of the first.
#[tokio::test]
async fn an_unanswered_commit_stays_unknown_when_the_next_attempt_finds_a_read_only_server() {
    let server = Postgres::start().await;
    let mut admin = settings(&server.superuser_url());
    admin.allow_superuser = true;
    let admin = connect(admin).await;
    let fixture = connect(settings(&server.url())).await;
    let database = &fixture.database;
    for statement in [
        "CREATE TABLE cut (id BIGINT)",
        "CREATE FUNCTION hang_up() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$",
        "CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON cut DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION hang_up()",
    ] {
        write(database, statement, &[]).await;
    }
    let role = "ALTER ROLE mainstay SET default_transaction_read_only = on";
    write(&admin.database, role, &[]).await;
    let ended = once(database, 1, Duration::from_secs(5)).await;
    assert_eq!(ended, Err(ErrorKind::OutcomeUnknown));
}
