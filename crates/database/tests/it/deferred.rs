//! Deferred writes: accepted while the database is down, run once when it is back.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use mainstay_database::contract::{context, key, rows, write};
use mainstay_database::{Database, Deferral, DeferredSettings, Fate, Settings, Target, WriteMode};
use mainstay_journal::Journal;
use mainstay_runtime::{CallerId, Context, Error, ErrorKind};
use mainstay_testkit::{Fault, FaultProxy, Postgres, eventually};
use serde_json::{Value, json};

use crate::support::{Fixture, connect, settings, through};

const SOON: Duration = Duration::from_secs(30);

/// A database whose statement `add` may be deferred, with the journal of a folder.
struct Deferring {
    fixture: Fixture,
    journal: Journal,
}

impl Deferring {
    async fn open(settings: Settings, folder: &Path) -> Self {
        let journal = Journal::open(folder, mainstay_journal::Settings::default());
        let journal = journal.await.unwrap();
        let statements = [
            ("add", "INSERT INTO added (id) VALUES ($1)"),
            ("bad", "INSERT INTO no_such_table VALUES ($1)"),
        ];
        let named = statements.map(|(name, query)| (name.to_owned(), query.to_owned()));
        let deferred = DeferredSettings {
            journal: journal.clone(),
            statements: BTreeMap::from(named),
        };
        let fixture = connect(Settings {
            deferred: Some(deferred),
            ..settings
        });
        Self {
            fixture: fixture.await,
            journal,
        }
    }

    fn database(&self) -> &Database {
        &self.fixture.database
    }

    async fn add(&self, id: u64) -> Result<Deferral, Error> {
        self.send("add", &format!("add-{id}"), vec![json!(id)])
            .await
    }

    async fn send(&self, name: &str, key_of: &str, params: Vec<Value>) -> Result<Deferral, Error> {
        let ctx = context(self.database());
        let key = key(key_of);
        self.database()
            .write_deferred(&ctx, name, params, &key)
            .await
    }

    async fn fate(&self, key_of: &str) -> Result<Option<Fate>, Error> {
        let ctx = context(self.database());
        self.database().deferred_fate(&ctx, &key(key_of)).await
    }

    async fn is_done(&self, id: u64) -> bool {
        let fate = self.fate(&format!("add-{id}")).await;
        matches!(fate, Ok(Some(Fate::Done(answer))) if answer.value.rows_affected == 1)
    }

    async fn all_done(&self, ids: std::ops::Range<u64>) {
        for id in ids {
            eventually(SOON, "it is done", async || self.is_done(id).await).await;
        }
        assert_eq!(self.journal.stats().entries, 0);
    }

    async fn end(self) {
        self.fixture.end().await;
        self.journal.close().await.unwrap();
    }
}

fn is_accepted(taken: Result<Deferral, Error>) -> bool {
    matches!(taken.unwrap(), Deferral::Accepted { .. })
}

const TABLE: &str = "CREATE TABLE added (id BIGINT PRIMARY KEY, seq BIGSERIAL)";

async fn ids(database: &Database) -> Vec<u64> {
    let found = rows(database, "SELECT id FROM added ORDER BY seq", &[]).await;
    found.iter().filter_map(|row| row[0].as_u64()).collect()
}

#[tokio::test]
async fn what_is_accepted_runs_once_in_order_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    write(deferring.database(), TABLE, &[]).await;
    let at_once = deferring.add(0).await.unwrap();
    assert!(
        matches!(at_once, Deferral::Done(done) if done.age.is_none()),
        "the database is up"
    );
    server.kill().await;
    for id in 1..30 {
        assert!(is_accepted(deferring.add(id).await), "{id}");
    }
    assert!(
        is_accepted(deferring.add(7).await),
        "asked again, it waits as before"
    );
    assert_eq!(deferring.journal.stats().entries, 29);
    assert!(matches!(
        deferring.fate("add-7").await,
        Ok(Some(Fate::Waiting { .. }))
    ));
    let lost = deferring.fate("add-0").await.unwrap_err();
    assert_eq!(lost.kind, ErrorKind::Unavailable, "an outage is no absence");
    deferring.end().await;

    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    assert!(is_accepted(deferring.add(30).await), "still down");
    server.restart().await;
    deferring.all_done(0..31).await;
    assert_eq!(ids(deferring.database()).await, (0..31).collect::<Vec<_>>());
    let again = deferring.add(7).await.unwrap();
    assert!(
        matches!(again, Deferral::Done(done) if done.age.is_some()),
        "its first outcome"
    );
    assert_eq!(deferring.fate("add-99").await, Ok(None));
    deferring.end().await;
}

