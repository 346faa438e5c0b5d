//! The pool of connections to one server.

use std::time::Duration;

use deadpool_postgres::{
    Hook, HookError, Manager, ManagerConfig, Pool, PoolError, QueueMode, RecyclingMethod, Runtime,
    Timeouts,
};
use mainstay_runtime::{Clock, Error};
use tokio_postgres::{Client, Config, SimpleQueryMessage};

use super::error::{SUPERUSER, UNANSWERED, connecting, connecting_alone, statement};
use super::lease::Lease;
use super::tls::{self, Tls};
use super::url::PostgresUrl;
use crate::fault::Fault;
use crate::statement::Limits;

/// Connections beyond the in-flight limit: for probes, and for those that are being tidied.
const SPARE: usize = 4;
/// Longest wait for a connection of our own pool. It comes before any deadline, since it's nobody's failure.
const POOL_WAIT: Duration = Duration::from_millis(500);
/// Longest time to open a connection, login included; and for the question to a new one whose role it has.
const OPENING: Duration = Duration::from_secs(3);

/// One PostgreSQL server.
pub(crate) struct Postgres {
    pool: Pool,
    config: Config,
    pub(super) tls: Tls,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    allow_superuser: bool,
}

impl Postgres {
    /// Opens no connection yet.
    ///
    /// # Errors
    /// When TLS can't be set up as the URL asks.
    pub(crate) fn new(
        url: &PostgresUrl,
        places: usize,
        limits: Limits,
        allow_superuser: bool,
        clock: Clock,
    ) -> Result<Self, Error> {
        let tls = tls::connector(url)?;
        let recycling = ManagerConfig {
            recycling_method: RecyclingMethod::Fast,
        };
        let manager = Manager::from_config(url.config.clone(), tls.clone(), recycling);
        let timeouts = Timeouts {
            wait: Some(POOL_WAIT),
            create: Some(OPENING),
            recycle: Some(POOL_WAIT),
        };
        let mut builder = Pool::builder(manager)
            .max_size(places + SPARE)
            .queue_mode(QueueMode::Lifo)
            .timeouts(timeouts)
            .runtime(Runtime::Tokio1);
        if !allow_superuser {
            builder = builder.post_create(Hook::async_fn(move |client, _| {
                Box::pin(refuse_superuser(client, clock))
            }));
        }
        let pool = builder
            .build()
            .map_err(|error| Error::invalid("url", error.to_string()))?;
        Ok(Self {
            pool,
            config: url.config.clone(),
            tls,
            clock,
            limits,
            allow_superuser,
        })
    }

    /// A connection from the pool.
    ///
    /// A new one is opened to its end even when its caller's deadline comes first: otherwise a server that takes
    /// longer to log in to than a caller waits could never be used.
    pub(super) async fn lease(&self) -> Result<Lease, Fault> {
        let got = if self.pool.status().available > 0 {
            self.pool.get().await
        } else {
            let pool = self.pool.clone();
            tokio::spawn(async move { pool.get().await })
                .await
                .unwrap_or(Err(PoolError::Closed))
        };
        let object = got.map_err(|error| connecting(&error))?;
        Ok(Lease::new(object, self.tls.clone(), self.clock))
    }

    /// Fits the pool to another in-flight limit.
    pub(crate) fn resizer(&self) -> impl Fn(usize) + Send + Sync + 'static {
        let pool = self.pool.clone();
        move |places| pool.resize(places + SPARE)
    }

    /// Open connections, in use or idle.
    pub(crate) fn size(&self) -> usize {
        self.pool.status().size
    }

    /// Closes the idle connections: they may carry a setting that is no longer in force.
    pub(crate) fn close_idle(&self) {
        self.pool.retain(|_, _| false);
    }

    /// Asks a pooled connection for a sign of life, and whether it takes no writes.
    pub(crate) async fn probe(&self) -> Result<bool, Fault> {
        let lease = self.lease().await?;
        let read_only = is_read_only(lease.client()).await?;
        lease.give_back();
        Ok(read_only)
    }

    /// Asks a new connection, which has the settings now in force, whether it takes no writes.
    pub(crate) async fn probe_anew(&self) -> Result<bool, Fault> {
        let connected = self.config.connect(self.tls.clone()).await;
        let (client, connection) = connected.map_err(|error| connecting_alone(&error))?;
        let connection = AbortOnDrop(tokio::spawn(connection));
        if !self.allow_superuser
            && let Err(error) = refuse_superuser(&client, self.clock).await
        {
            return Err(connecting(&PoolError::PostCreateHook(error)));
        }
        let read_only = is_read_only(&client).await?;
        drop(connection);
        Ok(read_only)
    }
}

/// Ends a connection's task with its user, hung or not.
struct AbortOnDrop<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

async fn is_read_only(client: &Client) -> Result<bool, Fault> {
    const QUERY: &str =
        "SELECT pg_is_in_recovery() OR current_setting('transaction_read_only')::bool";
    let messages = client
        .simple_query(QUERY)
        .await
        .map_err(|error| statement(&error))?;
    Ok(first_value(&messages) == Some("t"))
}

/// The pool's own timeouts end with the login, and a pooler may let us in with no server behind it: without a deadline of
/// its own this question could hold a place in the pool for ever.
async fn refuse_superuser(client: &Client, clock: Clock) -> Result<(), HookError> {
    let asked = client.simple_query("SHOW is_superuser");
    let messages = clock
        .until(clock.now() + OPENING, asked)
        .await
        .map_err(|_| HookError::message(UNANSWERED))?
        .map_err(HookError::Backend)?;
    match first_value(&messages) {
        Some("off") => Ok(()),
        _ => Err(HookError::message(SUPERUSER)),
    }
}

fn first_value(messages: &[SimpleQueryMessage]) -> Option<&str> {
    messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    })
}
