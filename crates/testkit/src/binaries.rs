//! Where the servers' programs are.

use std::path::PathBuf;

/// Finds an installed program in `folders`, then on the PATH.
pub(crate) fn find_installed(name: &str, folders: &[PathBuf], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = folders.iter().cloned().chain(std::env::split_paths(&path));
    places
        .find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
        .unwrap_or_else(|| {
            panic!("`{name}` is missing: run tools/install-test-servers.sh, or apt-get install {package}")
        })
}
