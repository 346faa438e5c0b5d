//! The journal on real files.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail like tests")]

mod bodies;
mod bounds;
mod crash;
mod durability;
mod life;
mod order;
mod outcomes;
mod power_cut;
mod scale;
mod support;