#[tokio::test]
async fn what_the_database_refuses_is_set_aside_and_blocks_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    write(deferring.database(), TABLE, &[]).await;
    write(
        deferring.database(),
        "INSERT INTO added (id) VALUES (1)",
        &[],
    )
    .await;
    server.kill().await;
    for id in [1, 2] {
        assert!(is_accepted(deferring.add(id).await));
    }
    assert!(is_accepted(
        deferring.send("bad", "bad", vec![json!(1)]).await
    ));
    assert!(is_accepted(deferring.add(3).await));
    server.restart().await;
    eventually(SOON, "two are done, two set aside", async || {
        deferring.journal.stats().set_aside == 2 && deferring.is_done(3).await
    })
    .await;
    assert!(deferring.is_done(2).await);
    for (name, words) in [("add-1", "duplicate key"), ("bad", "no_such_table")] {
        match deferring.fate(name).await.unwrap() {
            Some(Fate::SetAside { reason, .. }) => assert!(reason.contains(words), "{reason}"),
            other => panic!("{name}: {other:?}"),
        }
    }
    let told = deferring.fixture.events("deferred_set_aside");
    let told: Vec<_> = told
        .iter()
        .map(|one| (one["statement"].as_str(), one["why"].as_str()))
        .collect();
    assert_eq!(
        told,
        [
            (Some("add"), Some("conflict")),
            (Some("bad"), Some("invalid-input"))
        ]
    );
    eventually(SOON, "what is done is told", async || {
        let told = deferring.fixture.events("deferred_done");
        told.iter()
            .filter_map(|one| one["count"].as_u64())
            .sum::<u64>()
            == 2
    })
    .await;
    let error = deferring.add(1).await.unwrap_err();
    assert_eq!(
        (error.kind, error.retryable),
        (ErrorKind::Conflict, false),
        "{error}"
    );
    let refused = deferring
        .send("add", "new", vec![json!(1)])
        .await
        .unwrap_err();
    assert_eq!(
        refused.kind,
        ErrorKind::Conflict,
        "at once, while the database is up"
    );

    write(deferring.database(), "DELETE FROM added WHERE id = 1", &[]).await;
    let entries = deferring
        .journal
        .entries(&mainstay_journal::Filter::default(), None, 9);
    // What an operator gives up is neither done later nor told as if it had never been.
    deferring.journal.discard(entries[1].id).await.unwrap();
    let fate = deferring.fate("bad").await.unwrap();
    assert_eq!(fate, Some(Fate::Discarded));
    let again = deferring.send("add", "bad", vec![json!(9)]).await;
    assert_eq!(again.unwrap_err().kind, ErrorKind::Conflict);
    deferring.journal.retry(entries[0].id, None).await.unwrap();
    eventually(SOON, "an operator's retry", async || {
        deferring.is_done(1).await
    })
    .await;
    deferring.end().await;
}

#[tokio::test]
async fn what_is_done_is_told_while_the_next_is_refused_for_the_moment() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    for statement in [
        TABLE,
        "CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
         RAISE EXCEPTION 'not now' USING ERRCODE = 'deadlock_detected'; END $$",
        "CREATE TRIGGER refused BEFORE INSERT ON added FOR EACH ROW WHEN (NEW.id = 2) EXECUTE FUNCTION refuse()",
    ] {
        write(deferring.database(), statement, &[]).await;
    }
    server.kill().await;
    for id in [1, 2] {
        assert!(is_accepted(deferring.add(id).await));
    }
    server.restart().await;
    eventually(SOON, "what is done is told", async || {
        !deferring.fixture.events("deferred_done").is_empty()
    })
    .await;
    let told = deferring.fixture.events("deferred_done");
    assert_eq!((told.len(), &told[0]["count"]), (1, &json!(1)), "{told:?}");
    let held = deferring.journal.stats();
    assert_eq!((held.entries, held.set_aside), (1, 0), "the next waits");
    deferring.end().await;
}

#[tokio::test]
async fn a_key_that_waits_is_its_callers_and_its_requests_own() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    write(deferring.database(), TABLE, &[]).await;
    server.kill().await;
    assert!(is_accepted(
        deferring.send("add", "k", vec![json!(1)]).await
    ));
    for (name, params) in [("add", vec![json!(2)]), ("bad", vec![json!(1)])] {
        let error = deferring.send(name, "k", params).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::KeyReused, "{error}");
    }
    let other = Context {
        caller: CallerId(8),
        ..context(deferring.database())
    };
    let fate = deferring.database().deferred_fate(&other, &key("k")).await;
    let elsewhere = fate.unwrap_err().kind;
    assert_eq!(
        elsewhere,
        ErrorKind::Unavailable,
        "another caller's key is not in the journal"
    );
    for (name, params, field) in [
        ("sub", vec![json!(1)], "statement"),
        ("add", vec![], "params"),
        ("add", vec![json!(1), json!(2)], "params"),
    ] {
        let error = deferring.send(name, "l", params).await.unwrap_err();
        assert_eq!(
            (error.kind, error.field.as_deref()),
            (ErrorKind::InvalidInput, Some(field)),
            "{error}"
        );
    }
    assert_eq!(deferring.journal.stats().entries, 1);
    deferring.end().await;
}

