//! The same request, sent again with its idempotency key.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mainstay_runtime::{Answer, Error, ErrorKind};
use mainstay_s3::{Condition, OnceKey, PART, Receipt, Upload, contract};
use mainstay_testkit::{S3, S3Mode, eventually};

use crate::world::{World, stays_closed};

fn key(text: &str) -> OnceKey {
    OnceKey::new("caller", text).expect("a sensible key")
}

async fn put(world: &World, once: &str, name: &str, body: &str) -> Result<Answer<Receipt>, Error> {
    let upload = Upload {
        once: Some(key(once)),
        ..Upload::default()
    };
    let body = Bytes::from(body.to_owned());
    contract::put_with(&world.objects, name, &body, upload).await
}

async fn delete(world: &World, once: &str, name: &str) -> Result<Answer<Receipt>, Error> {
    let ctx = contract::context(&world.objects);
    let once = key(once);
    world
        .objects
        .delete(&ctx, &contract::key(name), Some(&once))
        .await
}

async fn copy(world: &World, once: &str, from: &str, to: &str) -> Result<Answer<Receipt>, Error> {
    let ctx = contract::context(&world.objects);
    let (from, to) = (contract::key(from), contract::key(to));
    world.objects.copy(&ctx, &from, &to, Some(&key(once))).await
}

fn kind(result: Result<Answer<Receipt>, Error>) -> ErrorKind {
    result.expect_err("it is refused").kind
}

#[tokio::test]
async fn the_same_request_gets_the_first_outcome_and_changes_nothing() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    let first = put(&world, "put", "a", "one").await.unwrap();
    assert!(matches!(first.value, Receipt::Stored { .. }));
    copy(&world, "copy", "a", "b").await.unwrap();
    delete(&world, "delete", "c").await.unwrap();
    for name in ["a", "b", "c"] {
        world.stored(name, "later").await;
    }
    let world = world.reopen().await;
    let again = put(&world, "put", "a", "one").await.unwrap();
    assert_eq!(again.value, first.value);
    copy(&world, "copy", "a", "b").await.unwrap();
    delete(&world, "delete", "c").await.unwrap();
    for name in ["a", "b", "c"] {
        assert_eq!(world.get(name).await.unwrap().value, "later", "{name}");
    }
}

#[tokio::test]
async fn what_an_operator_has_discarded_is_not_said_to_be_accepted() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    world.until_closed().await;
    server.kill().await;
    world.until_open().await;
    let accepted = put(&world, "key", "a", "one").await.unwrap();
    assert!(matches!(accepted.value, Receipt::Accepted { .. }));
    let entry = world.objects.journal_entries(None, None, 1).remove(0);
    world.objects.discard_entry(entry.id).await.unwrap();
    let error = put(&world, "key", "a", "one").await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Conflict, "{error}");
    assert!(error.detail.contains("discarded"), "{error}");
    let anew = put(&world, "new", "a", "one").await.unwrap();
    assert!(matches!(anew.value, Receipt::Accepted { .. }));
}

#[tokio::test]
async fn a_key_that_came_with_another_request_is_refused() {
    let world = World::embedded().await;
    put(&world, "key", "a", "one").await.unwrap();
    assert_eq!(
        kind(put(&world, "key", "a", "two").await),
        ErrorKind::KeyReused
    );
    assert_eq!(
        kind(put(&world, "key", "b", "one").await),
        ErrorKind::KeyReused
    );
    assert_eq!(kind(delete(&world, "key", "a").await), ErrorKind::KeyReused);
    assert_eq!(world.get("a").await.unwrap().value, "one");
    // Somebody else's key of the same name is another key.
    let upload = Upload {
        once: Some(OnceKey::new("other caller", "key").unwrap()),
        ..Upload::default()
    };
    contract::put_with(&world.objects, "a", &Bytes::from("two"), upload)
        .await
        .unwrap();
    for odd in ["", "white space", "ñ", &"x".repeat(256)] {
        let error = OnceKey::new("caller", odd).unwrap_err();
        assert_eq!(error.field.as_deref(), Some("Idempotency-Key"));
    }
}

