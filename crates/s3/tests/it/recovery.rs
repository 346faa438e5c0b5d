//! How accepted work reaches the store when it is back.

use std::time::Duration;

use bytes::Bytes;
use mainstay_journal::State;
use mainstay_runtime::degradation::Level;
use mainstay_runtime::{ErrorKind, Source};
use mainstay_s3::{ListRequest, PART, Upload, contract};
use mainstay_testkit::{Leaves, Requests, S3, S3Mode, eventually, pause};

use crate::world::{World, is_accepted, patient, stays_closed};

async fn down() -> (S3, World) {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    server.kill().await;
    world.until_open().await;
    (server, world)
}

#[tokio::test]
async fn accepted_work_arrives_in_order_and_unharmed() {
    let (server, world) = down().await;
    let upload = Upload {
        content_type: Some("image/png".into()),
        ..Upload::default()
    };
    let large = contract::content(2 * PART + 17);
    is_accepted(contract::put_with(&world.objects, "large", &large, upload).await);
    for turn in 0..5 {
        for at in 0..10 {
            world
                .accepted(&format!("many/{at}"), format!("{at} in turn {turn}"))
                .await;
        }
    }
    world.accepted("empty", "").await;
    world.accepted("deleted", "for a moment").await;
    is_accepted(world.delete("deleted").await);
    is_accepted(world.delete("back").await);
    world.accepted("back", "again").await;

    server.restart().await;
    world.until_drained().await;
    let back = world.get("large").await.unwrap();
    assert_eq!(back.source, Source::Primary);
    assert!(back.value == large);
    let ctx = contract::context(&world.objects);
    let info = world
        .objects
        .head(&ctx, &contract::key("large"))
        .await
        .unwrap()
        .value;
    assert_eq!(info.content_type.as_deref(), Some("image/png"));
    for at in 0..10 {
        let one = world.get(&format!("many/{at}")).await.unwrap().value;
        assert_eq!(one, format!("{at} in turn 4"));
    }
    assert_eq!(world.get("empty").await.unwrap().value, "");
    assert_eq!(
        world.get("deleted").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(world.get("back").await.unwrap().value, "again");
}

#[tokio::test]
async fn what_later_work_replaces_is_not_uploaded() {
    let (server, world) = down().await;
    for turn in 0..30 {
        world.accepted("hot", format!("{turn}")).await;
    }
    server.restart().await;
    world.until_drained().await;
    assert_eq!(world.get("hot").await.unwrap().value, "29");
    let requests = server.requests().await;
    assert!(
        requests < 25,
        "{requests} requests for one upload of thirty, and some probes"
    );
}

#[tokio::test]
async fn a_new_object_costs_the_store_one_upload_and_one_look_at_it() {
    const UPLOADS: u64 = 100;
    let (server, world) = down().await;
    for at in 0..UPLOADS {
        world.accepted(&format!("new/{at}"), "one").await;
    }
    server.restart().await;
    world.until_drained().await;
    let requests = server.requests().await;
    assert!(
        (2 * UPLOADS..3 * UPLOADS).contains(&requests),
        "{requests} requests for {UPLOADS} uploads, and probes"
    );
}

#[tokio::test]
async fn accepted_work_survives_the_process() {
    let (server, world) = down().await;
    let large = contract::content(PART + 1);
    world.accepted("large", large.clone()).await;
    world.accepted("small", "small").await;
    is_accepted(world.delete("gone").await);
    let world = world.reopen().await;
    assert!(world.get("large").await.unwrap().value == large);
    assert_eq!(world.get("small").await.unwrap().source, Source::Journal);
    assert_eq!(
        world.get("gone").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    server.restart().await;
    world.until_drained().await;
    assert!(world.get("large").await.unwrap().value == large);
    assert_eq!(world.get("small").await.unwrap().value, "small");
}

#[tokio::test]
async fn an_accepted_copy_is_of_its_source_as_it_was() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.stored("source", "before").await;
    server.kill().await;
    world.until_open().await;
    is_accepted(world.copy("source", "copy").await);
    is_accepted(world.copy("copy", "copy of copy").await);
    world.accepted("source", "after").await;
    world.accepted("copy", "other").await;
    is_accepted(world.copy("source", "late").await);
    let contents = [
        ("source", "after"),
        ("copy", "other"),
        ("copy of copy", "before"),
        ("late", "after"),
    ];
    for (name, content) in contents {
        assert_eq!(
            world.get(name).await.unwrap().value,
            content,
            "{name} while down"
        );
    }
    let world = world.reopen().await;
    for (name, content) in contents {
        assert_eq!(
            world.get(name).await.unwrap().value,
            content,
            "{name} after a restart"
        );
    }
    server.restart().await;
    world.until_drained().await;
    for (name, content) in contents {
        let read = world.get(name).await.unwrap();
        assert_eq!(
            (read.value, read.source),
            (Bytes::from(content), Source::Primary),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_copy_that_is_made_while_it_is_read_is_not_what_its_source_became() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        patient(settings);
        settings.copies_bytes = 0;
    })
    .await;
    world.stored("source", "before").await;
    server.kill().await;
    world.until_open().await;
    is_accepted(world.copy("source", "copy").await);
    world.accepted("source", "after").await;
    server.restart().await;
    let prefix = "source".to_owned();
    server.set(S3Mode::OvertakenReads { prefix }).await;
    let mut read = None;
    eventually(
        Duration::from_secs(30),
        "the copy can be read",
        async || {
            read = world.get("copy").await.ok();
            read.is_some()
        },
    )
    .await;
    assert_eq!(read.expect("it was read").value, "before");
    world.until_drained().await;
    assert_eq!(server.content("source").as_deref(), Some(&b"after"[..]));
}

#[tokio::test]
async fn nothing_is_copied_from_what_was_deleted() {
    let (_server, world) = down().await;
    is_accepted(world.delete("source").await);
    assert_eq!(
        world.copy("source", "copy").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
}

#[tokio::test]
async fn a_write_behind_accepted_work_waits_its_turn() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    server.set(S3Mode::Internal).await;
    world.until_open().await;
    world.accepted("key", "first").await;
    server.set(S3Mode::Slow { ms: 300 }).await;
    world.until_closed().await;
    for turn in 0..10 {
        // Accepted or stored, the last one wins.
        world.put("key", format!("{turn}")).await.unwrap();
        assert_eq!(world.get("key").await.unwrap().value, format!("{turn}"));
    }
    server.set(S3Mode::Ok).await;
    world.until_drained().await;
    assert_eq!(world.get("key").await.unwrap().value, "9");
}

#[tokio::test]
async fn what_the_store_will_never_take_is_set_aside_and_kept() {
    let (server, world) = down().await;
    // The source was never there: only the store knows.
    is_accepted(world.copy("never", "one").await);
    is_accepted(world.copy("never", "two").await);
    world.accepted("other", "other").await;
    server.restart().await;
    let set_aside = || {
        world
            .objects
            .journal_entries(Some(State::SetAside), None, 10)
    };
    eventually(
        Duration::from_secs(20),
        "both copies to be set aside",
        async || set_aside().len() == 2 && world.objects.journal_stats().entries == 2,
    )
    .await;
    assert_eq!(world.get("other").await.unwrap().source, Source::Primary);
    let [one, two] = <[_; 2]>::try_from(set_aside()).unwrap();
    assert!(one.last_error.unwrap().contains("`never`"));

    // What comes after it is read, and takes its place.
    world.accepted("one", "behind").await;
    assert_eq!(world.get("one").await.unwrap().value, "behind");
    world.objects.discard_entry(two.id).await.unwrap();
    let again = world.objects.discard_entry(two.id).await.unwrap_err();
    assert_eq!(again.kind, ErrorKind::NotFound);
    assert_eq!(world.objects.drain_now(Duration::from_secs(20)).await, 0);
    let back = world.get("one").await.unwrap();
    assert_eq!(
        (back.value, back.source),
        (Bytes::from("behind"), Source::Primary)
    );
}

#[tokio::test]
async fn what_the_store_refuses_for_its_own_sake_is_set_aside_and_its_neighbours_are_not() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    for (status, code) in [
        (400, "EntityTooLarge"),
        (403, "AccessDenied"),
        (400, "KeyTooLongError"),
        (405, "MethodNotAllowed"),
        // By something in between, which has no code.
        (400, ""),
        (403, ""),
        (404, ""),
    ] {
        server.set(S3Mode::Internal).await;
        world.until_open().await;
        let poison = format!("poison/{status}{code}");
        world.accepted(&poison, "refused").await;
        world.accepted(&poison, "behind it").await;
        let neighbour = format!("fine/{status}{code}");
        world.accepted(&neighbour, "fine").await;
        let prefix = "poison/".to_owned();
        let code = code.to_owned();
        server
            .set(S3Mode::Refuse {
                prefix,
                status,
                code,
            })
            .await;
        eventually(Duration::from_secs(30), "one to be set aside", async || {
            world.objects.drain_now(Duration::from_millis(100)).await;
            world.set_aside().len() == 1
        })
        .await;
        let one = world.set_aside().pop().unwrap();
        assert_eq!(one.key, poison);
        assert!(one.attempts >= 3, "{one:?}");
        let at = world.get(&neighbour).await.unwrap().source;
        assert_eq!(at, Source::Primary);
        assert_eq!(
            world.objects.journal_stats().entries,
            1,
            "the first is replaced by the one behind it"
        );
        server.set(S3Mode::Ok).await;
        world.objects.retry_entry(one.id).await.unwrap();
        world.until_drained().await;
        assert_eq!(world.get(&poison).await.unwrap().value, "behind it");
    }
}

