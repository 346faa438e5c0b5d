use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use mainstay_testkit::{Fault, FaultProxy, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::LONG;

const SHORT: Duration = Duration::from_millis(150);

/// A server that sends back what it receives.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut reader, mut writer) = stream.split();
                tokio::io::copy(&mut reader, &mut writer).await
            });
        }
    });
    addr
}

async fn proxy() -> FaultProxy {
    FaultProxy::start(echo().await).await
}

async fn connect(proxy: &FaultProxy) -> TcpStream {
    TcpStream::connect(proxy.addr()).await.unwrap()
}

/// Sends `text` and waits for it to come back.
async fn exchange(stream: &mut TcpStream, text: &str) -> std::io::Result<String> {
    stream.write_all(text.as_bytes()).await?;
    let mut back = vec![0; text.len()];
    timeout(LONG, stream.read_exact(&mut back)).await.unwrap()?;
    Ok(String::from_utf8(back).unwrap())
}

async fn ends_with(stream: &mut TcpStream) -> Result<usize, ErrorKind> {
    let mut rest = Vec::new();
    timeout(LONG, stream.read_to_end(&mut rest))
        .await
        .unwrap()
        .map_err(|error| error.kind())
}

#[tokio::test]
async fn a_passing_proxy_passes_everything_and_counts() {
    let proxy = proxy().await;
    let (mut one, mut two) = (connect(&proxy).await, connect(&proxy).await);
    let large = "x".repeat(1_000_000);
    let (mut reader, mut writer) = one.split();
    let mut back = vec![0; large.len()];
    let (sent, read) = tokio::join!(
        writer.write_all(large.as_bytes()),
        reader.read_exact(&mut back)
    );
    sent.unwrap();
    read.unwrap();
    assert_eq!(exchange(&mut two, "hello").await.unwrap(), "hello");
    assert_eq!((proxy.connections(), proxy.accepted()), (2, 2));
    drop(one);
    eventually(LONG, "one connection to be left", async || {
        proxy.connections() == 1
    })
    .await;
}

#[tokio::test]
async fn refused_connections_are_refused_on_the_same_port_until_passed() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, "hello").await.unwrap();
    for _ in 0..3 {
        proxy.set(Fault::RefuseConnections).await;
        assert_eq!(proxy.connections(), 0);
        let error = TcpStream::connect(proxy.addr()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        proxy.set(Fault::Pass).await;
        assert_eq!(
            exchange(&mut connect(&proxy).await, "again").await.unwrap(),
            "again"
        );
    }
    assert_eq!(ends_with(&mut stream).await, Ok(0));
}

#[tokio::test]
async fn a_blackhole_swallows_and_resets_what_it_swallowed_from() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    exchange(&mut old, "hello").await.unwrap();
    proxy.set(Fault::Blackhole).await;
    let (mut new, mut idle) = (connect(&proxy).await, connect(&proxy).await);
    for stream in [&mut old, &mut new] {
        stream.write_all(b"anyone?").await.unwrap();
        timeout(SHORT, stream.read_u8()).await.unwrap_err();
    }
    proxy.set(Fault::Pass).await;
    assert_eq!(ends_with(&mut old).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(ends_with(&mut new).await, Err(ErrorKind::ConnectionReset));
    assert_eq!(exchange(&mut idle, "hello").await.unwrap(), "hello");
}

#[tokio::test]
async fn a_delay_holds_back_both_directions() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, "hello").await.unwrap();
    proxy.set(Fault::Delay(SHORT)).await;
    // Once there and once back: not before twice the delay.
    let mut late = tokio::spawn(async move { exchange(&mut stream, "late").await });
    timeout(SHORT * 2 - Duration::from_millis(5), &mut late)
        .await
        .unwrap_err();
    assert_eq!(late.await.unwrap().unwrap(), "late");
}

