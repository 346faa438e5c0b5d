//! The journal's folder: its lock, its files, and the room left on its disk.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use rustix::fs::{FallocateFlags, FlockOperation, flock, fstatvfs};

use crate::OpenError;

/// Spool names are unique in the process, not per journal: a spool that outlives its journal must never remove the
/// file of the next one.
static NEXT_SPOOL: AtomicU64 = AtomicU64::new(0);

/// Makes a folder, and those above it that are missing, for their owner alone, and brings their names to disk: whatever
/// is fsynced below is lost with the name of a folder that isn't.
///
/// # Errors
/// What the operating system says.
pub fn make_folder(dir: &Path) -> io::Result<()> {
    let make = || DirBuilder::new().mode(0o700).create(dir);
    match (make(), dir.parent()) {
        // From the top, so that only the last name of an existing path can be one that a killed process left unsafe.
        (Err(error), Some(above)) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(above)?;
            make()?;
        }
        (Err(error), _) if error.kind() == io::ErrorKind::AlreadyExists && dir.is_dir() => {}
        (made, _) => made?,
    }
    match dir.canonicalize()?.parent().map(File::open) {
        Some(Ok(above)) => match above.sync_all() {
            // Its file system can't fsync folders.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => Ok(()),
            synced => synced,
        },
        // One that we may go through and not read isn't ours to fsync.
        Some(Err(error)) if error.kind() != io::ErrorKind::PermissionDenied => Err(error),
        _ => Ok(()),
    }
}

/// Paths of one journal, with handles to fsync its folders.
#[derive(Debug)]
pub(crate) struct Folder {
    root: PathBuf,
    bodies: PathBuf,
    spool: PathBuf,
    root_handle: File,
    bodies_handle: File,
}

impl Folder {
    pub(crate) fn create(root: &Path) -> io::Result<Self> {
        let (bodies, spool) = (root.join("bodies"), root.join("spool"));
        for dir in [root, &bodies, &spool] {
            make_folder(dir)?;
        }
        fs::set_permissions(root, Permissions::from_mode(0o700))?;
        let root = root.canonicalize()?;
        let (root_handle, bodies_handle) = (File::open(&root)?, File::open(&bodies)?);
        Ok(Self {
            bodies: root.join("bodies"),
            spool: root.join("spool"),
            root,
            root_handle,
            bodies_handle,
        })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("journal.db")
    }

    pub(crate) fn body(&self, number: u64) -> PathBuf {
        self.bodies.join(format!("{number:016x}"))
    }

    /// A path for a body that is still arriving.
    pub(crate) fn new_spool(&self) -> PathBuf {
        let number = NEXT_SPOOL.fetch_add(1, Ordering::Relaxed);
        self.spool.join(format!("{}-{number}", std::process::id()))
    }

    pub(crate) fn sync_root(&self) -> io::Result<()> {
        self.root_handle.sync_all()
    }

    pub(crate) fn sync_bodies(&self) -> io::Result<()> {
        self.bodies_handle.sync_all()
    }

    /// Bytes an unprivileged process may still write to the file system.
    pub(crate) fn free_bytes(&self) -> io::Result<u64> {
        let stat = fstatvfs(&self.root_handle)?;
        Ok(stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    pub(crate) fn reserve(&self) -> Reserve {
        Reserve {
            path: self.root.join("reserve"),
            held: false,
        }
    }

    pub(crate) fn clear_spool(&self) -> io::Result<()> {
        for file in fs::read_dir(&self.spool)? {
            fs::remove_file(file?.path())?;
        }
        Ok(())
    }

    /// The numbers of the body files there are; other names (and numbers past what a row can hold) are left alone.
    pub(crate) fn body_numbers(&self) -> io::Result<Vec<u64>> {
        let mut numbers = Vec::new();
        for file in fs::read_dir(&self.bodies)? {
            let name = file?.file_name();
            let number = name
                .to_str()
                .and_then(|name| i64::from_str_radix(name, 16).ok());
            numbers.extend(number.and_then(|number| u64::try_from(number).ok()));
        }
        Ok(numbers)
    }
}

/// The exclusive lock on a folder; released when dropped, and by the kernel when the process dies.
#[derive(Debug)]
pub(crate) struct FolderLock {
    _file: File,
}

impl FolderLock {
    pub(crate) fn acquire(root: &Path) -> Result<Self, OpenError> {
        let path = root.join("lock");
        let io = |source| OpenError::Io {
            path: path.clone(),
            source,
        };
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut pid = String::new();
                file.read_to_string(&mut pid).map_err(io)?;
                return Err(OpenError::Locked {
                    dir: root.to_owned(),
                    pid: pid.trim().parse().ok(),
                });
            }
            Err(error) => return Err(io(error.into())),
        }
        // Padded, so that it covers an earlier one in place: the disk may be full. Without it the lock still holds.
        let _ = writeln!(file, "{:<10}", std::process::id());
        Ok(Self { _file: file })
    }
}

/// A file that is removed when dropped, unless it is kept.
#[derive(Debug)]
pub(crate) struct FileGuard {
    path: Option<PathBuf>,
}

impl FileGuard {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path: Some(path) }
    }

    pub(crate) fn keep(&mut self) {
        self.path = None;
    }

    /// Moves the file; the guard follows it.
    pub(crate) fn rename(&mut self, to: PathBuf) -> io::Result<()> {
        if let Some(from) = &self.path {
            fs::rename(from, &to)?;
            self.path = Some(to);
        }
        Ok(())
    }
}

impl Drop for FileGuard {
    fn drop(&mut self) {
        if let Some(path) = &self.path
            && let Err(error) = fs::remove_file(path)
            && error.kind() != io::ErrorKind::NotFound
        {
            // Start-up removes what has no row.
            tracing::warn!(%error, "journal: an unused body file stays until the next start");
        }
    }
}

/// Room kept on the disk so that a full one can still drain: completing an entry writes before it frees anything.
#[derive(Debug)]
pub(crate) struct Reserve {
    path: PathBuf,
    held: bool,
}

impl Reserve {
    /// Bytes; about twice the longest log, since a checkpoint may need as much again.
    const SIZE: u64 = 4 << 20;

    /// Takes the room, if it isn't held.
    pub(crate) fn take(&mut self) -> io::Result<()> {
        if !self.held {
            let taken = self.allocate();
            if taken.is_err() {
                self.give_up();
            }
            taken?;
            self.held = true;
        }
        Ok(())
    }

    /// Bytes that it would take now.
    pub(crate) fn missing(&self) -> u64 {
        if self.path.exists() { 0 } else { Self::SIZE }
    }

    fn allocate(&self) -> io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(false).mode(0o600);
        let mut file = options.open(&self.path)?;
        match rustix::fs::fallocate(&file, FallocateFlags::empty(), 0, Self::SIZE) {
            Err(rustix::io::Errno::OPNOTSUPP) => {
                io::copy(&mut io::repeat(0).take(Self::SIZE), &mut file).map(drop)
            }
            allocated => Ok(allocated?),
        }
    }

    /// Gives the room to whoever writes next.
    pub(crate) fn give_up(&mut self) {
        self.held = false;
        // Where this fails there is no less room than before.
        let _ = fs::remove_file(&self.path);
    }
}
