//! Accepted work whose object somebody else has changed meanwhile.

use std::time::Duration;

use bytes::Bytes;
use mainstay_runtime::{ErrorKind, Source};
use mainstay_s3::{Conflicts, Policy, Upload, contract};
use mainstay_testkit::{Fault, FaultProxy, Requests, S3, S3Mode, eventually, pause};
use serde_json::json;

use crate::world::{World, is_accepted, patient};

/// A store, an adapter that reaches it through a proxy, and another writer that reaches it always.
struct Two {
    server: S3,
    proxy: FaultProxy,
    ours: World,
    theirs: World,
}

impl Two {
    async fn start() -> Self {
        let server = S3::start().await;
        let proxy = FaultProxy::start(([127, 0, 0, 1], server.port()).into()).await;
        let endpoint = format!("http://{}", proxy.addr());
        let rules = [("ours/", Policy::Ours), ("theirs/", Policy::Theirs)];
        let ours = World::at(&server, &endpoint, |settings, _| {
            patient(settings);
            settings.conflicts = Conflicts::new(rules.map(|(p, o)| (p.to_owned(), o)).to_vec());
        })
        .await;
        let theirs = World::of(&server).await;
        let knows = async || ours.objects.conditional_writes().is_some();
        eventually(Duration::from_secs(20), "what the store honours", knows).await;
        Self {
            server,
            proxy,
            ours,
            theirs,
        }
    }

    async fn cut_off(&self) {
        self.proxy.set(Fault::RefuseConnections).await;
        self.ours.until_open().await;
    }

    async fn set_aside(&self, count: usize) {
        eventually(
            Duration::from_secs(20),
            "the conflict to be seen",
            async || self.ours.set_aside().len() == count,
        )
        .await;
    }
}

