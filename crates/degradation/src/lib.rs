//! Health, degradation level and feature gating as pure functions of state, time and input.
