//! The object store killed, frozen and back.

use mainstay_testkit::{S3, eventually};
use reqwest::Method;
use serde_json::json;

use super::outage;
use super::server::{SOON, Server};
use crate::support::{borrowed, s3_settings};

async fn serving(s3: &S3) -> Server {
    let server = Server::start(&borrowed(&s3_settings(s3))).await;
    server.level("OPTIMAL").await;
    server
}

#[tokio::test]
async fn what_is_accepted_while_the_store_is_dead_is_read_back_and_reaches_it_later() {
    let s3 = S3::start().await;
    let mut server = serving(&s3).await;
    let stored = server.put("/objects/a.txt", "before").await;
    assert_eq!(
        (stored.status.as_u16(), stored.body["source"].as_str()),
        (200, Some("primary"))
    );

    s3.kill().await;
    server.breaker("s3", "open").await;
    let accepted = server.put("/objects/b.txt", "during").await;
    assert_eq!(
        (accepted.status.as_u16(), accepted.body["source"].as_str()),
        (202, Some("journal")),
        "{accepted:?}"
    );
    let again = server.get("/objects/b.txt").await;
    assert_eq!(
        (again.body.as_str(), again.header("mainstay-source")),
        (Some("during"), Some("journal"))
    );
    let copy = server.get("/objects/a.txt").await;
    assert_eq!(
        (copy.body.as_str(), copy.header("mainstay-source")),
        (Some("before"), Some("cache"))
    );
    let missing = server.get("/objects/never.txt").await;
    assert_eq!(
        (missing.status.as_u16(), missing.problem()),
        (503, "unavailable"),
        "a failed lookup is never 404"
    );
    let deleted = server
        .send(server.request(Method::DELETE, "/objects/a.txt"))
        .await;
    assert_eq!(deleted.status, 202);
    assert_eq!(
        server.get("/objects/a.txt").await.status,
        404,
        "read your writes"
    );
    outage::S3.assert_down(&server).await;
    assert_eq!(server.metric("journal_entries").await, 2.0);

    server.restart().await;
    assert_eq!(
        server.get("/objects/b.txt").await.body,
        json!("during"),
        "202 outlives the process"
    );
    s3.restart().await;
    server.breaker("s3", "closed").await;
    eventually(SOON, "the journal is empty", async || {
        server.get("/journal").await.body["entries"] == 0
    })
    .await;
    let there = server.get("/objects/b.txt").await;
    assert_eq!(
        (there.body.as_str(), there.header("mainstay-source")),
        (Some("during"), Some("primary"))
    );
    assert_eq!(server.get("/objects/a.txt").await.status, 404);
    outage::S3.assert_back(&server).await;
}

#[tokio::test]
async fn an_upload_to_a_frozen_store_is_accepted() {
    let s3 = S3::start().await;
    let server = serving(&s3).await;
    s3.stop().await;
    server.breaker("s3", "open").await;
    let body = vec![7u8; 20 << 20];
    let accepted = server.put("/objects/large.bin", body.clone()).await;
    assert_eq!(
        (accepted.status.as_u16(), accepted.body["source"].as_str()),
        (202, Some("journal")),
        "{accepted:?}"
    );
    let missing = server.get("/objects/never.txt").await;
    assert!(
        matches!(missing.status.as_u16(), 503 | 504),
        "a failed lookup is never 404: {missing:?}"
    );
    outage::S3.assert_down(&server).await;

    s3.cont();
    eventually(SOON, "the journal is empty", async || {
        server.get("/journal").await.body["entries"] == 0
    })
    .await;
    let reply = server
        .request(Method::GET, "/objects/large.bin")
        .send()
        .await
        .expect("an answer");
    assert_eq!(
        reply.headers().get("mainstay-source").map(|v| v.as_bytes()),
        Some(&b"primary"[..])
    );
    assert_eq!(reply.bytes().await.expect("whole"), body);
    outage::S3.assert_back(&server).await;
}

#[tokio::test]
async fn a_journal_whose_storage_has_failed_says_so_everywhere_until_a_restart() {
    let s3 = S3::start().await;
    let mut server = serving(&s3).await;
    s3.kill().await;
    server.breaker("s3", "open").await;
    assert_eq!(server.put("/objects/kept.txt", "kept").await.status, 202);
    let spool = server.folder.path().join("mainstay-data/journal/spool");
    std::fs::remove_dir(&spool).expect("it is there and empty");
    let large = vec![7u8; 200_000];
    let refused = server.put("/objects/large.bin", large.clone()).await;
    assert_eq!(
        (refused.status.as_u16(), refused.problem()),
        (503, "journal-full"),
        "{refused:?}"
    );
    assert!(refused.header("retry-after").is_some());
    assert_eq!(server.put("/objects/small.txt", "small").await.status, 503);
    let status = server.get("/status").await.body;
    assert_eq!(status["journal"]["faulted"], true);
    assert_eq!(status["features"]["s3_uploads"], "off");
    let why = server.get("/status/why").await.body.to_string();
    assert!(why.contains("journal's storage has failed"), "{why}");
    assert_eq!(server.feature("s3_uploads").await, "off");
    assert_eq!(server.get("/objects/kept.txt").await.body, json!("kept"));

    // It could not be flushed, and its end says so.
    server.program.kill().await;
    server.start_again().await;
    assert_eq!(server.put("/objects/large.bin", large).await.status, 202);
    assert_eq!(
        server.get("/status").await.body["journal"]["faulted"],
        false
    );
    assert_eq!(server.feature("s3_uploads").await, "queued");
    assert_eq!(server.get("/objects/kept.txt").await.body, json!("kept"));
}

#[tokio::test]
async fn a_request_with_an_idempotency_key_is_carried_out_once() {
    let server = Server::start(&[]).await;
    let put = async |body: &'static str| {
        let request = server.request(Method::PUT, "/objects/a.txt");
        let request = request.header("idempotency-key", "first").body(body);
        server.send(request).await
    };
    let first = put("one").await;
    assert_eq!(first.status, 200, "{first:?}");
    server.put("/objects/a.txt", "later").await;
    let again = put("one").await;
    assert_eq!((again.status, &again.body), (first.status, &first.body));
    assert_eq!(server.get("/objects/a.txt").await.body, json!("later"));
    let other = put("two").await;
    assert_eq!(
        (other.status.as_u16(), other.problem()),
        (422, "key-reused")
    );
    let odd = server.request(Method::DELETE, "/objects/a.txt");
    let odd = server.send(odd.header("idempotency-key", "a b")).await;
    assert_eq!(
        (odd.status.as_u16(), odd.body["field"].as_str()),
        (400, Some("Idempotency-Key"))
    );
}
