//! A program run by a user without rights, also where the test itself runs as root, to whom everything is allowed.

use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::scratch::{self, User};

/// A user without rights and a folder of theirs. An unprivileged test's user is its own.
pub struct Unprivileged {
    user: Option<User>,
    program: PathBuf,
    folder: TempDir,
    _programs: TempDir,
}

impl Unprivileged {
    /// Puts a program where that user can reach it.
    ///
    /// # Panics
    /// When the temporary folder isn't writable.
    pub fn new(program: &Path) -> Self {
        let user = scratch::unprivileged_user();
        // The build's own folder may be closed to others.
        let programs = scratch::folder(user);
        let copy = programs.path().join("program");
        if fs::hard_link(program, &copy).is_err() {
            fs::copy(program, &copy).expect("our folder is writable");
        }
        Self {
            user,
            program: copy,
            folder: scratch::folder(user),
            _programs: programs,
        }
    }

    /// The user's folder.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Gives a file to the user.
    pub fn give(&self, path: &Path) {
        scratch::give(path, self.user);
    }

    /// Whether files can belong to somebody else: where the test runs as root.
    pub fn has_others(&self) -> bool {
        self.user.is_some()
    }

    /// The program, to be started by the user in their folder.
    pub fn command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.current_dir(self.folder.path());
        if let Some(User { uid, gid }) = self.user {
            command.uid(uid).gid(gid);
        }
        command
    }
}
