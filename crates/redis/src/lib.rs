//! Redis behind a circuit breaker, with a store in memory as fallback and as embedded default.
//!
//! # What happens while Redis is down
//!
//! While Redis is well, strings that `get`, `set` and `incr` read or write are mirrored into a store in memory that is
//! bounded by bytes. When Redis can't answer, that store does, and every answer says so (`source: memory`, and its age
//! where it's made from something Redis said). What may be done depends on the key's [`Class`]; `rules` has the table, and
//! `docs/redis-is-down.md` prints it.
//!
//! Writes during an outage are volatile: they end with the process. What each needs Redis to do is remembered as a debt
//! (`standin`), and settled before any command on the key reaches Redis again (`settle`), so that no value from before
//! the outage is read as if nothing had happened. At most [`Settings::touched_keys`] keys are owed; a write to a further
//! key is refused rather than forgotten.
//!
//! A write that isn't idempotent (`incr`, pushes, pops, conditional `set`) and was sent but not answered ends as
//! `outcome-unknown` and is not applied to memory. Settlements are the exception: they carry a marker that lets Redis
//! carry them out once, however often they are sent.
//!
//! About once an hour, while all is well, keys of our own take that way and are compared and deleted again (`canary`).
//!
//! In the embedded store, class `cache` is what may be dropped to make room.

mod canary;
mod class;
mod classify;
mod client;
mod command;
#[cfg(feature = "contract")]
pub mod contract;
mod crowd;
mod fault;
mod memory;
mod parse;
mod pool;
mod probe;
mod reply;
mod rules;
mod server;
mod settings;
mod settle;
mod standin;
mod sweep;
mod value;
mod wire;

pub use class::{Class, ClassRule};
pub use classify::{DEPENDENCY, Meaning, meaning, verdict};
pub use client::Redis;
pub use command::{Action, Command, End, OPERATIONS, Range, SetCondition, SetExpiry};
pub use fault::FAULT_POINTS;
pub use parse::MAX_TTL;
pub use reply::{Field, Member, Reply};
pub use settings::{Settings, Target};
pub use value::{Blob, Key, MAX_KEY_BYTES, RESERVED_PREFIX};
