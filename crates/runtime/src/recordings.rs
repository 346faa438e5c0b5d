//! Recordings as files: compressed, bounded, and readable up to where their writer was cut off.
//!
//! They lie in `recordings/` of the data directory, named by when they began, each a gzip stream of
//! [`mainstay_degradation::recording`]. Every piece is flushed, so that a crash costs what came after it. The oldest
//! are removed when all of them together would grow over the bound.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use jiff::Timestamp;
use tokio::sync::mpsc;

use crate::recorder::{FILE, Piece, Progress};

/// Where recordings lie in a data directory.
pub fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("recordings")
}

/// The recordings of a folder, oldest first, with their sizes in bytes.
///
/// # Errors
/// As the file system says; a folder that isn't there holds none.
pub fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().ends_with(SUFFIX) {
            found.push((entry.path(), entry.metadata()?.len()));
        }
    }
    // Names begin with the time and sort by it.
    found.sort();
    Ok(found)
}

/// Removes the recordings of a folder.
///
/// # Errors
/// As the file system says; some may be gone then.
pub fn purge(folder: &Path) -> io::Result<()> {
    list(folder)?
        .into_iter()
        .try_for_each(|(path, _)| fs::remove_file(path))
}

const SUFFIX: &str = ".rec.gz";
/// Longest recording that is read, in bytes: a day's is far below.
const LONGEST: u64 = 1 << 30;

/// The bytes of a recording, to be read by [`mainstay_degradation::recording::read`]: all that is whole of a file
/// whose writer was cut off.
///
/// # Errors
/// When the file can't be read, or nothing of it can be unpacked.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let unpacked = GzDecoder::new(File::open(path)?)
        .take(LONGEST)
        .read_to_end(&mut bytes);
    match unpacked {
        Err(error) if bytes.is_empty() => Err(error),
        _ => Ok(bytes),
    }
}

/// The file that is being written.
struct Open {
    /// The recording's.
    number: u64,
    file: GzEncoder<File>,
}

/// Writes what the recorder hands over. Runs in a thread of its own until the recorder is gone.
pub(crate) struct Writer {
    pub(crate) folder: PathBuf,
    /// Of all recordings together, in bytes.
    pub(crate) bound: u64,
    pub(crate) progress: Arc<Progress>,
}

impl Writer {
    pub(crate) fn run(self, mut pieces: mpsc::Receiver<Piece>) {
        let mut file: Option<Open> = None;
        while let Some(piece) = pieces.blocking_recv() {
            let done = match piece {
                Piece::Begin(number, wall, bytes) => {
                    let ended = file
                        .take()
                        .map_or(Ok(()), |one| one.file.finish().map(drop));
                    ended
                        .and_then(|()| self.begin(number, wall, &bytes))
                        .map(|begun| file = Some(begun))
                }
                Piece::More(bytes) => match &mut file {
                    Some(file) => self.more(file, &bytes),
                    None => {
                        self.progress.dropped.fetch_add(1, Ordering::Relaxed);
                        Ok(())
                    }
                },
                Piece::Purge(done) => {
                    file = None;
                    // Whoever has stopped waiting needs no answer.
                    let _ = done.send(purge(&self.folder));
                    Ok(())
                }
            };
            if let Err(error) = done {
                tracing::warn!(%error, "a recording can't be written on");
                self.progress.dropped.fetch_add(1, Ordering::Relaxed);
                self.progress.broken.fetch_add(1, Ordering::Relaxed);
                file = None;
            }
        }
        // The last words of a file that is complete without them.
        let _ = file.map(|one| one.file.finish());
    }

