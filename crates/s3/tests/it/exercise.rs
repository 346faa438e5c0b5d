//! While all is well, local copies are compared with the store.

use std::time::Duration;

use bytes::Bytes;
use mainstay_runtime::Exercised;
use mainstay_s3::contract;
use mainstay_testkit::{S3, eventually};

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
    ours.exercise_every_read().await;
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
