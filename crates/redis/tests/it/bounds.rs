//! The embedded store's bounds: caches make room, everything else is kept or refused.

use mainstay_redis::{Class, ClassRule, Settings, Target};
use mainstay_runtime::ErrorKind;
use serde_json::json;

use crate::world::World;

const KIB: usize = 1024;

fn small() -> World {
    let mut settings = Settings::new(Target::Memory);
    settings.memory_bytes = 64 * KIB;
    settings.classes = vec![
        ClassRule {
            prefix: "s:".into(),
            class: Class::Session,
        },
        ClassRule {
            prefix: "s:cache:".into(),
            class: Class::Cache,
        },
    ];
    World::new(settings)
}

async fn has(world: &World, key: &str) -> bool {
    world.ok("get", json!({"key": key})).await.0["status"] == "hit"
}

#[tokio::test]
async fn the_cache_keys_used_longest_ago_make_room() {
    let world = small();
    let value = "x".repeat(10 * KIB);
    for key in ["a", "b", "c", "d", "e"] {
        world.ok("set", json!({"key": key, "value": value})).await;
    }
    assert!(has(&world, "a").await);
    world.ok("set", json!({"key": "f", "value": value})).await;
    world.ok("set", json!({"key": "g", "value": value})).await;
    assert!(has(&world, "a").await, "it was read just before");
    assert!(!has(&world, "b").await && has(&world, "g").await);
}

#[tokio::test]
async fn keys_of_other_classes_are_never_dropped() {
    let world = small();
    let value = "x".repeat(10 * KIB);
    for at in 0..6 {
        world
            .ok("set", json!({"key": format!("s:{at}"), "value": value}))
            .await;
    }
    let full = world
        .run("set", json!({"key": "s:6", "value": value}))
        .await
        .expect_err("no room");
    assert_eq!(full.kind, ErrorKind::MemoryFull);
    assert!(has(&world, "s:0").await);
    // The store still takes what fits, and the failed write has changed nothing.
    world
        .ok("set", json!({"key": "s:0", "value": "small"}))
        .await;
    world.ok("set", json!({"key": "s:6", "value": value})).await;
}

#[tokio::test]
async fn the_longest_prefix_decides_the_class() {
    let world = small();
    let value = "x".repeat(10 * KIB);
    for at in 0..20 {
        world
            .ok(
                "set",
                json!({"key": format!("s:cache:{at}"), "value": value}),
            )
            .await;
    }
    assert!(has(&world, "s:cache:19").await);
}

#[tokio::test]
async fn a_value_over_the_bound_is_refused() {
    let world = small();
    let body = json!({"key": "big", "value": "x".repeat(65 * KIB)});
    let error = world.run("set", body).await.expect_err("too large");
    assert_eq!(error.kind, ErrorKind::MemoryFull);
    assert!(error.detail.contains("memory_bytes"));
}

#[tokio::test]
async fn many_small_elements_are_charged_too() {
    let world = small();
    let mut refused = false;
    for at in 0..1000 {
        let body = json!({"key": "s:list", "values": vec![at; 10]});
        refused |= world.run("rpush", body).await.is_err();
    }
    assert!(refused, "10,000 elements don't fit 64 KiB");
}
