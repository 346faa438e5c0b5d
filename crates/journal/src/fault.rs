//! Named places in the protocol where a crash must be harmless, so that a test can kill the process exactly there.
//!
//! Only the feature `fault-points` gives [`point`] a body, and no release is built with it.

/// The journal's own places, in the order in which an entry meets them.
pub const POINTS: &[&str] = &[
    "open.locked",
    "open.migrated",
    "open.recovered",
    "spool.created",
    "spool.written",
    "spool.synced",
    "group.renamed",
    "group.folder-synced",
    "group.rows-written",
    "group.committed",
    "group.indexed",
    "group.acknowledged",
    "group.file-removed",
    "checkpoint.before",
    "checkpoint.after",
];

/// Dies here (SIGKILL) when `CRASH_AT` is `<name>:<count>` and this is the count-th time.
#[cfg(feature = "fault-points")]
pub fn point(name: &str) {
    use std::sync::OnceLock;
    use std::sync::atomic::{AtomicI64, Ordering};
    static CHOSEN: OnceLock<Option<(String, AtomicI64)>> = OnceLock::new();
    let chosen = CHOSEN.get_or_init(|| {
        let text = std::env::var("CRASH_AT").ok()?;
        let (name, count) = text.rsplit_once(':')?;
        Some((name.to_owned(), AtomicI64::new(count.parse().ok()?)))
    });
    if let Some((at, left)) = chosen
        && at == name
        && left.fetch_sub(1, Ordering::Relaxed) == 1
    {
        let _ =
            rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    }
}

/// Nothing: this build has no fault points.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub fn point(_: &str) {}
