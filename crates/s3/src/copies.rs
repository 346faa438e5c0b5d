//! Local copies of objects that were read or written, for reads while the store is down. Bounded by bytes, least
//! recently used first out. A copy is never taken for the object: every answer from here carries its age.
//!
//! None is older than what was acknowledged. Of what was asked of the store before a change of the key had ended, no copy
//! is made after it. And nothing here is fsynced, nor is it when a copy goes, which would cost every write of a key that
//! has one: a power cut may bring back what was replaced or deleted. So copies are for the boot of the machine in which they
//! were made, in which every process sees what the one before has left; none outlasts it.

mod index;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::OwnedMutexGuard;

use crate::key::Key;
use crate::turns::{Asked, Turns};
use index::Index;

/// What is known of a copy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct CopyInfo {
    pub(crate) key: String,
    pub(crate) size: u64,
    pub(crate) etag: Option<String>,
    pub(crate) content_type: Option<String>,
    pub(crate) last_modified: Option<Timestamp>,
    /// When the store last gave or took exactly this.
    pub(crate) seen: Timestamp,
    /// BLAKE3 of the content, hexadecimal.
    pub(crate) blake3: String,
}

impl CopyInfo {
    /// What is known before the content is: size and checksum are taken from it when it is kept.
    pub(crate) fn of(
        key: &Key,
        etag: Option<String>,
        content_type: Option<String>,
        last_modified: Option<Timestamp>,
        seen: Timestamp,
    ) -> Self {
        Self {
            key: key.as_str().to_owned(),
            size: 0,
            etag,
            content_type,
            last_modified,
            seen,
            blake3: String::new(),
        }
    }
}

/// The description that lies beside a copy's content.
#[derive(Debug, Serialize, Deserialize)]
struct Description {
    /// Of the machine, when it was written.
    boot: Option<String>,
    #[serde(flatten)]
    info: CopyInfo,
}

/// The copies of one data directory.
#[derive(Debug)]
pub(crate) struct Copies {
    dir: PathBuf,
    max_bytes: u64,
    max_one: u64,
    boot: Option<String>,
    index: Mutex<Index>,
    /// Held while a copy's files are made or removed: with it, files and index tell the same.
    writing: Arc<tokio::sync::Mutex<()>>,
}

/// There is a copy, and what is left of it can't be given to anybody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

/// The machine's boot, where it tells.
pub(crate) fn this_boot() -> Option<String> {
    let id = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let id = id.trim();
    (!id.is_empty()).then(|| id.to_owned())
}

