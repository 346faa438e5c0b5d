//! What each operation answers while the store is down, and how soon.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mainstay_runtime::breaker::{FailureKind, State};
use mainstay_runtime::{ErrorKind, Source, Status};
use mainstay_s3::{ByteRange, Condition, PART, Upload, contract};
use mainstay_testkit::{Fault, FaultProxy, Requests, S3, S3Mode, eventually};

use crate::world::{World, is_accepted};

/// How soon anything is answered once the breaker is open.
const AT_ONCE: Duration = Duration::from_millis(500);

#[tokio::test]
async fn it_starts_while_the_store_is_down_and_takes_it_up_when_it_appears() {
    let server = S3::start().await;
    server.kill().await;
    let world = World::of(&server).await;
    let unknown = world.get("a").await.unwrap_err();
    assert_eq!(unknown.kind, ErrorKind::Unavailable);
    world.accepted("a", "early").await;
    server.restart().await;
    world.until_drained().await;
    let back = world.get("a").await.unwrap();
    assert_eq!(
        (back.value, back.source),
        (Bytes::from("early"), Source::Primary)
    );
}

#[tokio::test]
async fn what_was_accepted_is_read_listed_and_deleted_at_once() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    for name in ["in/old", "in/gone", "in/replaced"] {
        world.stored(name, format!("old {name}")).await;
    }
    assert_eq!(
        world.keys("in/").await,
        ["in/gone", "in/old", "in/replaced"]
    );
    server.kill().await;
    world.until_open().await;

    world.accepted("in/new", "new").await;
    world.accepted("in/replaced", "replaced").await;
    is_accepted(world.delete("in/gone").await);
    is_accepted(world.delete("in/never").await);
    world.accepted("in/brief", "brief").await;
    is_accepted(world.delete("in/brief").await);

    for (name, content) in [("in/new", "new"), ("in/replaced", "replaced")] {
        let read = world.get(name).await.unwrap();
        assert_eq!(
            (read.value, read.source),
            (Bytes::from(content), Source::Journal)
        );
    }
    let part = contract::get(&world.objects, "in/replaced", Some(ByteRange::Last(3)))
        .await
        .unwrap();
    assert_eq!(part.value, "ced");
    for name in ["in/gone", "in/never", "in/brief"] {
        assert_eq!(
            world.get(name).await.unwrap_err().kind,
            ErrorKind::NotFound,
            "{name}"
        );
    }
    let old = world.get("in/old").await.unwrap();
    assert_eq!(
        (old.value, old.source),
        (Bytes::from("old in/old"), Source::Cache)
    );
    assert!(old.age.is_some());

    let listed = contract::list(&world.objects, "in/", None, 1000)
        .await
        .unwrap();
    assert_eq!(
        contract::keys(&listed.value),
        ["in/new", "in/old", "in/replaced"]
    );
    assert_eq!(listed.source, Source::Cache);
    assert!(listed.age.is_some());
    let replaced = &listed.value.objects[2];
    assert_eq!(replaced.size, Some(8));
}

#[tokio::test]
async fn an_outage_is_never_taken_for_absence() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    let ctx = contract::context(&world.objects);
    world.until_closed().await;
    server.kill().await;
    for _ in 0..8 {
        let asked = world.get("unknown").await.unwrap_err();
        assert_eq!(asked.kind, ErrorKind::Unavailable);
        let asked = world
            .objects
            .head(&ctx, &contract::key("unknown"))
            .await
            .unwrap_err();
        assert_eq!(asked.kind, ErrorKind::Unavailable);
        let asked = contract::list(&world.objects, "unknown", None, 10)
            .await
            .unwrap_err();
        assert_eq!(asked.kind, ErrorKind::Unavailable);
    }
    assert_eq!(world.objects.guard().state(), State::Open);
    assert!(
        world
            .get("unknown")
            .await
            .unwrap_err()
            .retry_after
            .is_some()
    );
}

