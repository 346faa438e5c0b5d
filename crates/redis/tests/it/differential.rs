//! Random commands give the same replies in memory and in a real Redis.

use mainstay_redis::{Action, Blob, Command, End, Key, Range, SetCondition, SetExpiry};
use mainstay_runtime::{CallerId, Context};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::time::Duration;

use crate::world::World;

fn blob() -> impl Strategy<Value = Blob> {
    let fixed = prop::sample::select(vec![
        "",
        "a",
        "b",
        "c",
        "1",
        "-7",
        "9223372036854775807",
        "x y",
    ]);
    prop_oneof![8 => fixed.prop_map(Blob::from), 1 => vec(any::<u8>(), 0..6).prop_map(Blob::from)]
}

fn range() -> impl Strategy<Value = Range> {
    (-6i64..6, -6i64..6).prop_map(|(start, stop)| Range { start, stop })
}

fn score() -> impl Strategy<Value = f64> {
    prop_oneof![
        prop::sample::select(vec![0.0, 1.0, -1.0, 1.5, 1e17, 0.1]),
        prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL,
    ]
}

fn end() -> impl Strategy<Value = End> {
    prop_oneof![Just(End::Left), Just(End::Right)]
}

fn set() -> impl Strategy<Value = Action> {
    let expiry = prop_oneof![
        3 => Just(SetExpiry::Never), 1 => Just(SetExpiry::Keep), 1 => Just(SetExpiry::After(Duration::from_secs(1000))),
    ];
    let condition = prop_oneof![
        3 => Just(SetCondition::Always), 1 => Just(SetCondition::IfAbsent), 1 => Just(SetCondition::IfPresent),
    ];
    (blob(), expiry, condition).prop_map(|(value, expiry, condition)| Action::Set {
        value,
        expiry,
        condition,
    })
}

fn action() -> impl Strategy<Value = Action> {
    let by = prop_oneof![8 => -3i64..4, 1 => any::<i64>()];
    let many = || vec(blob(), 1..4);
    prop_oneof![
        3 => set(),
        1 => Just(Action::Get),
        2 => Just(Action::Delete),
        1 => by.prop_map(|by| Action::Incr { by }),
        2 => (end(), many()).prop_map(|(end, values)| Action::Push { end, values }),
        1 => end().prop_map(|end| Action::Pop { end }),
        1 => Just(Action::Llen),
        1 => range().prop_map(Action::Lrange),
        2 => many().prop_map(Action::Sadd),
        1 => many().prop_map(Action::Srem),
        1 => prop_oneof![Just(Action::Smembers), Just(Action::Scard), Just(Action::Hgetall), Just(Action::Zcard)],
        2 => vec((blob(), blob()), 1..4).prop_map(Action::Hset),
        1 => blob().prop_map(Action::Hget),
        1 => many().prop_map(Action::Hdel),
        2 => vec((score(), blob()), 1..4).prop_map(Action::Zadd),
        1 => (range(), any::<bool>()).prop_map(|(range, with_scores)| Action::Zrange { range, with_scores }),
        1 => Just(Action::Expire(Duration::from_secs(1000))),
    ]
}

fn command() -> impl Strategy<Value = Command> {
    let key = prop::sample::select(vec!["one", "two"]);
    (key, action()).prop_map(|(key, action)| Command::At {
        key: Key::new(key).expect("a valid key"),
        action,
    })
}

async fn run(world: &World, command: &Command) -> String {
    let deadline = world.redis.guard().now() + Duration::from_secs(2);
    let ctx = Context::new(CallerId(1), deadline);
    match world.redis.run(&ctx, command.clone()).await {
        Ok(answer) => format!("{:?}", answer.value),
        Err(error) => format!("{error} ({:?})", error.field),
    }
}

async fn compare(memory: &World, redis: &World, commands: &[Command]) -> Result<(), TestCaseError> {
    for key in ["one", "two"] {
        let delete = Command::At {
            key: Key::new(key).expect("a valid key"),
            action: Action::Delete,
        };
        run(memory, &delete).await;
        run(redis, &delete).await;
    }
    for (at, command) in commands.iter().enumerate() {
        let (here, there) = (run(memory, command).await, run(redis, command).await);
        prop_assert_eq!(here, there, "command {}: {:?}", at + 1, command);
    }
    Ok(())
}

#[test]
fn random_commands_get_equal_replies_from_memory_and_redis() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (server, memory, redis) = runtime.block_on(async {
        let server = mainstay_testkit::Redis::start().await;
        let redis = World::of(&server);
        (server, World::embedded(), redis)
    });
    let mut runner = TestRunner::new(Config {
        cases: 200,
        failure_persistence: None,
        ..Config::default()
    });
    let done = runner.run(&vec(command(), 1..40), |commands| {
        runtime.block_on(compare(&memory, &redis, &commands))
    });
    drop(server);
    done.unwrap_or_else(|failure| panic!("{failure}"));
}
