//! Validated settings, with names resolved to small indices.

use alloc::string::String;
use alloc::vec::Vec;
use core::ops::Range;

use serde::{Deserialize, Serialize};

use super::{
    DependencySettings, FeatureSettings, Gating, Presence, Settings, SettingsError, Tuning,
};
use crate::level::Level;

/// Index of a dependency in [`Settings::dependencies`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DependencyId(pub u16);

/// Index of an endpoint: those of the first dependency first, in their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct EndpointId(pub u16);

/// Index of a feature in [`Settings::features`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FeatureId(pub u16);

impl DependencyId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl EndpointId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl FeatureId {
    /// As an index.
    #[must_use]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Settings that make sense. Made by [`Settings::validate`] only.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Settings", into = "Settings")]
pub struct Rules {
    pub(super) settings: Settings,
    pub(super) endpoints: Vec<EndpointRule>,
    pub(super) ranges: Vec<Range<u16>>,
    pub(super) requires: Vec<Vec<DependencyId>>,
    pub(super) impacts: Vec<(DependencyId, DependencyId, f64)>,
}

impl From<Rules> for Settings {
    fn from(rules: Rules) -> Self {
        rules.settings
    }
}

impl TryFrom<Settings> for Rules {
    type Error = SettingsError;

    /// The first mistake only; [`Settings::validate`] names all.
    fn try_from(settings: Settings) -> Result<Self, SettingsError> {
        settings
            .validate()
            .map_err(|mut errors| errors.swap_remove(0))
    }
}

/// One endpoint with the dependency it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointRule {
    /// Whose work it does.
    pub dependency: DependencyId,
    /// Its name, e.g. `database/replica`.
    pub name: String,
    /// It can do the dependency's main work.
    pub main_work: bool,
    /// It has an active probe.
    pub probed: bool,
}

impl Rules {
    /// The settings they were made of.
    #[must_use]
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The dependency of this name.
    #[must_use]
    pub fn dependency_id(&self, name: &str) -> Option<DependencyId> {
        position(&self.settings.dependencies, |one| one.name == name).map(DependencyId)
    }

    /// The endpoint of this name.
    #[must_use]
    pub fn endpoint_id(&self, name: &str) -> Option<EndpointId> {
        position(&self.endpoints, |one| one.name == name).map(EndpointId)
    }

    /// The feature of this name; `None`: there is no such feature, which is its caller's error.
    #[must_use]
    pub fn feature_id(&self, name: &str) -> Option<FeatureId> {
        position(&self.settings.features, |one| one.name == name).map(FeatureId)
    }

    /// A dependency's settings.
    ///
    /// # Panics
    /// When `id` comes from other rules and is out of range; so do the other lookups by id.
    #[must_use]
    pub fn dependency(&self, id: DependencyId) -> &DependencySettings {
        &self.settings.dependencies[id.index()]
    }

    /// An endpoint.
    #[must_use]
    pub fn endpoint(&self, id: EndpointId) -> &EndpointRule {
        &self.endpoints[id.index()]
    }

    /// A feature's row.
    #[must_use]
    pub fn feature(&self, id: FeatureId) -> &FeatureSettings {
        &self.settings.features[id.index()]
    }

    /// The dependencies that a feature requires.
    #[must_use]
    pub fn requires(&self, id: FeatureId) -> &[DependencyId] {
        &self.requires[id.index()]
    }

    /// Every dependency.
    pub fn dependencies(&self) -> impl Iterator<Item = (DependencyId, &DependencySettings)> {
        (0..).map(DependencyId).zip(&self.settings.dependencies)
    }

    /// Every endpoint.
    pub fn endpoints(&self) -> impl Iterator<Item = (EndpointId, &EndpointRule)> {
        (0..).map(EndpointId).zip(&self.endpoints)
    }

    /// Every feature.
    pub fn features(&self) -> impl Iterator<Item = (FeatureId, &FeatureSettings)> {
        (0..).map(FeatureId).zip(&self.settings.features)
    }

    /// The endpoints of one dependency, as indices.
    #[must_use]
    pub fn endpoint_range(&self, id: DependencyId) -> Range<u16> {
        self.ranges[id.index()].clone()
    }

    /// What a level asks of calls and caches.
    #[must_use]
    pub fn tuning(&self, level: Level) -> &Tuning {
        &self.settings.tuning[level.index()]
    }

    /// When the matrix applies.
    #[must_use]
    pub const fn gating(&self) -> Gating {
        self.settings.gating
    }

    /// What a failing dependency does to others: from, to, share.
    #[must_use]
    pub fn impacts(&self) -> &[(DependencyId, DependencyId, f64)] {
        &self.impacts
    }

    pub(crate) fn endpoint_rules(&self) -> &[EndpointRule] {
        &self.endpoints
    }

    pub(crate) fn is_absent(&self, id: DependencyId) -> bool {
        self.dependency(id).presence == Presence::Absent
    }
}

/// Validation keeps every list shorter than 65,536.
fn position<T>(list: &[T], found: impl FnMut(&T) -> bool) -> Option<u16> {
    u16::try_from(list.iter().position(found)?).ok()
}
