//! While all is well, local copies are compared with the store, and a canary goes through the journal.

use std::time::Duration;

use bytes::Bytes;
use mainstay_runtime::Exercised;
use mainstay_s3::contract;
use mainstay_testkit::{Leaves, S3, S3Mode, eventually};

use crate::world::World;

async fn put(world: &World, content: &'static str) {
    let content = Bytes::from_static(content.as_bytes());
    contract::put(&world.objects, "a.txt", &content)
        .await
        .expect("the store is up");
}

#[tokio::test]
async fn a_read_shows_whether_the_local_copy_is_what_the_store_has() {
    let server = S3::start().await;
    let (ours, others) = (World::of(&server).await, World::of(&server).await);
    ours.exercise().await;
    let read = || contract::get(&ours.objects, "a.txt", None);
    put(&ours, "one").await;
    eventually(Duration::from_secs(10), "the copy agrees", async || {
        read().await.unwrap();
        ours.exercised("cache") == Some(Exercised::Agreed)
    })
    .await;
    put(&others, "two, and longer").await;
    eventually(
        Duration::from_secs(10),
        "the copy is found out, then renewed",
        async || {
            let key = contract::key("a.txt");
            let ctx = contract::context(&ours.objects);
            ours.objects.head(&ctx, &key).await.unwrap();
            ours.exercised("cache") == Some(Exercised::Differed)
        },
    )
    .await;
}

#[tokio::test]
async fn a_local_copy_that_is_damaged_has_failed_its_exercise() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.exercise().await;
    put(&world, "one").await;
    let read = || contract::get(&world.objects, "a.txt", None);
    eventually(Duration::from_secs(10), "the damage is told", async || {
        world.damage_copies();
        read().await.unwrap();
        world.exercised("cache") == Some(Exercised::Failed)
    })
    .await;
    eventually(Duration::from_secs(10), "it was renewed", async || {
        read().await.unwrap();
        world.exercised("cache") == Some(Exercised::Agreed)
    })
    .await;
}

/// Uploads of canaries, and of nothing else, end like this.
fn spoil(leaves: Leaves) -> S3Mode {
    S3Mode::Spoil {
        prefix: ".mainstay/canary-".into(),
        leaves,
    }
}

/// What stands under Mainstay's own keys.
fn left(server: &S3) -> Vec<String> {
    server.names(".mainstay")
}

#[tokio::test]
async fn canaries_of_two_processes_go_through_their_journals_and_leave_nothing() {
    let server = S3::start().await;
    let (ours, others) = (World::of(&server).await, World::of(&server).await);
    ours.exercise().await;
    others.exercise().await;
    ours.until_canary(Exercised::Agreed).await;
    others.until_canary(Exercised::Agreed).await;
    assert_eq!(left(&server), Vec::<String>::new());
    for world in [&ours, &others] {
        assert_eq!(world.objects.journal_stats().entries, 0);
        let reports = world.reports();
        assert!(reports.is_empty(), "no caller asked: {reports:?}");
        assert_eq!(
            world.events("object_conflict"),
            Vec::<serde_json::Value>::new()
        );
    }
}

#[tokio::test]
async fn a_canary_goes_through_the_journal_to_the_folder_too() {
    let world = World::embedded().await;
    world.exercise().await;
    world.until_canary(Exercised::Agreed).await;
    assert_eq!(world.keys("").await, Vec::<String>::new());
}

#[tokio::test]
async fn a_store_that_loses_or_spoils_what_it_took_is_found_out_and_nobody_has_to_mend_it() {
    for (leaves, ended) in [
        (Leaves::Nothing, Exercised::Failed),
        (Leaves::Half, Exercised::Differed),
        (Leaves::Zeros, Exercised::Differed),
    ] {
        let server = S3::start().await;
        let world = World::of(&server).await;
        server.set(spoil(leaves)).await;
        world.exercise().await;
        world.until_canary(ended).await;
        assert_eq!(world.objects.journal_stats().entries, 0, "{leaves:?}");
        assert!(world.reports().is_empty());
        world.stored("a.txt", "callers are not concerned").await;
        assert_eq!(world.keys("").await, ["a.txt"], "{leaves:?}");
    }
}

#[tokio::test]
async fn a_policy_that_keeps_us_from_our_own_keys_shows_and_is_no_failure_of_the_store() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    let refuse = S3Mode::Refuse {
        prefix: ".mainstay/canary-".into(),
        status: 403,
        code: "AccessDenied".into(),
    };
    server.set(refuse).await;
    world.exercise().await;
    world.until_canary(Exercised::Failed).await;
    let breaker = world.objects.guard().snapshot();
    assert_eq!(breaker.totals.failures, 0, "{breaker:?}");
    assert_eq!(world.objects.journal_stats().entries, 0);
}

#[tokio::test]
async fn a_canary_that_an_earlier_process_left_is_overwritten() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    server.set(spoil(Leaves::Zeros)).await;
    world.exercise().await;
    world.until_canary(Exercised::Differed).await;
    assert_eq!(left(&server).len(), 1);
    server.set(S3Mode::Ok).await;
    let world = world.reopen().await;
    world.exercise().await;
    world.until_canary(Exercised::Agreed).await;
    assert_eq!(left(&server), Vec::<String>::new());
}

#[tokio::test]
async fn no_canary_flies_while_the_store_is_down_or_the_journal_is_full() {
    let (up, gone) = (S3::start().await, S3::start().await);
    let full = World::at(&up, &up.endpoint(), |_, journal| journal.max_bytes = 10).await;
    let down = World::of(&gone).await;
    full.exercise().await;
    down.exercise().await;
    gone.kill().await;
    down.until_open().await;
    // Longer than it takes until one flies where all is well.
    let clock = full.objects.guard().clock();
    clock.sleep(Duration::from_secs(7)).await;
    for world in [&full, &down] {
        assert_eq!(world.exercised("journal"), None);
        let entries = world.objects.journal_entries(None, None, 10);
        assert!(entries.is_empty(), "{entries:?}");
    }
}