impl Copies {
    /// Takes up the copies that an earlier process has made in this `boot`; where none is told, there are none.
    pub(crate) fn open(
        dir: &Path,
        max_bytes: u64,
        max_one: u64,
        boot: Option<String>,
        turns: Turns,
    ) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let copies = Self {
            dir: dir.to_owned(),
            max_bytes,
            max_one,
            boot,
            index: Mutex::new(Index::new(turns)),
            writing: Arc::default(),
        };
        for entry in std::fs::read_dir(dir)? {
            copies.take_up(&entry?.path());
        }
        let evicted = copies.lock().evict_down_to(max_bytes);
        for key in evicted {
            remove(&copies.files(&key));
        }
        Ok(copies)
    }

    /// Tells the ETag of every copy that has one.
    pub(crate) fn etags(&self, mut tell: impl FnMut(&str, &str)) {
        for info in self.lock().infos() {
            if let Some(etag) = &info.etag {
                tell(&info.key, etag);
            }
        }
    }

    /// Largest object worth keeping; 0 when nothing is kept.
    pub(crate) fn max_one(&self) -> u64 {
        self.max_one.min(self.max_bytes)
    }

    /// Whether there is a copy of a key.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.lock().has(key.as_str())
    }

    /// What is known of the copy of a key.
    pub(crate) fn info(&self, key: &Key) -> Option<CopyInfo> {
        self.lock().used(key.as_str())
    }

    /// The copy's content, if it is still what was kept.
    pub(crate) async fn read(&self, key: &Key) -> Option<(CopyInfo, Bytes)> {
        self.examine(key).await?.ok()
    }

    /// As [`Self::read`], and tells a copy that is damaged from none. It is dropped.
    pub(crate) async fn examine(&self, key: &Key) -> Option<Result<(CopyInfo, Bytes), Damaged>> {
        if let Some(found) = self.sound(self.info(key)?).await {
            return Some(Ok(found));
        }
        let alone = self.alone().await;
        // It may have been renewed or dropped while it was read.
        if let Some(found) = self.sound(self.info(key)?).await {
            return Some(Ok(found));
        }
        self.lock().remove(key.as_str());
        self.remove_files(alone, &[key.as_str().into()]).await;
        Some(Err(Damaged))
    }

    async fn sound(&self, info: CopyInfo) -> Option<(CopyInfo, Bytes)> {
        let [body, _] = self.files(&info.key);
        let content = tokio::fs::read(body).await.ok()?;
        let same = blake3::hash(&content).to_hex().as_str() == info.blake3;
        same.then(|| (info, content.into()))
    }

    /// A write of ours that was asked for then has ended. Gives when what it has left is of; nothing where the key may
    /// have changed otherwise meanwhile: which of the two the store has by now isn't known.
    pub(crate) fn wrote(&self, key: &Key, asked: Asked) -> Option<Asked> {
        let mut index = self.lock();
        let is_alone = !index.has_changed(asked, key.as_str());
        let now = index.changed(key.as_str());
        is_alone.then_some(now)
    }

    /// Keeps a copy of what was `asked` for then, if it fits, and as long as it `is_current`; says whether it did. Failing to
    /// keep one is no error of the operation that made it.
    pub(crate) async fn keep(
        &self,
        mut info: CopyInfo,
        content: Bytes,
        asked: Asked,
        is_current: impl Fn(&str) -> bool,
    ) -> bool {
        let key = Arc::<str>::from(info.key.as_str());
        let is_outdated = |index: &Index| index.outdates(asked, &key) || !is_current(&key);
        if content.len() as u64 > self.max_one() || is_outdated(&self.lock()) {
            return false;
        }
        info.size = content.len() as u64;
        info.blake3 = blake3::hash(&content).to_hex().to_string();
        let alone = self.alone().await;
        // Whoever was before this one may have kept what is newer.
        if is_outdated(&self.lock()) {
            return false;
        }
        let mut unfinished = Unfinished(Some((self, &key)));
        if let Err(error) = self.write(info.clone(), &content).await {
            tracing::warn!(%error, "a local copy of an object could not be kept");
            return false;
        }
        unfinished.0 = None;
        let (is_kept, gone) = {
            let mut index = self.lock();
            // Looked at with the index locked: what is outdated from here on is forgotten after this.
            if is_outdated(&index) {
                index.remove(&key);
                (false, vec![Arc::clone(&key)])
            } else {
                index.insert(info, Some(asked));
                (true, index.evict_down_to(self.max_bytes))
            }
        };
        tracing::trace!(is_kept, gone = gone.len(), "a local copy came");
        self.remove_files(alone, &gone).await;
        is_kept
    }

    /// The object has changed or is gone: drops its copy, and what is on its way to become one.
    pub(crate) async fn forget(&self, key: &Key) {
        self.lock().changed(key.as_str());
        self.drop_copy(key).await;
    }

    /// Drops the copy of a key.
    pub(crate) async fn drop_copy(&self, key: &Key) {
        let alone = self.alone().await;
        if self.lock().remove(key.as_str()) {
            self.remove_files(alone, &[key.as_str().into()]).await;
        }
    }

    /// Drops all copies. What is being read meanwhile may be kept.
    pub(crate) async fn clear(&self) -> io::Result<()> {
        let alone = self.alone().await;
        self.lock().clear();
        let dir = self.dir.clone();
        let purged = tokio::task::spawn_blocking(move || {
            let _alone = alone;
            purge(&dir)
        });
        purged.await?
    }

    async fn alone(&self) -> OwnedMutexGuard<()> {
        Arc::clone(&self.writing).lock_owned().await
    }

    async fn write(&self, info: CopyInfo, content: &Bytes) -> io::Result<()> {
        let [body, description] = self.files(&info.key);
        let boot = self.boot.clone();
        let text = serde_json::to_vec(&Description { boot, info })?;
        // The description goes first and is removed last: a body without one is swept at the next start.
        tokio::fs::write(description, text).await?;
        tokio::fs::write(body, content).await
    }

    /// On a thread that goes on though nobody waits for it any more: what the index doesn't have, the next process must not
    /// find.
    async fn remove_files(&self, alone: OwnedMutexGuard<()>, keys: &[Arc<str>]) {
        if keys.is_empty() {
            return;
        }
        let files: Vec<_> = keys.iter().flat_map(|key| self.files(key)).collect();
        let removed = tokio::task::spawn_blocking(move || {
            let _alone = alone;
            remove(&files);
        });
        // Nothing panics there.
        let _ = removed.await;
    }

    /// Content and description of a key's copy.
    fn files(&self, key: &str) -> [PathBuf; 2] {
        let name = blake3::hash(key.as_bytes()).to_hex();
        ["body", "json"].map(|ending| self.dir.join(format!("{name}.{ending}")))
    }

    fn take_up(&self, path: &Path) {
        let is = |ending| path.extension().is_some_and(|e| e == ending);
        let (body, description) = (path.with_extension("body"), path.with_extension("json"));
        if is("json")
            && let Some(info) = self.described(path, &body)
        {
            self.lock().insert(info, None);
        } else if is("json") || is("body") && !description.exists() {
            remove(&[body, description]);
        }
    }

    /// What is known of a copy that an earlier process has left, if it is one of this boot and whole.
    fn described(&self, description: &Path, body: &Path) -> Option<CopyInfo> {
        let text = std::fs::read(description).ok()?;
        let Description { boot, info } = serde_json::from_slice(&text).ok()?;
        let is_whole = std::fs::metadata(body).is_ok_and(|m| m.len() == info.size);
        (boot.is_some() && boot == self.boot && is_whole).then_some(info)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        // Nothing panics while the lock is held.
        self.index.lock().unwrap_or_else(|e| e.into_inner())
    }
}

/// A copy whose files are being written. Dropped before they are, also by a reader who leaves, it takes them away: the next
/// start would take up what nobody here knows of.
struct Unfinished<'a>(Option<(&'a Copies, &'a str)>);

impl Drop for Unfinished<'_> {
    fn drop(&mut self) {
        if let Some((copies, key)) = self.0 {
            copies.lock().remove(key);
            remove(&copies.files(key));
        }
    }
}

/// Removes files, the content before its description.
fn remove(files: &[PathBuf]) {
    for file in files {
        match std::fs::remove_file(file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::warn!(%error, "a local copy of an object could not be removed");
            }
            _ => {}
        }
    }
}

/// Removes the copies that lie in a folder.
///
/// # Errors
/// As the file system says; some may be gone then. A folder that isn't there holds none.
pub fn purge(dir: &Path) -> io::Result<()> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        entries => entries?,
    };
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_none_or(|e| e != "body" && e != "json") {
            continue;
        }
        match std::fs::remove_file(&path) {
            // Evicted meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}
