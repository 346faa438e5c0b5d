//! What every store behind [`Objects`] must do: the folder and a real S3 server pass the same suite.
//!
//! Each function is one behaviour and uses keys of its own, so one store can serve them all.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{TryStreamExt, stream};
use mainstay_runtime::{Answer, CallerId, Context, Error, ErrorKind, Source};

use crate::{
    ByteRange, Condition, Download, Key, ListRequest, Objects, PART, Page, Receipt, Upload,
};

/// Runs the whole suite.
pub async fn all(objects: &Objects) {
    objects_are_stored_read_and_deleted(objects).await;
    bodies_of_every_size_come_back_unharmed(objects).await;
    a_later_upload_replaces_an_earlier_one(objects).await;
    ranges_are_served(objects).await;
    ranges_outside_are_refused(objects).await;
    media_types_are_kept(objects).await;
    missing_objects_are_not_found(objects).await;
    deleting_twice_is_deleting_once(objects).await;
    copies_have_content_and_media_type(objects).await;
    any_sane_key_holds_its_own_object(objects).await;
    keys_that_lead_elsewhere_are_refused(objects).await;
    lists_come_in_order_and_in_pages(objects).await;
    prefixes_need_not_end_at_a_slash(objects).await;
    senseless_lists_are_refused(objects).await;
    conditions_hold(objects).await;
    of_racing_creations_exactly_one_wins(objects).await;
    of_racing_updates_exactly_one_wins(objects).await;
    a_large_upload_takes_no_condition(objects).await;
    wrong_uploads_leave_nothing(objects).await;
}

/// A caller's context with a minute for everything.
pub fn context(objects: &Objects) -> Context {
    Context::new(CallerId(1), objects.guard().now() + Duration::from_secs(60))
}

/// A key that is known to be good.
///
/// # Panics
/// When it isn't.
pub fn key(text: &str) -> Key {
    Key::parse("key", text).expect("a good key")
}

/// Bytes that differ from place to place.
pub fn content(size: usize) -> Bytes {
    (0..size)
        .map(|at| (at ^ (at >> 8) ^ (at >> 16)) as u8)
        .collect::<Vec<_>>()
        .into()
}

/// A body in chunks, as a caller sends it.
pub fn body(
    content: &Bytes,
) -> impl futures_util::Stream<Item = Result<Bytes, Error>> + Send + use<> {
    let chunks: Vec<_> = content
        .chunks(100_000)
        .map(|c| Ok(Bytes::copy_from_slice(c)))
        .collect();
    stream::iter(chunks)
}

/// Uploads.
///
/// # Errors
/// The upload's.
pub async fn put(objects: &Objects, name: &str, content: &Bytes) -> Result<Answer<Receipt>, Error> {
    put_with(objects, name, content, Upload::default()).await
}

/// Uploads with a media type or a condition.
///
/// # Errors
/// The upload's.
pub async fn put_with(
    objects: &Objects,
    name: &str,
    content: &Bytes,
    upload: Upload,
) -> Result<Answer<Receipt>, Error> {
    objects
        .put(&context(objects), &key(name), body(content), &upload)
        .await
}

/// Reads a whole object or a range of it, to its end.
///
/// # Errors
/// The download's, or its body's.
pub async fn get(
    objects: &Objects,
    name: &str,
    range: Option<ByteRange>,
) -> Result<Answer<Bytes>, Error> {
    let answer = objects.get(&context(objects), &key(name), range).await?;
    let Answer { value, source, age } = answer;
    let length = value.range.end - value.range.start;
    let content = read(value).await?;
    assert_eq!(
        content.len() as u64,
        length,
        "a body is as long as was said"
    );
    Ok(Answer {
        value: content,
        source,
        age,
    })
}

/// Reads a body to its end.
///
/// # Errors
/// The body's.
pub async fn read(download: Download) -> Result<Bytes, Error> {
    let chunks: Vec<Bytes> = download.body.try_collect().await?;
    Ok(chunks.concat().into())
}

