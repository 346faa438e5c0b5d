//! What is answered while the server is killed, frozen, cut off or read-only, and after it is back.

use std::net::SocketAddr;
use std::time::Duration;

use mainstay_breaker::{FailureKind, State};
use mainstay_database::contract::{context, context_for, rows, try_write, write};
use mainstay_database::{Database, Statement, WriteMode};
use mainstay_runtime::{Answer, CallerId, Context, ErrorKind, Exercised, Source, Status};
use mainstay_testkit::{Fault, FaultProxy, Postgres, eventually};
use serde_json::json;

use crate::support::{Fixture, connect, parse, postgres, settings, through};

const ONE: &str = "SELECT 1";

async fn proxied() -> (Postgres, FaultProxy, Fixture) {
    let server = Postgres::start().await;
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
    let fixture = connect(settings(&through(&server, proxy.addr().port()))).await;
    (server, proxy, fixture)
}

/// Calls with a short deadline until the breaker is open.
async fn trip(database: &Database) {
    eventually(Duration::from_secs(20), "the breaker opens", async || {
        let ctx = Context {
            caller: CallerId(99),
            ..context_for(database, Duration::from_millis(300))
        };
        let _ = database
            .read(&ctx, Statement::new("SELECT 'trip'", []))
            .await;
        database.guard().state() == State::Open
    })
    .await;
}

/// An open breaker answers at once: an old result, or the truth.
async fn answers_from_what_is_left(database: &Database) {
    let started = database.guard().now();
    let Answer { value, source, age } = database
        .read(&context(database), Statement::new(ONE, []))
        .await
        .unwrap();
    assert_eq!((&value.rows[0][0], source), (&json!(1), Source::Cache));
    assert!(age.is_some());
    let error = database
        .read(&context(database), Statement::new("SELECT 2", []))
        .await
        .unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::Unavailable, true),
        "{error}"
    );
    assert!(error.retry_after.is_some());
    assert_eq!(database.write_mode(), WriteMode::ReadOnly);
    let error = try_write(database, "CREATE TABLE x (id int)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::ReadOnly, "{error}");
    assert!(error.retry_after.is_some());
    assert!(
        database.guard().now().saturating_since(started) < Duration::from_secs(3),
        "nothing is waited for"
    );
}

async fn comes_back(database: &Database) {
    eventually(
        Duration::from_secs(20),
        "the database is back",
        async || {
            let read = database
                .read(&context(database), Statement::new(ONE, []))
                .await;
            read.is_ok_and(|answer| answer.source == Source::Primary)
                && database.write_mode() == WriteMode::Enabled
        },
    )
    .await;
    write(database, "CREATE TABLE back (id int)", &[]).await;
}

#[tokio::test]
async fn killed_and_restarted() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    let _ = rows(database, ONE, &[]).await;
    server.kill().await;
    trip(database).await;
    answers_from_what_is_left(database).await;
    server.restart().await;
    comes_back(database).await;
}

#[tokio::test]
async fn frozen_and_continued() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    let _ = rows(database, ONE, &[]).await;
    server.stop().await;
    trip(database).await;
    answers_from_what_is_left(database).await;
    server.cont();
    comes_back(database).await;
}

#[tokio::test]
async fn in_a_black_hole_and_out_again() {
    let (_server, proxy, fixture) = proxied().await;
    let database = &fixture.database;
    let _ = rows(database, ONE, &[]).await;
    proxy.set(Fault::Blackhole).await;
    trip(database).await;
    answers_from_what_is_left(database).await;
    proxy.set(Fault::Pass).await;
    comes_back(database).await;
}

#[tokio::test]
async fn down_from_the_start() {
    let server = Postgres::start().await;
    server.kill().await;
    let fixture = connect(settings(&server.url())).await;
    let database = &fixture.database;
    let error = database
        .read(&context(database), Statement::new(ONE, []))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    server.restart().await;
    comes_back(database).await;
}

#[tokio::test]
async fn an_old_result_is_its_callers_own() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    let _ = rows(database, ONE, &[]).await;
    server.kill().await;
    let other = Context {
        caller: CallerId(8),
        ..context(database)
    };
    let error = database
        .read(&other, Statement::new(ONE, []))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    database.purge_cache().await.unwrap();
    let error = database
        .read(&context(database), Statement::new(ONE, []))
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test]
async fn a_replica_takes_the_reads_and_no_write() {
    let (primary, replica) = tokio::join!(Postgres::start(), Postgres::start());
    let mut both = settings(&primary.url());
    both.replica = Some(parse(&replica.url()));
    let fixture = connect(both).await;
    let database = &fixture.database;
    let _ = rows(database, ONE, &[]).await;
    primary.kill().await;
    eventually(Duration::from_secs(5), "the replica answers", async || {
        let read = database
            .read(&context(database), Statement::new("SELECT 3", []))
            .await;
        read.is_ok_and(|answer| {
            (answer.source, answer.age, &answer.value.rows[0][0])
                == (Source::Replica, None, &json!(3))
        })
    })
    .await;
    let used = ("replica".to_owned(), Some(Exercised::Used));
    assert!(fixture.exercised().contains(&used));
    assert!(
        try_write(database, "CREATE TABLE x (id int)", &[])
            .await
            .is_err()
    );
    replica.stop().await;
    trip(database).await;
    let started = database.guard().now();
    let answer = database
        .read(&context(database), Statement::new(ONE, []))
        .await
        .unwrap();
    assert_eq!(answer.source, Source::Cache);
    assert!(database.guard().now().saturating_since(started) < Duration::from_secs(2));
}