#[tokio::test]
async fn once_the_breaker_is_open_everything_answers_at_once() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.stored("kept", "kept").await;
    contract::list(&world.objects, "", None, 10).await.unwrap();
    server.stop().await;
    world.until_open().await;
    let clock = world.objects.guard().clock();
    let started = clock.now();
    let all = async {
        assert_eq!(world.get("kept").await.unwrap().source, Source::Cache);
        assert_eq!(
            world.get("unknown").await.unwrap_err().kind,
            ErrorKind::Unavailable
        );
        world.accepted("new", "new").await;
        is_accepted(world.copy("new", "newer").await);
        is_accepted(world.delete("kept").await);
        let listed = contract::list(&world.objects, "", None, 10).await.unwrap();
        assert_eq!(contract::keys(&listed.value), ["new", "newer"]);
    };
    all.await;
    let took = clock.now().saturating_since(started);
    assert!(took < 6 * AT_ONCE, "{took:?} for six operations");
}

#[tokio::test]
async fn a_frozen_store_keeps_nobody_longer_than_the_deadline() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.stored("kept", "kept").await;
    server.stop().await;
    let clock = world.objects.guard().clock();
    let started = clock.now();
    let read = world.get("kept").await.unwrap();
    assert_eq!(read.source, Source::Cache);
    let took = clock.now().saturating_since(started);
    assert!(
        took < Duration::from_secs(6),
        "the time to the first byte is 2 s, this took {took:?}"
    );
    world.accepted("written", "written").await;
    world.until_open().await;
    server.cont();
    world.until_drained().await;
    assert_eq!(world.get("written").await.unwrap().source, Source::Primary);
}

#[tokio::test]
async fn an_overloaded_store_is_left_alone_for_as_long_as_it_asks() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    server
        .set(S3Mode::SlowDown {
            retry_after: Some(2),
        })
        .await;
    world.until_open().await;
    let snapshot = world.objects.guard().snapshot();
    assert_eq!(snapshot.last_failure.unwrap().kind, FailureKind::Overload);
    assert!(world.objects.guard().retry_after().unwrap() > Duration::from_millis(300));
    let asked = world.get("unknown").await.unwrap_err();
    assert_eq!(asked.kind, ErrorKind::Unavailable);
    world.accepted("a", "a").await;
    server.set(S3Mode::Ok).await;
    world.until_drained().await;
}

#[tokio::test]
async fn refused_credentials_open_the_breaker_and_say_so() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    server.set(S3Mode::Forbidden).await;
    let asked = world.get("a").await.unwrap_err();
    assert_eq!(asked.kind, ErrorKind::Unavailable);
    assert!(
        asked.detail.contains("local copy") || asked.detail.contains("credentials"),
        "{asked}"
    );
    world.accepted("a", "a").await;
    world.until_open().await;
    let snapshot = world.objects.guard().snapshot();
    assert_eq!(snapshot.last_failure.unwrap().kind, FailureKind::Config);
    assert!(
        world
            .objects
            .check()
            .await
            .unwrap_err()
            .detail
            .contains("access_key_id")
    );
    server.set(S3Mode::Ok).await;
    world.until_drained().await;
    assert!(world.objects.check().await.unwrap().contains("honoured"));
}

#[tokio::test]
async fn a_missing_bucket_is_no_missing_object() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        if let mainstay_s3::Target::S3(target) = &mut settings.target {
            target.bucket = "no-such-bucket".into();
        }
    })
    .await;
    let ctx = contract::context(&world.objects);
    assert_eq!(
        world.get("a").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    let head = world.objects.head(&ctx, &contract::key("a")).await;
    assert_eq!(head.unwrap_err().kind, ErrorKind::Unavailable);
    world.until_open().await;
    is_accepted(world.delete("a").await);
    assert!(
        world
            .objects
            .check()
            .await
            .unwrap_err()
            .detail
            .contains("bucket")
    );
}

