//! What only the runtime knows and somebody may have to be told of: fallbacks and the journal.

use alloc::vec::Vec;
use core::time::Duration;

use serde::{Deserialize, Serialize};

use crate::settings::DependencyId;

/// What the runtime sees besides calls and probes. Complete each time: what is left out is well.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Facts {
    /// The fallbacks, at most one entry for each dependency.
    pub fallbacks: Vec<Fallback>,
    /// The journals, taken together.
    pub journal: Journal,
}

/// A dependency's fallback.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fallback {
    /// Whose.
    pub dependency: DependencyId,
    /// For how long it has been giving answers; `None`: it is not in use.
    pub in_use: Option<Duration>,
    /// How long ago it last worked, in earnest or as an exercise, or since the first start if it never has;
    /// `None`: it is not meant to be exercised.
    pub exercised: Option<Duration>,
}

/// Work that was accepted and has not reached its dependency.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Journal {
    /// Age of the oldest entry; `None`: there is none.
    pub oldest: Option<Duration>,
    /// It can't keep what it is given.
    pub faulted: bool,
}
