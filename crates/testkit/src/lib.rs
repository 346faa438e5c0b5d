//! Real servers, a fault proxy and a patient wait for tests.
//!
//! Every server is a private child process of the test on a port of its own: [`Postgres`], [`Redis`],
//! [`S3`], [`ModelApi`], or any [`Program`]. It can be killed, frozen, continued and restarted, ends when
//! dropped, and dies with the test process whatever kills that. [`FaultProxy`] breaks the network in
//! front of one; [`eventually`] waits for what follows.
//!
//! PostgreSQL and Redis are installed programs (`tools/install-test-servers.sh`). The S3 server and the
//! model API are programs of this package, found beside the running test in Cargo's target folder; when
//! missing or older than their sources they are built there once, under a lock, so they work from any
//! package's tests.

mod binaries;
mod control;
mod described;
mod eventually;
mod model_api;
mod port;
mod postgres;
mod power_cut;
mod preload;
mod process_tree;
mod program;
mod proxy;
mod redis;
mod s3;
mod scratch;
mod server;
mod small_disk;
mod trouble;
mod unprivileged;

pub use described::Described;
pub use eventually::{eventually, eventually_some, pause};
pub use model_api::{ModelApi, ModelApiMode, StreamFault, Streams};
pub use port::free_port;
pub use postgres::Postgres;
pub use power_cut::{PowerCut, Recording};
pub use program::Program;
pub use proxy::{Fault, FaultProxy};
pub use redis::Redis;
pub use rustix::process::Signal;
pub use s3::{Leaves, Requests, S3, S3Mode};
pub use small_disk::SmallDisk;
pub use trouble::Trouble;
pub use unprivileged::Unprivileged;
