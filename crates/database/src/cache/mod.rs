//! Earlier results of reads, for when neither primary nor replica can answer: in memory, and on disk for the next process.

mod file;
mod memory;

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_runtime::Clock;
use tokio_util::sync::CancellationToken;

use crate::statement::Rows;
use file::{Kept, ResultFile};
pub use memory::CacheSettings;
use memory::Memory;
pub(crate) use memory::{Key, Keys};

/// How often results go to the disk. A process that dies takes with it what it read since.
const EVERY: Duration = Duration::from_secs(1);
/// Most bytes of results that go to the disk at once: a busy server mustn't keep the disk busy for bad times.
const AT_ONCE: usize = 8 << 20;

/// The results, wherever they are.
pub(crate) struct Cache {
    memory: Arc<Memory>,
    /// Locked on threads that may wait, and nowhere else.
    file: Arc<Mutex<Place>>,
    has_file: bool,
    settings: CacheSettings,
    clock: Clock,
}

/// The file gave nothing but an error. The log says which.
pub(crate) struct Unreadable;

/// The file; opened by who needs it first, on a thread that may wait.
enum Place {
    Nowhere,
    Closed(PathBuf),
    Open(ResultFile),
}

impl Cache {
    pub(crate) fn new(settings: CacheSettings, path: Option<PathBuf>, clock: Clock) -> Self {
        let path = path.filter(|_| settings.bytes > 0);
        Self {
            memory: Arc::new(Memory::new(settings)),
            has_file: path.is_some(),
            file: Arc::new(Mutex::new(path.map_or(Place::Nowhere, Place::Closed))),
            settings,
            clock,
        }
    }

    /// Keeps a result; gives the one it takes the place of in memory.
    pub(crate) fn put(&self, key: Key, rows: Arc<Rows>) -> Option<Arc<Rows>> {
        self.memory.put(key, rows, self.clock.now())
    }

    /// Whether there is a result in memory.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.memory.has(key)
    }

    /// The result and its age, unless that is over the bound.
    pub(crate) async fn get(&self, key: &Key) -> Option<(Arc<Rows>, Duration)> {
        if let Some(found) = self.memory.get(key, self.clock.now()) {
            return Some(found);
        }
        self.on_disk(key).await
    }

    /// The same of what an earlier process, or this one, has brought to the disk.
    async fn on_disk(&self, key: &Key) -> Option<(Arc<Rows>, Duration)> {
        self.examine(key).await.ok().flatten()
    }

    /// The same, and tells a file that can't be read from one that has no such result.
    pub(crate) async fn examine(
        &self,
        key: &Key,
    ) -> Result<Option<(Arc<Rows>, Duration)>, Unreadable> {
        if !self.has_file {
            return Ok(None);
        }
        let (key, now_ms) = (*key, self.clock.steady().as_millisecond());
        let found = self.with_file(move |file| file.get(&key, now_ms)).await;
        let aged = |(rows, stored_ms)| {
            let age = now_ms.saturating_sub(stored_ms).try_into().unwrap_or(0);
            (Arc::new(rows), Duration::from_millis(age))
        };
        let found = found.ok_or(Unreadable)?.map(aged);
        Ok(found.filter(|(_, age)| *age <= self.settings.max_stale))
    }

    /// Forgets everything, on disk too; says whether the disk let it go.
    pub(crate) async fn clear(&self) -> bool {
        self.memory.clear();
        let memory = Arc::clone(&self.memory);
        let cleared = self.with_file(move |file| {
            memory.clear();
            file.clear()
        });
        cleared.await.is_some() || !self.has_file
    }

    /// Brings what is new to the disk, until told to stop and then once more.
    pub(crate) async fn keep(self: Arc<Self>, stop: CancellationToken) {
        while stop
            .run_until_cancelled(self.clock.sleep(EVERY))
            .await
            .is_some()
        {
            self.flush().await;
        }
        self.flush().await;
    }

    async fn flush(&self) {
        if !self.memory.has_fresh() {
            return;
        }
        let now_ms = self.clock.steady().as_millisecond();
        let stale_ms = i64::try_from(self.settings.max_stale.as_millis()).unwrap_or(i64::MAX);
        let oldest_ms = now_ms.saturating_sub(stale_ms);
        let (memory, clock, bound) = (Arc::clone(&self.memory), self.clock, self.settings.bytes);
        self.with_file(move |file| {
            let fresh = memory.take_fresh(AT_ONCE);
            let kept: Vec<_> = fresh
                .iter()
                .map(|(key, rows, stored)| Kept {
                    key: *key,
                    rows,
                    stored_ms: clock.steady_of(*stored).as_millisecond(),
                })
                .collect();
            file.put(&kept, bound as u64, oldest_ms)
        })
        .await;
    }

    /// Does something with the file, if there is one that can be used.
    async fn with_file<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut ResultFile) -> rusqlite::Result<T> + Send + 'static,
    ) -> Option<T> {
        if !self.has_file {
            return None;
        }
        let place = Arc::clone(&self.file);
        let done = tokio::task::spawn_blocking(move || {
            place
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .with(work)
        });
        done.await.ok().flatten()
    }
}

impl Place {
    fn with<T>(&mut self, work: impl FnOnce(&mut ResultFile) -> rusqlite::Result<T>) -> Option<T> {
        let mut file = match std::mem::replace(self, Self::Nowhere) {
            Self::Nowhere => return None,
            Self::Open(file) => file,
            Self::Closed(path) => ResultFile::open(&path)
                .inspect_err(|error| {
                    tracing::warn!(dependency = "database", %error, "old results are not kept over a restart: their file can't be opened");
                })
                .ok()?,
        };
        let done = work(&mut file);
        let file = match &done {
            Ok(_) => Some(file),
            Err(error) => {
                tracing::warn!(dependency = "database", %error, "the file of old results failed");
                file.after(error)
            }
        };
        *self = file.map_or(Self::Nowhere, Self::Open);
        done.ok()
    }
}
