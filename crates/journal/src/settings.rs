//! The bounds within which a journal accepts work.

use crate::OpenError;

/// The largest body kept in its row, 16 MiB: past it SQLite rows become slow to write in one piece.
const INLINE_LIMIT_MAX: usize = 16 << 20;

/// Bounds and sizes of one journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Entries held at most, at least 1. Each costs some 600 bytes of memory besides its key and metadata.
    pub max_entries: u64,
    /// Bytes of bodies, keys and metadata held at most, at least 1.
    pub max_bytes: u64,
    /// Bytes that stay free on the file system; below this nothing is accepted. 0 relies on the disk itself being full.
    pub min_free_disk: u64,
    /// Bodies up to this many bytes live in the database, larger ones in files beside it; 0 to 16 MiB.
    pub inline_limit: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            max_entries: 400_000,
            max_bytes: 10 << 30,
            min_free_disk: 256 << 20,
            inline_limit: 64 << 10,
        }
    }
}

impl Settings {
    pub(crate) fn validate(&self) -> Result<(), OpenError> {
        let reject = |reason: &str| Err(OpenError::Settings(reason.to_owned()));
        if self.max_entries == 0 {
            return reject("max_entries must be at least 1");
        }
        if self.max_bytes == 0 {
            return reject("max_bytes must be at least 1");
        }
        if self.inline_limit > INLINE_LIMIT_MAX {
            return reject("inline_limit must be at most 16 MiB");
        }
        Ok(())
    }
}
