//! Reading a body back, checked against its checksum.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::stream::{self, BoxStream, Stream, StreamExt, TryStreamExt};

use crate::ReadError;
use crate::entry::{BodyInfo, EntryId};
use crate::record::{Place, StoredBody};
use crate::shared::{Shared, lock};
use crate::store;

/// Bytes read from a file at a time.
const CHUNK: u64 = 256 << 10;

/// A body as a stream of chunks. The last chunk is held back until the checksum is verified, so whoever got all of
/// [`len`](Self::len) bytes got what was accepted; a damaged body ends in [`ReadError::Corrupt`] before that.
pub struct Body {
    info: BodyInfo,
    chunks: BoxStream<'static, Result<Bytes, ReadError>>,
}

impl Body {
    /// Bytes.
    #[allow(clippy::len_without_is_empty, reason = "a size, not a collection")]
    pub fn len(&self) -> u64 {
        self.info.len
    }

    /// BLAKE3 of the content.
    pub fn blake3(&self) -> blake3::Hash {
        self.info.blake3
    }

    /// Reads all of it into memory.
    ///
    /// # Errors
    /// As the stream's.
    pub async fn into_bytes(mut self) -> Result<Bytes, ReadError> {
        let first = self.chunks.try_next().await?.unwrap_or_default();
        if first.len() as u64 == self.info.len {
            return Ok(first);
        }
        let mut all = first.to_vec();
        while let Some(chunk) = self.chunks.try_next().await? {
            all.extend_from_slice(&chunk);
        }
        Ok(all.into())
    }

    /// Opens the body of an entry.
    pub(crate) async fn open(shared: Arc<Shared>, id: EntryId) -> Result<Self, ReadError> {
        let opened = tokio::task::spawn_blocking(move || open(&shared, id)).await;
        opened.map_err(|_| ReadError::Closed)?
    }
}

impl Stream for Body {
    type Item = Result<Bytes, ReadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.chunks.poll_next_unpin(cx)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body")
            .field("info", &self.info)
            .finish_non_exhaustive()
    }
}

fn open(shared: &Shared, id: EntryId) -> Result<Body, ReadError> {
    let stored = shared.index().body(id).ok_or(ReadError::Unknown(id))?;
    let StoredBody { info, place } = stored.ok_or(ReadError::NoBody(id))?;
    let opened = match place {
        Place::Row => inline(shared, id, info),
        Place::File(number) => file(shared, id, info, number),
    };
    match opened {
        // The entry may have been completed since, and its body with it.
        Err(_) if shared.index().body(id).is_none() => Err(ReadError::Unknown(id)),
        opened => Ok(Body {
            info,
            chunks: opened?,
        }),
    }
}

type Chunks = BoxStream<'static, Result<Bytes, ReadError>>;

fn inline(shared: &Shared, id: EntryId, info: BodyInfo) -> Result<Chunks, ReadError> {
    let reader = lock(&shared.reader);
    let connection = reader.as_ref().ok_or(ReadError::Closed)?;
    let content = store::inline_body(connection, id)
        .map_err(|error| ReadError::Io {
            id,
            source: io::Error::other(error),
        })?
        .ok_or_else(|| corrupt(id, "it is missing"))?;
    check(id, &info, content.len() as u64, blake3::hash(&content))?;
    Ok(stream::iter([Ok(content.into())]).boxed())
}

fn file(shared: &Shared, id: EntryId, info: BodyInfo, number: u64) -> Result<Chunks, ReadError> {
    let opened = File::open(shared.folder.body(number));
    let file = opened.map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => corrupt(id, "its file is missing"),
        _ => ReadError::Io { id, source },
    })?;
    let len = file
        .metadata()
        .map_err(|source| ReadError::Io { id, source })?
        .len();
    if len != info.len {
        return Err(corrupt(id, &format!("{len} bytes instead of {}", info.len)));
    }
    let reader = FileReader {
        file,
        id,
        info,
        read: 0,
        hasher: Box::default(),
    };
    let chunks = stream::try_unfold(reader, |reader| async move {
        tokio::task::spawn_blocking(move || reader.next())
            .await
            .map_err(|_| ReadError::Closed)?
    });
    Ok(chunks.boxed())
}

struct FileReader {
    file: File,
    id: EntryId,
    info: BodyInfo,
    read: u64,
    hasher: Box<blake3::Hasher>,
}

impl FileReader {
    fn next(mut self) -> Result<Option<(Bytes, Self)>, ReadError> {
        let size = CHUNK.min(self.info.len - self.read);
        if size == 0 {
            return Ok(None);
        }
        let mut chunk = vec![0; size as usize];
        self.file
            .read_exact(&mut chunk)
            .map_err(|source| match source.kind() {
                io::ErrorKind::UnexpectedEof => corrupt(self.id, "it ends early"),
                _ => ReadError::Io {
                    id: self.id,
                    source,
                },
            })?;
        self.hasher.update(&chunk);
        self.read += size;
        if self.read == self.info.len {
            check(self.id, &self.info, self.read, self.hasher.finalize())?;
        }
        Ok(Some((chunk.into(), self)))
    }
}

fn check(id: EntryId, info: &BodyInfo, len: u64, hash: blake3::Hash) -> Result<(), ReadError> {
    if len != info.len {
        return Err(corrupt(id, &format!("{len} bytes instead of {}", info.len)));
    }
    if hash != info.blake3 {
        return Err(corrupt(id, "its checksum differs"));
    }
    Ok(())
}

fn corrupt(id: EntryId, reason: &str) -> ReadError {
    ReadError::Corrupt {
        id,
        reason: reason.to_owned(),
    }
}
