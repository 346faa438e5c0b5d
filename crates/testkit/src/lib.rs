//! Real servers, a fault proxy and a patient wait for tests.

mod binaries;
mod eventually;
mod port;
mod postgres;
mod process_tree;
mod program;
mod proxy;
mod redis;
mod scratch;
mod server;

pub use eventually::{eventually, eventually_some, pause};
pub use port::free_port;
pub use postgres::Postgres;
pub use program::Program;
pub use proxy::{Fault, FaultProxy};
pub use redis::Redis;
pub use rustix::process::Signal;
