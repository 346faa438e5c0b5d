//! The files of recordings: gzip streams, good up to where their writer was cut off.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;

const SUFFIX: &str = ".rec.gz";
/// Longest recording that is read, in bytes: a day's is far below.
const LONGEST: u64 = 1 << 30;

/// Where recordings lie in a data directory.
pub(super) fn folder(data_dir: &Path) -> PathBuf {
    data_dir.join("recordings")
}

/// The recordings of a folder, oldest first, with their sizes in bytes; a folder that isn't there holds none.
pub(super) fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
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

/// All that is whole of a file.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let unpacked = GzDecoder::new(File::open(path)?)
        .take(LONGEST)
        .read_to_end(&mut bytes);
    match unpacked {
        Err(error) if bytes.is_empty() => Err(error),
        _ => Ok(bytes),
    }
}
