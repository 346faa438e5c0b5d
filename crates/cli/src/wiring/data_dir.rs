//! The data directory: ours alone.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;

use crate::commands::Failure;

/// Makes the directory with mode 0700, or takes that of an existing one back to it.
///
/// # Errors
/// When it can't be made, isn't a directory, or belongs to another user.
pub(crate) fn prepare(dir: &Path) -> Result<(), Failure> {
    let made = mainstay_journal::make_folder(dir);
    made.map_err(|error| failure(dir, "the data directory can't be made", &error))?;
    let metadata = fs::metadata(dir).map_err(|error| Failure::file(dir, error))?;
    if metadata.mode() & 0o077 != 0 {
        tighten(dir)?;
    }
    let probe = dir.join(".writable");
    let written = fs::write(&probe, b"").and_then(|()| fs::remove_file(&probe));
    written.map_err(|error| failure(dir, "the data directory can't be written to", &error))
}

fn failure(dir: &Path, what: &str, error: &io::Error) -> Failure {
    Failure::file(dir, format!("{what}: {error}{}", remedy(error.kind())))
}

/// What a person can do about a file of ours that can't be used; empty where the error says it all.
pub(crate) fn remedy(kind: io::ErrorKind) -> &'static str {
    match kind {
        io::ErrorKind::PermissionDenied => {
            " (it belongs to another user, or this one may not write to it: give it to the user that runs mainstay with chown -R, or set data_dir to a folder of its own)"
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            " (its file system is read-only: mount it for writing, or set data_dir elsewhere)"
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
            " (make room there, or set data_dir elsewhere)"
        }
        _ => "",
    }
}

/// Takes the directory away from others, if it is plainly meant for us: empty, or ours from before.
fn tighten(dir: &Path) -> Result<(), Failure> {
    let mut names = fs::read_dir(dir)
        .map_err(|error| Failure::file(dir, error))?
        .flatten();
    let ours = dir.join("keys.json").exists() || dir.join("journal").exists();
    if names.next().is_some() && !ours {
        let remedy = "the data directory is open to others and holds other files: name one of its own, or run chmod 700 on it";
        return Err(Failure::file(dir, remedy));
    }
    let tightened = fs::set_permissions(dir, Permissions::from_mode(0o700));
    let what = "others may read the data directory, and that can't be changed";
    tightened.map_err(|error| failure(dir, what, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_made_for_its_owner_alone_and_an_open_one_is_closed() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/b");
        prepare(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
        fs::set_permissions(&dir, Permissions::from_mode(0o755)).unwrap();
        prepare(&dir).unwrap();
        assert_eq!(fs::metadata(&dir).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn a_folder_full_of_something_else_is_left_as_it_is() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("letter.txt"), b"").unwrap();
        fs::set_permissions(parent.path(), Permissions::from_mode(0o755)).unwrap();
        assert!(prepare(parent.path()).is_err());
        assert_eq!(fs::metadata(parent.path()).unwrap().mode() & 0o777, 0o755);
    }

    #[test]
    fn a_file_in_its_place_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let file = parent.path().join("data");
        fs::write(&file, b"").unwrap();
        let failure = prepare(&file).unwrap_err();
        assert!(failure.to_string().contains("data"), "{failure}");
    }
}
