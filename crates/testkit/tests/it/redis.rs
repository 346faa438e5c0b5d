use std::net::TcpStream;
use std::time::Duration;

use mainstay_testkit::{Redis, eventually_some};
use redis::aio::MultiplexedConnection;

const LONG: Duration = Duration::from_secs(20);

async fn connect(server: &Redis) -> MultiplexedConnection {
    let client = redis::Client::open(server.url()).unwrap();
    eventually_some(LONG, "a connection to Redis", async || {
        client.get_multiplexed_async_connection().await.ok()
    })
    .await
}

async fn set(connection: &mut MultiplexedConnection, key: &str) {
    redis::cmd("SET")
        .arg(key)
        .arg("1")
        .exec_async(connection)
        .await
        .unwrap();
}

async fn exists(connection: &mut MultiplexedConnection, key: &str) -> bool {
    redis::cmd("EXISTS")
        .arg(key)
        .query_async(connection)
        .await
        .unwrap()
}

#[tokio::test]
async fn a_killed_redis_refuses_connections_and_comes_back_empty_on_its_port() {
    let server = Redis::start().await;
    let mut connection = connect(&server).await;
    set(&mut connection, "key").await;
    assert!(exists(&mut connection, "key").await);

    server.kill().await;
    let refused = TcpStream::connect(("127.0.0.1", server.port())).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

    server.restart().await;
    assert!(!exists(&mut connect(&server).await, "key").await);
}

#[tokio::test]
async fn a_redis_with_persistence_keeps_its_data_over_a_restart() {
    let server = Redis::start_with(&["--appendonly", "yes", "--appendfsync", "always"]).await;
    set(&mut connect(&server).await, "key").await;
    server.restart().await;
    assert!(exists(&mut connect(&server).await, "key").await);
}

#[tokio::test]
async fn a_stopped_redis_accepts_and_answers_only_when_continued() {
    let server = Redis::start().await;
    let mut connection = connect(&server).await;
    server.stop().await;
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_ok());
    let mut ping =
        tokio::spawn(async move { redis::cmd("PING").exec_async(&mut connection).await });
    tokio::time::timeout(Duration::from_millis(200), &mut ping)
        .await
        .unwrap_err();
    server.cont();
    // Whether the driver has given up by now is its business; the server answers again.
    let _ = tokio::time::timeout(LONG, ping).await.unwrap();
    set(&mut connect(&server).await, "key").await;
}

#[tokio::test]
async fn a_password_is_part_of_the_url_and_needed() {
    let server = Redis::start_with(&["--requirepass", "secret"]).await;
    set(&mut connect(&server).await, "key").await;
    let client = redis::Client::open(format!("redis://127.0.0.1:{}/", server.port())).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let error = redis::cmd("GET")
        .arg("key")
        .exec_async(&mut connection)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("NOAUTH"), "{error}");
}

#[tokio::test]
async fn a_shut_down_redis_is_gone() {
    let server = Redis::start().await;
    server.shutdown().await;
    TcpStream::connect(("127.0.0.1", server.port())).unwrap_err();
}
