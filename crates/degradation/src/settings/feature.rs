//! One row of the feature matrix, and when the matrix applies.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::features::FeatureMode;

/// When a cell of the matrix applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Gating {
    /// Always: the cell of the current level.
    Strict,
    /// Only where a live cause is something that the feature requires, under a pin, or in real trouble.
    #[default]
    Causal,
}

impl Gating {
    /// The word for configuration and replies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "strict",
            Self::Causal => "causal",
        }
    }
}

/// One feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FeatureSettings {
    /// Unique, e.g. `core_application`.
    pub name: String,
    /// What it is at each level, best level first; never better at a worse level.
    pub modes: [FeatureMode; 5],
    /// Names of the dependencies it needs.
    pub requires: Vec<String>,
    /// What it gates, or what its partial and limited modes mean.
    pub note: Option<Note>,
}

/// A remark for people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// In English.
    pub english: String,
    /// In Spanish.
    pub spanish: String,
}
