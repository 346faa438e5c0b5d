//! Earlier results: how old they may be, whose they are, what is left of them after a restart; and reads that travel together.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_database::contract::{context, context_for, rows, write};
use mainstay_database::{Database, Settings, Statement, Target};
use mainstay_runtime::{Answer, CallerId, Context, Error, ErrorKind, Source};
use mainstay_testkit::{Postgres, eventually};
use serde_json::json;

use crate::support::{connect, postgres, settings};

/// A different answer for each call to the database: two clocks may be read in the same microsecond.
pub(crate) const EACH_ITS_OWN: &str = "SELECT gen_random_uuid()::text AS id, pg_sleep(1)::text";

async fn ask(
    database: &Database,
    ctx: &Context,
    query: &str,
) -> Result<(String, Option<Duration>), Error> {
    let answer = database.read(ctx, Statement::new(query, [])).await?;
    let Answer { value, age, .. } = answer;
    Ok((value.rows[0][0].to_string(), age))
}

/// How many calls reached the database for ten callers' identical reads.
async fn calls_for_ten(database: &Database, ctx: &Context) -> usize {
    let all = join_all((0..10).map(|_| ask(database, ctx, EACH_ITS_OWN))).await;
    let distinct: BTreeSet<_> = all.into_iter().map(|one| one.unwrap().0).collect();
    distinct.len()
}

#[tokio::test]
async fn identical_reads_of_a_cold_moment_are_one_call_and_of_a_good_one_their_own() {
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    let ctx = context(database);
    assert_eq!(calls_for_ten(database, &ctx).await, 1, "cold");
    assert_eq!(
        calls_for_ten(database, &ctx).await,
        10,
        "an earlier result is known"
    );
    database.purge_cache().await.unwrap();
    let other = Context {
        caller: CallerId(8),
        ..ctx
    };
    let (ours, theirs) = tokio::join!(
        ask(database, &ctx, EACH_ITS_OWN),
        ask(database, &other, EACH_ITS_OWN)
    );
    assert_ne!(ours.unwrap().0, theirs.unwrap().0, "two keys share no call");
}

#[tokio::test]
async fn a_joined_read_says_its_age_and_outlives_whoever_began_it() {
    const SLOW: &str = "SELECT 1, pg_sleep(3)::text";
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    let ctx = context(database);
    let leader = Box::pin(ask(database, &ctx, SLOW));
    let soon = database.guard().now() + Duration::from_millis(1200);
    let (began, clock) = (database.guard().now(), database.guard().clock());
    let joined = ask(database, &ctx, SLOW);
    let (left, joined) = tokio::join!(clock.until(soon, leader), joined);
    assert!(left.is_err(), "the leader went away");
    assert!(joined.unwrap().1.is_some(), "it joined, and says so");
    let took = database.guard().now().saturating_since(began);
    assert!(
        took < Duration::from_millis(4000),
        "it didn't begin anew: {took:?}"
    );
}

#[tokio::test]
async fn each_of_a_joined_read_keeps_its_own_deadline() {
    const LONG: &str = "SELECT 'long', pg_sleep(0.9)::text";
    let (_server, fixture) = postgres().await;
    let database = &fixture.database;
    let (short, long) = (Duration::from_millis(400), Duration::from_secs(5));
    for (first, second) in [(long, short), (short, long)] {
        database.purge_cache().await.unwrap();
        let (first_ctx, second_ctx) = (context_for(database, first), context_for(database, second));
        let joined = async {
            let ended = ask(database, &second_ctx, LONG).await;
            (ended, database.guard().now())
        };
        let led = async {
            let ended = ask(database, &first_ctx, LONG).await;
            (ended, database.guard().now())
        };
        let ((led, led_at), (joined, joined_at)) = tokio::join!(led, joined);
        let (patient, hasty) = if second == long {
            (joined, led)
        } else {
            (led, joined)
        };
        assert_eq!(hasty.unwrap_err().kind, ErrorKind::Timeout);
        assert_eq!(patient.unwrap().0, "\"long\"");
        assert_eq!(joined_at < led_at, second == short);
    }
}

#[tokio::test]
async fn a_read_that_follows_a_write_sees_it_whatever_is_under_way() {
    const SLOW_COUNT: &str = "SELECT count(*)::text, pg_sleep(3)::text FROM noted";
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    write(database, "CREATE TABLE noted (id int)", &[]).await;
    let ctx = context(database);
    let watch = connect(settings(&server.url())).await;
    let _ = rows(&watch.database, "SELECT 1", &[]).await;
    let write_then_read = async {
        eventually(Duration::from_secs(5), "the read runs", async || {
            let query = "SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%FROM noted' AND pid <> pg_backend_pid()";
            !rows(&watch.database, query, &[]).await.is_empty()
        })
        .await;
        write(database, "INSERT INTO noted VALUES (1)", &[]).await;
        ask(database, &ctx, SLOW_COUNT).await.unwrap()
    };
    let (before, after) = tokio::join!(ask(database, &ctx, SLOW_COUNT), write_then_read);
    assert_eq!(
        (before.unwrap().0, after),
        ("\"0\"".to_owned(), ("\"1\"".to_owned(), None))
    );
}

