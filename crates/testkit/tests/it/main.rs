//! Tests of the test kit: every server and every fault, for real.

mod eventually;
mod postgres;
mod program;
mod proxy;
mod redis;
