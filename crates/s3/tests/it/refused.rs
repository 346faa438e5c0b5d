//! Accepted work that the store refuses, for a while or for ever: what it means for that work, and that it means nothing
//! for everything else.

use std::time::Duration;

use mainstay_journal::Entry;
use mainstay_runtime::Source;
use mainstay_s3::contract;
use mainstay_testkit::{Requests, S3, S3Mode, eventually, pause};

use crate::world::{World, is_accepted};

const SOON: Duration = Duration::from_secs(40);

fn refuse(requests: Requests, status: u16, code: &str) -> S3Mode {
    let code = code.to_owned();
    S3Mode::RefuseSome {
        requests,
        status,
        code,
    }
}

fn refuse_under(prefix: &str) -> S3Mode {
    S3Mode::Refuse {
        prefix: prefix.to_owned(),
        status: 403,
        code: "AccessDenied".to_owned(),
    }
}

/// A store whose breaker is open, with an object that has no local copy.
async fn down() -> (S3, World) {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        settings.copies_bytes = 0;
    })
    .await;
    world.until_closed().await;
    world.stored("there", "there").await;
    server.set(S3Mode::Internal).await;
    world.until_open().await;
    (server, world)
}

fn entries(world: &World) -> Vec<Entry> {
    world.objects.journal_entries(None, None, 100)
}

fn attempts(world: &World) -> u32 {
    entries(world).iter().map(|entry| entry.attempts).sum()
}

/// How often the breaker has opened or closed.
fn changes(world: &World) -> u64 {
    world.objects.guard().snapshot().generation
}

#[tokio::test]
async fn deletes_that_are_never_permitted_keep_nothing_else_from_the_store() {
    let (server, world) = down().await;
    for at in 0..10 {
        is_accepted(world.delete(&format!("kept/{at}")).await);
    }
    let no_deletes = || refuse(Requests::Deletes, 403, "AccessDenied");
    server.set(no_deletes()).await;
    world.until_closed().await;
    let before = changes(&world);
    eventually(SOON, "each to be tried again", async || {
        entries(&world).iter().all(|entry| entry.attempts >= 2)
    })
    .await;
    for at in 0..10 {
        world.stored(&format!("new/{at}"), "new").await;
        assert_eq!(world.get("there").await.unwrap().source, Source::Primary);
    }
    assert_eq!(changes(&world), before, "the breaker stays closed");
    assert!(world.set_aside().is_empty());

    // Their pauses are their own: an outage of the store that is over doesn't end them.
    eventually(SOON, "long pauses", async || {
        world.objects.drain_now(Duration::from_millis(100)).await;
        entries(&world).iter().all(|entry| entry.attempts >= 7)
    })
    .await;
    // What was begun ends.
    pause(Duration::from_secs(1)).await;
    let tried = attempts(&world);
    server.set(S3Mode::Internal).await;
    world.until_open().await;
    server.set(no_deletes()).await;
    world.until_closed().await;
    pause(Duration::from_millis(1500)).await;
    assert_eq!(attempts(&world), tried);
    // What replaces one of them need not wait for its turn.
    world.accepted("kept/0", "again").await;
    eventually(Duration::from_secs(20), "what replaces one", async || {
        server.content("kept/0").as_deref() == Some(b"again")
    })
    .await;
    server.set(S3Mode::Ok).await;
    assert_eq!(world.objects.drain_now(SOON).await, 0);
}

#[tokio::test]
async fn a_prefix_that_is_never_permitted_keeps_nothing_else_from_the_store() {
    let (server, world) = down().await;
    for at in 0..20 {
        world.accepted(&format!("poison/{at}"), "refused").await;
    }
    server.set(refuse_under("poison/")).await;
    world.until_closed().await;
    let before = changes(&world);
    eventually(SOON, "all to be set aside", async || {
        world.stored("new", "new").await;
        world.set_aside().len() == 20
    })
    .await;
    assert_eq!(changes(&world), before, "the breaker stays closed");
    assert!(entries(&world).iter().all(|entry| entry.attempts >= 3));
}

#[tokio::test]
async fn an_attempt_without_an_answer_does_not_begin_the_count_of_refusals_anew() {
    let server = S3::start().await;
    let world = World::that_stays_closed(&server).await;
    world.until_closed().await;
    server.set(refuse_under("poison")).await;
    world.accepted("poison", "refused").await;
    let tries = |wanted: u32| {
        let world = &world;
        async move {
            eventually(SOON, "attempts", async || {
                let tried = attempts(world);
                if tried < wanted {
                    world.objects.drain_now(Duration::from_millis(100)).await;
                }
                tried >= wanted
            })
            .await
        }
    };
    tries(2).await;
    server.set(S3Mode::Hang).await;
    tries(3).await;
    let last = entries(&world).remove(0);
    assert_eq!(
        last.last_error.as_deref(),
        Some("the store did not answer in time")
    );
    server.set(refuse_under("poison")).await;
    world.until_closed().await;
    tries(last.attempts + 1).await;
    assert_eq!(world.set_aside().len(), 1);
}

