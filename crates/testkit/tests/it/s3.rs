use std::net::TcpStream;
use std::time::Duration;

use futures_util::TryStreamExt;
use mainstay_testkit::{S3, S3Mode, eventually};
use object_store::aws::{AmazonS3, AmazonS3Builder, Checksum};
use object_store::path::Path;
use object_store::{
    Error, GetOptions, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, RetryConfig,
    WriteMultipart,
};

use crate::LONG;

fn builder(server: &S3) -> AmazonS3Builder {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig {
        max_retries: 0,
        ..RetryConfig::default()
    };
    AmazonS3Builder::new()
        .with_endpoint(server.endpoint())
        .with_allow_http(true)
        .with_bucket_name(server.bucket())
        .with_region(server.region())
        .with_access_key_id(server.access_key())
        .with_secret_access_key(server.secret_key())
        .with_retry(retry)
}

fn store(server: &S3) -> AmazonS3 {
    builder(server).build().unwrap()
}

async fn read(store: &AmazonS3, key: &str) -> Vec<u8> {
    store
        .get(&Path::from(key))
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap()
        .to_vec()
}

async fn put(
    store: &AmazonS3,
    key: &str,
    body: &str,
) -> object_store::Result<object_store::PutResult> {
    store
        .put(&Path::from(key), PutPayload::from(body.as_bytes().to_vec()))
        .await
}

async fn put_with(store: &AmazonS3, key: &str, body: &str, mode: PutMode) -> Result<(), Error> {
    let body = PutPayload::from(body.as_bytes().to_vec());
    store
        .put_opts(&Path::from(key), body, PutOptions::from(mode))
        .await
        .map(drop)
}

#[tokio::test]
async fn objects_are_put_read_listed_copied_and_deleted() {
    let server = S3::start().await;
    let store = store(&server);
    for key in ["a/1", "a/2", "a/3", "b/1"] {
        put(&store, key, &format!("body of {key}")).await.unwrap();
    }
    assert_eq!(read(&store, "a/2").await, b"body of a/2");
    let range = GetOptions {
        range: Some((5..7).into()),
        ..GetOptions::default()
    };
    let part = store
        .get_opts(&Path::from("a/2"), range)
        .await
        .unwrap()
        .bytes()
        .await
        .unwrap();
    assert_eq!(&part[..], b"of");
    assert_eq!(store.head(&Path::from("a/2")).await.unwrap().size, 11);

    let (prefix, offset) = (Path::from("a"), Path::from("a/1"));
    let listed: Vec<_> = store
        .list_with_offset(Some(&prefix), &offset)
        .try_collect()
        .await
        .unwrap();
    let keys: Vec<_> = listed
        .iter()
        .map(|object| object.location.as_ref())
        .collect();
    assert_eq!(keys, ["a/2", "a/3"]);

    store
        .copy(&Path::from("a/1"), &Path::from("c/1"))
        .await
        .unwrap();
    assert_eq!(read(&store, "c/1").await, b"body of a/1");
    store.delete(&Path::from("c/1")).await.unwrap();
    assert!(matches!(
        store.head(&Path::from("c/1")).await,
        Err(Error::NotFound { .. })
    ));
    assert!(server.requests().await >= 10);
}

#[tokio::test]
async fn long_lists_come_in_pages() {
    let server = S3::start().await;
    let store = store(&server);
    let keys: Vec<String> = (0..1005).map(|n| format!("many/{n:04}")).collect();
    let folder = futures_util::stream::iter(keys.clone().into_iter().map(Ok::<_, Error>));
    folder
        .try_for_each_concurrent(16, |key| {
            let store = &store;
            async move { put(store, &key, "x").await.map(drop) }
        })
        .await
        .unwrap();
    let listed: Vec<_> = store
        .list(Some(&Path::from("many")))
        .try_collect()
        .await
        .unwrap();
    assert_eq!(
        listed
            .iter()
            .map(|object| object.location.to_string())
            .collect::<Vec<_>>(),
        keys
    );
}

