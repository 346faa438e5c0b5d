//! While all is well, what would answer in an outage is compared with the primary.

use std::time::Duration;

use mainstay_database::Statement;
use mainstay_database::contract::context;
use mainstay_runtime::Exercised;
use mainstay_testkit::{Postgres, eventually};

use crate::support::{connect, parse, settings};

#[tokio::test]
async fn a_read_shows_whether_cache_and_replica_would_have_said_the_same() {
    let server = Postgres::start().await;
    let mut settings = settings(&server.url());
    settings.replica = Some(parse(&server.url()));
    let fixture = connect(settings.clone()).await;
    fixture.exercise_every_read(&settings).await;
    let agreed = Some(Exercised::Agreed);
    eventually(Duration::from_secs(20), "both agree", async || {
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
    eventually(Duration::from_secs(20), "they differ", async || {
        let ctx = context(&fixture.database);
        let _ = fixture.database.read(&ctx, each_its_own.clone()).await;
        fixture.exercised() == [("cache".into(), differed)]
    })
    .await;
    fixture.end().await;
}