    fn begin(&self, number: u64, wall: Timestamp, bytes: &[u8]) -> io::Result<Open> {
        fs::create_dir_all(&self.folder)?;
        self.prune()?;
        let name = wall.strftime("%Y-%m-%dT%H-%M-%SZ").to_string();
        let (path, file) = self.create(&name)?;
        let file = GzEncoder::new(file, Compression::default());
        let mut file = Open { number, file };
        if let Err(error) = self.more(&mut file, bytes) {
            // Nothing can be read without its beginning.
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(file)
    }

    /// A file that wasn't there: two recordings may begin in one second.
    fn create(&self, name: &str) -> io::Result<(PathBuf, File)> {
        let mut number = 0;
        loop {
            let path = self.folder.join(format!("{name}-{number:03}{SUFFIX}"));
            match File::create_new(&path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && number < 999 => {
                    number += 1
                }
                made => return made.map(|file| (path, file)),
            }
        }
    }

    fn more(&self, open: &mut Open, bytes: &[u8]) -> io::Result<()> {
        let Open { number, file } = open;
        file.write_all(bytes)?;
        file.flush()?;
        if file.get_ref().metadata()?.len() >= FILE {
            self.progress.full.store(*number, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Removes the oldest recordings until there is room for a whole new one.
    fn prune(&self) -> io::Result<()> {
        let all = list(&self.folder)?;
        let mut total: u64 = all.iter().map(|(_, size)| size).sum();
        for (path, size) in all {
            if total + 2 * FILE <= self.bound.max(2 * FILE) {
                break;
            }
            fs::remove_file(path)?;
            self.progress.removed.fetch_add(1, Ordering::Relaxed);
            total -= size;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn writer(dir: &Path, bound: u64) -> (Writer, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let writer = Writer {
            folder: folder(dir),
            bound,
            progress: Arc::clone(&progress),
        };
        (writer, progress)
    }

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    /// Bytes that can't be compressed.
    fn noise(length: usize, seed: u64) -> Vec<u8> {
        let mut state = seed;
        let mut next = || {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1);
            (state >> 56) as u8
        };
        (0..length).map(|_| next()).collect()
    }

    #[test]
    fn what_was_written_is_read_in_one_piece() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, progress) = writer(dir.path(), 64 << 20);
        let (queue, pieces) = mpsc::channel(9);
        queue
            .try_send(Piece::Begin(1, at(0), b"one".into()))
            .unwrap();
        queue.try_send(Piece::More(b"two".into())).unwrap();
        queue
            .try_send(Piece::Begin(1, at(0), b"three".into()))
            .unwrap();
        drop(queue);
        writer.run(pieces);
        let files = list(&folder(dir.path())).unwrap();
        let read: Vec<_> = files.iter().map(|(path, _)| read(path).unwrap()).collect();
        assert_eq!(read, [b"onetwo".to_vec(), b"three".to_vec()]);
        assert_eq!(progress.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_file_whose_writer_was_killed_is_read_up_to_its_last_whole_piece() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, _) = writer(dir.path(), 64 << 20);
        let mut file = writer.begin(1, at(0), &noise(5_000, 1)).unwrap();
        writer.more(&mut file, &noise(5_000, 2)).unwrap();
        // What a killed process leaves: no end of the stream.
        std::mem::forget(file);
        let (path, size) = list(&folder(dir.path())).unwrap().remove(0);
        let whole = [noise(5_000, 1), noise(5_000, 2)].concat();
        assert_eq!(read(&path).unwrap(), whole);
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(size - 700)
            .unwrap();
        let torn = read(&path).unwrap();
        assert!(
            torn.len() >= 5_000 && whole.starts_with(&torn),
            "{}",
            torn.len()
        );
    }

    #[test]
    fn all_together_stay_below_the_bound_and_the_oldest_go_first() {
        let dir = tempfile::tempdir().unwrap();
        let bound = 4 * FILE;
        let (writer, progress) = writer(dir.path(), bound);
        for n in 0..10 {
            let mut file = writer.begin(1, at(n), b"head").unwrap();
            writer
                .more(&mut file, &noise(FILE as usize, n as u64))
                .unwrap();
            drop(file);
            let all = list(&folder(dir.path())).unwrap();
            let total: u64 = all.iter().map(|(_, size)| size).sum();
            assert!(total <= bound, "{total}");
        }
        let all = list(&folder(dir.path())).unwrap();
        let removed = progress.removed.load(Ordering::Relaxed);
        assert_eq!(
            (removed, all.len() as u64),
            (10 - all.len() as u64, 10 - removed)
        );
        assert!(removed > 0);
        let newest = all.last().unwrap().0.file_name().unwrap().to_owned();
        assert!(newest.to_string_lossy().starts_with("1970-01-01T00-00-09Z"));
    }

    #[test]
    fn a_recording_that_has_grown_enough_is_told_by_its_number() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, progress) = writer(dir.path(), 64 << 20);
        let full = || progress.full.load(Ordering::Relaxed);
        let mut first = writer.begin(7, at(0), b"head").unwrap();
        assert_eq!(full(), 0);
        writer.more(&mut first, &noise(FILE as usize, 1)).unwrap();
        assert_eq!(full(), 7);
        let mut second = writer.begin(8, at(1), b"head").unwrap();
        writer.more(&mut second, b"more").unwrap();
        assert_eq!(full(), 7);
    }

    #[test]
    fn a_purge_removes_what_came_before_it_and_nothing_after() {
        let dir = tempfile::tempdir().unwrap();
        let (writer, progress) = writer(dir.path(), 64 << 20);
        let (queue, pieces) = mpsc::channel(9);
        let (done, mut purged) = tokio::sync::oneshot::channel();
        queue
            .try_send(Piece::Begin(1, at(0), b"one".into()))
            .unwrap();
        queue
            .try_send(Piece::Begin(1, at(1), b"two".into()))
            .unwrap();
        queue.try_send(Piece::Purge(done)).unwrap();
        queue
            .try_send(Piece::Begin(1, at(2), b"three".into()))
            .unwrap();
        drop(queue);
        writer.run(pieces);
        purged.try_recv().unwrap().unwrap();
        let files = list(&folder(dir.path())).unwrap();
        let read: Vec<_> = files.iter().map(|(path, _)| read(path).unwrap()).collect();
        assert_eq!(read, [b"three".to_vec()]);
        assert_eq!(progress.dropped.load(Ordering::Relaxed), 0);
    }

    #[test]
    fn a_disk_that_takes_nothing_is_counted_and_ends_the_recording() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(folder(dir.path()), "a file in its place").unwrap();
        let (writer, progress) = writer(dir.path(), 64 << 20);
        let (queue, pieces) = mpsc::channel(9);
        queue
            .try_send(Piece::Begin(1, at(0), b"one".into()))
            .unwrap();
        queue.try_send(Piece::More(b"two".into())).unwrap();
        drop(queue);
        writer.run(pieces);
        let seen = [&progress.dropped, &progress.broken].map(|n| n.load(Ordering::Relaxed));
        assert_eq!(seen, [2, 1]);
    }
}
