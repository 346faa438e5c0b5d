//! Local copies of objects that were read or written, for reads while the store is down. Bounded by bytes, least
//! recently used first out. A copy is never taken for the object: every answer from here carries its age.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::key::Key;

/// What a file takes on most disks is a multiple of this, in bytes.
const BLOCK: u64 = 4096;

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

/// The copies of one data directory.
#[derive(Debug)]
pub(crate) struct Copies {
    dir: PathBuf,
    max_bytes: u64,
    max_one: u64,
    index: Mutex<Index>,
    /// Held while a copy's files are made or removed: with it, files and index tell the same.
    writing: tokio::sync::Mutex<()>,
}

/// There is a copy, and what is left of it can't be given to anybody.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Damaged;

#[derive(Debug, Default)]
struct Index {
    by_key: HashMap<Arc<str>, Slot>,
    /// Every key of `by_key` by when it was used, so the first is the one used least recently.
    by_turn: BTreeMap<u64, Arc<str>>,
    bytes: u64,
    turn: u64,
}

#[derive(Debug)]
struct Slot {
    info: CopyInfo,
    used: u64,
}

/// What a copy takes of the disk: its content, and the description beside it. Small ones would otherwise be too many,
/// for the disk and for this index.
fn room(content: u64) -> u64 {
    content.next_multiple_of(BLOCK) + BLOCK
}

impl Copies {
    /// Takes up the copies of an earlier process.
    pub(crate) fn open(dir: &Path, max_bytes: u64, max_one: u64) -> io::Result<Self> {
        std::fs::create_dir_all(dir)?;
        let copies = Self {
            dir: dir.to_owned(),
            max_bytes,
            max_one,
            index: Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        };
        for entry in std::fs::read_dir(dir)? {
            copies.take_up(&entry?.path());
        }
        let evicted = copies.lock().evict_down_to(max_bytes);
        for key in evicted {
            for ending in ["body", "json"] {
                // What can't be removed now is tried again at the next start.
                let _ = std::fs::remove_file(copies.file(&key, ending));
            }
        }
        Ok(copies)
    }

    /// Tells the ETag of every copy that has one.
    pub(crate) fn etags(&self, mut tell: impl FnMut(&str, &str)) {
        for (key, slot) in &self.lock().by_key {
            if let Some(etag) = &slot.info.etag {
                tell(key, etag);
            }
        }
    }

    /// Largest object worth keeping; 0 when nothing is kept.
    pub(crate) fn max_one(&self) -> u64 {
        self.max_one.min(self.max_bytes)
    }

    /// Whether there is a copy of a key.
    pub(crate) fn has(&self, key: &Key) -> bool {
        self.lock().by_key.contains_key(key.as_str())
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
        let _alone = self.writing.lock().await;
        // It may have been renewed or dropped while it was read.
        if let Some(found) = self.sound(self.info(key)?).await {
            return Some(Ok(found));
        }
        self.lock().remove(key.as_str());
        self.remove_files(key.as_str()).await;
        Some(Err(Damaged))
    }

    async fn sound(&self, info: CopyInfo) -> Option<(CopyInfo, Bytes)> {
        let content = tokio::fs::read(self.file(&info.key, "body")).await.ok()?;
        let same = blake3::hash(&content).to_hex().as_str() == info.blake3;
        same.then(|| (info, content.into()))
    }

    /// Keeps a copy, if it fits, and as long as it `is_current`. Failing to keep one is no error of the operation that
    /// made it.
    pub(crate) async fn keep(
        &self,
        mut info: CopyInfo,
        content: Bytes,
        is_current: impl Fn(&str) -> bool,
    ) {
        let is_older = |index: &Index| {
            index
                .by_key
                .get(info.key.as_str())
                .is_some_and(|slot| slot.info.seen > info.seen)
        };
        if content.len() as u64 > self.max_one() || is_older(&self.lock()) {
            return;
        }
        if !is_current(&info.key) {
            return;
        }
        info.size = content.len() as u64;
        info.blake3 = blake3::hash(&content).to_hex().to_string();
        let (key, size) = (info.key.clone(), info.size);
        let _alone = self.writing.lock().await;
        let mut unfinished = Unfinished(Some((self, &key)));
        if let Err(error) = self.write(&info, &content).await {
            tracing::warn!(%error, "a local copy of an object could not be kept");
            return;
        }
        unfinished.0 = None;
        let evicted = {
            let mut index = self.lock();
            // Looked at with the index locked: what is outdated from here on is forgotten after this.
            if is_current(&info.key) {
                index.insert(info);
                index.evict_down_to(self.max_bytes)
            } else {
                index.remove(&info.key);
                vec![Arc::from(key.as_str())]
            }
        };
        tracing::trace!(size, evicted = evicted.len(), "kept a local copy");
        for key in evicted {
            self.remove_files(&key).await;
        }
    }

