//! Integration tests of the HTTP service: the application over embedded dependencies, driven without a socket.
#![allow(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod admin;
mod auth;
mod bad_input;
mod events;
mod frame;
mod gating;
mod junk;
mod metrics;
mod objects;
mod purge;
mod reload;
mod routes;
mod slow;
mod status;
mod webhooks;
mod world;
