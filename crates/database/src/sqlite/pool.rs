//! Connections to the file: opened on demand, used one at a time on a blocking thread, interrupted at a deadline.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_breaker::{FailureKind, Moment};
use mainstay_runtime::{Clock, Error, ErrorKind, Verdict};
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::error::fault_of;
use super::safety;
use super::settle::settle;
use crate::fault::{DATABASE, Fault};
use crate::statement::Limits;

/// How long before our deadline a statement is interrupted, so that its answer still arrives.
const HEADROOM: Duration = Duration::from_millis(500);
/// Longest wait for a lock that another process holds on the file.
const LOCK_WAIT: Duration = Duration::from_millis(500);
/// Steps of SQLite's machine between two looks at the stop flag.
const STEPS: i32 = 1000;
const READERS: usize = 4;

/// The database file.
pub(crate) struct Sqlite {
    path: PathBuf,
    pub(super) clock: Clock,
    pub(super) limits: Limits,
    writers: Idle,
    readers: Idle,
    /// Whether all that the file and its log show is on disk.
    settled: Arc<AtomicBool>,
}

/// Connections of one kind that nobody uses, and places for those who want one.
struct Idle {
    most: usize,
    places: Arc<Semaphore>,
    connections: Arc<Mutex<Vec<Session>>>,
}

/// A connection with the switches its hooks look at.
pub(super) struct Session {
    pub(super) connection: Connection,
    /// Our own BEGIN and COMMIT may pass the authorizer.
    pub(super) ours: Arc<AtomicBool>,
    /// The statement is to be given up.
    pub(super) stop: Arc<AtomicBool>,
}

fn clear(connections: &Arc<Mutex<Vec<Session>>>) {
    connections
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .clear();
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Access {
    Read,
    Write,
}

impl Sqlite {
    /// Opens nothing yet.
    pub(crate) fn new(path: &Path, limits: Limits, clock: Clock) -> Self {
        Self {
            path: path.to_owned(),
            clock,
            limits,
            writers: Idle::new(1),
            readers: Idle::new(READERS),
            settled: Arc::default(),
        }
    }

    /// Open connections, in use or idle.
    pub(crate) fn size(&self) -> usize {
        self.writers.size() + self.readers.size()
    }

    /// Closes the idle connections.
    pub(crate) fn close_idle(&self) {
        for idle in [&self.writers, &self.readers] {
            clear(&idle.connections);
        }
    }

    /// Runs `work` on a connection, until shortly before the deadline.
    ///
    /// # Cancel safety
    /// Dropped, the work is interrupted, and a write that isn't committed yet rolls back.
    pub(super) async fn with<T: Send + 'static>(
        &self,
        access: Access,
        deadline: Moment,
        work: impl FnOnce(&mut Session) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let left = deadline.saturating_since(self.clock.now());
        let end = self.clock.now() + left.saturating_sub(HEADROOM).max(left / 2);
        let idle = if access == Access::Write {
            &self.writers
        } else {
            &self.readers
        };
        let place = self
            .clock
            .until(end, Arc::clone(&idle.places).acquire_owned())
            .await;
        let Ok(Ok(place)) = place else {
            return Err(busy());
        };
        let (connections, path) = (Arc::clone(&idle.connections), self.path.clone());
        let all = [&self.writers, &self.readers].map(|idle| Arc::clone(&idle.connections));
        let settled = Arc::clone(&self.settled);
        let stop = StopOnDrop(Arc::default());
        let stopping = Arc::clone(&stop.0);
        let mut task = tokio::task::spawn_blocking(move || {
            let _place = place;
            let idle = connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .pop();
            let mut session = idle.map_or_else(|| Session::open(&path, access, &settled), Ok)?;
            let result = session.run(&stopping, work);
            if result.as_ref().is_err_and(|fault| fault.unanswered) {
                // This one is closed; the others know the file from before, and what the next finds of that COMMIT may not
                // be on disk.
                settled.store(false, Ordering::Release);
                all.iter().for_each(clear);
            }
            let result = result?;
            connections
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .push(session);
            result
        });
        let joined = match self.clock.until(end, &mut task).await {
            Ok(joined) => joined,
            Err(_elapsed) => {
                stop.0.store(true, Ordering::Relaxed);
                task.await
            }
        };
        joined.unwrap_or_else(|_panicked| Err(defect()))
    }

    /// Really reads the file, by a connection of its own (a cached page proves nothing), and says whether it takes no writes.
    pub(crate) async fn probe(&self) -> Result<bool, Fault> {
        let (path, settled) = (self.path.clone(), Arc::clone(&self.settled));
        let read = tokio::task::spawn_blocking(move || {
            let session = Session::open(&path, Access::Write, &settled)?;
            let connection = &session.connection;
            let count = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| {
                row.get::<_, i64>(0)
            });
            count
                .and_then(|_| connection.is_readonly("main"))
                .map_err(|error| fault_of(&error))
        });
        read.await.unwrap_or_else(|_panicked| Err(defect()))
    }
}