#[tokio::test]
async fn reads_of_an_outage_travel_together_to_the_replica() {
    let (primary, replica) = tokio::join!(Postgres::start(), Postgres::start());
    let mut both = settings(&primary.url());
    both.replica = Some(crate::support::parse(&replica.url()));
    let fixture = connect(both).await;
    let database = &fixture.database;
    let _ = rows(database, "SELECT 1", &[]).await;
    primary.kill().await;
    // A replica has a fifth of a second for each, which a busy machine may take for itself.
    let query = "SELECT gen_random_uuid()::text, pg_sleep(0.05)::text";
    let what = "ten get one answer of the replica";
    eventually(Duration::from_secs(60), what, async || {
        let ctx = context(database);
        let all = join_all((0..10).map(|_| ask(database, &ctx, query))).await;
        let answers: Vec<_> = all.into_iter().flatten().map(|one| one.0).collect();
        let distinct: BTreeSet<_> = answers.iter().collect();
        (answers.len(), distinct.len()) == (10, 1)
    })
    .await;
}

async fn within(database: &Database, max_age: Duration) -> Result<Answer<()>, Error> {
    let one = Statement::new("SELECT 1", []);
    let ctx = context(database);
    let read = database.read_within(&ctx, one, Some(max_age));
    Ok(read.await?.map(drop))
}

#[tokio::test]
async fn a_result_older_than_the_caller_takes_is_refused() {
    let (server, fixture) = postgres().await;
    let database = &fixture.database;
    let _ = rows(database, "SELECT 1", &[]).await;
    server.kill().await;
    let most = Duration::from_millis(300);
    eventually(Duration::from_secs(30), "it is older", async || {
        let answer = within(database, Duration::from_secs(60)).await.unwrap();
        assert_eq!(answer.source, Source::Cache);
        answer.age.unwrap() > most
    })
    .await;
    for max_age in [Duration::ZERO, most] {
        let error = within(database, max_age).await.unwrap_err();
        assert_eq!(error.kind, ErrorKind::Unavailable, "{error}");
        assert!(
            error.detail.contains("max_age") && error.retry_after.is_some(),
            "{error}"
        );
    }
}

fn kept(folder: &Path) -> Settings {
    Settings {
        cache_file: Some(folder.join("results.sqlite")),
        ..Settings::new(Target::Sqlite(folder.join("database.sqlite")))
    }
}

/// Takes the database away, and asks for what is left.
async fn remembered(settings: Settings, caller: u64) -> Option<String> {
    let fixture = connect(settings).await;
    let ctx = Context {
        caller: CallerId(caller),
        ..context(&fixture.database)
    };
    let answer = fixture
        .database
        .read(&ctx, Statement::new("SELECT name, weight FROM kept", []))
        .await;
    fixture.end().await;
    let answer = answer.ok()?;
    assert_eq!(answer.source, Source::Cache);
    assert!(answer.age.is_some());
    Some(json!(answer.value.rows).to_string())
}

/// A database that has answered, and is gone.
async fn gone(folder: &Path) -> String {
    let fixture = connect(kept(folder)).await;
    let database = &fixture.database;
    write(
        database,
        "CREATE TABLE kept (name TEXT, weight DOUBLE PRECISION)",
        &[],
    )
    .await;
    write(
        database,
        "INSERT INTO kept VALUES ('ñandú', 0.1), (NULL, 5e-324)",
        &[],
    )
    .await;
    let found = rows(database, "SELECT name, weight FROM kept", &[]).await;
    fixture.end().await;
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(folder.join(format!("database.sqlite{ending}")));
    }
    fs::create_dir(folder.join("database.sqlite")).unwrap();
    json!(found).to_string()
}

#[tokio::test]
async fn results_outlive_the_process_for_their_own_key_and_database_alone() {
    let folder = tempfile::tempdir().unwrap();
    let said = gone(folder.path()).await;
    assert_eq!(remembered(kept(folder.path()), 7).await, Some(said));
    assert_eq!(
        remembered(kept(folder.path()), 8).await,
        None,
        "another key"
    );
    let elsewhere = Settings {
        target: Target::Sqlite(folder.path().join("missing/database.sqlite")),
        ..kept(folder.path())
    };
    assert_eq!(remembered(elsewhere, 7).await, None, "another database");
    let mode = fs::metadata(folder.path().join("results.sqlite"))
        .unwrap()
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[tokio::test]
async fn a_purge_reaches_the_disk() {
    let folder = tempfile::tempdir().unwrap();
    gone(folder.path()).await;
    let fixture = connect(kept(folder.path())).await;
    fixture.database.purge_cache().await.unwrap();
    fixture.end().await;
    assert_eq!(remembered(kept(folder.path()), 7).await, None);
    let bytes = fs::read(folder.path().join("results.sqlite")).unwrap();
    assert!(
        !bytes.windows(5).any(|part| part == "andú".as_bytes()),
        "the pages are gone, too"
    );
}

#[tokio::test]
async fn a_ruined_file_is_set_aside_and_begun_anew() {
    let folder = tempfile::tempdir().unwrap();
    gone(folder.path()).await;
    let file = folder.path().join("results.sqlite");
    fs::write(
        &file,
        "a shopping list, or what is left of one\n".repeat(200),
    )
    .unwrap();
    assert_eq!(remembered(kept(folder.path()), 7).await, None);
    assert!(folder.path().join("results.sqlite.ruined").exists());
    fs::remove_dir(folder.path().join("database.sqlite")).unwrap();
    let said = gone(folder.path()).await;
    assert_eq!(remembered(kept(folder.path()), 7).await, Some(said));
}
