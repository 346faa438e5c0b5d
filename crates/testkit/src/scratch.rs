//! Private folders under the system's temporary folder.

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Once;

use rustix::process::getuid;
use tempfile::TempDir;

/// The user that servers run as when the test runs as root, which PostgreSQL refuses.
#[derive(Clone, Copy, Debug)]
pub(crate) struct User {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// An unprivileged user when we are root; `None` when we are unprivileged ourselves.
pub(crate) fn unprivileged_user() -> Option<User> {
    getuid().is_root().then(|| {
        let passwd = fs::read_to_string("/etc/passwd").expect("/etc/passwd is readable by all");
        ["postgres", "nobody"]
            .iter()
            .find_map(|name| find_user(&passwd, name))
            .expect("every Linux has the user `nobody`")
    })
}

fn find_user(passwd: &str, name: &str) -> Option<User> {
    let line = passwd
        .lines()
        .find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    let uid = fields.next()?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    Some(User { uid, gid })
}

/// The folder that holds everything of ours: what is cached, and one folder per running server.
pub(crate) fn root() -> PathBuf {
    // As root the servers are another user, who may not pass through root's own TMPDIR.
    let base = if getuid().is_root() {
        PathBuf::from("/tmp")
    } else {
        std::env::temp_dir()
    };
    let root = base.join(format!("mainstay-testkit-{}", getuid().as_raw()));
    fs::create_dir_all(&root).expect("the temporary folder is writable");
    fs::set_permissions(&root, fs::Permissions::from_mode(0o755)).expect("the folder is ours");
    root
}

/// A new private folder, removed when dropped; it belongs to `owner` if there is one.
pub(crate) fn folder(owner: Option<User>) -> TempDir {
    let root = root();
    sweep(&root);
    let prefix = format!("run-{}-", std::process::id());
    let folder = tempfile::Builder::new()
        .prefix(&prefix)
        .tempdir_in(root)
        .expect("the temporary folder is writable");
    give(folder.path(), owner);
    folder
}

/// Gives a file or folder to `owner`.
pub(crate) fn give(path: &Path, owner: Option<User>) {
    if let Some(User { uid, gid }) = owner {
        chown(path, Some(uid), Some(gid)).expect("root may give its files away");
    }
}

/// Removes, once per process, the folders of test processes that were killed before they could.
fn sweep(root: &Path) {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        for entry in fs::read_dir(root).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let owner = name
                .strip_prefix("run-")
                .and_then(|rest| rest.split('-').next());
            if owner.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
                forget_shared_memory(&entry.path().join("data"));
                let _ = fs::remove_dir_all(entry.path());
            }
        }
    });
}

/// Removes the System V segment that a killed PostgreSQL leaves behind, and its pid file.
///
/// The kernel has a small, machine-wide number of them, and nothing else would ever free one.
pub(crate) fn forget_shared_memory(data: &Path) {
    let pid_file = data.join("postmaster.pid");
    let Ok(text) = fs::read_to_string(&pid_file) else {
        return;
    };
    if let Some(id) = text
        .lines()
        .nth(6)
        .and_then(|line| line.split_whitespace().nth(1))
    {
        let _ = Command::new("ipcrm").args(["-m", id]).output();
    }
    let _ = fs::remove_file(pid_file);
}
