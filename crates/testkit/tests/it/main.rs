//! Tests of the test kit: every server and every fault, for real.

#![allow(
    clippy::unwrap_used,
    reason = "Clippy's exception for tests leaves out the helpers they share"
)]

mod eventually;
mod model_api;
mod postgres;
mod program;
mod proxy;
mod redis;
mod s3;

/// Every server starts in seconds; what takes longer than this hangs.
const LONG: std::time::Duration = std::time::Duration::from_secs(30);

/// A plain HTTP client; the TLS provider is installed because building any client asks for one.
fn http() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}
