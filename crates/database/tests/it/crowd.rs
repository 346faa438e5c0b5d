//! Readers who come because something else is down: made once, few at a time, and nobody's own work waits for them.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use mainstay_database::contract::{context, rows};
use mainstay_database::{Database, Statement};
use mainstay_runtime::breaker::{self, FailureKind, HalfOpen, State};
use mainstay_runtime::degradation::{self, DependencyId};
use mainstay_runtime::{
    Call, Context, EndpointSpec, EngineBuilder, ErrorKind, Guard, Handle, NoObserver, Source,
    Verdict,
};
use mainstay_testkit::{Postgres, eventually};
use tempfile::TempDir;
use tokio_postgres::NoTls;

use crate::cached::EACH_ITS_OWN;
use crate::support::settings;

const SOON: Duration = Duration::from_secs(30);

/// A database beside a Redis that is whatever its guard is told.
struct Both {
    database: Database,
    redis: Guard,
    handle: Handle,
    _data: TempDir,
}

impl Both {
    fn connect(server: &Postgres) -> Self {
        let data = tempfile::tempdir().unwrap();
        let mut rules = degradation::Settings::standard();
        // Every run with the same jitter.
        rules.seed = 1;
        rules
            .dependencies
            .retain(|one| ["database", "redis"].contains(&one.name.as_str()));
        for one in &mut rules.dependencies {
            one.weight = 0.5;
            one.endpoints[0].probed = one.name == "database";
        }
        rules.features.clear();
        rules.cascade.retain(|one| one.to != "s3");
        let rules = rules.validate().unwrap();
        let mut engine = EngineBuilder::new(rules, data.path(), Arc::new(NoObserver)).unwrap();
        let redis = engine.endpoint(redis()).unwrap();
        let database = Database::connect(settings(&server.url()), &mut engine).unwrap();
        let handle = engine.start().unwrap();
        database.start(&handle);
        Self {
            database,
            redis,
            handle,
            _data: data,
        }
    }

    async fn redis_ends(&self, result: Result<(), FailureKind>) {
        let call = Call::new("test", &context(&self.database));
        let verdict = |kind: &FailureKind| Verdict::failure(*kind);
        let _ = self.redis.call(call, verdict, async |_| result).await;
    }

    async fn lose_redis(&self) {
        while self.redis.state() == State::Closed {
            self.redis_ends(Err(FailureKind::Connect)).await;
        }
        let threatened = async || self.database.guard().is_threatened();
        eventually(SOON, "the database is threatened", threatened).await;
    }

    async fn bring_redis_back(&self) {
        eventually(SOON, "the database is threatened no more", async || {
            self.redis_ends(Ok(())).await;
            !self.database.guard().is_threatened()
        })
        .await;
    }

    /// The context of a read in Redis's place.
    fn instead(&self) -> Context {
        let redis: Option<DependencyId> = self.handle.rules().dependency_id("redis");
        context(&self.database).instead_of(redis)
    }

    /// How many calls reached the database for four identical reads.
    async fn calls_for_four(&self, ctx: &Context) -> usize {
        let ask = || self.database.read(ctx, Statement::new(EACH_ITS_OWN, []));
        let all = join_all((0..4).map(|_| ask())).await;
        let distinct: BTreeSet<_> = all
            .into_iter()
            .map(|one| one.unwrap().value.rows[0][0].to_string())
            .collect();
        distinct.len()
    }
}

fn redis() -> EndpointSpec {
    EndpointSpec {
        name: "redis".to_owned(),
        breaker: breaker::Settings {
            reset_timeout: Duration::from_millis(300),
            half_open: HalfOpen {
                probes: 1,
                successes: 1,
                ..breaker::Settings::default().half_open
            },
            ..breaker::Settings::default()
        },
        limit: 5,
        call_deadline: Duration::from_millis(250),
    }
}

#[tokio::test]
async fn while_redis_is_down_identical_reads_of_a_healthy_database_are_one_call() {
    let server = Postgres::start().await;
    let both = Both::connect(&server);
    let ctx = context(&both.database);
    let _ = rows(&both.database, EACH_ITS_OWN, &[]).await;
    assert_eq!(both.calls_for_four(&ctx).await, 4, "all is well");
    both.lose_redis().await;
    assert_eq!(both.database.guard().state(), State::Closed);
    let joined = both.database.joined_reads();
    assert_eq!(both.calls_for_four(&ctx).await, 1);
    assert_eq!(both.database.joined_reads() - joined, 3);
    both.bring_redis_back().await;
    assert_eq!(both.calls_for_four(&ctx).await, 4, "all is well again");
}

#[tokio::test]
async fn reads_in_anothers_place_are_few_at_a_time_and_the_next_gets_an_earlier_result_or_a_refusal()
 {
    let server = Postgres::start().await;
    let both = Both::connect(&server);
    let (database, instead) = (&both.database, both.instead());
    let _ = rows(database, "SELECT 'known'", &[]).await;
    let (holder, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    let lock = "SELECT pg_advisory_lock(7)";
    holder.batch_execute(lock).await.unwrap();
    let slow = |n: usize| {
        let query = format!("SELECT {n}, pg_advisory_xact_lock_shared(7)::text");
        database.read(&instead, Statement::new(query, []))
    };
    let crowd = join_all((0..12).map(slow));
    let meanwhile = async {
        eventually(SOON, "the places are taken", async || {
            both.handle.limits()[0].instead_refused >= 2
        })
        .await;
        let known = Statement::new("SELECT 'known'", []);
        let known = database.read(&instead, known).await.unwrap();
        let unknown = database.read(&instead, Statement::new("SELECT 'new'", []));
        let refused = unknown.await.unwrap_err();
        let own = rows(database, "SELECT 'own'", &[]).await;
        drop(holder);
        (known, refused, own)
    };
    let (crowd, (known, refused, own)) = tokio::join!(crowd, meanwhile);
    assert_eq!(known.source, Source::Cache);
    assert_eq!(refused.kind, ErrorKind::Busy);
    assert!(refused.retry_after.is_some(), "{refused}");
    assert_eq!(own.len(), 1);
    let busy = |one: &&Result<_, mainstay_runtime::Error>| {
        one.as_ref()
            .is_err_and(|error| error.kind == ErrorKind::Busy)
    };
    assert_eq!(crowd.iter().filter(busy).count(), 2, "10 of 20 places");
    assert_eq!(both.calls_for_four(&instead).await, 1, "with Redis up, too");
}