#[tokio::test]
async fn somebody_elses_404_is_no_missing_object_and_no_delete() {
    let server = S3::start().await;
    let world = World::that_stays_closed(&server).await;
    world.until_closed().await;
    world.stored("there", "there").await;
    world.stored("unwanted", "unwanted").await;
    assert_eq!(world.get("there").await.unwrap().source, Source::Primary);
    server.set(S3Mode::Internal).await;
    is_accepted(world.delete("unwanted").await);

    server.set(S3Mode::Foreign { status: 404 }).await;
    for _ in 0..5 {
        world.objects.drain_now(Duration::from_millis(200)).await;
        let ctx = contract::context(&world.objects);
        let head = world.objects.head(&ctx, &contract::key("there")).await;
        assert_eq!(head.unwrap().source, Source::Cache);
        let there = world.get("there").await.unwrap();
        assert_eq!(
            (there.value, there.source),
            (Bytes::from("there"), Source::Cache)
        );
        let never = world.get("never").await.unwrap_err();
        assert_eq!(never.kind, ErrorKind::Unavailable);
        assert_eq!(world.objects.journal_stats().entries, 1);
    }
    is_accepted(world.delete("there").await);
    is_accepted(world.copy("other", "copied").await);
    is_accepted(world.put("new", "new").await);
    assert!(world.set_aside().is_empty());
    assert!(server.content("unwanted").is_some());

    server.set(S3Mode::Ok).await;
    eventually(
        Duration::from_secs(30),
        "the deletes to be done",
        async || {
            world.objects.drain_now(Duration::from_millis(200)).await;
            server.content("unwanted").is_none() && server.content("there").is_none()
        },
    )
    .await;
    let head = world
        .objects
        .head(&contract::context(&world.objects), &contract::key("there"))
        .await;
    assert_eq!(head.unwrap_err().kind, ErrorKind::NotFound);
}

#[tokio::test]
async fn a_no_that_is_not_meant_for_this_request_goes_to_the_journal() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    for (status, code) in [(400, "RequestTimeout"), (400, "IncompleteBody")] {
        server.set(S3Mode::Ok).await;
        world.until_closed().await;
        let (prefix, code) = (String::new(), code.to_owned());
        let name = format!("slow/{code}");
        server
            .set(S3Mode::Refuse {
                prefix,
                status,
                code,
            })
            .await;
        world.accepted(&name, "late").await;
    }
    server.set(S3Mode::Ok).await;
    world.until_closed().await;
    server.set(S3Mode::Foreign { status: 400 }).await;
    world.accepted("foreign", "late").await;
    server.set(S3Mode::Ok).await;
    world.until_drained().await;
    for name in ["slow/RequestTimeout", "slow/IncompleteBody", "foreign"] {
        assert_eq!(
            server.content(name).as_deref(),
            Some(&b"late"[..]),
            "{name}"
        );
    }
}

#[tokio::test]
async fn a_store_out_of_reach_is_called_that() {
    let server = S3::start().await;
    let world = World::that_stays_closed(&server).await;
    world.until_closed().await;
    server.kill().await;
    world.accepted("a", "a").await;
    eventually(Duration::from_secs(20), "the drain to try", async || {
        let entries = world.objects.journal_entries(None, None, 1);
        entries[0].last_error.as_deref() == Some("the store can't be reached")
    })
    .await;
}

