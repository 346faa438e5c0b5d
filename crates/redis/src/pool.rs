//! Connections to Redis: a bounded pool from which only connections that are known to be clean are lent.
//!
//! A connection whose command was abandoned or timed out is closed, never lent again: its late answer would be read
//! as the next command's. Closing discards what wasn't sent yet (SO_LINGER 0), so an abandoned write that is still in
//! our own buffers can't land later.

use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use deadpool::managed::{self, Metrics, Object, PoolError, RecycleError, RecycleResult};
use mainstay_runtime::{Clock, Secret};
use redis::aio::MultiplexedConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ConnectionInfo, IntoConnectionInfo, RedisError, RedisResult, cmd,
};

use crate::classify::connection_error;

/// A connection that nobody has used for this long is asked whether it still lives before it's lent.
const IDLE: Duration = Duration::from_secs(1);
/// How long it has to answer.
const IDLE_ANSWER: Duration = Duration::from_millis(100);
/// Sent bytes that aren't acknowledged for this long end the connection.
const UNACKNOWLEDGED: Duration = Duration::from_secs(5);

type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// How connections are made.
pub(crate) struct Connector {
    client: Client,
    config: AsyncConnectionConfig,
    login: Vec<String>,
    db: i64,
    clock: Clock,
    /// Connections of an earlier generation are not lent any more.
    generation: AtomicU64,
}

/// A connection and the generation it belongs to.
pub(crate) struct Line {
    con: MultiplexedConnection,
    generation: u64,
}

impl Connector {
    /// Reads the address; connects to nothing.
    ///
    /// # Errors
    /// When the address can't be read.
    pub(crate) fn new(url: &Secret, deadline: Duration, clock: Clock) -> RedisResult<Self> {
        let info = url.expose().into_connection_info()?;
        let (login, db) = (login(&info), info.redis_settings().db());
        // Logging in is done here, so that a refusal keeps its own words.
        let plain = redis::RedisConnectionInfo::default().set_skip_set_lib_name();
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_linger_time(Duration::ZERO)
            .set_user_timeout(UNACKNOWLEDGED);
        let client = Client::open(info.set_redis_settings(plain).set_tcp_settings(tcp))?;
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(deadline))
            .set_response_timeout(Some(deadline));
        Ok(Self {
            client,
            config,
            login,
            db,
            clock,
            generation: AtomicU64::new(0),
        })
    }

    /// A new connection, logged in.
    pub(crate) async fn connect(&self) -> RedisResult<MultiplexedConnection> {
        // Boxed: it's rare, and the driver's future is so deep that callers would need a higher recursion limit.
        let connecting = Box::pin(
            self.client
                .get_multiplexed_async_connection_with_config(&self.config),
        );
        let connecting: BoxFuture<'_, _> = connecting;
        let mut con = connecting.await?;
        if !self.login.is_empty() {
            cmd("AUTH").arg(&self.login).exec_async(&mut con).await?;
        }
        if self.db != 0 {
            cmd("SELECT").arg(self.db).exec_async(&mut con).await?;
        }
        Ok(con)
    }

    fn distrust(&self) {
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    fn is_current(&self, line: &Line) -> bool {
        line.generation == self.generation.load(Ordering::Relaxed)
    }
}

/// `AUTH`'s arguments: nothing, a password, or a user and a password.
fn login(info: &ConnectionInfo) -> Vec<String> {
    let redis = info.redis_settings();
    match (redis.username(), redis.password()) {
        (_, None) => Vec::new(),
        (None, Some(password)) => vec![password.to_owned()],
        (Some(user), Some(password)) => vec![user.to_owned(), password.to_owned()],
    }
}

impl managed::Manager for Connector {
    type Type = Line;
    type Error = RedisError;

    async fn create(&self) -> Result<Line, RedisError> {
        let generation = self.generation.load(Ordering::Relaxed);
        Ok(Line {
            con: self.connect().await?,
            generation,
        })
    }

    async fn recycle(&self, line: &mut Line, metrics: &Metrics) -> RecycleResult<RedisError> {
        if !self.is_current(line) {
            return Err(RecycleError::message("made before the connection was lost"));
        }
        if metrics.last_used() < IDLE {
            return Ok(());
        }
        let ping = cmd("PING");
        let answer = ping.query_async::<String>(&mut line.con);
        let deadline = self.clock.now() + IDLE_ANSWER;
        let alive = self
            .clock
            .until(deadline, answer)
            .await
            .is_ok_and(|answer| answer.is_ok());
        if alive {
            return Ok(());
        }
        // Its neighbours are as old: rather new connections than one failure after the other.
        self.distrust();
        Err(RecycleError::message("no sign of life"))
    }
}

/// The connections.
pub(crate) struct Pool {
    pool: managed::Pool<Connector>,
}

impl Pool {
    /// At most `size` connections, none of them made yet.
    pub(crate) fn new(connector: Connector, size: usize) -> Self {
        let pool = managed::Pool::builder(connector).max_size(size).build();
        // Only timeouts need a runtime, and the pool has none of its own: the guard's deadline covers the checkout.
        Self {
            pool: pool.expect("a pool without timeouts can always be built"),
        }
    }

    /// Lends a connection. Its deadline is the caller's: dropping the future gives the place back.
    pub(crate) async fn lend(&self) -> RedisResult<Lease> {
        let object = self.pool.get().await.map_err(|error| match error {
            PoolError::Backend(error) => error,
            _ => connection_error(io::ErrorKind::NotConnected, "the pool gave no connection"),
        })?;
        Ok(Lease {
            object: Some(object),
            clean: true,
        })
    }

    /// Lends none of the present connections again.
    pub(crate) fn distrust(&self) {
        self.pool.manager().distrust();
    }

    /// How connections are made.
    pub(crate) fn connector(&self) -> &Connector {
        self.pool.manager()
    }

    /// At most `size` connections from now on.
    pub(crate) fn resize(&self, size: usize) {
        self.pool.resize(size);
    }

    /// How many connections are open.
    pub(crate) fn size(&self) -> usize {
        self.pool.status().size
    }
}

/// A lent connection. It goes back to the pool when it was left clean, else it's closed.
pub(crate) struct Lease {
    object: Option<Object<Connector>>,
    clean: bool,
}

impl Lease {
    /// Runs one exchange. Dropped midway, or failed other than by an error reply, the connection is closed.
    pub(crate) async fn exchange<T>(
        &mut self,
        work: impl AsyncFnOnce(&mut MultiplexedConnection) -> RedisResult<T>,
    ) -> RedisResult<T> {
        let object = self
            .object
            .as_mut()
            .expect("a lease holds its connection until it's dropped");
        self.clean = false;
        let result = work(&mut object.con).await;
        self.clean = match &result {
            Ok(_) => true,
            Err(error) => matches!(
                error.kind(),
                redis::ErrorKind::Server(_) | redis::ErrorKind::Extension
            ),
        };
        result
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(object) = self.object.take()
            && !self.clean
        {
            drop(Object::take(object));
        }
    }
}
