//! Limits: of objects, of the journal, of callers.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use mainstay_runtime::{ErrorKind, Source};
use mainstay_s3::{Condition, PART, Upload, contract};
use mainstay_testkit::{S3, S3Mode};
use tokio::sync::Notify;

use crate::world::{World, is_accepted, patient, stays_closed};

#[tokio::test]
async fn an_object_that_is_too_large_is_refused_while_it_arrives() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        patient(settings);
        settings.max_object = PART as u64 + 10;
    })
    .await;
    world.stored("most", contract::content(PART + 10)).await;
    for upload in [
        Upload::default(),
        Upload {
            length: Some(PART as u64 + 11),
            ..Upload::default()
        },
    ] {
        let refused = contract::put_with(
            &world.objects,
            "more",
            &contract::content(PART + 11),
            upload,
        )
        .await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::TooLarge);
    }
    assert_eq!(
        world.get("more").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(world.objects.guard().snapshot().failures_in_row, 0);
}

#[tokio::test]
async fn a_full_journal_refuses_and_drops_nothing() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |_, journal| {
        journal.max_entries = 3
    })
    .await;
    world.until_closed().await;
    server.kill().await;
    world.until_open().await;
    for at in 0..3 {
        world.accepted(&format!("{at}"), "x").await;
    }
    let full = world.put("3", "x").await.unwrap_err();
    assert_eq!(full.kind, ErrorKind::JournalFull);
    assert!(full.retry_after.is_some() && full.retryable);
    assert_eq!(
        world.delete("0").await.unwrap_err().kind,
        ErrorKind::JournalFull
    );
    assert_eq!(world.get("0").await.unwrap().source, Source::Journal);
    server.restart().await;
    world.until_drained().await;
    world.stored("3", "x").await;
}

#[tokio::test]
async fn what_the_store_may_have_done_is_never_called_refused() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, journal| {
        let patience = std::time::Duration::from_secs(3);
        (settings.first_byte, settings.idle) = (patience, patience);
        stays_closed(settings);
        journal.max_entries = 1;
    })
    .await;
    world.until_closed().await;
    world.stored("there", "there").await;
    world.stored("source", "source").await;
    world.stored("fills/it", "x").await;
    let refuse = |status, code: &str| S3Mode::Refuse {
        prefix: "fills/".into(),
        status,
        code: code.into(),
    };
    server.set(refuse(403, "AccessDenied")).await;
    world.accepted("fills/it", "the journal").await;

    server.set(S3Mode::Slow { ms: 20_000 }).await;
    let large = contract::content(PART + 1);
    let (put, delete, copy, begun) = tokio::join!(
        world.put("new", "new"),
        world.delete("there"),
        world.copy("source", "copied"),
        world.put("large", large.clone()),
    );
    for (name, ended) in [("put", put), ("delete", delete), ("copy", copy)] {
        let error = ended.unwrap_err();
        assert_eq!(error.kind, ErrorKind::OutcomeUnknown, "{name}: {error}");
    }
    assert_eq!(server.content("new").as_deref(), Some(&b"new"[..]));
    assert_eq!(server.content("there"), None);
    assert_eq!(server.content("copied").as_deref(), Some(&b"source"[..]));
    let error = begun.unwrap_err();
    assert_eq!(error.kind, ErrorKind::JournalFull, "nobody sees a part");
    assert_eq!(server.content("large"), None);

    server.kill().await;
    for ended in [
        world.put("never", "x").await,
        world.put("never", large).await,
        world.delete("source").await,
        world.copy("source", "never").await,
    ] {
        let error = ended.unwrap_err();
        assert_eq!(error.kind, ErrorKind::JournalFull, "{error}");
    }
}

#[tokio::test]
async fn a_journal_without_room_does_not_hinder_an_upload_that_the_store_takes() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, journal| {
        patient(settings);
        journal.max_bytes = 1000;
    })
    .await;
    let content = contract::content(2 * PART);
    world.stored("large", content.clone()).await;
    assert!(world.get("large").await.unwrap().value == content);
}

