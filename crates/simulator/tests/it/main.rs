//! Tests of the virtual world, and through it of the controller and the breakers.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail their test")]

mod checks;
mod estimates;
mod replays;
mod scenarios;
mod seeds;