#[tokio::test]
async fn where_every_write_or_read_is_refused_nothing_is_set_aside() {
    for (requests, status, code) in [
        (Requests::Writes, 403, "AccessDenied"),
        (Requests::Writes, 400, "XMinioAdminBucketQuotaExceeded"),
        (Requests::Writes, 404, ""),
        (Requests::Reads, 403, "AccessDenied"),
    ] {
        let server = S3::start().await;
        let world = World::that_stays_closed(&server).await;
        world.until_closed().await;
        world.stored("gone", "gone").await;
        server.kill().await;
        world.accepted("new", "new").await;
        is_accepted(world.delete("gone").await);
        server.restart().await;
        let code = code.to_owned();
        let refuse = S3Mode::RefuseSome {
            requests,
            status,
            code,
        };
        server.set(refuse).await;
        eventually(Duration::from_secs(60), "six attempts", async || {
            world.objects.drain_now(Duration::from_millis(100)).await;
            let entries = world.objects.journal_entries(None, None, 2);
            entries.len() == 2 && entries.iter().all(|entry| entry.attempts >= 6)
        })
        .await;
        assert!(world.set_aside().is_empty(), "{requests:?} {status}");
        server.set(S3Mode::Ok).await;
        eventually(Duration::from_secs(30), "both to arrive", async || {
            world.objects.drain_now(Duration::from_millis(500)).await == 0
        })
        .await;
        assert_eq!(server.content("new").as_deref(), Some(&b"new"[..]));
        assert_eq!(server.content("gone"), None);
    }
}

#[tokio::test]
async fn an_upload_that_the_store_breaks_off_is_accepted_whole() {
    let server = S3::start().await;
    let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into()).await;
    let world = World::behind(&proxy, &server).await;
    world.until_closed().await;
    for size in [1 << 20, PART + (PART / 2)] {
        let content = contract::content(size);
        proxy
            .set(Fault::CutRequestAfter(size.min(PART) as u64 - 100_000))
            .await;
        world.accepted("cut", content.clone()).await;
        assert!(world.get("cut").await.unwrap().value == content);
        proxy.set(Fault::Pass).await;
        world.until_drained().await;
        let back = world.get("cut").await.unwrap();
        assert_eq!(back.source, Source::Primary);
        assert!(back.value == content);
    }
}

#[tokio::test]
async fn a_store_that_dies_between_two_parts_costs_nothing() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    world.until_closed().await;
    let content = contract::content(3 * PART);
    let (sender, receiver) = tokio::sync::mpsc::channel::<Result<Bytes, &'static str>>(1);
    let chunks = stream::unfold(receiver, |mut receiver| async move {
        Some((receiver.recv().await?, receiver))
    });
    let ctx = contract::context(&world.objects);
    let key = contract::key("large");
    let sent = async {
        sender
            .send(Ok(content.slice(..2 * PART + 1)))
            .await
            .unwrap();
        // The second part is away once the store has seen: begin, part, part.
        let before = server.requests().await;
        eventually(Duration::from_secs(30), "two parts", async || {
            server.requests().await > before
        })
        .await;
        server.kill().await;
        sender
            .send(Ok(content.slice(2 * PART + 1..)))
            .await
            .unwrap();
        drop(sender);
    };
    let upload = Upload {
        length: Some(content.len() as u64),
        ..Upload::default()
    };
    let (ended, ()) = tokio::join!(world.objects.put(&ctx, &key, chunks.boxed(), &upload), sent);
    is_accepted(ended);
    assert!(world.get("large").await.unwrap().value == content);
    server.restart().await;
    world.until_drained().await;
    assert!(world.get("large").await.unwrap().value == content);
}

#[tokio::test]
async fn a_download_that_breaks_off_ends_in_an_error() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        settings.copies_bytes = 0
    })
    .await;
    world.stored("large", contract::content(3 << 20)).await;
    server.set(S3Mode::CutMidway).await;
    let broken = world.get("large").await.unwrap_err();
    assert_eq!(broken.kind, ErrorKind::Unavailable);
    assert!(broken.retryable);
    assert_eq!(
        world.objects.guard().snapshot().last_failure.unwrap().kind,
        FailureKind::Protocol
    );
}

