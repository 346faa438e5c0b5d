//! Named places where a crash must neither lose nor double what Redis has acknowledged, so that a test can kill the process
//! exactly there.

/// The places, in the order in which a command meets them that finds a debt on its key.
pub const FAULT_POINTS: &[&str] = &[
    "reconcile.begun",
    "reconcile.answered",
    "reconcile.settled",
    "command.answered",
];

#[cfg(feature = "fault-points")]
pub(crate) use mainstay_journal::fault::point;

/// Nothing: this build has no fault points.
#[cfg(not(feature = "fault-points"))]
#[inline(always)]
pub(crate) fn point(_: &str) {}
