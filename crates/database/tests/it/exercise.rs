//! While all is well, what would answer in an outage is compared with the primary.

use std::time::Duration;

use mainstay_database::contract::{context, rows};
use mainstay_database::{Settings, Statement, Target};
use mainstay_runtime::Exercised;
use mainstay_runtime::degradation::Level;
use mainstay_testkit::{Postgres, eventually};

use crate::support::{connect, parse, settings};

#[tokio::test]
async fn a_read_shows_whether_cache_and_replica_would_have_said_the_same() {
    let server = Postgres::start().await;
    let mut settings = settings(&server.url());
    settings.replica = Some(parse(&server.url()));
    // A replica has a fifth of a second for each, which a busy machine may take for itself.
    (settings.breaker.consecutive, settings.breaker.rate) = (None, None);
    let fixture = connect(settings.clone()).await;
    fixture.exercise_every_read(&settings).await;
    let agreed = Some(Exercised::Agreed);
    eventually(Duration::from_secs(60), "both agree", async || {
        let ctx = context(&fixture.database);
        let statement = Statement::new("SELECT 'the same'", []);
        let _ = fixture.database.read(&ctx, statement).await;
        fixture.exercised() == [("cache".into(), agreed), ("replica".into(), agreed)]
    })
    .await;
    fixture.end().await;
}

#[tokio::test]
async fn a_cache_that_would_have_said_something_older_shows_it() {
    let server = Postgres::start().await;
    let settings = settings(&server.url());
    let fixture = connect(settings.clone()).await;
    fixture.exercise_every_read(&settings).await;
    let each_its_own = Statement::new("SELECT gen_random_uuid()::text", []);
    let ctx = context(&fixture.database);
    let _ = fixture.database.read(&ctx, each_its_own.clone()).await;
    assert_eq!(
        fixture.exercised(),
        [("cache".into(), None)],
        "nothing to compare"
    );
    let differed = Some(Exercised::Differed);
    eventually(Duration::from_secs(60), "they differ", async || {
        let ctx = context(&fixture.database);
        let _ = fixture.database.read(&ctx, each_its_own.clone()).await;
        fixture.exercised() == [("cache".into(), differed)]
    })
    .await;
    fixture.end().await;
}

#[tokio::test]
async fn a_file_of_old_results_that_is_ruined_has_failed_its_exercise() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("results.sqlite");
    let mut settings = Settings::new(Target::Sqlite(folder.path().join("database.sqlite")));
    settings.cache_file = Some(file.clone());
    for ruined in [false, true] {
        let fixture = connect(settings.clone()).await;
        fixture.exercise_every_read(&settings).await;
        eventually(Duration::from_secs(60), "all is well", async || {
            fixture.level() == Level::Optimal
        })
        .await;
        rows(&fixture.database, "SELECT 1", &[]).await;
        if ruined {
            let failed = Some(Exercised::Failed);
            eventually(Duration::from_secs(60), "it has failed", async || {
                fixture.exercised() == [("cache".into(), failed)]
            })
            .await;
        }
        fixture.end().await;
        let results = rusqlite::Connection::open(&file).unwrap();
        let damage = "UPDATE results SET stored_ms = stored_ms + 1";
        assert_eq!(results.execute(damage, []).unwrap(), 1);
    }
}