#[tokio::test]
async fn an_upload_without_room_in_memory_goes_to_the_journal_and_a_small_one_needs_none() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        settings.upload_memory = PART as u64;
        settings.first_byte = std::time::Duration::from_secs(2);
    })
    .await;
    world.until_closed().await;
    let (asked, goes_on) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let slow = stream::unfold(0, {
        let (asked, goes_on) = (asked.clone(), goes_on.clone());
        move |step| {
            let (asked, goes_on) = (asked.clone(), goes_on.clone());
            async move {
                if step == 1 {
                    asked.notify_one();
                    goes_on.notified().await;
                }
                (step < 2).then(|| (Ok::<_, &str>(contract::content(PART / 2)), step + 1))
            }
        }
    });
    let others = async {
        asked.notified().await;
        world.stored("small", "x").await;
        world.accepted("large", contract::content(PART)).await;
        let only_new = Upload {
            condition: Condition::Absent,
            ..Upload::default()
        };
        let content = contract::content(PART / 2 + 1);
        let refused = contract::put_with(&world.objects, "new", &content, only_new).await;
        let refused = refused.unwrap_err();
        assert_eq!(refused.kind, ErrorKind::Busy);
        assert!(refused.retryable && refused.retry_after.is_some());
        goes_on.notify_one();
    };
    let (ctx, key, upload) = (
        contract::context(&world.objects),
        contract::key("slow"),
        Upload::default(),
    );
    let (slow, ()) = tokio::join!(world.objects.put(&ctx, &key, slow, &upload), others);
    assert_eq!(slow.unwrap().source, Source::Primary);
    world.stored("new", contract::content(PART)).await;
    world.until_drained().await;
    assert_eq!(
        server.content("large"),
        Some(contract::content(PART).into())
    );
}

#[tokio::test]
async fn a_caller_that_breaks_off_leaves_nothing_also_while_the_store_is_down() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    server.kill().await;
    world.until_open().await;
    let ctx = contract::context(&world.objects);
    for size in [10, PART + 10] {
        let broken = stream::iter([Ok(contract::content(size)), Err("gone")]);
        let refused = world
            .objects
            .put(&ctx, &contract::key("a"), broken, &Upload::default())
            .await;
        assert_eq!(refused.unwrap_err().kind, ErrorKind::MalformedInput);
    }
    assert_eq!(world.objects.journal_stats().entries, 0);
    assert_eq!(
        world.get("a").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
}

#[tokio::test]
async fn an_upload_that_its_caller_drops_leaves_nothing() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    let ctx = contract::context(&world.objects);
    let endless = stream::unfold((), |()| async {
        tokio::task::yield_now().await;
        Some((Ok::<_, &str>(Bytes::from_static(&[1; 65_536])), ()))
    });
    let (key, upload) = (contract::key("dropped"), Upload::default());
    let put = world.objects.put(&ctx, &key, endless, &upload);
    let clock = world.objects.guard().clock();
    let ended = clock
        .until(clock.now() + std::time::Duration::from_millis(300), put)
        .await;
    assert!(ended.is_err(), "it is endless");
    assert_eq!(
        world.get("dropped").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(world.objects.journal_stats().entries, 0);
}

#[tokio::test]
async fn long_lists_are_right_under_much_accepted_work() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    for at in (0..30).step_by(2) {
        world.stored(&format!("list/{at:02}"), "x").await;
    }
    server.kill().await;
    world.until_open().await;
    for at in (1..30).step_by(2) {
        world.accepted(&format!("list/{at:02}"), "xx").await;
    }
    for at in (0..30).step_by(4) {
        is_accepted(world.delete(&format!("list/{at:02}")).await);
    }
    let expected: Vec<_> = (0..30)
        .filter(|at| at % 4 != 0)
        .map(|at| format!("list/{at:02}"))
        .collect();
    let pages = async || {
        let (mut seen, mut after) = (Vec::new(), None);
        loop {
            let page = contract::list(&world.objects, "list/", after.as_deref(), 4)
                .await
                .ok()?
                .value;
            seen.extend(page.objects.into_iter().map(|l| l.key));
            after = page.next_after;
            if after.is_none() {
                return Some(seen);
            }
        }
    };
    assert_eq!(pages().await, None, "this was never listed before");
    server.restart().await;
    // While the drain works and after it, every list is the same.
    loop {
        let before = world.objects.journal_stats().entries;
        if let Some(seen) = pages().await {
            assert_eq!(seen, expected, "with {before} entries to bring");
            if before == 0 {
                break;
            }
        }
        tokio::task::yield_now().await;
    }
}