#[tokio::test]
async fn large_objects_go_up_in_parts() {
    let server = S3::start().await;
    let store = store(&server);
    let body: Vec<u8> = (0..12_000_000_u32).map(|n| (n % 251) as u8).collect();
    let upload = store.put_multipart(&Path::from("large")).await.unwrap();
    let mut writer = WriteMultipart::new_with_chunk_size(upload, 5 * 1024 * 1024);
    writer.write(&body);
    writer.finish().await.unwrap();
    assert!(read(&store, "large").await == body);
}

#[tokio::test]
async fn of_racing_creations_exactly_one_wins() {
    let server = S3::start().await;
    let store = store(&server);
    for round in 0..20 {
        let key = format!("race/{round}");
        let create = |body: &'static str| put_with(&store, &key, body, PutMode::Create);
        let results = tokio::join!(
            create("one"),
            create("two"),
            create("three"),
            create("four")
        );
        let results = [results.0, results.1, results.2, results.3];
        let lost = |result: &&Result<(), Error>| matches!(result, Err(Error::AlreadyExists { .. }));
        assert_eq!(results.iter().filter(lost).count(), 3, "{results:?}");
        let winner =
            ["one", "two", "three", "four"][results.iter().position(Result::is_ok).unwrap()];
        assert_eq!(read(&store, &key).await, winner.as_bytes());
    }
}

#[tokio::test]
async fn of_racing_updates_of_one_version_exactly_one_wins() {
    let server = S3::start().await;
    let store = store(&server);
    for _ in 0..20 {
        let version = put(&store, "counter", "old").await.unwrap();
        let update = |body: &'static str| {
            put_with(
                &store,
                "counter",
                body,
                PutMode::Update(version.clone().into()),
            )
        };
        let results = tokio::join!(update("one"), update("two"));
        assert!(results.0.is_ok() != results.1.is_ok(), "{results:?}");
        let error = results.0.err().or(results.1.err()).unwrap();
        assert!(matches!(error, Error::Precondition { .. }), "{error}");
    }
}

#[tokio::test]
async fn a_refused_upload_leaves_its_connection_usable() {
    let server = S3::start().await;
    let store = store(&server);
    put(&store, "taken", "x").await.unwrap();
    let large = "y".repeat(3_000_000);
    for _ in 0..5 {
        let error = put_with(&store, "taken", &large, PutMode::Create)
            .await
            .unwrap_err();
        assert!(matches!(error, Error::AlreadyExists { .. }), "{error}");
        assert_eq!(read(&store, "taken").await, b"x");
    }
}

#[tokio::test]
async fn a_right_checksum_is_stored_and_a_wrong_signature_refused() {
    let server = S3::start().await;
    let checked = builder(&server)
        .with_checksum_algorithm(Checksum::SHA256)
        .build()
        .unwrap();
    put(&checked, "checked", "body").await.unwrap();
    assert_eq!(read(&checked, "checked").await, b"body");

    let forger = builder(&server)
        .with_secret_access_key("wrong")
        .build()
        .unwrap();
    let error = put(&forger, "forged", "body").await.unwrap_err();
    assert!(
        error.to_string().contains("SignatureDoesNotMatch"),
        "{error}"
    );
    let stranger = builder(&server)
        .with_access_key_id("nobody")
        .build()
        .unwrap();
    let error = put(&stranger, "forged", "body").await.unwrap_err();
    assert!(error.to_string().contains("InvalidAccessKeyId"), "{error}");
}

#[tokio::test]
async fn a_wrong_checksum_stores_nothing() {
    let server = S3::start().await;
    let url = format!("{}/{}/broken", server.endpoint(), server.bucket());
    let request = crate::http()
        .put(url)
        .body("body")
        .header("content-md5", "AAAAAAAAAAAAAAAAAAAAAA==");
    let answer = request.send().await.unwrap();
    assert_eq!(answer.status(), 400);
    assert!(
        answer
            .text()
            .await
            .unwrap()
            .contains("<Code>BadDigest</Code>")
    );
    assert!(matches!(
        store(&server).head(&Path::from("broken")).await,
        Err(Error::NotFound { .. })
    ));
}

