//! A power cut, without cutting power: what a program did to its files is recorded below it, and played back up to a
//! moment with part of what was not fsynced by then lost or torn.
//!
//! What it covers: data that a file's fsync has not reached (each write kept, lost or torn at random), and names that the
//! folder's fsync has not reached (a random number of the last creations, renames and removals lost). What it can't: a
//! disk that lies about fsync, damage to what was safe, and what the recorder doesn't see.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::preload;

/// The recorder, compiled, and where it writes.
pub struct PowerCut {
    library: PathBuf,
    trace: PathBuf,
}

/// What a program did, in order.
pub struct Recording(Vec<Step>);

enum Step {
    Create(String),
    Write(String, u64, Vec<u8>),
    Truncate(String, u64),
    SyncBegins(String, u64),
    SyncEnds(String, u64),
    Rename(String, String),
    Remove(String),
    Said(Vec<u8>),
}

impl PowerCut {
    /// Compiles the recorder into this folder; the trace goes there, too.
    ///
    /// # Panics
    /// When there is no `rustc`.
    pub fn build(folder: &Path) -> Self {
        let library = preload::compile("power_cut", folder);
        let trace = folder.join("trace");
        Self { library, trace }
    }

    /// Has a program recorded that is about to be started: what it does below `root`, and what it says on standard output.
    /// Programs that run one after the other are recorded one after the other.
    pub fn record(&self, command: &mut Command, root: &Path) {
        command
            .env("LD_PRELOAD", &self.library)
            .env("POWER_CUT_ROOT", root)
            .env("POWER_CUT_TRACE", &self.trace);
    }

    /// Has it killed in place of the first fsync after it has said this on standard output.
    pub fn kill_at_fsync_after(&self, command: &mut Command, words: &str) {
        command.env("POWER_CUT_LAST_WORDS", words);
    }

    /// What was recorded, up to a record that is whole.
    ///
    /// # Panics
    /// When nothing was.
    pub fn recording(&self) -> Recording {
        let bytes = fs::read(&self.trace).expect("the recorder has written");
        let (mut steps, mut rest) = (Vec::new(), bytes.as_slice());
        while let Some((step, after)) = step(rest) {
            steps.extend(step);
            rest = after;
        }
        Recording(steps)
    }
}

/// The first record, and what comes after it.
fn step(bytes: &[u8]) -> Option<(Option<Step>, &[u8])> {
    let (head, rest) = bytes.split_at_checked(17)?;
    let number = |range: std::ops::Range<usize>| {
        let le = head[range].iter().rev();
        le.fold(0u64, |sum, byte| sum << 8 | u64::from(*byte))
    };
    let (path, rest) = rest.split_at_checked(number(1..5) as usize)?;
    let (data, rest) = rest.split_at_checked(number(13..17) as usize)?;
    let path = String::from_utf8_lossy(path).into_owned();
    let at = number(5..13);
    let step = match head[0] {
        b'C' => Step::Create(path),
        b'W' => Step::Write(path, at, data.to_vec()),
        b'T' => Step::Truncate(path, at),
        b'F' => Step::SyncBegins(path, at),
        b'E' => Step::SyncEnds(path, at),
        b'R' => Step::Rename(path, String::from_utf8_lossy(data).into_owned()),
        b'U' => Step::Remove(path),
        b'A' => Step::Said(data.to_vec()),
        _ => return Some((None, rest)),
    };
    Some((Some(step), rest))
}

impl Recording {
    /// How many moments there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether nothing was recorded.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The files and folders that an fsync has reached, by their names below the root (which is "").
    pub fn synced(&self) -> BTreeSet<&str> {
        let ends = self.0.iter().filter_map(|step| match step {
            Step::SyncEnds(name, _) => Some(name.as_str()),
            _ => None,
        });
        ends.collect()
    }

    /// Bytes written to a file from this moment on.
    pub fn written(&self, name: &str, from: usize) -> usize {
        let bytes = self.0[from..].iter().map(|step| match step {
            Step::Write(path, _, bytes) if path == name => bytes.len(),
            _ => 0,
        });
        bytes.sum()
    }

    /// What the program had said on standard output by then.
    pub fn said(&self, moment: usize) -> Vec<u8> {
        let said = self.0[..moment].iter().filter_map(|step| match step {
            Step::Said(bytes) => Some(bytes.as_slice()),
            _ => None,
        });
        said.collect::<Vec<_>>().concat()
    }

    /// Writes what a disk may hold that lost power at this moment into `to`. `seed` decides what of the unsafe part is
    /// lost. Without `honest` no fsync counts, as on a disk that lies: a check of the check.
    ///
    /// # Panics
    /// When `to` can't be written.
    pub fn cut(&self, moment: usize, seed: u64, honest: bool, to: &Path) {
        let mut disk = Disk::default();
        for step in &self.0[..moment] {
            disk.follow(step, honest);
        }
        disk.lose(seed);
        for (name, file) in &disk.safe_names {
            let path = to.join(name);
            let folder = path.parent().expect("it lies below `to`");
            fs::create_dir_all(folder).expect("our folder is writable");
            fs::write(path, &disk.files[*file].safe).expect("our folder is writable");
        }
    }
}

