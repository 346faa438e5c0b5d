//! The adapter against a real S3 server that is killed, frozen and overloaded, and the folder against the same contract.

mod bounds;
mod conditions;
mod conflicts;
mod contract;
mod exercise;
mod once;
mod outage;
mod places;
mod power_cut;
mod recovery;
mod refused;
mod stale;
mod world;