#[tokio::test]
async fn somebody_elses_change_is_never_overwritten_unless_a_person_says_so() {
    let two = Two::start().await;
    for key in ["put", "deleted", "copied"] {
        two.ours.stored(key, "before").await;
    }
    two.ours.stored("source", "source").await;
    two.cut_off().await;
    two.ours.accepted("put", "ours").await;
    is_accepted(two.ours.delete("deleted").await);
    is_accepted(two.ours.copy("source", "copied").await);
    for key in ["put", "deleted", "copied"] {
        two.theirs.stored(key, format!("theirs: {key}")).await;
    }
    two.proxy.set(Fault::Pass).await;
    two.set_aside(3).await;
    for key in ["put", "deleted", "copied"] {
        let there = two.theirs.get(key).await.unwrap().value;
        assert_eq!(there, format!("theirs: {key}"));
    }
    assert_eq!(two.ours.get("put").await.unwrap().source, Source::Journal);
    let events = two.ours.events("object_conflict");
    assert_eq!(events.len(), 3, "{events:?}");
    assert!(events.iter().all(|event| event["policy"] == "set-aside"));

    for entry in two.ours.set_aside() {
        assert!(entry.last_error.unwrap().starts_with("conflict"));
        match entry.key.as_str() {
            "copied" => two.ours.objects.discard_entry(entry.id).await.unwrap(),
            _ => two.ours.objects.retry_entry(entry.id).await.unwrap(),
        }
    }
    two.ours.until_drained().await;
    assert_eq!(two.theirs.get("put").await.unwrap().value, "ours");
    assert_eq!(
        two.theirs.get("deleted").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(
        two.theirs.get("copied").await.unwrap().value,
        "theirs: copied"
    );
}

#[tokio::test]
async fn what_was_accepted_behind_a_conflict_is_one_too_when_that_is_discarded() {
    let two = Two::start().await;
    two.ours.stored("key", "before").await;
    two.ours.stored("source", "second").await;
    two.cut_off().await;
    two.ours.accepted("key", "first").await;
    two.theirs.stored("key", "theirs").await;
    two.proxy.set(Fault::Pass).await;
    two.set_aside(1).await;
    // A copy doesn't take its place.
    is_accepted(two.ours.copy("source", "key").await);
    let first = two.ours.set_aside().remove(0);
    two.ours.objects.discard_entry(first.id).await.unwrap();
    eventually(
        Duration::from_secs(30),
        "the second is set aside",
        async || {
            let aside = two.ours.set_aside();
            aside.iter().any(|entry| entry.id != first.id)
        },
    )
    .await;
    assert_eq!(two.theirs.get("key").await.unwrap().value, "theirs");
    assert_eq!(two.ours.events("object_conflict").len(), 2);
    let second = two.ours.set_aside().remove(0);
    two.ours.objects.retry_entry(second.id).await.unwrap();
    two.ours.until_drained().await;
    assert_eq!(two.theirs.get("key").await.unwrap().value, "second");
}

#[tokio::test]
async fn a_rule_by_prefix_decides_without_a_person() {
    let two = Two::start().await;
    for key in ["ours/a", "theirs/a"] {
        two.ours.stored(key, "before").await;
    }
    two.cut_off().await;
    for key in ["ours/a", "theirs/a"] {
        two.ours.accepted(key, "accepted").await;
        two.theirs.stored(key, "changed").await;
    }
    // What comes behind a change that stays doesn't take it for a conflict of its own.
    two.ours.accepted("theirs/b", "new").await;
    two.proxy.set(Fault::Pass).await;
    two.ours.until_drained().await;
    assert_eq!(two.theirs.get("ours/a").await.unwrap().value, "accepted");
    assert_eq!(two.theirs.get("theirs/a").await.unwrap().value, "changed");
    assert_eq!(two.theirs.get("theirs/b").await.unwrap().value, "new");
    let policies: Vec<_> = two
        .ours
        .events("object_conflict")
        .iter()
        .map(|event| event["policy"].clone())
        .collect();
    assert_eq!(policies.len(), 2, "{policies:?}");
    assert!(policies.contains(&json!("ours")) && policies.contains(&json!("theirs")));
}

#[tokio::test]
async fn what_nothing_was_known_of_is_replaced_and_what_is_gone_is_no_conflict() {
    let two = Two::start().await;
    two.ours.stored("gone", "before").await;
    two.cut_off().await;
    two.ours.accepted("unknown", "ours").await;
    two.ours.accepted("gone", "ours").await;
    two.theirs.stored("unknown", "theirs").await;
    two.theirs.delete("gone").await.unwrap();
    two.proxy.set(Fault::Pass).await;
    two.ours.until_drained().await;
    for key in ["unknown", "gone"] {
        assert_eq!(two.theirs.get(key).await.unwrap().value, "ours", "{key}");
    }
    assert_eq!(two.ours.events("object_conflict").len(), 0);
}

#[tokio::test]
async fn what_an_unanswered_attempt_of_ours_has_left_is_no_conflict() {
    let two = Two::start().await;
    let keys = ["again", "replaced", "deleted", "copied"];
    for key in keys {
        two.ours.stored(key, "before").await;
    }
    two.ours.stored("source", "source").await;
    two.cut_off().await;
    two.ours.accepted("again", "ours").await;
    two.ours.accepted("replaced", "first").await;
    two.ours.accepted("deleted", "first").await;
    is_accepted(two.ours.copy("source", "copied").await);
    // Carried out, and never answered.
    two.server.set(S3Mode::CutWrites).await;
    two.proxy.set(Fault::Pass).await;
    eventually(
        Duration::from_secs(30),
        "first attempts to land",
        async || {
            let tried = two.ours.objects.journal_entries(None, None, 10);
            tried.iter().any(|entry| entry.attempts > 0)
        },
    )
    .await;
    two.ours.put("replaced", "second").await.unwrap();
    two.ours.delete("deleted").await.unwrap();
    two.ours.put("copied", "second").await.unwrap();
    let ours = two.ours.reopen().await;
    two.server.set(S3Mode::Ok).await;
    ours.until_closed().await;
    ours.until_drained().await;
    assert_eq!(two.theirs.get("again").await.unwrap().value, "ours");
    assert_eq!(two.theirs.get("replaced").await.unwrap().value, "second");
    assert_eq!(two.theirs.get("copied").await.unwrap().value, "second");
    assert_eq!(
        two.theirs.get("deleted").await.unwrap_err().kind,
        ErrorKind::NotFound
    );
    assert_eq!(ours.events("object_conflict").len(), 0);
}

#[tokio::test]
async fn what_a_copy_replaced_whose_caller_had_left_is_no_base_after_a_restart() {
    let two = Two::start().await;
    two.ours.stored("key", "before").await;
    two.theirs.stored("source", "source").await;
    two.server.set(S3Mode::Slow { ms: 2000 }).await;
    let copy = two.ours.copy("source", "key");
    let left = tokio::time::timeout(Duration::from_millis(1000), copy).await;
    assert!(left.is_err(), "its caller leaves");
    let soon = Duration::from_secs(20);
    eventually(soon, "the copy to be made", async || {
        two.server.content("key").as_deref() == Some(b"source")
    })
    .await;
    two.server.set(S3Mode::Ok).await;
    let ours = two.ours.reopen().await;
    two.proxy.set(Fault::RefuseConnections).await;
    ours.until_open().await;
    ours.accepted("key", "ours").await;
    two.proxy.set(Fault::Pass).await;
    ours.until_drained().await;
    assert_eq!(two.theirs.get("key").await.unwrap().value, "ours");
    assert_eq!(ours.events("object_conflict").len(), 0);
}

#[tokio::test]
async fn a_copy_that_was_made_unheard_is_in_no_conflict_with_itself_whatever_became_of_its_source()
{
    let two = Two::start().await;
    for key in ["copied", "replaced"] {
        two.ours.stored(key, "before").await;
    }
    two.theirs.stored("source", "first!").await;
    two.cut_off().await;
    is_accepted(two.ours.copy("source", "copied").await);
    is_accepted(two.ours.copy("source", "replaced").await);
    two.server.set(S3Mode::CutWrites).await;
    two.proxy.set(Fault::Pass).await;
    let (soon, made) = (Duration::from_secs(30), Some(&b"first!"[..]));
    eventually(soon, "both copies made, and not heard of", async || {
        let made = |key| two.server.content(key).as_deref() == made;
        let tried = two.ours.objects.journal_entries(None, None, 9);
        made("copied") && made("replaced") && tried.iter().all(|entry| entry.attempts > 0)
    })
    .await;
    two.cut_off().await;
    two.server.set(S3Mode::Ok).await;
    two.theirs.stored("source", "second").await;
    two.ours.accepted("replaced", "ours").await;
    two.proxy.set(Fault::Pass).await;
    two.ours.until_drained().await;
    assert_eq!(two.theirs.get("copied").await.unwrap().value, "second");
    assert_eq!(two.theirs.get("replaced").await.unwrap().value, "ours");
    assert_eq!(two.ours.events("object_conflict").len(), 0);
}

#[tokio::test]
async fn behind_a_copy_in_conflict_the_next_write_is_one_too() {
    let two = Two::start().await;
    for key in ["copied", "source"] {
        two.ours.stored(key, "before").await;
    }
    two.cut_off().await;
    is_accepted(two.ours.copy("source", "copied").await);
    two.theirs.stored("copied", "theirs").await;
    two.proxy.set(Fault::Pass).await;
    two.set_aside(1).await;
    two.ours.accepted("copied", "ours").await;
    eventually(
        Duration::from_secs(20),
        "the upload to be set aside",
        async || {
            two.ours
                .set_aside()
                .iter()
                .all(|entry| entry.kind != "copy")
                && two.ours.set_aside().len() == 1
        },
    )
    .await;
    assert_eq!(two.theirs.get("copied").await.unwrap().value, "theirs");
}

#[tokio::test]
async fn behind_a_copy_that_is_discarded_before_it_was_tried_a_foreign_change_is_seen() {
    let two = Two::start().await;
    for key in ["copied", "source"] {
        two.ours.stored(key, "before").await;
    }
    two.cut_off().await;
    is_accepted(two.ours.copy("source", "copied").await);
    two.ours.accepted("copied", "ours").await;
    two.theirs.stored("copied", "theirs").await;
    let copy = two.ours.objects.journal_entries(None, None, 1).remove(0);
    two.ours.objects.discard_entry(copy.id).await.unwrap();
    two.proxy.set(Fault::Pass).await;
    two.set_aside(1).await;
    assert_eq!(two.theirs.get("copied").await.unwrap().value, "theirs");
}

#[tokio::test]
async fn a_copy_of_the_same_content_in_another_type_is_made() {
    let two = Two::start().await;
    let objects = &two.ours.objects;
    let typed = |kind: &str| Upload {
        content_type: Some(kind.into()),
        ..Upload::default()
    };
    let content = Bytes::from_static(b"same");
    for (key, kind) in [("page", "text/html"), ("data", "application/json")] {
        let put = contract::put_with(objects, key, &content, typed(kind)).await;
        put.unwrap();
    }
    two.cut_off().await;
    is_accepted(two.ours.copy("data", "page").await);
    two.proxy.set(Fault::Pass).await;
    two.ours.until_drained().await;
    let (ctx, page) = (contract::context(objects), contract::key("page"));
    let info = objects.head(&ctx, &page).await.unwrap().value;
    assert_eq!(info.content_type.as_deref(), Some("application/json"));
}

#[tokio::test]
async fn what_somebody_restores_from_a_copy_of_ours_is_their_change() {
    let two = Two::start().await;
    two.ours.stored("backup", "backup").await;
    two.ours.stored("key", "before").await;
    two.cut_off().await;
    two.ours.accepted("key", "ours").await;
    two.theirs.copy("backup", "key").await.unwrap();
    two.proxy.set(Fault::Pass).await;
    two.set_aside(1).await;
    assert_eq!(two.theirs.get("key").await.unwrap().value, "backup");
}

#[tokio::test]
async fn what_a_read_shows_of_the_time_before_a_copy_is_neither_a_base_nor_kept() {
    let two = Two::start().await;
    let keys = ["a/get", "a/head", "a/list"];
    for key in keys {
        two.ours.stored(key, "before").await;
    }
    two.theirs.stored("source", "source").await;
    two.server.set(S3Mode::Slow { ms: 3000 }).await;
    let objects = &two.ours.objects;
    let (ctx, head) = (contract::context(objects), contract::key("a/head"));
    let copies = async {
        // Read by now, and not answered yet.
        pause(Duration::from_millis(1500)).await;
        two.server.set(S3Mode::Ok).await;
        for key in keys {
            two.ours.copy("source", key).await.unwrap();
        }
    };
    let (got, shown, listed, ()) = tokio::join!(
        two.ours.get("a/get"),
        objects.head(&ctx, &head),
        two.ours.keys("a/"),
        copies
    );
    assert_eq!((got.unwrap().value, listed.len()), ("before".into(), 3));
    assert_eq!(shown.unwrap().value.size, 6);
    two.cut_off().await;
    let kept = two.ours.get("a/get").await;
    assert_eq!(kept.unwrap_err().kind, ErrorKind::Unavailable);
    for key in keys {
        two.ours.accepted(key, "ours").await;
    }
    two.proxy.set(Fault::Pass).await;
    two.ours.until_drained().await;
    for key in keys {
        assert_eq!(two.theirs.get(key).await.unwrap().value, "ours", "{key}");
    }
    assert_eq!(two.ours.events("object_conflict").len(), 0);
}

#[tokio::test]
async fn a_copy_that_the_store_refused_leaves_known_what_was_known() {
    let two = Two::start().await;
    for key in ["refused", "missing", "source"] {
        two.ours.stored(key, "before").await;
    }
    let missing = two.ours.copy("nowhere", "missing").await.unwrap_err();
    assert_eq!(missing.kind, ErrorKind::NotFound);
    two.server
        .set(S3Mode::RefuseSome {
            requests: Requests::Copies,
            status: 403,
            code: "AccessDenied".into(),
        })
        .await;
    is_accepted(two.ours.copy("source", "refused").await);
    two.cut_off().await;
    two.ours.accepted("missing", "ours").await;
    for key in ["refused", "missing"] {
        two.theirs.stored(key, "theirs").await;
    }
    two.server.set(S3Mode::Ok).await;
    two.proxy.set(Fault::Pass).await;
    two.set_aside(2).await;
    for key in ["refused", "missing"] {
        assert_eq!(two.theirs.get(key).await.unwrap().value, "theirs", "{key}");
    }
}