impl Idle {
    fn new(places: usize) -> Self {
        Self {
            most: places,
            places: Arc::new(Semaphore::new(places)),
            connections: Arc::default(),
        }
    }

    fn size(&self) -> usize {
        let idle = self
            .connections
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .len();
        idle + self.most - self.places.available_permits()
    }
}

/// Two connections that turn a new file to WAL at the same moment are both told that it's locked, at once and whatever the
/// time they would wait: one after the other, neither is.
static OPENING: Mutex<()> = Mutex::new(());

impl Session {
    fn open(path: &Path, access: Access, settled: &AtomicBool) -> Result<Self, Fault> {
        Self::try_open(path, access, settled).map_err(|error| fault_of(&error))
    }

    fn try_open(path: &Path, access: Access, settled: &AtomicBool) -> rusqlite::Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
            | OpenFlags::SQLITE_OPEN_CREATE
            | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let mut connection = Connection::open_with_flags(path, flags)?;
        connection.busy_timeout(LOCK_WAIT)?;
        let _alone = OPENING.lock().unwrap_or_else(PoisonError::into_inner);
        connection.execute_batch(
            "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON",
        )?;
        if !settled.load(Ordering::Acquire) {
            settle(&connection, path)?;
            settled.store(true, Ordering::Release);
        }
        if access == Access::Read {
            connection.execute_batch("PRAGMA query_only = ON")?;
        }
        let ours = Arc::default();
        safety::restrict(&mut connection, Arc::clone(&ours))?;
        Ok(Self {
            connection,
            ours,
            stop: Arc::default(),
        })
    }

    /// Runs `work`, interrupted once `stopping` is set. The outer error means that the connection must not be used again.
    fn run<T>(
        &mut self,
        stopping: &Arc<AtomicBool>,
        work: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<Result<T, Fault>, Fault> {
        let stopped = Arc::clone(stopping);
        let handler = Some(move || stopped.load(Ordering::Relaxed));
        self.connection
            .progress_handler(STEPS, handler)
            .map_err(|error| fault_of(&error))?;
        self.stop = Arc::clone(stopping);
        let result = work(self);
        let rolled_back = self.roll_back();
        match (result, rolled_back) {
            (Err(fault), Err(_)) => Err(fault),
            (Err(fault), _) if fault.verdict.failure_kind().is_some() => Err(fault),
            (_, Err(error)) => Err(fault_of(&error)),
            (result, Ok(())) => Ok(result),
        }
    }

    /// Ends what the work has left open, if anything.
    fn roll_back(&mut self) -> rusqlite::Result<()> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.progress_handler(0, None::<fn() -> bool>)?;
        self.ours_only("ROLLBACK")
    }
}

/// Gives the work up when nobody waits for it any more.
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn busy() -> Fault {
    let error = Error::new(
        ErrorKind::Busy,
        "all connections to the database are in use",
    )
    .dependency(DATABASE);
    Fault::new(Verdict::NEUTRAL, error)
}

fn defect() -> Fault {
    let error = Error::new(
        ErrorKind::Internal,
        "the embedded database's thread panicked",
    )
    .dependency(DATABASE);
    Fault::new(Verdict::failure(FailureKind::Internal), error)
}