#[tokio::test]
async fn an_outage_during_the_drain_loses_nothing() {
    let (server, world) = down().await;
    for at in 0..40 {
        world
            .accepted(&format!("many/{at:02}"), contract::content(20_000 + at))
            .await;
    }
    server.restart().await;
    eventually(Duration::from_secs(20), "some to arrive", async || {
        world.objects.journal_stats().entries < 30
    })
    .await;
    server.kill().await;
    world.until_open().await;
    server.restart().await;
    world.until_drained().await;
    for at in 0..40 {
        let back = world.get(&format!("many/{at:02}")).await.unwrap();
        assert!(back.value == contract::content(20_000 + at), "{at}");
    }
}

#[tokio::test]
async fn lists_are_whole_while_the_drain_runs() {
    let (server, world) = down().await;
    let names: Vec<String> = (0..120).map(|at| format!("many/{at:03}")).collect();
    for name in &names {
        world.accepted(name, name.clone()).await;
    }
    server.restart().await;
    world.until_closed().await;
    let mut walks = 0;
    while world.objects.journal_stats().entries > 0 {
        let (mut seen, mut after) = (Vec::new(), None::<String>);
        loop {
            let page = contract::list(&world.objects, "many/", after.as_deref(), 50).await;
            let page = page.unwrap().value;
            seen.extend(page.objects.into_iter().map(|listed| listed.key));
            after = page.next_after;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(seen, names);
        walks += 1;
    }
    assert!(walks > 1, "the drain was over before anybody looked");
}

#[tokio::test]
async fn the_drain_takes_as_many_at_once_as_the_levels_batch_multiplier_says() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        patient(settings);
        settings.breaker.ramp = None;
    })
    .await;
    world.until_closed().await;
    server.set(S3Mode::Internal).await;
    world.until_open().await;
    for at in 0..150 {
        world.accepted(&format!("many/{at}"), "one").await;
    }
    server.set(S3Mode::Slow { ms: 400 }).await;
    for (level, places) in [
        (Level::Optimal, 8),
        (Level::Limited, 4),
        (Level::Minimal, 2),
        (Level::Emergency, 1),
        (Level::Degraded, 6),
    ] {
        world.pin(level).await;
        let soon = Duration::from_secs(20);
        eventually(soon, &format!("{places} at {level}"), async || {
            // What was begun at the level before has ended then.
            pause(Duration::from_millis(450)).await;
            server.under_way("many/").await == places
        })
        .await;
        for _ in 0..40 {
            pause(Duration::from_millis(25)).await;
            let now = server.under_way("many/").await;
            assert!(now <= places, "{now} at {level}, and should be {places}");
        }
    }
    assert!(
        world.objects.journal_stats().entries > 0,
        "it was drained too soon to tell"
    );
}

