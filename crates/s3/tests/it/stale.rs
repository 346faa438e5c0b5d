//! A local copy is never older than what was acknowledged for its key.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use mainstay_runtime::{ErrorKind, Source};
use mainstay_s3::{Conflicts, OnceKey, PART, Policy, Upload, contract};
use mainstay_testkit::{Fault, FaultProxy, S3, S3Mode, eventually};

use crate::world::{World, is_accepted, patient};

const SOON: Duration = Duration::from_secs(20);

/// A store, and an adapter that reaches it through a proxy.
async fn behind_a_proxy() -> (S3, FaultProxy, World) {
    let server = S3::start().await;
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into()).await;
    let endpoint = format!("http://{}", proxy.addr());
    let world = World::at(&server, &endpoint, |settings, _| {
        patient(settings);
        let rules = vec![("theirs/".to_owned(), Policy::Theirs)];
        settings.conflicts = Conflicts::new(rules);
    })
    .await;
    let knows = async || world.objects.conditional_writes().is_some();
    eventually(SOON, "what the store honours", knows).await;
    (server, proxy, world)
}

/// What answers for the key while the store can't: nothing.
async fn has_no_copy(world: &World, key: &str) {
    let read = world.get(key).await.map(|answer| answer.source);
    let kind = read.map_err(|error| error.kind);
    assert_eq!(kind, Err(ErrorKind::Unavailable), "{key}");
}

/// Begins to read an object that is too long to be on its way whole.
async fn begin(world: &World, key: &str) -> mainstay_s3::Download {
    let ctx = contract::context(&world.objects);
    let read = world.objects.get(&ctx, &contract::key(key), None).await;
    let mut download = read.expect("the store is up").value;
    let first = download.body.next().await.expect("it isn't empty");
    assert!(first.expect("the store is up").len() < OLD / 2);
    download
}

async fn end(mut download: mainstay_s3::Download) {
    while let Some(chunk) = download.body.next().await {
        chunk.expect("the store sends what it has begun to");
    }
}

/// Bytes of what is read slowly: a local copy may have as many.
const OLD: usize = 6 << 20;

#[tokio::test]
async fn what_an_unheard_upload_has_left_outdates_the_local_copy() {
    let (server, proxy, world) = behind_a_proxy().await;
    world.stored("key", "old").await;
    proxy.set(Fault::RefuseConnections).await;
    world.until_open().await;
    assert_eq!(world.get("key").await.unwrap().source, Source::Cache);
    world.accepted("key", "accepted").await;
    proxy.set(Fault::LoseAnswer("etag:")).await;
    eventually(SOON, "the upload to land", async || {
        server.content("key").as_deref() == Some(b"accepted")
    })
    .await;
    assert_eq!(world.objects.journal_stats().entries, 1, "it was not heard");
    proxy.set(Fault::Pass).await;
    world.until_drained().await;
    proxy.set(Fault::RefuseConnections).await;
    world.until_open().await;
    has_no_copy(&world, "key").await;
}

#[tokio::test]
async fn where_somebody_elses_change_stays_the_local_copy_is_not_what_it_replaced() {
    let (server, proxy, world) = behind_a_proxy().await;
    let theirs = World::of(&server).await;
    world.stored("theirs/key", "old").await;
    proxy.set(Fault::RefuseConnections).await;
    world.until_open().await;
    world.accepted("theirs/key", "ours").await;
    theirs.stored("theirs/key", "theirs").await;
    proxy.set(Fault::Pass).await;
    world.until_drained().await;
    proxy.set(Fault::RefuseConnections).await;
    world.until_open().await;
    has_no_copy(&world, "theirs/key").await;
}

#[tokio::test]
async fn a_slow_download_does_not_bring_back_what_was_deleted_or_replaced_meanwhile() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    let keys = ["deleted", "replaced", "larger", "later"];
    let mut slow = Vec::new();
    for key in keys {
        world.stored(key, contract::content(OLD)).await;
        slow.push(begin(&world, key).await);
    }
    world.delete("deleted").await.unwrap();
    world.stored("replaced", "new").await;
    world.stored("larger", contract::content(PART + 1)).await;
    server.set(S3Mode::Internal).await;
    is_accepted(world.delete("later").await);
    server.set(S3Mode::Ok).await;
    world.until_drained().await;
    for download in slow {
        end(download).await;
    }
    server.kill().await;
    world.until_open().await;
    let world = world.reopen().await;
    world.until_open().await;
    for key in ["deleted", "larger", "later"] {
        has_no_copy(&world, key).await;
    }
    let replaced = world.get("replaced").await.unwrap();
    assert_eq!(
        (replaced.value, replaced.source),
        (Bytes::from("new"), Source::Cache)
    );
}

#[tokio::test]
async fn of_two_uploads_at_once_no_local_copy_says_which_was_the_last() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    world.stored("key", "old").await;
    server.set(S3Mode::Slow { ms: 300 }).await;
    let (one, two) = tokio::join!(world.put("key", "one"), world.put("key", "two"));
    one.and(two).unwrap();
    server.kill().await;
    world.until_open().await;
    has_no_copy(&world, "key").await;
}

#[tokio::test]
async fn an_outcome_that_is_kept_outdates_the_local_copy_at_once() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    let once = |key: &str| OnceKey::new("test", key).unwrap();
    for key in ["put", "deleted", "larger"] {
        world.stored(key, "old").await;
        assert_eq!(world.files_of_copies(), 2, "{key}");
        let upload = |content: &'static [u8]| Upload {
            once: Some(once(key)),
            length: Some(content.len() as u64),
            ..Upload::default()
        };
        let lock = world.lock_journal();
        let large = contract::content(PART + 1);
        let write = async {
            match key {
                "put" => {
                    let content = Bytes::from_static(b"new");
                    contract::put_with(&world.objects, key, &content, upload(b"new")).await
                }
                "larger" => {
                    let upload = Upload {
                        length: Some(large.len() as u64),
                        ..upload(b"")
                    };
                    contract::put_with(&world.objects, key, &large, upload).await
                }
                _ => {
                    let ctx = contract::context(&world.objects);
                    let at = contract::key(key);
                    world.objects.delete(&ctx, &at, Some(&once(key))).await
                }
            }
        };
        let look = async {
            // The outcome can't be kept before the journal is free.
            let gone = async || world.files_of_copies() == 0;
            eventually(SOON, "the old copy to go", gone).await;
            drop(lock);
        };
        tokio::join!(async { write.await.unwrap() }, look);
        world.objects.purge_copies().await.unwrap();
    }
}
