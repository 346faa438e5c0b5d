//! The embedded default: objects as files in a folder, their content types in a folder beside it.

use std::fs::File;
use std::io;
use std::path::Path as FsPath;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_journal::make_folder;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    Attribute, Error, GetResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutPayload, PutResult, Result, UploadPart,
};
use tokio::sync::{Mutex, OwnedMutexGuard};

use crate::classify::OutOfRange;
use crate::key::Key;
use crate::objects::ByteRange;
use crate::resolve::bytes_of;
use crate::store::{Condition, collect};

/// Longest part of a key in bytes: a file name's 255, less what a file on its way carries as an ending.
const LONGEST_PART: usize = 240;

/// A folder of objects. One process has it (the journal's lock sees to that); writes go one at a time.
#[derive(Debug)]
pub(crate) struct Local {
    objects: LocalFileSystem,
    types: LocalFileSystem,
    writing: Arc<Mutex<()>>,
}

impl Local {
    /// Uses (and makes) `dir/objects` and `dir/object-types`.
    pub(crate) fn open(dir: &FsPath) -> Result<Self> {
        Ok(Self {
            objects: folder(&dir.join("objects"))?,
            types: folder(&dir.join("object-types"))?,
            writing: Arc::default(),
        })
    }

    pub(crate) async fn put(
        &self,
        key: &Key,
        payload: PutPayload,
        content_type: Option<&str>,
        condition: &Condition,
    ) -> Result<PutResult> {
        let _one = self.writing.lock().await;
        self.fits(key)?;
        self.check(key, condition).await?;
        note_type(&self.types, key, content_type).await?;
        self.objects.put(key.path(), payload).await
    }

    pub(crate) async fn start_multipart(
        &self,
        key: &Key,
        content_type: Option<&str>,
    ) -> Result<Box<dyn MultipartUpload>> {
        let _one = self.writing.lock().await;
        self.fits(key)?;
        let options = PutMultipartOptions::default();
        let inner = self.objects.put_multipart_opts(key.path(), options).await?;
        Ok(Box::new(LocalUpload {
            inner,
            types: self.types.clone(),
            key: key.clone(),
            content_type: content_type.map(str::to_owned),
            writing: Arc::clone(&self.writing),
        }))
    }

    pub(crate) async fn get(&self, key: &Key, range: Option<ByteRange>) -> Result<GetResult> {
        let found = self.objects.get(key.path()).await;
        let mut result = found.map_err(|error| self.absent_if_unfit(key, error))?;
        result.range = bytes_of(range, result.meta.size).map_err(|_| Error::Generic {
            store: "folder",
            source: Box::new(OutOfRange),
        })?;
        if let Ok(noted) = self.types.get(key.path()).await {
            let kind = String::from_utf8_lossy(&noted.bytes().await?).into_owned();
            result
                .attributes
                .insert(Attribute::ContentType, kind.into());
        }
        Ok(result)
    }

    pub(crate) async fn delete(&self, key: &Key) -> Result<()> {
        let _one = self.writing.lock().await;
        let deleted = remove(&self.objects, key).await;
        deleted.map_err(|error| self.absent_if_unfit(key, error))?;
        note_type(&self.types, key, None).await
    }

