//! The adapter against real servers, and the embedded store against the same contract.

mod bounds;
mod classes;
mod contract;
mod crowd;
mod differential;
mod exercise;
mod faults;
mod outage;
mod parsing;
mod rules;
mod world;