#[tokio::test]
async fn a_caller_that_reads_slowly_or_goes_away_is_no_failure() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        settings.copies_bytes = 0
    })
    .await;
    world.stored("large", contract::content(5 << 20)).await;
    let before = world.objects.guard().snapshot().totals;
    let ctx = contract::context(&world.objects);
    let mut download = world
        .objects
        .get(&ctx, &contract::key("large"), None)
        .await
        .unwrap()
        .value;
    download.body.next().await.unwrap().unwrap();
    drop(download);
    let after = world.objects.guard().snapshot();
    assert_eq!(
        (after.totals.failures, after.totals.slow),
        (before.failures, before.slow)
    );
    assert_eq!(after.failures_in_row, 0);
}

#[tokio::test]
async fn slow_readers_leave_the_places_in_flight_to_others() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        (settings.copies_bytes, settings.limit) = (0, 2);
    })
    .await;
    world.stored("large", contract::content(5 << 20)).await;
    world.stored("small", "small").await;
    let ctx = contract::context(&world.objects);
    let mut slow = Vec::new();
    for _ in 0..4 {
        let key = contract::key("large");
        let mut download = world.objects.get(&ctx, &key, None).await.unwrap().value;
        let first = download.body.next().await.unwrap().unwrap();
        slow.push((download, first.len()));
    }
    assert_eq!(world.get("small").await.unwrap().value, "small");
    // Who reads on gets it all, also when others have the places.
    for (mut download, mut read) in slow {
        while let Some(chunk) = download.body.next().await {
            read += chunk.unwrap().len();
        }
        assert_eq!(read, 5 << 20);
    }
}

#[tokio::test]
async fn a_condition_needs_the_store() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    let creation = || Upload {
        condition: Condition::Absent,
        ..Upload::default()
    };
    let create = async |name: &str| {
        contract::put_with(&world.objects, name, &contract::content(3), creation()).await
    };
    create("made").await.unwrap();
    server.kill().await;
    world.until_open().await;
    assert_eq!(
        create("other").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    world.accepted("pending", "pending").await;
    assert_eq!(
        create("pending").await.unwrap_err().kind,
        ErrorKind::Unavailable
    );
    assert_eq!(world.objects.journal_stats().entries, 1);
}

#[tokio::test]
async fn a_conditional_upload_without_an_answer_has_an_unknown_outcome() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    let creation = Upload {
        condition: Condition::Absent,
        ..Upload::default()
    };
    eventually(
        Duration::from_secs(10),
        "conditions to be tried",
        async || world.objects.conditional_writes() == Some(true),
    )
    .await;
    server.set(S3Mode::Hang).await;
    let unknown = contract::put_with(&world.objects, "a", &contract::content(3), creation).await;
    assert_eq!(unknown.unwrap_err().kind, ErrorKind::OutcomeUnknown);
    assert_eq!(world.objects.journal_stats().entries, 0);
}

#[tokio::test]
async fn every_operation_is_reported_once_with_who_answered() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.stored("a", "a").await;
    world.get("a").await.unwrap();
    world.get("b").await.unwrap_err();
    let seen: Vec<_> = world
        .reports()
        .iter()
        .map(|r| (r.operation, r.status, r.source.clone()))
        .collect();
    let primary = Some(Source::Primary);
    assert_eq!(
        seen,
        [
            ("put", Status::Success, primary.clone()),
            ("get", Status::Success, primary),
            ("get", Status::Success, None),
        ]
    );
    server.kill().await;
    world.until_open().await;
    world.reports();
    world.get("a").await.unwrap();
    world.get("b").await.unwrap_err();
    world.accepted("c", "c").await;
    let seen: Vec<_> = world
        .reports()
        .iter()
        .map(|r| (r.operation, r.status, r.source.clone()))
        .collect();
    assert_eq!(
        seen,
        [
            ("get", Status::Fallback, Some(Source::Cache)),
            ("get", Status::Rejected, None),
            ("put", Status::Fallback, Some(Source::Journal)),
        ]
    );
}
