//! The engine under a paused clock, with operations and probes that do as they are told.
#![allow(clippy::unwrap_used, reason = "helpers of tests, too")]

mod calls;
mod events;
mod fallbacks;
mod history;
mod levels;
mod operators;
mod probes;
mod protection;
mod recordings;
mod reload;
mod retries;
mod streams;
mod trials;
mod world;
