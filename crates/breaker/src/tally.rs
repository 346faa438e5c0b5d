//! Totals since the start, kept where the closed path doesn't look.

use crate::cells::Number;

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) failures: Number,
    pub(crate) slow: Number,
    pub(crate) neutral: Number,
    pub(crate) rejected: Number,
    pub(crate) would_reject: Number,
}
