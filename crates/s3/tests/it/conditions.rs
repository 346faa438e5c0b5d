//! Finding out whether a store honours conditions on writes.

use std::time::Duration;

use mainstay_testkit::{S3, S3Mode, eventually};

use crate::world::World;

const SOON: Duration = Duration::from_secs(30);

/// Waits until trials have left nothing in the bucket.
async fn tidied(server: &S3) {
    let tidy = async || server.names(".mainstay").is_empty();
    eventually(SOON, "the trials' objects to be gone", tidy).await;
}

#[tokio::test]
async fn trials_of_several_processes_at_once_do_not_spoil_each_other() {
    let server = S3::start().await;
    server.set(S3Mode::Slow { ms: 50 }).await;
    let mut worlds = Vec::new();
    for _ in 0..6 {
        worlds.push(World::patient(&server).await);
    }
    let found_out = async || {
        let mut all = worlds.iter();
        all.all(|world| world.objects.conditional_writes().is_some())
    };
    eventually(SOON, "all to know", found_out).await;
    for world in &worlds {
        assert_eq!(world.objects.conditional_writes(), Some(true));
    }
    tidied(&server).await;
}

#[tokio::test]
async fn a_trial_that_hangs_ends_and_a_later_probe_tries_again() {
    let server = S3::start().await;
    server.set(S3Mode::HangWrites).await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        settings.idle = Duration::from_secs(2);
    })
    .await;
    // A probe's list, and the trial's first put.
    let hangs = async || server.requests().await >= 2;
    eventually(SOON, "a trial to hang", hangs).await;
    assert_eq!(world.objects.conditional_writes(), None);
    // Probes are frequent after an outage.
    server.set(S3Mode::Internal).await;
    world.until_open().await;
    server.set(S3Mode::Ok).await;
    let knows = async || world.objects.conditional_writes() == Some(true);
    eventually(SOON, "a later probe to find it out", knows).await;
    tidied(&server).await;
}

#[tokio::test]
async fn a_store_that_ignores_conditions_twice_is_known_for_it() {
    let server = S3::start().await;
    let times = u64::MAX;
    server.set(S3Mode::IgnoreConditions { times }).await;
    let world = World::patient(&server).await;
    let said = world.objects.check().await.unwrap();
    assert!(said.contains("ignored"), "{said}");
    assert_eq!(world.objects.conditional_writes(), Some(false));
}

#[tokio::test]
async fn one_bad_moment_does_not_make_a_good_store_look_bad() {
    let server = S3::start().await;
    server.set(S3Mode::IgnoreConditions { times: 2 }).await;
    let world = World::patient(&server).await;
    let knows = async || {
        let said = world.objects.check().await.unwrap();
        assert!(!said.contains("ignored"), "{said}");
        world.objects.conditional_writes() == Some(true)
    };
    eventually(SOON, "a second trial", knows).await;
}