    pub(crate) async fn copy(&self, from: &Key, to: &Key) -> Result<()> {
        let source = self.get(from, None).await?;
        let kind = source
            .attributes
            .get(&Attribute::ContentType)
            .map(|kind| kind.as_ref().to_owned());
        let _one = self.writing.lock().await;
        self.fits(to)?;
        note_type(&self.types, to, kind.as_deref()).await?;
        self.objects.copy(from.path(), to.path()).await
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<ObjectMeta>> {
        let folder = prefix.rsplit_once('/').map(|(folder, _)| folder);
        let folder = match folder.map(Path::parse).transpose() {
            Ok(folder) => folder,
            // No key can begin like this.
            Err(_) => return Ok(Vec::new()),
        };
        collect(&self.objects, folder.as_ref()).await
    }

    async fn check(&self, key: &Key, condition: &Condition) -> Result<()> {
        let present = match self.objects.head(key.path()).await {
            Ok(meta) => Some(meta),
            Err(Error::NotFound { .. }) => None,
            Err(other) => return Err(other),
        };
        let path = || key.as_str().to_owned();
        match (condition, present) {
            (Condition::None, _) | (Condition::Absent, None) => Ok(()),
            (Condition::Absent, Some(_)) => Err(Error::AlreadyExists {
                path: path(),
                source: "the object exists".into(),
            }),
            (Condition::Matches(etag), Some(meta)) if meta.e_tag.as_ref() == Some(etag) => Ok(()),
            (Condition::Matches(_), _) => Err(Error::Precondition {
                path: path(),
                source: "the object has another ETag or is absent".into(),
            }),
        }
    }

    /// Whether files can hold the key: none of them can be a folder too, and names have a length.
    fn fits(&self, key: &Key) -> Result<()> {
        let file = self.objects.path_to_filesystem(key.path());
        let too_long = key
            .as_str()
            .split('/')
            .any(|part| part.len() > LONGEST_PART);
        let blocked = file.map_or(true, |file| file.is_dir()) || self.is_below_a_file(key);
        if too_long || blocked {
            let source = object_store::path::Error::InvalidPath {
                path: key.as_str().into(),
            };
            return Err(Error::InvalidPath { source });
        }
        Ok(())
    }

    fn is_below_a_file(&self, key: &Key) -> bool {
        let slashes = key
            .as_str()
            .match_indices('/')
            .map(|(at, _)| &key.as_str()[..at]);
        slashes
            .filter_map(|above| {
                self.objects
                    .path_to_filesystem(&Path::parse(above).ok()?)
                    .ok()
            })
            .any(|above| above.is_file())
    }

    /// The file system has many words for a name it can't have; all mean that there is no such object.
    fn absent_if_unfit(&self, key: &Key, error: Error) -> Error {
        match error {
            Error::NotFound { .. } => error,
            _ if self.fits(key).is_err() => Error::NotFound {
                path: key.as_str().to_owned(),
                source: Box::new(error),
            },
            other => other,
        }
    }
}

async fn note_type(types: &LocalFileSystem, key: &Key, content_type: Option<&str>) -> Result<()> {
    let done = match content_type {
        Some(kind) => types
            .put(key.path(), kind.to_owned().into())
            .await
            .map(drop),
        None => remove(types, key).await,
    };
    match done {
        Err(Error::NotFound { .. }) => Ok(()),
        other => other,
    }
}

/// Removes a file, with the folders that it leaves empty, and brings that to disk: the library leaves that to us. One
/// that isn't there may have been removed by a process that was killed before its fsync.
async fn remove(folder: &LocalFileSystem, key: &Key) -> Result<()> {
    let removed = folder.delete(key.path()).await;
    if matches!(removed, Ok(()) | Err(Error::NotFound { .. })) {
        let file = folder.path_to_filesystem(key.path())?;
        let synced = tokio::task::spawn_blocking(move || sync_above(&file)).await;
        synced.map_err(io::Error::other).flatten().map_err(failed)?;
    }
    removed
}

/// Fsyncs the nearest folder that is there: what went with those that aren't went with their names.
fn sync_above(file: &FsPath) -> io::Result<()> {
    for above in file.ancestors().skip(1) {
        match File::open(above) {
            Ok(above) => return above.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn folder(path: &FsPath) -> Result<LocalFileSystem> {
    make_folder(path).map_err(failed)?;
    Ok(LocalFileSystem::new_with_prefix(path)?
        .with_automatic_cleanup(true)
        .with_fsync(true))
}

fn failed(source: io::Error) -> Error {
    Error::Generic {
        store: "LocalFileSystem",
        source: Box::new(source),
    }
}

#[derive(Debug)]
struct LocalUpload {
    inner: Box<dyn MultipartUpload>,
    types: LocalFileSystem,
    key: Key,
    content_type: Option<String>,
    writing: Arc<Mutex<()>>,
}

#[async_trait]
impl MultipartUpload for LocalUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> Result<PutResult> {
        let _one: OwnedMutexGuard<()> = Arc::clone(&self.writing).lock_owned().await;
        note_type(&self.types, &self.key, self.content_type.as_deref()).await?;
        self.inner.complete().await
    }

    async fn abort(&mut self) -> Result<()> {
        self.inner.abort().await
    }
}
