//! Clients that fall silent: no connection and no request is held for ever.

use std::io;
use std::time::Duration;

use axum::body::Body;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use utoipa_axum::router::OpenApiRouter;

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

/// Sends what is given and tells what came back until the server closed, and after how long.
async fn closed(world: &World, at: std::net::SocketAddr, sent: &str) -> (String, Duration) {
    let clock = world.core.handle.clock();
    let mut stream = TcpStream::connect(at).await.unwrap();
    stream.write_all(sent.as_bytes()).await.unwrap();
    let (begun, mut reply) = (clock.now(), Vec::new());
    let limit = begun + Duration::from_secs(40);
    let ended = clock.until(limit, stream.read_to_end(&mut reply)).await;
    assert!(ended.is_ok(), "{sent:?} holds its connection");
    let took = clock.now().saturating_since(begun);
    (String::from_utf8(reply).unwrap(), took)
}

#[tokio::test]
async fn a_connection_whose_next_head_does_not_come_is_closed() {
    let world = World::healthy().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let app = mainstay_server::app(&world.core, OpenApiRouter::new());
    let never = std::future::pending();
    let serving = mainstay_server::serve(listener, world.core.clone(), app, never, Duration::ZERO);
    let server = tokio::spawn(serving);
    let whole = "GET /livez HTTP/1.1\r\nhost: x\r\n\r\n";
    let cases = [
        (String::new(), 0),
        // As HTTP/2 begins, and PROPFIND.
        ("PR".to_owned(), 0),
        ("GET /livez HTTP/1.1\r\nhost: x\r\n".to_owned(), 0),
        (whole.to_owned(), 1),
        (format!("{whole}GET /livez HT"), 1),
    ];
    let all = cases.iter().map(|(sent, _)| closed(&world, at, sent));
    let all = futures_util::future::join_all(all).await;
    for ((sent, answers), (reply, took)) in cases.iter().zip(all) {
        assert_eq!(reply.matches("HTTP/1.1 200").count(), *answers, "{reply}");
        assert!(took >= Duration::from_secs(5), "{sent:?}: {took:?}");
    }
    server.abort();
}
