use std::net::TcpStream;
use std::time::Duration;

use mainstay_testkit::{Postgres, eventually_some};
use tokio_postgres::{Client, NoTls};

const LONG: Duration = Duration::from_secs(30);

async fn connect(url: &str) -> Client {
    let what = "a connection to PostgreSQL";
    let (client, connection) = eventually_some(LONG, what, async || {
        tokio_postgres::connect(url, NoTls).await.ok()
    })
    .await;
    tokio::spawn(connection);
    client
}

async fn is_superuser(url: &str) -> String {
    let client = connect(url).await;
    client
        .query_one("SHOW is_superuser", &[])
        .await
        .unwrap()
        .get(0)
}

#[tokio::test]
async fn the_role_owns_its_database_and_is_no_superuser() {
    let server = Postgres::start().await;
    let client = connect(&server.url()).await;
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .await
        .unwrap();
    assert_eq!(is_superuser(&server.url()).await, "off");
    assert_eq!(is_superuser(&server.superuser_url()).await, "on");
}

#[tokio::test]
async fn a_wrong_password_is_refused() {
    let server = Postgres::start().await;
    let url = server.url().replace(":mainstay@", ":wrong@");
    let error = tokio_postgres::connect(&url, NoTls).await.err().unwrap();
    assert_eq!(error.code().unwrap().code(), "28P01");
}

#[tokio::test]
async fn a_killed_postgres_refuses_connections_and_comes_back_with_its_data() {
    let server = Postgres::start().await;
    let client = connect(&server.url()).await;
    client
        .batch_execute("CREATE TABLE t (n int); INSERT INTO t VALUES (7)")
        .await
        .unwrap();

    server.kill().await;
    let refused = TcpStream::connect(("127.0.0.1", server.port())).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    client.query("SELECT 1", &[]).await.unwrap_err();

    server.restart().await;
    let row = connect(&server.url())
        .await
        .query_one("SELECT n FROM t", &[])
        .await
        .unwrap();
    assert_eq!(row.get::<_, i32>(0), 7);
}

#[tokio::test]
async fn a_stopped_postgres_hangs_and_goes_on_when_continued() {
    let server = Postgres::start().await;
    let client = connect(&server.url()).await;
    server.stop().await;
    assert!(TcpStream::connect(("127.0.0.1", server.port())).is_ok());
    let query = client.query_one("SELECT 1", &[]);
    tokio::pin!(query);
    tokio::time::timeout(Duration::from_millis(200), &mut query)
        .await
        .unwrap_err();
    server.cont();
    let row = tokio::time::timeout(LONG, query).await.unwrap().unwrap();
    assert_eq!(row.get::<_, i32>(0), 1);
}

#[tokio::test]
async fn two_servers_are_independent_and_a_shut_down_one_restarts() {
    let (first, second) = tokio::join!(Postgres::start(), Postgres::start());
    first.shutdown().await;
    TcpStream::connect(("127.0.0.1", first.port())).unwrap_err();
    connect(&second.url()).await;
    first.restart().await;
    connect(&first.url()).await;
}
