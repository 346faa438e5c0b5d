//! A small disk that can be full: a tmpfs in a mount namespace of its own, which only the programs see that are put there.
//!
//! A process keeps the namespace while no other runs in it. It ends with the test, whatever ends that, and the kernel
//! unmounts the disk with the last of them.

use std::fs::File;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::statvfs;
use tempfile::TempDir;

use crate::Program;

const SOON: Duration = Duration::from_secs(10);

/// What [`SmallDisk::fill`] writes at once; less where less is left.
const CHUNK: usize = 64 << 10;

/// A disk of a few bytes. Programs see it at [`path`](Self::path), the test at [`reach`](Self::reach).
pub struct SmallDisk {
    keeper: Program,
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many bytes; `None` where mounting isn't allowed.
    ///
    /// # Panics
    /// When the temporary folder isn't writable.
    pub async fn mount(bytes: u64) -> Option<Self> {
        let folder = tempfile::tempdir().expect("the temporary folder is writable");
        let script = format!(
            "mount -t tmpfs -o size={bytes} tmpfs \"$0\" && echo mounted && exec sleep infinity"
        );
        let mut command = Command::new("unshare");
        command.args(["-m", "sh", "-c", &script]).arg(folder.path());
        let keeper = Program::start(command).ok()?;
        keeper.line_with(SOON, "mounted").await.ok()?;
        Some(Self { keeper, folder })
    }

    /// Where the programs on it see it.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Where everybody else sees it.
    pub fn reach(&self) -> PathBuf {
        let root = PathBuf::from(format!("/proc/{}/root", self.keeper.pid()));
        let path = self.path().strip_prefix("/");
        root.join(path.expect("temporary folders have absolute paths"))
    }

    /// The same program, put where it sees the disk.
    pub fn with(&self, command: &Command) -> Command {
        let namespace = format!("/proc/{}/ns/mnt", self.keeper.pid());
        let mut inside = Command::new("nsenter");
        inside.arg(format!("--mount={namespace}"));
        // Entering leads to the root folder.
        inside.args(["sh", "-c", "cd \"$0\" && exec \"$@\""]);
        inside.arg(command.get_current_dir().unwrap_or(Path::new("/")));
        inside.arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => inside.env(name, value),
                None => inside.env_remove(name),
            };
        }
        inside
    }

    /// Bytes that are left.
    ///
    /// # Panics
    /// When the keeper has been killed.
    pub fn free(&self) -> u64 {
        let stat = statvfs(self.reach()).expect("the disk is mounted");
        stat.f_bavail * stat.f_frsize
    }

    /// Takes so many bytes into a file of this name, and all that are left where there are fewer.
    ///
    /// # Panics
    /// When the file can't be made.
    pub fn fill(&self, name: &str, bytes: u64) {
        let mut file = File::create(self.reach().join(name)).expect("there is room for a name");
        let (mut left, mut chunk) = (bytes, CHUNK);
        while left > 0 && chunk > 0 {
            let some = chunk.min(usize::try_from(left).unwrap_or(chunk));
            match file.write(&vec![0; some]) {
                Ok(written) => left -= written as u64,
                Err(error) if is_full(&error) => chunk /= 2,
                Err(error) => panic!("{name} can't be written: {error}"),
            }
        }
    }
}

fn is_full(error: &io::Error) -> bool {
    error.kind() == ErrorKind::StorageFull
}