#[tokio::test]
async fn an_unknown_bucket_is_told_apart_from_an_unknown_key() {
    let server = S3::start().await;
    let elsewhere = builder(&server)
        .with_bucket_name("elsewhere")
        .build()
        .unwrap();
    let missing =
        |error: Error, code: &str| assert!(format!("{error:?}").contains(code), "{error:?}");
    missing(
        elsewhere.get(&Path::from("key")).await.unwrap_err(),
        "NoSuchBucket",
    );
    missing(
        put(&elsewhere, "key", "body").await.unwrap_err(),
        "NoSuchBucket",
    );
    missing(
        store(&server).get(&Path::from("key")).await.unwrap_err(),
        "NoSuchKey",
    );
}

#[tokio::test]
async fn its_modes_are_seen_on_the_wire() {
    let server = S3::start().await;
    let url = format!("{}/{}/key", server.endpoint(), server.bucket());
    let http = crate::http();
    let check = async |mode: S3Mode, status: u16, retry_after: Option<&str>, code: &str| {
        server.set(mode).await;
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!(answer.status(), status);
        let hint = answer
            .headers()
            .get("retry-after")
            .map(|value| value.to_str().unwrap().to_owned());
        assert_eq!(hint.as_deref(), retry_after);
        assert!(answer.text().await.unwrap().contains(code));
    };
    check(
        S3Mode::SlowDown {
            retry_after: Some(7),
        },
        503,
        Some("7"),
        "SlowDown",
    )
    .await;
    check(
        S3Mode::SlowDown { retry_after: None },
        503,
        None,
        "SlowDown",
    )
    .await;
    check(S3Mode::Internal, 500, None, "InternalError").await;
    check(S3Mode::Forbidden, 403, None, "AccessDenied").await;

    let store = store(&server);
    server.set(S3Mode::Hang).await;
    tokio::time::timeout(Duration::from_millis(150), put(&store, "key", "body"))
        .await
        .unwrap_err();
    server.set(S3Mode::Slow { ms: 50 }).await;
    put(&store, "key", "body").await.unwrap();
    server.set(S3Mode::CutMidway).await;
    let cut = store.get(&Path::from("key")).await.unwrap();
    cut.bytes().await.unwrap_err();
    server.set(S3Mode::Ok).await;
    assert_eq!(read(&store, "key").await, b"body");
}

#[tokio::test]
async fn a_late_upload_arrives_though_its_client_has_gone_and_only_if_its_condition_holds_then() {
    let server = S3::start().await;
    let store = store(&server);
    server.set(S3Mode::LateUploads { ms: 2_000 }).await;
    for key in ["key", "other"] {
        let gone = put_with(&store, key, "late", PutMode::Create);
        tokio::time::timeout(Duration::from_millis(500), gone)
            .await
            .unwrap_err();
    }
    put(&store, "other", "in time").await.unwrap();
    assert_eq!(server.under_way("").await, 2);
    eventually(LONG, "all to be carried out", async || {
        server.under_way("").await == 0
    })
    .await;
    assert_eq!(read(&store, "key").await, b"late");
    assert_eq!(read(&store, "other").await, b"in time");
}

#[tokio::test]
async fn it_is_killed_restarted_stopped_and_continued_with_its_objects() {
    let server = S3::start().await;
    let store = store(&server);
    put(&store, "key", "body").await.unwrap();
    server.kill().await;
    TcpStream::connect(("127.0.0.1", server.port())).unwrap_err();
    server.restart().await;
    assert_eq!(read(&store, "key").await, b"body");

    server.stop().await;
    tokio::time::timeout(Duration::from_millis(150), store.head(&Path::from("key")))
        .await
        .unwrap_err();
    server.cont();
    eventually(LONG, "S3 to answer again", async || {
        store.head(&Path::from("key")).await.is_ok()
    })
    .await;
}
