//! The kit's own servers are told how to behave over HTTP: one small request, without a client library.
//!
//! A library would need a TLS provider installed for the whole process, which would hide from a test
//! that the code under test forgot to install its own.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DEADLINE: Duration = Duration::from_secs(10);

/// Tells the server on `port` its new mode.
pub(crate) async fn set(port: u16, path: &str, mode: &Value) {
    exchange(port, "POST", path, &mode.to_string()).await;
}

/// Asks the server on `port` for its mode and its counts.
pub(crate) async fn get(port: u16, path: &str) -> Value {
    let body = exchange(port, "GET", path, "").await;
    serde_json::from_str(&body).expect("the control route answers JSON")
}

async fn exchange(port: u16, method: &str, path: &str, body: &str) -> String {
    let request = format!(
        "{method} {path} HTTP/1.0\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = tokio::time::timeout(DEADLINE, async {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await?;
        stream.write_all(request.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        std::io::Result::Ok(answer)
    });
    let answer = answer
        .await
        .expect("a running server answers its control route in time");
    let answer = answer.expect("a running server answers its control route");
    let (head, body) = answer
        .split_once("\r\n\r\n")
        .expect("HTTP has an empty line after its head");
    let accepted = head
        .split(' ')
        .nth(1)
        .is_some_and(|status| status.starts_with('2'));
    assert!(accepted, "the control route refused {request}\n{answer}");
    body.to_owned()
}
