//! Where the servers' programs are: installed ones, and the kit's own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

/// Finds an installed program in `folders`, then on the PATH.
pub(crate) fn find_installed(name: &str, folders: &[PathBuf], package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = folders.iter().cloned().chain(std::env::split_paths(&path));
    places
        .find_map(|folder| Some(folder.join(name)).filter(|file| file.is_file()))
        .unwrap_or_else(|| {
            panic!(
                "`{name}` is missing: run tools/install-test-servers.sh, or apt-get install {package}"
            )
        })
}

/// One of the kit's own server programs, built when it's missing or older than its sources.
///
/// Cargo builds them by itself for the kit's own tests only. Another package's tests look beside
/// their own executable, where the whole workspace's build would have put them.
pub(crate) fn own(name: &str) -> PathBuf {
    let folder = profile_folder();
    let binary = folder.join(name);
    if !is_fresh(&binary) {
        // Test processes run side by side: one builds, the others wait and find it built.
        let gate = File::create(folder.join(".mainstay-testkit.lock"));
        let gate = gate.expect("the build folder is writable");
        gate.lock().expect("a local file can be locked");
        if !is_fresh(&binary) {
            build(&folder);
        }
    }
    assert!(
        binary.is_file(),
        "{} should have been built",
        binary.display()
    );
    binary
}

/// `target/debug`, or whichever profile's folder this test executable lies in.
fn profile_folder() -> PathBuf {
    let exe = std::env::current_exe().expect("a running program has a path");
    let folder = exe.parent().expect("a program lies in a folder");
    match folder.file_name().and_then(|name| name.to_str()) {
        Some("deps" | "examples") => folder
            .parent()
            .expect("`deps` lies in a profile's folder")
            .to_owned(),
        _ => folder.to_owned(),
    }
}

fn is_fresh(binary: &Path) -> bool {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    modified(binary).is_some_and(|built| built >= newest(&package.join("src")))
}

fn newest(path: &Path) -> SystemTime {
    let below = fs::read_dir(path)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| newest(&entry.path()));
    below
        .chain(modified(path))
        .max()
        .unwrap_or(SystemTime::UNIX_EPOCH)
}

fn modified(path: &Path) -> Option<SystemTime> {
    fs::metadata(path).ok()?.modified().ok()
}

fn build(profile_folder: &Path) {
    let target = profile_folder
        .parent()
        .expect("a profile's folder lies in the target folder");
    let profile = match profile_folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args([
        "build",
        "--quiet",
        "--package",
        "mainstay-testkit",
        "--bins",
        "--profile",
        profile,
    ]);
    command
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"));
    command.arg("--target-dir").arg(target);
    let output = command
        .output()
        .expect("cargo, which built this test, can be run");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "the test servers don't build: {errors}"
    );
}
