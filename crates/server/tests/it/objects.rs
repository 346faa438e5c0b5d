//! Objects over HTTP: ETags, conditions and ranges as RFC 9110 has them.

use axum::body::Body;
use http::{Method, Request, StatusCode};
use mainstay_journal::NewEntry;
use mainstay_server::Scope;
use serde_json::json;

use crate::world::{Reply, World};

async fn with(world: &World, method: Method, path: &str, headers: &[(&str, &str)]) -> Reply {
    let mut request: http::request::Builder = world.request(method, path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request: Request<Body> = request.body(Body::empty()).unwrap();
    world.send(request).await
}

#[tokio::test]
async fn an_etag_is_quoted_once_wherever_it_is_shown() {
    let world = World::healthy().await;
    let put = world.put("/objects/a", "contents").await;
    let etag = put.header("etag").unwrap().to_owned();
    let inner = etag.strip_prefix('"').and_then(|e| e.strip_suffix('"'));
    assert!(
        inner.is_some_and(|e| !e.is_empty() && !e.contains('"')),
        "{etag}"
    );
    assert_eq!(put.body["etag"], etag.as_str());
    for method in [Method::GET, Method::HEAD] {
        let reply = with(&world, method, "/objects/a", &[]).await;
        assert_eq!(reply.header("etag"), Some(etag.as_str()));
    }
    let listed = world.get("/objects").await;
    assert_eq!(listed.body["objects"][0]["etag"], etag.as_str());
}

#[tokio::test]
async fn what_the_caller_has_already_is_not_sent_again() {
    let world = World::healthy().await;
    let put = world.put("/objects/a", "contents").await;
    let etag = put.header("etag").unwrap().to_owned();
    let weak = format!("W/{etag}");
    let among = format!("\"other\", {etag}");
    for method in [Method::GET, Method::HEAD] {
        for known in [etag.as_str(), &weak, &among, "*"] {
            let known = [("if-none-match", known)];
            let reply = with(&world, method.clone(), "/objects/a", &known).await;
            assert_eq!(reply.status, StatusCode::NOT_MODIFIED, "{known:?}");
            assert_eq!(reply.header("etag"), Some(etag.as_str()));
            assert_eq!(reply.header("mainstay-source"), Some("primary"));
            assert!(reply.bytes.is_empty());
        }
    }
    let other = [("if-none-match", "\"other\"")];
    let reply = with(&world, Method::GET, "/objects/a", &other).await;
    assert_eq!((reply.status, reply.text()), (StatusCode::OK, "contents"));
    let nothing = with(&world, Method::GET, "/objects/b", &[("if-none-match", "*")]).await;
    assert_eq!(nothing.status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn ranges_are_answered_while_the_object_is_the_same() {
    let world = World::healthy().await;
    let put = world.put("/objects/a", "0123456789").await;
    let etag = put.header("etag").unwrap().to_owned();
    let part = |range: &'static str, extra: Option<(&'static str, String)>| {
        let world = &world;
        async move {
            let mut headers = vec![("range", range)];
            headers.extend(extra.as_ref().map(|(n, v)| (*n, v.as_str())));
            with(world, Method::GET, "/objects/a", &headers).await
        }
    };
    for (range, text, shown) in [
        ("bytes=2-4", "234", "bytes 2-4/10"),
        ("bytes=7-", "789", "bytes 7-9/10"),
        ("bytes=-2", "89", "bytes 8-9/10"),
        ("bytes=8-100", "89", "bytes 8-9/10"),
    ] {
        let reply = part(range, Some(("if-range", etag.clone()))).await;
        assert_eq!(
            (reply.status, reply.text()),
            (StatusCode::PARTIAL_CONTENT, text)
        );
        assert_eq!(reply.header("content-range"), Some(shown));
        let length = text.len().to_string();
        assert_eq!(reply.header("content-length"), Some(length.as_str()));
    }
    let other = ("if-range", "\"other\"".to_owned());
    let whole = part("bytes=2-4", Some(other)).await;
    assert_eq!((whole.status, whole.text()), (StatusCode::OK, "0123456789"));
    assert_eq!(whole.header("content-range"), None);
    let outside = part("bytes=10-", None).await;
    let got = (outside.status.as_u16(), outside.problem());
    assert_eq!(got, (416, "range-not-satisfiable"), "{outside:?}");
}

#[tokio::test]
async fn a_conditional_upload_holds_what_it_promises() {
    let world = World::healthy().await;
    let put = |condition: Option<(&'static str, String)>| {
        let mut request = world.request(Method::PUT, "/objects/a");
        if let Some((name, value)) = condition {
            request = request.header(name, value);
        }
        world.send(request.body(Body::from("x")).unwrap())
    };
    let first = put(Some(("if-none-match", "*".to_owned()))).await;
    assert_eq!(first.status, StatusCode::OK, "{first:?}");
    let again = put(Some(("if-none-match", "*".to_owned()))).await;
    assert_eq!(again.status, StatusCode::PRECONDITION_FAILED);
    let etag = first.header("etag").unwrap().to_owned();
    let same = put(Some(("if-match", etag.clone()))).await;
    assert_eq!(
        same.status,
        StatusCode::OK,
        "the ETag of a reply is what the store compares"
    );
    let other = put(Some(("if-match", "\"other\"".to_owned()))).await;
    assert_eq!(other.status, StatusCode::PRECONDITION_FAILED);
}

#[tokio::test]
async fn the_journal_pages_in_order_says_why_an_entry_was_set_aside_and_audits_what_becomes_of_it()
{
    let world = World::healthy().await;
    let path = "/admin/breakers/s3/forced_open";
    assert_eq!(world.post(path, json!({})).await.status, StatusCode::OK);
    for n in 0..5 {
        let accepted = world.put(&format!("/objects/k{n}"), "x").await;
        assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    }
    let mut keys = Vec::new();
    let mut after = String::new();
    loop {
        let page = world.get(&format!("/journal?limit=2{after}")).await;
        assert_eq!(page.body["entries"], 5, "{page:?}");
        let items = page.body["items"].as_array().unwrap().clone();
        let Some(last) = items.last() else { break };
        assert!(items.len() <= 2);
        after = format!("&after={}", last["id"].as_str().unwrap());
        keys.extend(items.iter().map(|i| i["key"].as_str().unwrap().to_owned()));
    }
    assert_eq!(keys, ["k0", "k1", "k2", "k3", "k4"]);
    assert_eq!(
        world.get("/journal?set_aside=true").await.body["items"],
        json!([])
    );

    let journal = world.core.objects.journal();
    let claimed = journal.claim("s3", 1, 0).pop().unwrap();
    let id = claimed.id().to_string();
    claimed
        .set_aside("the store refuses this key")
        .await
        .unwrap();
    let aside = world.get("/journal?set_aside=true").await;
    assert_eq!(aside.body["set_aside"], 1, "{aside:?}");
    let item = &aside.body["items"][0];
    assert_eq!(
        (item["id"].as_str(), &item["state"]),
        (Some(id.as_str()), &json!("set_aside"))
    );
    assert_eq!(item["last_error"], "the store refuses this key");

    let retry = format!("/journal/{id}/retry");
    assert_eq!(world.post(&retry, json!({})).await.status, StatusCode::OK);
    let event = world.event("operator").await;
    assert_eq!(
        (&event.data["command"], &event.data["entry"]),
        (&json!("retry"), &json!(id))
    );
    assert_eq!(world.get("/journal").await.body["set_aside"], 0);

    let claimed = journal.claim("s3", 1, i64::MAX).pop().unwrap();
    claimed
        .set_aside("the store refuses this key")
        .await
        .unwrap();
    let discard = format!("/journal/{id}/discard");
    let discarded = world.post(&discard, json!({})).await;
    assert_eq!(
        (discarded.status, &discarded.body["entries"]),
        (StatusCode::OK, &json!(4))
    );
    let event = world.event("operator").await;
    assert_eq!(
        (&event.data["command"], &event.data["actor"]),
        (&json!("discard"), &json!("root"))
    );
    assert_eq!(
        world.post(&discard, json!({})).await.status,
        StatusCode::NOT_FOUND
    );
}

#[tokio::test]
async fn deferred_database_writes_are_shown_to_those_who_may_write_them() {
    let world = World::healthy().await;
    let forced = world
        .post("/admin/breakers/s3/forced_open", json!({}))
        .await;
    assert_eq!(forced.status, StatusCode::OK);
    let accepted = world.put("/objects/k", "x").await;
    assert_eq!(accepted.status, StatusCode::ACCEPTED, "{accepted:?}");
    let write = NewEntry {
        queue: mainstay_database::QUEUE,
        key: "stock".to_owned(),
        kind: "take_from_stock".to_owned(),
        meta: json!({}),
        body: None,
        outcome: None,
        accepted_at_ms: 0,
    };
    world.core.objects.journal().append(write).await.unwrap();
    for (scopes, queues) in [
        (&[Scope::Objects][..], &["s3"][..]),
        (&[Scope::Objects, Scope::DbRead], &["s3"]),
        (&[Scope::Objects, Scope::DbWrite], &["s3", "database"]),
        (&[Scope::Admin], &["s3", "database"]),
    ] {
        let key = world.key_with(scopes);
        let request = Request::get("/journal").header("x-api-key", key);
        let shown = world.send(request.body(Body::empty()).unwrap()).await;
        let items = shown.body["items"].as_array().unwrap().iter();
        let found: Vec<_> = items.map(|i| i["queue"].as_str().unwrap()).collect();
        assert_eq!(found, queues, "{scopes:?}");
        let named = shown.text().contains("take_from_stock");
        assert_eq!(named, queues.contains(&"database"), "{scopes:?}");
    }
}