    /// Drops the copy of a key: the object has changed or is gone.
    pub(crate) async fn forget(&self, key: &Key) {
        let _alone = self.writing.lock().await;
        let known = self.lock().remove(key.as_str());
        if known {
            self.remove_files(key.as_str()).await;
        }
    }

    /// Drops all copies. What is being read meanwhile may be kept.
    pub(crate) async fn clear(&self) -> io::Result<()> {
        let _alone = self.writing.lock().await;
        *self.lock() = Index::default();
        let dir = self.dir.clone();
        tokio::task::spawn_blocking(move || purge(&dir)).await?
    }

    async fn write(&self, info: &CopyInfo, content: &Bytes) -> io::Result<()> {
        let text = serde_json::to_vec(info)?;
        // The description goes first and is removed last: a body without one is swept at the next start.
        tokio::fs::write(self.file(&info.key, "json"), text).await?;
        tokio::fs::write(self.file(&info.key, "body"), content).await
    }

    async fn remove_files(&self, key: &str) {
        for ending in ["body", "json"] {
            // What is gone already needs no removing; what can't be removed is swept at the next start.
            let _ = tokio::fs::remove_file(self.file(key, ending)).await;
        }
    }

    fn file(&self, key: &str, ending: &str) -> PathBuf {
        let name = blake3::hash(key.as_bytes()).to_hex();
        self.dir.join(format!("{name}.{ending}"))
    }

    fn take_up(&self, path: &Path) {
        if path.extension().is_none_or(|e| e != "json") {
            return;
        }
        let info = std::fs::read(path)
            .ok()
            .and_then(|b| serde_json::from_slice::<CopyInfo>(&b).ok());
        let body = path.with_extension("body");
        let whole = |info: &CopyInfo| std::fs::metadata(&body).is_ok_and(|m| m.len() == info.size);
        match info.filter(whole) {
            Some(info) => self.lock().insert(info),
            None => [path, &body]
                .into_iter()
                .for_each(|p| drop(std::fs::remove_file(p))),
        }
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
        let Some((copies, key)) = self.0 else {
            return;
        };
        copies.lock().remove(key);
        for ending in ["body", "json"] {
            // As with all files of copies: what is left is swept at the next start.
            let _ = std::fs::remove_file(copies.file(key, ending));
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

impl Index {
    fn insert(&mut self, info: CopyInfo) {
        self.remove(&info.key);
        self.bytes += room(info.size);
        let (key, used) = (Arc::<str>::from(info.key.as_str()), self.next_turn());
        self.by_turn.insert(used, Arc::clone(&key));
        self.by_key.insert(key, Slot { info, used });
    }

    fn used(&mut self, key: &str) -> Option<CopyInfo> {
        let turn = self.next_turn();
        let slot = self.by_key.get_mut(key)?;
        let before = std::mem::replace(&mut slot.used, turn);
        if let Some(key) = self.by_turn.remove(&before) {
            self.by_turn.insert(turn, key);
        }
        Some(slot.info.clone())
    }

    fn next_turn(&mut self) -> u64 {
        self.turn += 1;
        self.turn
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(slot) = self.by_key.remove(key) else {
            return false;
        };
        self.by_turn.remove(&slot.used);
        self.bytes -= room(slot.info.size);
        true
    }

    fn evict_down_to(&mut self, max_bytes: u64) -> Vec<Arc<str>> {
        let mut evicted = Vec::new();
        while self.bytes > max_bytes
            && let Some(oldest) = self.by_turn.first_key_value().map(|(_, key)| key.clone())
        {
            self.remove(&oldest);
            evicted.push(oldest);
        }
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(key: &str) -> CopyInfo {
        CopyInfo {
            key: key.into(),
            size: 0,
            etag: None,
            content_type: None,
            last_modified: None,
            seen: Timestamp::UNIX_EPOCH,
            blake3: String::new(),
        }
    }

    fn key(text: &str) -> Key {
        Key::parse("key", text).unwrap()
    }

    #[tokio::test]
    async fn the_least_recently_used_copy_goes_first() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path(), 2 * room(4), 10).unwrap();
        copies
            .keep(info("a"), Bytes::from_static(b"1234"), |_| true)
            .await;
        copies
            .keep(info("b"), Bytes::from_static(b"1234"), |_| true)
            .await;
        assert!(copies.read(&key("a")).await.is_some());
        copies
            .keep(info("c"), Bytes::from_static(b"1234"), |_| true)
            .await;
        assert!(copies.read(&key("b")).await.is_none());
        assert!(copies.read(&key("a")).await.is_some());
        assert_eq!(copies.lock().by_turn.len(), 2);
    }

    #[tokio::test]
    async fn small_copies_count_as_what_they_take_of_the_disk() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path(), 64 << 10, 10).unwrap();
        for at in 0..20 {
            copies
                .keep(info(&at.to_string()), Bytes::from_static(b"1"), |_| true)
                .await;
        }
        let files = std::fs::read_dir(dir.path()).unwrap().count();
        assert_eq!(files, 16, "eight copies of 4 KiB and 4 KiB");
    }

