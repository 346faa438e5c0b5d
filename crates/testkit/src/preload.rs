//! Libraries of ours that a program loads before its own: what they replace, it calls.

use std::path::{Path, PathBuf};
use std::process::Command;

/// Compiles one of `recorder/` into this folder.
pub(crate) fn compile(name: &str, folder: &Path) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("recorder")
        .join(format!("{name}.rs"));
    let library = folder.join(format!("lib{name}.so"));
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let mut command = Command::new(rustc);
    command.args(["--edition", "2024", "--crate-type", "cdylib", "-O", "-o"]);
    let built = command.arg(&library).arg(source).output();
    let built = built.expect("rustc runs");
    let said = String::from_utf8_lossy(&built.stderr);
    assert!(built.status.success(), "the library is built: {said}");
    library
}