/// Lists.
///
/// # Errors
/// The list's.
pub async fn list(
    objects: &Objects,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Answer<Page>, Error> {
    let request = ListRequest {
        prefix: prefix.into(),
        after: after.map(str::to_owned),
        limit,
    };
    objects.list(&context(objects), &request).await
}

/// The keys of a page.
pub fn keys(page: &Page) -> Vec<&str> {
    page.objects.iter().map(|l| l.key.as_str()).collect()
}

fn kind<T>(result: Result<T, Error>) -> Option<ErrorKind> {
    result.err().map(|error| error.kind)
}

async fn stored(objects: &Objects, name: &str, content: &Bytes) -> Option<String> {
    match put(objects, name, content).await.expect("an upload").value {
        Receipt::Stored { etag } => etag,
        accepted => panic!("{name}: {accepted:?}"),
    }
}

/// As RFC 9110 §8.8.3 writes a strong one.
fn assert_quoted_once(etag: &str) {
    let inner = etag.strip_prefix('"').and_then(|e| e.strip_suffix('"'));
    let is_opaque = inner.is_some_and(|inner| !inner.is_empty() && !inner.contains('"'));
    assert!(is_opaque, "{etag}");
}

/// The round trip.
pub async fn objects_are_stored_read_and_deleted(objects: &Objects) {
    let hello = Bytes::from_static(b"hello");
    let etag = stored(objects, "contract/hello", &hello).await;
    let answer = get(objects, "contract/hello", None)
        .await
        .expect("it is there");
    assert_eq!(
        (answer.value, answer.source, answer.age),
        (hello, Source::Primary, None)
    );
    let info = objects
        .head(&context(objects), &key("contract/hello"))
        .await
        .expect("it is there")
        .value;
    assert_eq!((info.size, info.etag.as_ref()), (5, etag.as_ref()));
    assert!(info.last_modified.is_some());
    let request = ListRequest {
        prefix: "contract/hello".to_owned(),
        after: None,
        limit: 1,
    };
    let page = objects.list(&context(objects), &request).await;
    let listed = page.expect("a list").value.objects;
    assert_quoted_once(&etag.expect("the store gives ETags"));
    // Not every store gives one in its lists.
    listed[0].etag.iter().for_each(|e| assert_quoted_once(e));
    let gone = objects
        .delete(&context(objects), &key("contract/hello"), None)
        .await
        .expect("a delete");
    assert!(matches!(gone.value, Receipt::Stored { .. }));
    assert_eq!(
        kind(get(objects, "contract/hello", None).await),
        Some(ErrorKind::NotFound)
    );
}

/// Around the limits of one byte, one part and several parts.
pub async fn bodies_of_every_size_come_back_unharmed(objects: &Objects) {
    for size in [0, 1, 100_001, PART - 1, PART, PART + 1, 20 << 20] {
        let content = content(size);
        stored(objects, "contract/sizes", &content).await;
        let back = get(objects, "contract/sizes", None)
            .await
            .expect("it is there")
            .value;
        assert!(back == content, "{size} bytes came back as {}", back.len());
    }
}

/// The last write wins.
pub async fn a_later_upload_replaces_an_earlier_one(objects: &Objects) {
    let first = stored(objects, "contract/twice", &Bytes::from_static(b"first one")).await;
    let second = stored(objects, "contract/twice", &Bytes::from_static(b"second")).await;
    assert_ne!(first, second);
    assert_eq!(
        get(objects, "contract/twice", None)
            .await
            .expect("it is there")
            .value,
        "second"
    );
}

/// From, from to, last.
pub async fn ranges_are_served(objects: &Objects) {
    let content = Bytes::from_static(b"0123456789");
    stored(objects, "contract/ranges", &content).await;
    let from = |first, last| ByteRange::From { first, last };
    for (range, expected) in [
        (from(0, None), "0123456789"),
        (from(4, None), "456789"),
        (from(4, Some(4)), "4"),
        (from(8, Some(100)), "89"),
        (ByteRange::Last(3), "789"),
        (ByteRange::Last(100), "0123456789"),
    ] {
        let answer = objects
            .get(&context(objects), &key("contract/ranges"), Some(range))
            .await
            .expect("a range");
        assert_eq!(
            answer.value.info.size, 10,
            "the whole object's size, {range:?}"
        );
        assert_eq!(
            read(answer.value).await.expect("a body"),
            expected,
            "{range:?}"
        );
    }
}

/// Without harm to the breaker.
pub async fn ranges_outside_are_refused(objects: &Objects) {
    stored(
        objects,
        "contract/short",
        &Bytes::from_static(b"0123456789"),
    )
    .await;
    stored(objects, "contract/empty", &Bytes::new()).await;
    let from = |first, last| ByteRange::From { first, last };
    for (name, range) in [
        ("short", from(10, None)),
        ("short", from(5, Some(4))),
        ("short", ByteRange::Last(0)),
        ("empty", from(0, None)),
    ] {
        let asked = get(objects, &format!("contract/{name}"), Some(range)).await;
        assert_eq!(
            kind(asked),
            Some(ErrorKind::RangeNotSatisfiable),
            "{name} {range:?}"
        );
    }
    assert_eq!(objects.guard().snapshot().failures_in_row, 0);
}

/// Also over several parts.
pub async fn media_types_are_kept(objects: &Objects) {
    for size in [3, PART + 3] {
        let upload = Upload {
            content_type: Some("application/pdf".into()),
            ..Upload::default()
        };
        put_with(objects, "contract/typed", &content(size), upload)
            .await
            .expect("an upload");
        let info = objects
            .head(&context(objects), &key("contract/typed"))
            .await
            .expect("it is there")
            .value;
        assert_eq!(info.content_type.as_deref(), Some("application/pdf"));
        let download = objects
            .get(&context(objects), &key("contract/typed"), None)
            .await
            .expect("it is there")
            .value;
        assert_eq!(
            download.info.content_type.as_deref(),
            Some("application/pdf")
        );
    }
    let upload = Upload {
        content_type: Some("text/plain\r\nx: y".into()),
        ..Upload::default()
    };
    let refused = put_with(objects, "contract/typed", &content(1), upload).await;
    assert_eq!(kind(refused), Some(ErrorKind::InvalidInput));
}

/// And count against nothing.
pub async fn missing_objects_are_not_found(objects: &Objects) {
    let (ctx, missing) = (context(objects), key("contract/no-such/object"));
    for _ in 0..10 {
        assert_eq!(
            kind(get(objects, missing.as_str(), None).await),
            Some(ErrorKind::NotFound)
        );
        assert_eq!(
            kind(objects.head(&ctx, &missing).await),
            Some(ErrorKind::NotFound)
        );
        let copied = objects
            .copy(&ctx, &missing, &key("contract/copy-of-nothing"), None)
            .await;
        assert_eq!(kind(copied), Some(ErrorKind::NotFound));
    }
    assert_eq!(objects.guard().snapshot().failures_in_row, 0);
}

/// As in S3.
pub async fn deleting_twice_is_deleting_once(objects: &Objects) {
    stored(objects, "contract/deleted", &content(3)).await;
    for _ in 0..2 {
        objects
            .delete(&context(objects), &key("contract/deleted"), None)
            .await
            .expect("a delete");
    }
    assert_eq!(
        kind(get(objects, "contract/deleted", None).await),
        Some(ErrorKind::NotFound)
    );
}

/// And don't change with their source.
pub async fn copies_have_content_and_media_type(objects: &Objects) {
    let ctx = context(objects);
    let (from, to) = (key("contract/source"), key("contract/folder/target"));
    let upload = Upload {
        content_type: Some("text/csv".into()),
        ..Upload::default()
    };
    put_with(objects, from.as_str(), &Bytes::from_static(b"a;b"), upload)
        .await
        .expect("an upload");
    objects.copy(&ctx, &from, &to, None).await.expect("a copy");
    stored(objects, from.as_str(), &Bytes::from_static(b"other")).await;
    assert_eq!(
        get(objects, to.as_str(), None)
            .await
            .expect("it is there")
            .value,
        "a;b"
    );
    let info = objects.head(&ctx, &to).await.expect("it is there").value;
    assert_eq!(info.content_type.as_deref(), Some("text/csv"));
    assert_eq!(
        kind(objects.copy(&ctx, &from, &from, None).await),
        Some(ErrorKind::InvalidInput)
    );
}

/// Letters of every script, spaces, and what URLs and XML have uses for.
pub async fn any_sane_key_holds_its_own_object(objects: &Objects) {
    let names = [
        "facturas/2026/ñandú 1.pdf",
        "日本/語",
        "emoji/🧉",
        "url/100%25 & more+plus?q=1#top",
        "xml/<a>&amp;'\"</a>",
        "dots/..hidden/a..b/.c",
        "signs/~!@$^*()_-=;:,[]{}|`",
        "case/ABC",
        "case/abc",
    ];
    for name in names {
        stored(
            objects,
            &format!("contract/keys/{name}"),
            &Bytes::from(name),
        )
        .await;
    }
    for name in names {
        let back = get(objects, &format!("contract/keys/{name}"), None)
            .await
            .expect(name);
        assert_eq!(back.value, Bytes::from(name));
    }
    let listed = list(objects, "contract/keys/", None, 1000)
        .await
        .expect("a list")
        .value;
    let mut expected = names.map(|name| format!("contract/keys/{name}"));
    expected.sort();
    assert_eq!(keys(&listed), expected);
}

/// Before the store is asked.
pub async fn keys_that_lead_elsewhere_are_refused(objects: &Objects) {
    for name in [
        "../x",
        "a/../../x",
        "/etc/passwd",
        "%2e%2e/x",
        "a\0b",
        ".mainstay/x",
        "",
        "a//b",
        "a/",
    ] {
        assert_eq!(
            kind(Key::parse("key", name)),
            Some(ErrorKind::InvalidInput),
            "{name:?}"
        );
    }
    assert!(
        list(objects, ".mainstay", None, 1000)
            .await
            .expect("a list")
            .value
            .objects
            .is_empty()
    );
    assert!(
        list(objects, "../", None, 1000)
            .await
            .expect("a list")
            .value
            .objects
            .is_empty()
    );
}

/// Every page begins where the last one ended.
pub async fn lists_come_in_order_and_in_pages(objects: &Objects) {
    for at in 0..7 {
        stored(objects, &format!("contract/pages/{at}"), &content(at)).await;
    }
    let (mut after, mut seen) = (None, Vec::new());
    loop {
        let page = list(objects, "contract/pages/", after.as_deref(), 3)
            .await
            .expect("a list")
            .value;
        assert!(page.objects.len() <= 3);
        seen.extend(page.objects.iter().map(|l| (l.key.clone(), l.size)));
        after = page.next_after;
        if after.is_none() {
            break;
        }
    }
    let expected: Vec<_> = (0..7)
        .map(|at| (format!("contract/pages/{at}"), Some(at)))
        .collect();
    assert_eq!(seen, expected);
    let all = list(objects, "contract/pages/", None, 7)
        .await
        .expect("a list")
        .value;
    assert_eq!((all.objects.len(), all.next_after), (7, None));
}

/// They are any beginning of a key.
pub async fn prefixes_need_not_end_at_a_slash(objects: &Objects) {
    for name in ["contract/pre/ab", "contract/pre/abc/d", "contract/pre/b"] {
        stored(objects, name, &content(1)).await;
    }
    let listed = list(objects, "contract/pre/a", None, 10)
        .await
        .expect("a list")
        .value;
    assert_eq!(keys(&listed), ["contract/pre/ab", "contract/pre/abc/d"]);
    assert!(
        list(objects, "contract/no-such/", None, 10)
            .await
            .expect("a list")
            .value
            .objects
            .is_empty()
    );
}

/// Limits and control characters.
pub async fn senseless_lists_are_refused(objects: &Objects) {
    for (prefix, limit) in [("", 0), ("", 1001), ("a\nb", 10)] {
        assert_eq!(
            kind(list(objects, prefix, None, limit).await),
            Some(ErrorKind::InvalidInput)
        );
    }
}

/// Create only, and change only what was seen.
pub async fn conditions_hold(objects: &Objects) {
    let with = |condition: Condition| Upload {
        condition,
        ..Upload::default()
    };
    let name = "contract/conditions";
    let one = put_with(objects, name, &content(1), with(Condition::Absent))
        .await
        .expect("it was absent");
    let again = put_with(objects, name, &content(2), with(Condition::Absent)).await;
    assert_eq!(kind(again), Some(ErrorKind::PreconditionFailed));
    let Receipt::Stored { etag: Some(etag) } = one.value else {
        panic!("{one:?}")
    };
    let wrong = put_with(
        objects,
        name,
        &content(2),
        with(Condition::Matches("\"other\"".into())),
    )
    .await;
    assert_eq!(kind(wrong), Some(ErrorKind::PreconditionFailed));
    put_with(
        objects,
        name,
        &content(3),
        with(Condition::Matches(etag.clone())),
    )
    .await
    .expect("it matches");
    let late = put_with(
        objects,
        name,
        &content(4),
        with(Condition::Matches(etag.clone())),
    )
    .await;
    assert_eq!(kind(late), Some(ErrorKind::PreconditionFailed));
    let nothing = put_with(
        objects,
        "contract/nothing",
        &content(4),
        with(Condition::Matches(etag)),
    )
    .await;
    assert_eq!(kind(nothing), Some(ErrorKind::PreconditionFailed));
    assert_eq!(
        get(objects, name, None).await.expect("it is there").value,
        content(3)
    );
    assert_eq!(objects.conditional_writes(), Some(true));
}

/// However many try.
pub async fn of_racing_creations_exactly_one_wins(objects: &Objects) {
    let creation = Upload {
        condition: Condition::Absent,
        ..Upload::default()
    };
    race(objects, "contract/race", creation).await;
}

/// However many try.
pub async fn of_racing_updates_exactly_one_wins(objects: &Objects) {
    let etag = stored(objects, "contract/updates", &Bytes::from_static(b"before")).await;
    let condition = Condition::Matches(etag.expect("the store gives ETags"));
    race(
        objects,
        "contract/updates",
        Upload {
            condition,
            ..Upload::default()
        },
    )
    .await;
}

async fn race(objects: &Objects, name: &str, upload: Upload) {
    let tries = (0..16_u8).map(|at| {
        let (mine, upload) = (Bytes::from(vec![at]), upload.clone());
        async move { (at, put_with(objects, name, &mine, upload).await) }
    });
    let ended = futures_util::future::join_all(tries).await;
    let winners: Vec<_> = ended
        .iter()
        .filter(|(_, result)| result.is_ok())
        .map(|(at, _)| *at)
        .collect();
    assert_eq!(winners.len(), 1, "{ended:?}");
    let losers = ended.into_iter().filter_map(|(_, result)| kind(result));
    assert!(
        losers
            .into_iter()
            .all(|kind| kind == ErrorKind::PreconditionFailed)
    );
    assert_eq!(
        get(objects, name, None).await.expect("it is there").value,
        winners
    );
}

/// The condition would be checked only at the end.
pub async fn a_large_upload_takes_no_condition(objects: &Objects) {
    for length in [None, Some(PART as u64 + 1)] {
        let upload = Upload {
            length,
            condition: Condition::Absent,
            ..Upload::default()
        };
        let refused = put_with(objects, "contract/large", &content(PART + 1), upload).await;
        assert_eq!(kind(refused), Some(ErrorKind::InvalidInput));
    }
    assert_eq!(
        kind(get(objects, "contract/large", None).await),
        Some(ErrorKind::NotFound)
    );
}

/// Bodies that break off, or aren't as long as was said.
pub async fn wrong_uploads_leave_nothing(objects: &Objects) {
    for size in [10, PART + 10] {
        for length in [size as u64 - 1, size as u64 + 1] {
            let upload = Upload {
                length: Some(length),
                ..Upload::default()
            };
            let refused = put_with(objects, "contract/wrong", &content(size), upload).await;
            assert_eq!(
                kind(refused),
                Some(ErrorKind::MalformedInput),
                "{length} of {size}"
            );
        }
        let broken = stream::iter([Ok(content(size)), Err("gone")]);
        let refused = objects
            .put(
                &context(objects),
                &key("contract/wrong"),
                broken,
                &Upload::default(),
            )
            .await;
        assert_eq!(kind(refused), Some(ErrorKind::MalformedInput));
    }
    assert_eq!(
        kind(get(objects, "contract/wrong", None).await),
        Some(ErrorKind::NotFound)
    );
    assert_eq!(objects.journal_stats().entries, 0);
    assert_eq!(objects.guard().snapshot().failures_in_row, 0);
}