#[tokio::test]
async fn a_flush_gives_up_at_once_while_the_store_is_down() {
    let (_server, world) = down().await;
    world.accepted("a", "a").await;
    let clock = world.objects.guard().clock();
    let started = clock.now();
    assert_eq!(world.objects.drain_now(Duration::from_secs(30)).await, 1);
    assert!(clock.now().saturating_since(started) < Duration::from_secs(10));
}

#[tokio::test]
async fn local_copies_follow_what_the_store_was_given() {
    let (server, world) = down().await;
    world.accepted("a", "from the journal").await;
    server.restart().await;
    world.until_drained().await;
    server.kill().await;
    world.until_open().await;
    let kept = world.get("a").await.unwrap();
    assert_eq!(
        (kept.value, kept.source),
        (Bytes::from("from the journal"), Source::Cache)
    );
    assert!(kept.age.unwrap() < Duration::from_secs(60));
}

#[tokio::test]
async fn a_store_that_cuts_uploads_short_is_not_believed_the_second_time_either() {
    let (server, world) = down().await;
    world.accepted("a.txt", "all of it").await;
    server.restart().await;
    server
        .set(S3Mode::Spoil {
            prefix: "a.txt".into(),
            leaves: Leaves::Half,
        })
        .await;
    eventually(Duration::from_secs(30), "it is set aside", async || {
        world.set_aside().len() == 1
    })
    .await;
    assert_eq!(world.get("a.txt").await.unwrap().value, "all of it");
}