#[tokio::test]
async fn what_a_quota_leaves_no_room_for_waits_while_smaller_things_arrive() {
    for (status, code) in [
        (403, "QuotaExceeded"),
        (400, "XMinioAdminBucketQuotaExceeded"),
        (507, "XMinioStorageFull"),
    ] {
        let (server, world) = down().await;
        let large = contract::content(100_000);
        world.accepted("large", large.clone()).await;
        world.accepted("small", "small").await;
        let quota = refuse(Requests::Larger { than: 50_000 }, status, code);
        server.set(quota).await;
        world.until_closed().await;
        let before = changes(&world);
        eventually(SOON, "many attempts", async || {
            world.objects.drain_now(Duration::from_millis(100)).await;
            let all = entries(&world);
            all.len() == 1 && all[0].attempts >= 6
        })
        .await;
        // What comes now is accepted as well, and the store is used for all it can do.
        for at in 0..10 {
            world.accepted(&format!("more/{at}"), large.clone()).await;
            assert_eq!(world.get("there").await.unwrap().source, Source::Primary);
        }
        world.stored("another", "small").await;
        assert_eq!(
            changes(&world),
            before,
            "{status}: the breaker stays closed"
        );
        assert!(world.set_aside().is_empty(), "{status} {code}");
        server.set(S3Mode::Ok).await;
        assert_eq!(world.objects.drain_now(SOON).await, 0);
        assert!(server.content("large").as_deref() == Some(&large[..]));
    }
}

#[tokio::test]
async fn a_copy_that_is_refused_for_its_own_sake_gives_way_to_what_replaces_it() {
    let (server, world) = down().await;
    is_accepted(world.copy("there", "poison").await);
    server.set(refuse_under("poison")).await;
    world.until_closed().await;
    eventually(SOON, "an attempt", async || attempts(&world) > 0).await;
    world.accepted("poison", "later").await;
    eventually(SOON, "the copy to be given up", async || {
        world.objects.drain_now(Duration::from_millis(100)).await;
        entries(&world).iter().all(|entry| entry.kind != "copy")
    })
    .await;
    server.set(S3Mode::Ok).await;
    for entry in world.set_aside() {
        world.objects.retry_entry(entry.id).await.unwrap();
    }
    assert_eq!(world.objects.drain_now(SOON).await, 0);
    assert_eq!(server.content("poison").as_deref(), Some(&b"later"[..]));
}

#[tokio::test]
async fn a_copy_that_was_set_aside_after_refusals_gives_way_to_what_replaces_it() {
    let (server, world) = down().await;
    is_accepted(world.copy("there", "poison").await);
    server.set(refuse_under("poison")).await;
    world.until_closed().await;
    eventually(SOON, "the copy to be set aside", async || {
        world.objects.drain_now(Duration::from_millis(100)).await;
        world.set_aside().len() == 1
    })
    .await;
    server.set(S3Mode::Ok).await;
    world.accepted("poison", "later").await;
    assert_eq!(world.objects.drain_now(SOON).await, 0);
    assert_eq!(server.content("poison").as_deref(), Some(&b"later"[..]));
}

#[tokio::test]
async fn where_no_copy_is_permitted_or_known_copies_wait() {
    for (status, code) in [(403, "AccessDenied"), (501, "NotImplemented")] {
        let (server, world) = down().await;
        is_accepted(world.copy("there", "copied").await);
        is_accepted(world.copy("there", "replaced").await);
        server.set(refuse(Requests::Copies, status, code)).await;
        world.until_closed().await;
        eventually(SOON, "many attempts", async || {
            world.objects.drain_now(Duration::from_millis(100)).await;
            attempts(&world) >= 12 || !world.set_aside().is_empty()
        })
        .await;
        assert!(world.set_aside().is_empty(), "{status} {code}");
        // What replaces it need not wait for it.
        world.accepted("replaced", "later").await;
        eventually(SOON, "the later upload", async || {
            world.objects.drain_now(Duration::from_millis(100)).await;
            server.content("replaced").as_deref() == Some(b"later") && entries(&world).len() == 1
        })
        .await;
        server.set(S3Mode::Ok).await;
        assert_eq!(world.objects.drain_now(SOON).await, 0);
        assert_eq!(server.content("copied").as_deref(), Some(&b"there"[..]));
        let left = server.names(".mainstay");
        assert!(
            !left.iter().any(|name| name.starts_with("probe")),
            "{left:?}"
        );
    }
}
