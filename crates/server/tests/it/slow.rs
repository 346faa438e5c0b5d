//! Clients that fall silent: no request is held for ever.

use std::io;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};

use crate::world::World;

/// A body that begins and then never goes on.
fn silent() -> Body {
    let begun = stream::iter([Ok::<_, io::Error>(Bytes::from_static(b"{"))]);
    Body::from_stream(begun.chain(stream::pending()))
}

#[tokio::test]
async fn a_body_that_stops_coming_gets_408() {
    let world = World::healthy().await;
    let ask = async |method, path: &'static str| {
        let request = world.request(method, path).body(silent()).unwrap();
        (path, world.send(request).await)
    };
    let (json, object) = tokio::join!(
        ask(Method::POST, "/cache/get"),
        ask(Method::PUT, "/objects/k")
    );
    for (path, reply) in [json, object] {
        let got = (reply.status, reply.problem());
        let wanted = (StatusCode::REQUEST_TIMEOUT, "request-timeout");
        assert_eq!(got, wanted, "{path}: {reply:?}");
        assert_eq!(reply.header("connection"), Some("close"));
        assert_eq!(reply.body["retryable"], true);
    }
}