#[derive(Default)]
struct Disk {
    files: Vec<File>,
    /// As the program sees them.
    names: HashMap<String, usize>,
    /// As they are found after the cut.
    safe_names: BTreeMap<String, usize>,
    /// By folder: changes of names that no fsync has reached.
    unsafe_names: BTreeMap<String, Vec<Change>>,
    /// By file or folder and handle: how much an fsync under way will have reached.
    syncs: HashMap<(String, u64), (usize, usize)>,
}

#[derive(Default)]
struct File {
    safe: Vec<u8>,
    unsafe_writes: Vec<Write>,
    /// Writes that were made safe, ever.
    reached: usize,
}

enum Write {
    Bytes(u64, Vec<u8>),
    Truncate(u64),
}

#[derive(Clone)]
enum Change {
    Add(String, usize),
    Remove(String),
    Rename(String, String),
}

fn folder_of(name: &str) -> String {
    name.rsplit_once('/')
        .map_or("", |(folder, _)| folder)
        .to_owned()
}

impl Disk {
    fn follow(&mut self, step: &Step, honest: bool) {
        match step {
            Step::Create(name) => {
                self.file(name);
            }
            Step::Write(name, at, bytes) => {
                let write = Write::Bytes(*at, bytes.clone());
                self.file(name).unsafe_writes.push(write);
            }
            Step::Truncate(name, len) => {
                self.file(name).unsafe_writes.push(Write::Truncate(*len));
            }
            Step::Rename(from, to) => {
                if let Some(file) = self.names.remove(from) {
                    self.names.insert(to.clone(), file);
                    self.change(from, Change::Rename(from.clone(), to.clone()));
                    if folder_of(to) != folder_of(from) {
                        self.change(to, Change::Add(to.clone(), file));
                    }
                }
            }
            Step::Remove(name) => {
                if self.names.remove(name).is_some() {
                    self.change(name, Change::Remove(name.clone()));
                }
            }
            Step::SyncBegins(name, handle) => {
                let writes = self.names.get(name).map_or(0, |file| {
                    let file = &self.files[*file];
                    file.reached + file.unsafe_writes.len()
                });
                let names = self.unsafe_names.get(name).map_or(0, Vec::len);
                self.syncs.insert((name.clone(), *handle), (writes, names));
            }
            Step::SyncEnds(name, handle) if honest => {
                let begun = self.syncs.remove(&(name.clone(), *handle));
                self.reach(name, begun.unwrap_or_default());
            }
            Step::SyncEnds(..) | Step::Said(_) => {}
        }
    }

    fn file(&mut self, name: &str) -> &mut File {
        let next = self.files.len();
        let number = *self.names.entry(name.to_owned()).or_insert(next);
        if number == next {
            self.files.push(File::default());
            self.change(name, Change::Add(name.to_owned(), number));
        }
        &mut self.files[number]
    }

    fn change(&mut self, name: &str, change: Change) {
        self.unsafe_names
            .entry(folder_of(name))
            .or_default()
            .push(change);
    }

    /// What lay before the begin of an fsync is safe at its end.
    fn reach(&mut self, name: &str, (writes, names): (usize, usize)) {
        if let Some(file) = self.names.get(name) {
            let file = &mut self.files[*file];
            let count = writes
                .saturating_sub(file.reached)
                .min(file.unsafe_writes.len());
            for write in file.unsafe_writes.drain(..count).collect::<Vec<_>>() {
                file.apply(write, None);
            }
            file.reached += count;
        }
        let changes = self.unsafe_names.entry(name.to_owned()).or_default();
        let count = names.min(changes.len());
        for change in changes.drain(..count).collect::<Vec<_>>() {
            self.apply(change);
        }
    }

    fn apply(&mut self, change: Change) {
        match change {
            Change::Add(name, file) => drop(self.safe_names.insert(name, file)),
            Change::Remove(name) => drop(self.safe_names.remove(&name)),
            Change::Rename(from, to) => {
                if let Some(file) = self.safe_names.remove(&from)
                    && folder_of(&from) == folder_of(&to)
                {
                    self.safe_names.insert(to, file);
                }
            }
        }
    }

    /// The power goes: part of what isn't safe is lost.
    fn lose(&mut self, seed: u64) {
        let mut dice = Dice(seed);
        for (_, changes) in std::mem::take(&mut self.unsafe_names) {
            let kept = dice.below(changes.len() as u64 + 1) as usize;
            changes
                .into_iter()
                .take(kept)
                .for_each(|change| self.apply(change));
        }
        for file in &mut self.files {
            for write in std::mem::take(&mut file.unsafe_writes) {
                match dice.below(4) {
                    0 | 1 => {}
                    2 => file.apply(write, None),
                    _ => file.apply(write, Some(dice.below(4096))),
                }
            }
        }
    }
}

impl File {
    /// Applies a write, or only so many bytes of it.
    fn apply(&mut self, write: Write, torn: Option<u64>) {
        match write {
            Write::Truncate(len) => self.safe.resize(len as usize, 0),
            Write::Bytes(at, bytes) => {
                let kept = torn.map_or(bytes.len(), |torn| bytes.len().min(torn as usize));
                let end = at as usize + kept;
                if self.safe.len() < end {
                    self.safe.resize(end, 0);
                }
                self.safe[at as usize..end].copy_from_slice(&bytes[..kept]);
            }
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood, 2014).
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