#[tokio::test]
async fn accepted_work_has_one_entry_however_often_it_is_sent() {
    let server = S3::start().await;
    let world = World::of(&server).await;
    server.kill().await;
    world.until_open().await;
    let body = "x".repeat(100_000);
    let first = put(&world, "put", "a", &body).await.unwrap();
    let deleted = delete(&world, "delete", "b").await.unwrap();
    let world = world.reopen().await;
    assert_eq!(put(&world, "put", "a", &body).await.unwrap(), first);
    assert_eq!(delete(&world, "delete", "b").await.unwrap(), deleted);
    assert_eq!(world.objects.journal_stats().entries, 2);
    server.restart().await;
    world.until_drained().await;
    assert_eq!(put(&world, "put", "a", &body).await.unwrap(), first);
}

#[tokio::test]
async fn a_request_still_running_holds_its_key_and_a_failed_one_frees_it() {
    let world = World::embedded().await;
    let (more, body) = tokio::sync::mpsc::unbounded_channel::<Bytes>();
    let body = stream::unfold(body, async |mut body| {
        let chunk = body.recv().await?;
        Some((Ok::<_, ()>(chunk), body))
    });
    let upload = Upload {
        once: Some(key("key")),
        ..Upload::default()
    };
    let (ctx, name) = (contract::context(&world.objects), contract::key("a"));
    let mut running = Box::pin(world.objects.put(&ctx, &name, body.boxed(), &upload));
    more.send(Bytes::from("on")).unwrap();
    let second = async {
        // The first holds the key from its first step on.
        tokio::task::yield_now().await;
        put(&world, "key", "a", "one").await.unwrap_err()
    };
    let error = tokio::select! {
        biased;
        _ = &mut running => panic!("its body has not ended"),
        error = second => error,
    };
    assert_eq!(error.kind, ErrorKind::Conflict);
    assert!(error.retryable);
    drop(running);
    // It may still have been looking its key up.
    eventually(Duration::from_secs(10), "the key to be free", async || {
        put(&world, "key", "a", "one").await.is_ok()
    })
    .await;
    assert_eq!(world.get("a").await.unwrap().value, "one");
}

/// Runs a write until the store has carried it out, and leaves before the answer.
async fn leave(
    write: impl Future<Output = Result<Answer<Receipt>, Error>>,
    done: impl Fn() -> bool,
) {
    let done = eventually(Duration::from_secs(20), "the store to do it", async || {
        done()
    });
    tokio::select! {
        biased;
        ended = Box::pin(write) => panic!("the store is slower than that: {ended:?}"),
        () = done => {}
    }
}

#[tokio::test]
async fn a_caller_that_leaves_does_not_free_its_key_and_the_outcome_is_kept() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    world.until_closed().await;
    world.stored("deleted", "one").await;
    world.stored("source", "one").await;
    let large = String::from_utf8(vec![b'x'; PART + 1]).unwrap();
    let has = |name: &str, size: usize| server.content(name).is_some_and(|c| c.len() == size);
    server.set(S3Mode::Slow { ms: 4000 }).await;
    tokio::join!(
        leave(put(&world, "put", "put", "one"), || has("put", 3)),
        leave(put(&world, "parts", "parts", &large), || has(
            "parts",
            PART + 1
        )),
        leave(delete(&world, "delete", "deleted"), || !has("deleted", 3)),
        leave(copy(&world, "copy", "source", "copied"), || has(
            "copied", 3
        )),
    );
    server.set(S3Mode::Ok).await;
    let early = put(&world, "put", "put", "one").await;
    if let Err(error) = &early {
        assert_eq!((error.kind, error.retryable), (ErrorKind::Conflict, true));
    }
    let names = ["put", "parts", "deleted", "copied"];
    for name in names {
        world.put(name, "later").await.unwrap();
    }
    let all = async || {
        [
            put(&world, "put", "put", "one").await,
            put(&world, "parts", "parts", &large).await,
            delete(&world, "delete", "deleted").await,
            copy(&world, "copy", "source", "copied").await,
        ]
    };
    eventually(Duration::from_secs(20), "the first outcomes", async || {
        all().await.iter().all(Result::is_ok)
    })
    .await;
    world.until_drained().await;
    for name in names {
        assert_eq!(world.get(name).await.unwrap().value, "later", "{name}");
    }
}

