//! A pooler that lets us in while there is no server behind it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use mainstay_database::Statement;
use mainstay_database::contract::context;
use mainstay_testkit::{Postgres, eventually};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional, sink};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{connect, settings, through};

/// `AuthenticationOk`, then `ReadyForQuery` in no transaction.
const LOGIN: &[u8] = b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I";
/// Places in the pool for an in-flight limit of one.
const PLACES: usize = 5;

/// Answers every login itself and nothing else, until it is told to pass new connections on.
struct Pooler {
    port: u16,
    passes: Arc<AtomicBool>,
    silent: Arc<AtomicUsize>,
}

impl Pooler {
    async fn before(server: &Postgres) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = SocketAddr::from(([127, 0, 0, 1], server.port()));
        let (passes, silent) = <(Arc<AtomicBool>, Arc<AtomicUsize>)>::default();
        let (passing, counted) = (Arc::clone(&passes), Arc::clone(&silent));
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                if passing.load(Ordering::SeqCst) {
                    tokio::spawn(async move {
                        let mut server = TcpStream::connect(upstream).await?;
                        copy_bidirectional(&mut client, &mut server).await
                    });
                } else {
                    counted.fetch_add(1, Ordering::SeqCst);
                    tokio::spawn(log_in(client));
                }
            }
        });
        Self {
            port,
            passes,
            silent,
        }
    }
}

async fn log_in(mut client: TcpStream) -> std::io::Result<u64> {
    let mut startup = vec![0; client.read_u32().await? as usize - 4];
    client.read_exact(&mut startup).await?;
    client.write_all(LOGIN).await?;
    tokio::io::copy(&mut client, &mut sink()).await
}

#[tokio::test]
async fn a_login_without_a_server_behind_it_holds_no_place_in_the_pool_for_ever() {
    let server = Postgres::start().await;
    let pooler = Pooler::before(&server).await;
    let url = through(&server, pooler.port);
    let separator = if url.contains('?') { '&' } else { '?' };
    let mut settings = settings(&format!("{url}{separator}sslmode=disable"));
    settings.limit = 1;
    let fixture = connect(settings).await;
    let more_than_places = async || pooler.silent.load(Ordering::SeqCst) > 2 * PLACES;
    eventually(Duration::from_secs(60), "many logins", more_than_places).await;
    pooler.passes.store(true, Ordering::SeqCst);
    let back = async || {
        let one = Statement::new("SELECT 1", []);
        let database = &fixture.database;
        database.read(&context(database), one).await.is_ok()
    };
    eventually(Duration::from_secs(30), "the database is back", back).await;
}