/// The journal's storage fails, which it must notice at the next large body.
async fn fault(deferring: &Deferring, folder: &Path) {
    std::fs::remove_dir(folder.join("spool")).unwrap();
    let mut spool = deferring.journal.spool();
    assert!(spool.write(&vec![0; 4 << 20]).await.is_err());
    assert!(deferring.journal.stats().faulted);
}

#[tokio::test]
async fn while_a_faulted_journal_holds_what_was_accepted_nothing_overtakes_it() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    write(deferring.database(), TABLE, &[]).await;
    server.kill().await;
    assert!(is_accepted(deferring.add(1).await));
    fault(&deferring, folder.path()).await;
    server.restart().await;
    eventually(SOON, "the database is up", async || {
        deferring.database().write_mode() == WriteMode::Enabled
    })
    .await;
    let error = deferring.add(2).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::JournalFull, "{error}");
    assert!(is_accepted(deferring.add(1).await), "it waits as before");
    assert!(ids(deferring.database()).await.is_empty());
    deferring.fixture.end().await;
    drop(deferring.journal);

    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    eventually(SOON, "it is done", async || deferring.is_done(1).await).await;
    let done = deferring.add(2).await.unwrap();
    assert!(matches!(done, Deferral::Done(_)), "{done:?}");
    assert_eq!(ids(deferring.database()).await, [1, 2]);
    deferring.end().await;
}

/// Whose connections can be cut, without its breaker minding.
async fn behind_a_proxy(server: &Postgres, folder: &Path) -> (FaultProxy, Deferring) {
    let proxy = FaultProxy::start(SocketAddr::from(([127, 0, 0, 1], server.port()))).await;
    let mut patient = settings(&through(server, proxy.addr().port()));
    patient.breaker.consecutive = None;
    patient.breaker.rate = None;
    let deferring = Deferring::open(patient, folder).await;
    write(deferring.database(), TABLE, &[]).await;
    (proxy, deferring)
}

/// With a journal that takes nothing, a caller who hears that nothing was accepted may rely on it, wherever the
/// connection broke.
#[tokio::test]
async fn what_may_have_been_done_is_never_called_refused() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let (proxy, deferring) = behind_a_proxy(&server, folder.path()).await;
    fault(&deferring, folder.path()).await;
    let mut ended = Vec::new();
    let mut try_under = async |fault| {
        proxy.set(Fault::Reset).await;
        proxy.set(fault).await;
        let id = ended.len() as u64;
        let taken = deferring.add(id).await;
        let taken = taken.map(drop).map_err(|error| error.kind);
        ended.push(taken);
        proxy.set(Fault::Pass).await;
        eventually(SOON, "the database is up", async || {
            deferring.database().write_mode() == WriteMode::Enabled
        })
        .await;
        taken
    };
    let mut bytes = 0;
    while try_under(Fault::CutAfter(bytes)).await.is_err() {
        bytes += 130;
    }
    for answer in ["BEGIN", "INSERT"] {
        assert!(try_under(Fault::LoseAnswer(answer)).await.is_err());
    }
    // The pool may find its connection reset before COMMIT is sent.
    let mut tries = 0;
    while try_under(Fault::LoseAnswer("COMMIT")).await != Err(ErrorKind::OutcomeUnknown) {
        tries += 1;
        assert!(tries < 20, "{ended:?}");
    }
    let done = ids(deferring.database()).await;
    assert!(done.contains(&(ended.len() as u64 - 1)), "the last is done");
    for (id, ended) in (0..).zip(&ended) {
        match ended {
            Ok(()) => assert!(done.contains(&id), "{id}"),
            Err(ErrorKind::OutcomeUnknown) => {}
            Err(kind) => {
                assert_eq!(*kind, ErrorKind::JournalFull, "{id}");
                assert!(!done.contains(&id), "{id} was refused, and done");
            }
        }
    }
    deferring.fixture.end().await;
}

/// A write whose connection is cut, and what comes of it; tells whether it was deferred.
async fn cut(deferring: &Deferring, proxy: &FaultProxy, fault: Fault, id: u64) -> bool {
    proxy.set(Fault::Reset).await;
    proxy.set(fault).await;
    let accepted = is_accepted(deferring.add(id).await);
    proxy.set(Fault::Pass).await;
    eventually(SOON, "it is done", async || deferring.is_done(id).await).await;
    accepted
}