#[tokio::test]
async fn a_read_only_server_sets_read_only_mode_until_it_takes_writes_again() {
    let server = Postgres::start().await;
    let admin = connect({
        let mut admin = settings(&server.superuser_url());
        admin.allow_superuser = true;
        admin
    })
    .await;
    write(
        &admin.database,
        "ALTER ROLE mainstay SET default_transaction_read_only = on",
        &[],
    )
    .await;
    let fixture = connect(settings(&server.url())).await;
    let database = &fixture.database;
    for _ in 0..2 {
        let error = try_write(database, "CREATE TABLE x (id int)", &[])
            .await
            .unwrap_err();
        assert_eq!(
            (error.kind, error.retryable),
            (ErrorKind::ReadOnly, true),
            "{error}"
        );
        assert_eq!(database.write_mode(), WriteMode::ReadOnly);
    }
    assert_eq!(
        database.guard().state(),
        State::Closed,
        "a server that is read-only has not failed"
    );
    assert_eq!(rows(database, ONE, &[]).await, [[json!(1)]]);
    write(
        &admin.database,
        "ALTER ROLE mainstay SET default_transaction_read_only = off",
        &[],
    )
    .await;
    comes_back(database).await;
}

#[tokio::test]
async fn a_write_that_was_sent_and_not_answered_has_an_unknown_outcome() {
    let (server, proxy, fixture) = proxied().await;
    let database = &fixture.database;
    write(database, "CREATE TABLE t (id int)", &[]).await;
    for (fault, id) in [(Fault::Blackhole, 1), (Fault::Reset, 2)] {
        let query = format!("INSERT INTO t SELECT {id} FROM pg_sleep(2) /* cut */");
        let ctx = context_for(database, Duration::from_secs(5));
        let cut = async {
            let watch = connect(settings(&server.url())).await;
            eventually(Duration::from_secs(5), "the statement runs", async || {
                let query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%pg_sleep(2)%' AND pid <> pg_backend_pid()";
                !rows(&watch.database, query, &[]).await.is_empty()
            })
            .await;
            proxy.set(fault).await;
        };
        let (written, ()) = tokio::join!(database.write(&ctx, Statement::new(query, [])), cut);
        assert_eq!(
            written.unwrap_err().kind,
            ErrorKind::OutcomeUnknown,
            "{fault:?}"
        );
        proxy.set(Fault::Pass).await;
    }
}

#[tokio::test]
async fn a_write_that_never_left_is_not_unknown() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    server.kill().await;
    let error = try_write(database, "CREATE TABLE x (id int)", &[])
        .await
        .unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
}

#[tokio::test]
async fn a_backend_that_is_terminated_costs_one_call() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    let kill_itself = Statement::new("SELECT pg_terminate_backend(pg_backend_pid())", []);
    let _ = database.read(&context(database), kill_itself).await;
    assert_eq!(rows(database, ONE, &[]).await, [[json!(1)]]);
}

#[tokio::test]
async fn every_operation_is_reported_once_with_how_it_ended() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    let _ = rows(database, ONE, &[]).await;
    let _ = try_write(database, "SELEC", &[]).await;
    let _ = try_write(database, "COMMIT", &[]).await;
    server.kill().await;
    let _ = rows_or_cache(database).await;
    let _ = database
        .read(&context(database), Statement::new("SELECT 2", []))
        .await;
    trip(database).await;
    fixture.reports().drain(..5).zip(EXPECTED).for_each(
        |(report, (operation, status, source, error))| {
            assert_eq!(
                (report.operation, report.status, report.source, report.error),
                (operation, status, source, error)
            );
        },
    );
    let _ = try_write(database, "CREATE TABLE x (id int)", &[]).await;
    let report = fixture.reports().pop().unwrap();
    assert_eq!(
        (report.operation, report.status),
        ("write", Status::Rejected)
    );
}

type Ending = (&'static str, Status, Option<Source>, Option<FailureKind>);

const EXPECTED: [Ending; 5] = [
    ("read", Status::Success, Some(Source::Primary), None),
    ("write", Status::Success, None, None),
    ("write", Status::Success, None, None),
    (
        "read",
        Status::Fallback,
        Some(Source::Cache),
        Some(FailureKind::Connect),
    ),
    ("read", Status::Failure, None, Some(FailureKind::Connect)),
];

async fn rows_or_cache(database: &Database) {
    let read = database
        .read(&context(database), Statement::new(ONE, []))
        .await;
    assert_eq!(read.unwrap().source, Source::Cache);
}
