//! Small files of the data directory that are replaced as a whole: they are there or not, never half.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// Replaces the file: written beside it, synced, renamed, folder synced.
///
/// # Errors
/// As the file system says; the earlier file is whole then.
pub(crate) fn replace(path: &Path, text: &[u8]) -> io::Result<()> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let mut file = File::create(&beside)?;
    file.write_all(text)?;
    file.sync_all()?;
    fs::rename(&beside, path)?;
    match path.parent() {
        Some(dir) => File::open(dir)?.sync_all(),
        None => Ok(()),
    }
}

/// What the file holds; `None` when there is none.
///
/// # Errors
/// As the file system says.
pub(crate) fn read(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// What the file holds, for what may be done without: one that can't be used is set aside beside its name, with a
/// warning, and never stops a start.
pub(crate) fn read_or_set_aside<T>(
    path: &Path,
    decode: impl FnOnce(&[u8]) -> Result<T, String>,
) -> Option<T> {
    let decoded = match read(path) {
        Ok(None) => return None,
        Ok(Some(bytes)) => decode(&bytes),
        Err(error) => Err(error.to_string()),
    };
    match decoded {
        Ok(value) => Some(value),
        Err(why) => {
            set_aside(path, &why);
            None
        }
    }
}

fn set_aside(path: &Path, why: &str) {
    let mut aside = path.as_os_str().to_owned();
    aside.push(".unreadable");
    let file = path.display();
    match fs::rename(path, &aside) {
        Ok(()) => tracing::warn!(%file, why, "can't be used and was set aside as *.unreadable"),
        Err(error) => {
            tracing::warn!(%file, why, %error, "can't be used, and not be set aside either")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(bytes: &[u8]) -> Result<u32, String> {
        let text = std::str::from_utf8(bytes).map_err(|e| e.to_string())?;
        text.parse().map_err(|_| "no number".to_owned())
    }

    #[test]
    fn what_replaces_is_read_and_nothing_is_left_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n.json");
        assert_eq!(read_or_set_aside(&path, number), None);
        for text in ["1", "2"] {
            replace(&path, text.as_bytes()).unwrap();
        }
        assert_eq!(read_or_set_aside(&path, number), Some(2));
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_cannot_be_used_is_set_aside_with_its_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("n.json");
        fs::write(&path, "two").unwrap();
        assert_eq!(read_or_set_aside(&path, number), None);
        assert!(!path.exists());
        let aside = dir.path().join("n.json.unreadable");
        assert_eq!(fs::read_to_string(aside).unwrap(), "two");
    }
}
