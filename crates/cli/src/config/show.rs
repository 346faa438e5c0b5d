//! `mainstay config show`: what is in force and where each value came from.

use std::path::Path;

use super::errors::Origin;
use super::read::Entry;

/// One line a setting: key, value, origin. Settings without value or default are left out.
pub(crate) fn show(entries: &[Entry], file: Option<&Path>) -> Vec<[String; 3]> {
    let line = |entry: &Entry| {
        let shown = entry.shown.clone()?;
        Some([entry.key.clone(), shown, origin(&entry.origin, file)])
    };
    entries.iter().filter_map(line).collect()
}

/// Where a value came from, in a word.
pub(crate) fn origin(origin: &Origin, file: Option<&Path>) -> String {
    match origin {
        Origin::Default => "default".to_owned(),
        Origin::Line(line) => format!("{}:{line}", file.unwrap_or("file".as_ref()).display()),
        Origin::Variable(name) => format!("env {name}"),
    }
}