#[tokio::test]
async fn nothing_overtakes_what_is_on_its_way_into_the_journal_though_its_caller_has_left() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.stored("source", "before").await;
    server.kill().await;
    world.until_open().await;
    let lock = world.lock_journal();
    let patience = Duration::from_millis(300);
    let first = tokio::time::timeout(patience, world.put("key", "first"));
    assert!(first.await.is_err(), "its caller leaves");
    let copy = tokio::time::timeout(patience, world.copy("source", "copy"));
    assert!(copy.await.is_err(), "its caller leaves");
    server.restart().await;
    world.until_closed().await;
    tokio::join!(
        world.accepted("key", "second"),
        world.accepted("source", "after"),
        async { drop(lock) }
    );
    world.until_drained().await;
    for (name, content) in [("key", "second"), ("source", "after"), ("copy", "before")] {
        assert_eq!(server.content(name).as_deref(), Some(content.as_bytes()));
    }
}

#[tokio::test]
async fn what_a_copy_without_a_source_would_have_replaced_is_still_read() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        settings.copies_bytes = 0;
    })
    .await;
    world.until_closed().await;
    world.stored("there", "old").await;
    server.kill().await;
    world.until_open().await;
    is_accepted(world.copy("nowhere", "there").await);
    server.restart().await;
    let soon = Duration::from_secs(20);
    eventually(soon, "the copy to be set aside", async || {
        world.set_aside().len() == 1
    })
    .await;
    let answer = world.get("there").await.unwrap();
    assert_eq!(
        (answer.value, answer.source),
        ("old".into(), Source::Primary)
    );
    let ctx = contract::context(&world.objects);
    let list = ListRequest {
        prefix: "there".into(),
        after: None,
        limit: 10,
    };
    let page = world.objects.list(&ctx, &list).await.unwrap().value;
    assert_eq!(page.objects[0].size, Some(3));
}

#[tokio::test]
async fn a_copy_without_a_source_gives_way_to_what_comes_later_and_when_nobody_reads_it_any_more() {
    let (server, world) = down().await;
    is_accepted(world.copy("nowhere", "read").await);
    is_accepted(world.copy("read", "reader").await);
    world.accepted("read", "later").await;
    world.accepted("reader", "later").await;
    is_accepted(world.copy("nowhere", "alone").await);
    server.restart().await;
    let soon = Duration::from_secs(20);
    let content = |key| server.content(key).as_deref() == Some(b"later");
    eventually(soon, "what replaces those", async || {
        content("read") && content("reader") && world.set_aside().len() == 1
    })
    .await;
    world.accepted("alone", "later").await;
    eventually(soon, "the upload", async || content("alone")).await;
    world.until_drained().await;
}

#[tokio::test]
async fn a_large_copy_gets_the_time_that_it_takes() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        stays_closed(settings);
        (settings.first_byte, settings.idle) = (Duration::from_secs(2), Duration::from_secs(2));
    })
    .await;
    world.until_closed().await;
    let large = 36 << 20;
    let patient = World::patient(&server).await;
    patient.stored("large", vec![b'x'; large]).await;
    let (requests, ms) = (Requests::Copies, 3300);
    server.set(S3Mode::SlowSome { requests, ms }).await;
    is_accepted(world.copy("large", "copied").await);
    world.until_drained().await;
    let copied = server.content("copied");
    assert_eq!(copied.map(|copied| copied.len()), Some(large));
}

#[tokio::test]
async fn after_a_restart_a_copy_of_a_copy_gives_way_as_before() {
    let (server, world) = down().await;
    is_accepted(world.copy("nowhere", "between").await);
    is_accepted(world.copy("between", "last").await);
    server.restart().await;
    let soon = Duration::from_secs(20);
    eventually(soon, "the first to be set aside", async || {
        world.set_aside().len() == 1
    })
    .await;
    let world = world.reopen().await;
    world.accepted("last", "later").await;
    eventually(soon, "what replaces the second", async || {
        let is_there = server.content("last").as_deref() == Some(b"later");
        is_there && world.objects.journal_stats().entries == 1
    })
    .await;
}

#[tokio::test]
async fn a_copy_that_was_set_aside_holds_up_neither_its_source_nor_other_keys() {
    let (server, world) = down().await;
    is_accepted(world.copy("nowhere", "copy").await);
    for n in 0..100 {
        is_accepted(world.copy("copy", &format!("copy of copy {n}")).await);
    }
    world.accepted("other", "content").await;
    server.restart().await;
    let waiting = || {
        let state = Some(State::Queued);
        world.objects.journal_entries(state, None, 200)
    };
    let soon = Duration::from_secs(20);
    eventually(soon, "another key arrives", async || {
        let entries = world.objects.journal_stats().entries;
        entries == 101 && waiting().len() == 100 && world.set_aside().len() == 1
    })
    .await;
    assert!(server.content("other").is_some());
    world.stored("nowhere", "something").await;
    let waiting = waiting();
    assert!(
        waiting.iter().all(|e| e.attempts == 0),
        "to wait is no attempt"
    );
    let commits = world.objects.journal().stats().commits;
    pause(Duration::from_secs(1)).await;
    assert_eq!(
        world.objects.journal().stats().commits,
        commits,
        "to wait takes nothing of the disk"
    );
}
