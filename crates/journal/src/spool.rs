//! Bodies on their way in: memory first, a file past the inline limit.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::AppendError;
use crate::entry::BodyInfo;
use crate::fault;
use crate::folder::FileGuard;
use crate::record::{Place, StoredBody};
use crate::shared::Shared;

/// Bytes collected before they are written to the file in one go.
const CHUNK: usize = 256 << 10;

/// Takes a body chunk by chunk. Dropped unfinished, it removes what it wrote.
#[derive(Debug)]
pub struct SpoolWriter {
    shared: Arc<Shared>,
    pending: Vec<u8>,
    /// The bytes in `file`.
    written: u64,
    file: Backing,
}

#[derive(Debug)]
enum Backing {
    Memory,
    /// Boxed for its size: a BLAKE3 state has some 2 KiB.
    File(Box<SpoolFile>),
    /// A write is under way, or was cancelled or failed.
    Lost,
}

#[derive(Debug)]
struct SpoolFile {
    file: File,
    guard: FileGuard,
    hasher: blake3::Hasher,
}

impl SpoolWriter {
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        Self {
            shared,
            pending: Vec::new(),
            written: 0,
            file: Backing::Memory,
        }
    }

    /// Bytes taken so far.
    #[allow(
        clippy::len_without_is_empty,
        reason = "a progress figure, not a collection"
    )]
    pub fn len(&self) -> u64 {
        self.written + self.pending.len() as u64
    }

    /// Adds a chunk.
    ///
    /// # Errors
    /// [`AppendError::Full`] as soon as the body can't be accepted any more. After any error the spool is incomplete.
    ///
    /// # Cancel safety
    /// A cancelled write leaves the spool incomplete: every later call fails, and nothing of it is ever accepted.
    pub async fn write(&mut self, chunk: &[u8]) -> Result<(), AppendError> {
        if matches!(self.file, Backing::Lost) {
            return Err(AppendError::Incomplete);
        }
        // However large the chunk is, no second copy of it is held.
        for piece in chunk.chunks(CHUNK) {
            self.pending.extend_from_slice(piece);
            let limit = match self.file {
                Backing::Memory => self.shared.settings.inline_limit,
                _ => CHUNK,
            };
            if self.pending.len() > limit {
                self.write_pending().await?;
            }
        }
        Ok(())
    }

    /// Ends the body.
    ///
    /// # Errors
    /// As for [`write`](Self::write).
    pub async fn finish(mut self) -> Result<Spooled, AppendError> {
        if !matches!(self.file, Backing::Memory) {
            self.write_pending().await?;
        }
        let len = self.len();
        let (blake3, content) = match self.file {
            Backing::Memory => (
                blake3::hash(&self.pending),
                Content::Memory(self.pending.into()),
            ),
            Backing::File(spool) => (
                spool.hasher.finalize(),
                Content::File(spool.file, spool.guard),
            ),
            Backing::Lost => return Err(AppendError::Incomplete),
        };
        Ok(Spooled {
            info: BodyInfo { len, blake3 },
            content,
        })
    }

    async fn write_pending(&mut self) -> Result<(), AppendError> {
        self.shared.accepts()?;
        let backing = std::mem::replace(&mut self.file, Backing::Lost);
        let pending = std::mem::take(&mut self.pending);
        let (shared, total) = (self.shared.clone(), self.written + pending.len() as u64);
        let work = move || {
            shared.room(1, total, pending.len() as u64)?;
            let mut spool = match backing {
                Backing::Memory => Box::new(SpoolFile::create(&shared)?),
                Backing::File(spool) => spool,
                Backing::Lost => return Err(AppendError::Incomplete),
            };
            spool.hasher.update(&pending);
            let written = spool.file.write_all(&pending);
            written.map_err(|error| shared.file_failure("write a body", &error))?;
            fault::point("spool.written");
            Ok(spool)
        };
        let spool = tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| AppendError::Incomplete)??;
        self.file = Backing::File(spool);
        self.written = total;
        Ok(())
    }
}

impl SpoolFile {
    fn create(shared: &Shared) -> Result<Self, AppendError> {
        let path = shared.folder.new_spool();
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path);
        let file = file.map_err(|error| shared.file_failure("create a body file", &error))?;
        fault::point("spool.created");
        Ok(Self {
            file,
            guard: FileGuard::new(path),
            hasher: blake3::Hasher::new(),
        })
    }
}

/// A complete body, not accepted yet. Dropped, it is removed.
#[derive(Debug)]
pub struct Spooled {
    info: BodyInfo,
    content: Content,
}

#[derive(Debug)]
enum Content {
    Memory(Bytes),
    File(File, FileGuard),
}

impl Spooled {
    /// Bytes.
    #[allow(clippy::len_without_is_empty, reason = "a size, not a collection")]
    pub fn len(&self) -> u64 {
        self.info.len
    }

    /// BLAKE3 of the content.
    pub fn blake3(&self) -> blake3::Hash {
        self.info.blake3
    }

    /// Brings the content to disk. The writer moves a file to its place: only who holds the folder's lock may.
    pub(crate) async fn sync(self, shared: &Arc<Shared>) -> Result<Synced, AppendError> {
        let info = self.info;
        let (file, guard) = match self.content {
            Content::Memory(bytes) => {
                let body = StoredBody {
                    info,
                    place: Place::Row,
                };
                return Ok(Synced {
                    body,
                    content: SyncedContent::Row(bytes),
                });
            }
            Content::File(file, guard) => (file, guard),
        };
        let shared = shared.clone();
        let work = move || {
            file.sync_all()
                .map_err(|error| shared.file_failure("fsync a body", &error))?;
            fault::point("spool.synced");
            let number = shared.next_body.fetch_add(1, Ordering::Relaxed);
            let body = StoredBody {
                info,
                place: Place::File(number),
            };
            Ok(Synced {
                body,
                content: SyncedContent::File(number, guard),
            })
        };
        tokio::task::spawn_blocking(work)
            .await
            .map_err(|_| AppendError::Incomplete)?
    }
}

/// A body whose content is on disk or goes there with its row.
#[derive(Debug)]
pub(crate) struct Synced {
    pub(crate) body: StoredBody,
    pub(crate) content: SyncedContent,
}

#[derive(Debug)]
pub(crate) enum SyncedContent {
    Row(Bytes),
    /// Its number, and the guard that removes it unless its row is committed.
    File(u64, FileGuard),
}
