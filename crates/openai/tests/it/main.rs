//! The adapter against real servers that are killed, frozen, slow and wrong.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

mod answers;
mod breaker;
mod cache;
mod check;
mod exercise;
mod failover;
mod heard;
mod kept_streams;
mod oddities;
mod oddity;
mod probe;
mod reports;
mod streams;
mod structured;
mod trials;
mod world;
