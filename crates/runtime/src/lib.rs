//! The async engine: guard, monitor, probes, events.
