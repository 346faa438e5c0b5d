//! Readers who come to Redis because something else is down.

use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::join_all;
use mainstay_redis::{Command, Reply, Settings};
use mainstay_runtime::degradation::DependencyId;
use mainstay_runtime::{Answer, CallerId, Context, Error, Source};
use mainstay_testkit::Redis;
use serde_json::json;

use crate::world::{World, settings};

/// No dependency of this world: whose place it is, is all the same.
const ANOTHER: Option<DependencyId> = Some(DependencyId(9));

async fn get(
    world: &World,
    instead: bool,
    body: serde_json::Value,
) -> Result<Answer<Reply>, Error> {
    get_within(Duration::from_secs(2), world, instead, body).await
}

async fn get_within(
    time: Duration,
    world: &World,
    instead: bool,
    body: serde_json::Value,
) -> Result<Answer<Reply>, Error> {
    let operation = if body.get("field").is_some() {
        "hget"
    } else {
        "get"
    };
    let ctx = Context::new(CallerId(1), world.now() + time);
    let ctx = ctx.instead_of(ANOTHER.filter(|_| instead));
    world
        .redis
        .run(&ctx, Command::parse(operation, &body)?)
        .await
}

fn hit(answer: Result<Answer<Reply>, Error>) -> String {
    let answer = answer.expect("an answer");
    assert_eq!(answer.source, Source::Primary);
    serde_json::to_value(answer.value).expect("replies are JSON")["value"].to_string()
}

#[tokio::test]
async fn identical_reads_in_anothers_place_are_one_and_different_ones_are_not() {
    let server = Redis::start().await;
    let world = World::of(&server);
    world.ok("set", json!({"key": "a", "value": "1"})).await;
    let fields = json!({"key": "h", "fields": {"x": "2", "y": "3"}});
    world.ok("hset", fields).await;
    let asked = [
        json!({"key": "a"}),
        json!({"key": "h", "field": "x"}),
        json!({"key": "h", "field": "y"}),
    ];
    let ten = |instead: bool| {
        let all = (0..30).map(|n: usize| asked[n % 3].clone());
        join_all(
            all.map(|body| get(&world, instead, body))
                .collect::<Vec<_>>(),
        )
    };
    for (instead, joined) in [(false, 0), (true, 27)] {
        let before = world.redis.joined_reads();
        for (n, answer) in ten(instead).await.into_iter().enumerate() {
            assert_eq!(hit(answer), ["\"1\"", "\"2\"", "\"3\""][n % 3]);
        }
        assert_eq!(world.redis.joined_reads() - before, joined);
    }
}

#[tokio::test]
async fn a_read_joins_one_under_way_unless_a_write_has_ended_since() {
    let server = Redis::start().await;
    let world = World::of(&server);
    world.ok("set", json!({"key": "a", "value": "old"})).await;
    let a = json!({"key": "a"});
    // Under way, and its answer is not looked at yet.
    let mut first = Box::pin(get(&world, true, a.clone()));
    assert!((&mut first).now_or_never().is_none());
    let joined = get(&world, true, a.clone()).await;
    assert!(
        joined.as_ref().is_ok_and(|answer| answer.age.is_some()),
        "it says its age"
    );
    assert_eq!(
        (hit(joined), world.redis.joined_reads()),
        ("\"old\"".into(), 1)
    );

    let mut second = Box::pin(get(&world, true, a.clone()));
    assert!((&mut second).now_or_never().is_none());
    world.ok("set", json!({"key": "a", "value": "new"})).await;
    assert_eq!(hit(get(&world, true, a).await), "\"new\"");
    assert_eq!(world.redis.joined_reads(), 1);
    drop((first, second));
}

#[tokio::test]
async fn who_joined_a_read_in_more_of_a_hurry_does_not_run_out_of_time_with_it() {
    let server = Redis::start().await;
    let world = World::new(Settings {
        call_deadline: Duration::from_secs(5),
        ..settings(&server.url())
    });
    world.ok("set", json!({"key": "a", "value": "1"})).await;
    let a = json!({"key": "a"});
    server.stop().await;
    let hurried = Duration::from_millis(300);
    let mut first = Box::pin(get_within(hurried, &world, true, a.clone()));
    assert!((&mut first).now_or_never().is_none(), "it is under way");
    let first = async {
        let ended = first.await;
        server.cont();
        ended
    };
    let second = get_within(Duration::from_secs(20), &world, true, a);
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.map(|answer| answer.source), Ok(Source::Memory));
    assert_eq!(world.redis.joined_reads(), 1);
    assert_eq!(hit(second), "\"1\"");
}
