//! The same suite for both stores.

use mainstay_redis::{Target, contract};

use crate::world::World;

#[tokio::test]
async fn the_embedded_store_keeps_the_contract() {
    let world = World::embedded();
    contract::all(&world.redis).await;
    assert!(world.redis.is_embedded());
}

#[tokio::test]
async fn a_real_redis_keeps_the_contract() {
    let server = mainstay_testkit::Redis::start().await;
    let world = World::of(&server);
    contract::all(&world.redis).await;
    assert!(world.redis.pool_size() >= 1);
}

#[tokio::test]
async fn hits_and_misses_are_counted() {
    let world = World::new(mainstay_redis::Settings::new(Target::Memory));
    world
        .ok("set", serde_json::json!({"key": "a", "value": "1"}))
        .await;
    world.ok("get", serde_json::json!({"key": "a"})).await;
    world.ok("get", serde_json::json!({"key": "b"})).await;
    world
        .ok("hget", serde_json::json!({"key": "b", "field": "f"}))
        .await;
    assert_eq!((world.redis.hits(), world.redis.misses()), (1, 2));
}
