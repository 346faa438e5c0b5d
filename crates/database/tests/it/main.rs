//! The database adapter against real databases.
#![allow(
    clippy::unwrap_used,
    reason = "a helper that fails has failed its test"
)]

mod cached;
mod contract;
mod crowd;
mod deferred;
mod exercise;
mod keyed;
mod outage;
mod pooler;
mod postgres;
mod power_cut;
mod sqlite;
mod support;
mod tls;