    #[tokio::test]
    async fn copies_survive_a_restart_and_a_damaged_one_is_not_given_out() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path(), 100_000, 10).unwrap();
        copies
            .keep(info("a"), Bytes::from_static(b"1234"), |_| true)
            .await;
        let again = Copies::open(dir.path(), 100_000, 10).unwrap();
        assert_eq!(again.read(&key("a")).await.unwrap().1, "1234");
        std::fs::write(again.file("a", "body"), "9999").unwrap();
        assert_eq!(again.examine(&key("a")).await, Some(Err(Damaged)));
        assert_eq!(again.examine(&key("a")).await, None, "it was dropped");
        again
            .keep(info("a"), Bytes::from_static(b"1234"), |_| true)
            .await;
        std::fs::remove_file(again.file("a", "body")).unwrap();
        assert_eq!(again.examine(&key("a")).await, Some(Err(Damaged)));
    }

    #[tokio::test]
    async fn a_purge_leaves_nothing_for_now_nor_for_the_next_process() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path(), room(4), 6).unwrap();
        copies
            .keep(info("a"), Bytes::from_static(b"1234"), |_| true)
            .await;
        copies.clear().await.unwrap();
        assert!(copies.read(&key("a")).await.is_none());
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        copies
            .keep(info("b"), Bytes::from_static(b"1234"), |_| true)
            .await;
        assert!(copies.read(&key("b")).await.is_some(), "there is room");
    }

    #[tokio::test]
    async fn what_is_too_large_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path(), 100_000, 3).unwrap();
        copies
            .keep(info("a"), Bytes::from_static(b"1234"), |_| true)
            .await;
        assert!(copies.info(&key("a")).is_none());
    }

    #[tokio::test]
    async fn a_copy_that_its_reader_leaves_half_kept_is_not_taken_up_later() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path(), 100_000, 10).unwrap();
        let (body, mut is_kept) = (copies.file("a", "body"), true);
        while is_kept {
            // A slow test may find it done.
            copies.forget(&key("a")).await;
            is_kept = false;
            let content = Bytes::from_static(b"1234");
            let mut keep = Box::pin(copies.keep(info("a"), content, |_| true));
            let soon = std::time::Duration::from_secs(10);
            mainstay_testkit::eventually(soon, "its files", async || {
                is_kept = !body.exists() && futures_util::poll!(keep.as_mut()).is_ready();
                is_kept || body.exists()
            })
            .await;
        }
        assert!(copies.info(&key("a")).is_none());
        let again = Copies::open(dir.path(), 100_000, 10).unwrap();
        assert!(again.info(&key("a")).is_none());
    }

    #[tokio::test]
    async fn what_is_outdated_while_it_is_kept_is_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let copies = Copies::open(dir.path(), 100_000, 10).unwrap();
        for looks in 0..2 {
            let looked = std::cell::Cell::new(0);
            let is_current = |_: &str| looked.replace(looked.get() + 1) < looks;
            let content = Bytes::from_static(b"1234");
            copies.keep(info("a"), content, is_current).await;
            assert!(copies.info(&key("a")).is_none());
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        }
    }
}