/// The connection breaks somewhere in a write that is tried at once, between COMMIT and its answer, too: it is accepted,
/// and the drain finds out.
#[tokio::test]
async fn a_write_that_is_cut_anywhere_is_accepted_and_ends_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let (proxy, deferring) = behind_a_proxy(&server, folder.path()).await;
    let (mut id, mut bytes) = (0, 0);
    while cut(&deferring, &proxy, Fault::CutAfter(bytes), id).await {
        (bytes, id) = (bytes + 130, id + 1);
    }
    for answer in ["BEGIN", "INSERT", "COMMIT", "COMMIT"] {
        id += 1;
        let accepted = cut(&deferring, &proxy, Fault::LoseAnswer(answer), id).await;
        assert!(accepted, "without the answer to {answer}");
    }
    id += 1;
    deferring.all_done(0..id).await;
    assert_eq!(
        ids(deferring.database()).await.len(),
        usize::try_from(id).unwrap()
    );
    deferring.end().await;
}

#[tokio::test]
async fn a_database_killed_while_the_queue_drains_gets_each_write_once() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    write(deferring.database(), TABLE, &[]).await;
    server.kill().await;
    for id in 0..60 {
        assert!(is_accepted(deferring.add(id).await));
    }
    for left in [45, 30, 15] {
        server.restart().await;
        eventually(SOON, "the drain is under way", async || {
            deferring.journal.stats().entries <= left
        })
        .await;
        server.kill().await;
    }
    server.restart().await;
    deferring.all_done(0..60).await;
    assert_eq!(ids(deferring.database()).await, (0..60).collect::<Vec<_>>());
    deferring.end().await;
}

#[tokio::test]
async fn the_embedded_database_runs_named_statements_at_once_and_once() {
    let (folder, journal) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let target = Target::Sqlite(folder.path().join("database.sqlite"));
    let deferring = Deferring::open(Settings::new(target), journal.path()).await;
    write(
        deferring.database(),
        "CREATE TABLE added (id BIGINT PRIMARY KEY)",
        &[],
    )
    .await;
    for replayed in [false, true] {
        match deferring.add(1).await.unwrap() {
            Deferral::Done(done) => assert_eq!(done.age.is_some(), replayed),
            other => panic!("{other:?}"),
        }
    }
    assert!(deferring.is_done(1).await);
    let other = deferring
        .send("add", "add-1", vec![json!(2)])
        .await
        .unwrap_err();
    assert_eq!(other.kind, ErrorKind::KeyReused);
    let refused = deferring
        .send("add", "new", vec![json!(1)])
        .await
        .unwrap_err();
    assert_eq!(refused.kind, ErrorKind::Conflict);
    assert_eq!(
        rows(deferring.database(), "SELECT id FROM added", &[]).await,
        [[json!(1)]]
    );
    deferring.end().await;
}

#[tokio::test]
async fn nothing_is_deferred_unless_it_was_named() {
    let folder = tempfile::tempdir().unwrap();
    let target = Target::Sqlite(folder.path().join("database.sqlite"));
    let fixture = connect(Settings::new(target)).await;
    let ctx = context(&fixture.database);
    let taken = fixture
        .database
        .write_deferred(&ctx, "add", vec![], &key("a"))
        .await;
    assert_eq!(taken.unwrap_err().kind, ErrorKind::NotConfigured);
}

#[tokio::test]
async fn what_is_on_its_way_into_the_journal_is_not_unknown_though_its_caller_has_left() {
    let folder = tempfile::tempdir().unwrap();
    let server = Postgres::start().await;
    let deferring = Deferring::open(settings(&server.url()), folder.path()).await;
    write(deferring.database(), TABLE, &[]).await;
    server.kill().await;
    assert!(is_accepted(deferring.add(0).await));
    let path = folder.path().join("journal.db");
    let lock = rusqlite::Connection::open(path).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let left = tokio::time::timeout(Duration::from_millis(300), deferring.add(1));
    assert!(left.await.is_err(), "its caller leaves");
    for error in [
        deferring.fate("add-1").await.map(drop).unwrap_err(),
        deferring.add(1).await.map(drop).unwrap_err(),
    ] {
        assert_eq!((error.kind, error.retryable), (ErrorKind::Conflict, true));
    }
    drop(lock);
    eventually(SOON, "it has arrived", async || {
        matches!(
            deferring.fate("add-1").await,
            Ok(Some(Fate::Waiting { .. }))
        )
    })
    .await;
    assert_eq!(deferring.journal.stats().entries, 2);
    deferring.end().await;
}
