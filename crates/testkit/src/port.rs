//! Ports for private servers.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::{Ipv4Addr, TcpListener};

/// Below Linux's range for outgoing connections (32768 and up): while a server is killed no client's
/// outgoing connection can take its port, nor can a client connect to itself there.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A port of 127.0.0.1 that nobody listens on at this moment, chosen at random.
///
/// Another process may take it before it's used, so whoever uses it retries with another one.
///
/// # Panics
/// When a thousand random ports are all taken.
pub fn free_port() -> u16 {
    (0..1000)
        .map(random_port)
        .find(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, *port)).is_ok())
        .expect("a thousand random ports can't all be taken")
}

fn random_port(round: u32) -> u16 {
    let span = u64::from(PORTS.end - PORTS.start);
    let offset = RandomState::new().hash_one(round) % span;
    PORTS.start + u16::try_from(offset).expect("a remainder of a 16-bit span fits 16 bits")
}
