//! A machine that makes trouble below a program: its wall clock jumps, its disk is slow, fails or can't be written to.
//!
//! What it covers is what the program does through the C library; see `recorder/trouble.rs`.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use crate::preload;

/// Names the page in the program's environment.
const PAGE: &str = "TROUBLE_PAGE";

/// What the page holds, in order: eight bytes each.
#[derive(Clone, Copy)]
enum Word {
    Wall,
    Fsync,
    FsyncFails,
    ReadOnly,
    Fsyncs,
}

/// The library that makes the trouble, compiled, and the page that says which. None, to begin with.
pub struct Trouble {
    library: PathBuf,
    path: PathBuf,
    page: File,
}

impl Trouble {
    /// Compiles the library into this folder, which outlives the programs.
    ///
    /// # Panics
    /// When there is no `rustc`.
    pub fn build(folder: &Path) -> Self {
        let path = folder.join("trouble");
        fs::write(&path, [0; 5 * 8]).expect("the folder is writable");
        let page = File::options().read(true).write(true).open(&path);
        Self {
            library: preload::compile("trouble", folder),
            page: page.expect("it was made above"),
            path,
        }
    }

    /// Puts a program on this machine that is about to be started. What is said of files is said of those below `root`.
    pub fn below(&self, command: &mut Command, root: &Path) {
        command
            .env("LD_PRELOAD", &self.library)
            .env(PAGE, &self.path)
            .env("TROUBLE_ROOT", root);
    }

    /// Sets the wall clock this many seconds ahead, or back. Monotonic time goes on as it was.
    pub fn wall_clock_is_off(&self, seconds: i64) {
        self.set(Word::Wall, seconds);
    }

    /// Makes each fsync take this much longer.
    pub fn fsync_takes(&self, longer: Duration) {
        let us = i64::try_from(longer.as_micros()).expect("less than centuries");
        self.set(Word::Fsync, us);
    }

    /// Has each fsync fail with EIO, or no longer.
    pub fn fsync_fails(&self, fails: bool) {
        self.set(Word::FsyncFails, i64::from(fails));
    }

    /// Has each write below the root fail with EROFS, also to files that are open; or no longer.
    pub fn read_only(&self, is: bool) {
        self.set(Word::ReadOnly, i64::from(is));
    }

    fn set(&self, word: Word, value: i64) {
        let at = word as u64 * 8;
        let written = self.page.write_all_at(&value.to_le_bytes(), at);
        written.expect("the page is writable");
    }

    /// How often the program that calls this has called fsync, if it stands on such a machine.
    pub fn fsyncs() -> Option<u64> {
        let page = File::open(std::env::var_os(PAGE)?).ok()?;
        let mut count = [0; 8];
        page.read_exact_at(&mut count, Word::Fsyncs as u64 * 8)
            .ok()?;
        Some(u64::from_le_bytes(count))
    }
}