#[tokio::test]
async fn what_is_accepted_while_a_copy_is_still_at_the_store_is_in_no_conflict_with_it() {
    let server = S3::start().await;
    let world = World::patient(&server).await;
    world.until_closed().await;
    world.stored("copied", "before").await;
    // A copy bears the mark of its source, which here isn't ours.
    World::patient(&server).await.stored("source", "one").await;
    server.set(S3Mode::Slow { ms: 4000 }).await;
    let is_copied = || server.content("copied").is_some_and(|c| c.len() == 3);
    leave(copy(&world, "copy", "source", "copied"), is_copied).await;
    server.set(S3Mode::Ok).await;
    world.accepted("copied", "later").await;
    world.until_drained().await;
    assert_eq!(server.content("copied").as_deref(), Some(&b"later"[..]));
}

#[tokio::test]
async fn what_a_caller_has_left_undoes_nothing_that_was_written_since() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        let patience = Duration::from_secs(1);
        (settings.first_byte, settings.idle) = (patience, patience);
        stays_closed(settings);
    })
    .await;
    world.until_closed().await;
    let names = ["put", "deleted", "copied"];
    for name in names {
        world.stored(name, "before").await;
    }
    world.stored("source", "one").await;
    server.set(S3Mode::HangWrites).await;
    let clock = world.objects.guard().clock();
    let all = async {
        tokio::join!(
            put(&world, "put", "put", "one"),
            delete(&world, "delete", "deleted"),
            copy(&world, "copy", "source", "copied"),
        )
    };
    let left = clock.now() + Duration::from_millis(300);
    assert!(clock.until(left, all).await.is_err(), "they hang");
    server.set(S3Mode::Ok).await;
    for name in names {
        world.put(name, "later").await.unwrap();
    }
    // Longer than their deadlines, their repetitions and the journal take.
    let end = clock.now() + Duration::from_secs(4);
    eventually(Duration::from_secs(20), "their end", async || {
        clock.now() > end
    })
    .await;
    world.until_drained().await;
    for name in names {
        let content = server.content(name);
        assert_eq!(content.as_deref(), Some(&b"later"[..]), "{name}");
    }
}

#[tokio::test]
async fn a_conditional_upload_without_an_answer_finds_itself_when_it_is_sent_again() {
    let server = S3::start().await;
    let world = World::at(&server, &server.endpoint(), |settings, _| {
        settings.first_byte = Duration::from_secs(3);
    })
    .await;
    let works = async || world.objects.conditional_writes() == Some(true);
    eventually(Duration::from_secs(10), "conditions to be tried", works).await;
    let create = async |once: &str, body: &'static str| {
        let upload = Upload {
            once: Some(key(once)),
            condition: Condition::Absent,
            ..Upload::default()
        };
        contract::put_with(&world.objects, "a", &Bytes::from(body), upload).await
    };
    server.set(S3Mode::Slow { ms: 20_000 }).await;
    assert_eq!(kind(create("key", "one").await), ErrorKind::OutcomeUnknown);
    server.set(S3Mode::Ok).await;
    world.until_closed().await;
    for (once, body) in [("other-key", "one"), ("key", "two")] {
        let refused = create(once, body).await;
        assert_eq!(
            kind(refused),
            ErrorKind::PreconditionFailed,
            "{once} {body}"
        );
    }
    let again = create("key", "one").await.unwrap();
    assert!(matches!(again.value, Receipt::Stored { .. }), "{again:?}");
    world.stored("a", "later").await;
    assert_eq!(create("key", "one").await.unwrap().value, again.value);
    assert_eq!(world.get("a").await.unwrap().value, "later");
}