#[tokio::test]
async fn a_delay_of_answers_lets_requests_through() {
    let server = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let proxy = FaultProxy::start(server.local_addr().unwrap()).await;
    proxy
        .set(Fault::DelayAnswers(Duration::from_secs(3600)))
        .await;
    let mut client = connect(&proxy).await;
    client.write_all(b"question").await.unwrap();
    let (mut served, _) = timeout(LONG, server.accept()).await.unwrap().unwrap();
    let mut question = [0; 8];
    let read = timeout(LONG, served.read_exact(&mut question)).await;
    read.unwrap().unwrap();
    served.write_all(b"answer").await.unwrap();
    timeout(SHORT, client.read_u8()).await.unwrap_err();
    proxy.set(Fault::Pass).await;
    let mut answer = [0; 6];
    let read = timeout(LONG, client.read_exact(&mut answer)).await;
    read.unwrap().unwrap();
    assert_eq!(&answer, b"answer");
}

#[tokio::test]
async fn a_fault_that_ends_lets_go_of_what_it_held_back() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    proxy.set(Fault::Delay(Duration::from_secs(3600))).await;
    stream.write_all(b"held").await.unwrap();
    timeout(SHORT, stream.read_u8()).await.unwrap_err();
    proxy.set(Fault::Pass).await;
    let mut back = [0; 4];
    timeout(LONG, stream.read_exact(&mut back))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(&back, b"held");
}

#[tokio::test]
async fn a_cut_passes_exactly_so_many_bytes_of_the_answer() {
    let proxy = proxy().await;
    proxy.set(Fault::CutAfter(10)).await;
    let mut stream = connect(&proxy).await;
    stream.write_all(b"0123456789abcdef").await.unwrap();
    assert_eq!(ends_with(&mut stream).await, Ok(10));
}

#[tokio::test]
async fn a_cut_request_reaches_the_server_in_part() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    exchange(&mut stream, "bytes before the fault don't count")
        .await
        .unwrap();
    proxy.set(Fault::CutRequestAfter(4)).await;
    stream.write_all(b"0123456789").await.unwrap();
    // The echo of the part may or may not make it back before the end.
    assert!(ends_with(&mut stream).await.unwrap_or(0) <= 4);
    eventually(LONG, "the connection to be closed", async || {
        proxy.connections() == 0
    })
    .await;
}

#[tokio::test]
async fn an_answer_is_lost_after_the_server_gave_it_and_all_connections_with_it() {
    let proxy = proxy().await;
    let mut other = connect(&proxy).await;
    let mut stream = connect(&proxy).await;
    proxy.set(Fault::LoseAnswer("that")).await;
    exchange(&mut stream, "this").await.unwrap();
    stream.write_all(b"and that").await.unwrap();
    for stream in [&mut stream, &mut other, &mut connect(&proxy).await] {
        let ended = ends_with(stream).await;
        assert_eq!(ended, Err(ErrorKind::ConnectionReset));
    }
    proxy.set(Fault::Pass).await;
    let mut new = connect(&proxy).await;
    exchange(&mut new, "and that").await.unwrap();
}

#[tokio::test]
async fn a_reset_reaches_old_and_new_connections() {
    let proxy = proxy().await;
    let mut old = connect(&proxy).await;
    exchange(&mut old, "hello").await.unwrap();
    proxy.set(Fault::Reset).await;
    assert_eq!(ends_with(&mut old).await, Err(ErrorKind::ConnectionReset));
    let mut new = connect(&proxy).await;
    assert_eq!(ends_with(&mut new).await, Err(ErrorKind::ConnectionReset));
    proxy.set(Fault::Pass).await;
    assert_eq!(
        exchange(&mut connect(&proxy).await, "hello").await.unwrap(),
        "hello"
    );
}

#[tokio::test]
async fn a_throttle_passes_slowly_and_loses_nothing() {
    let proxy = proxy().await;
    let mut stream = connect(&proxy).await;
    proxy.set(Fault::Throttle(2_000)).await;
    let text = "x".repeat(400);
    let mut slow = tokio::spawn(async move { exchange(&mut stream, &text).await });
    // 400 bytes at 2,000 a second take 200 ms in each direction.
    timeout(SHORT, &mut slow).await.unwrap_err();
    assert_eq!(slow.await.unwrap().unwrap().len(), 400);
}

#[tokio::test]
async fn a_dead_server_resets_the_clients_connection() {
    let gone = SocketAddr::from(([127, 0, 0, 1], mainstay_testkit::free_port()));
    let proxy = FaultProxy::start(gone).await;
    assert_eq!(
        ends_with(&mut connect(&proxy).await).await,
        Err(ErrorKind::ConnectionReset)
    );
}
