//! Redis behind a circuit breaker, with a store in memory as fallback and as embedded default.
//!
//! # What happens while Redis is down
//!
//! While Redis is well, strings that `get`, `set` and `incr` read or write are mirrored into a store in memory that is
//! bounded by bytes. When Redis can't answer, that store does, and every answer says so (`source: memory`, and its age
//! where it's made from something Redis said):
//!
//! | operation | on a key memory knows | on a key it doesn't know |
//! |---|---|---|
//! | every read | its answer | `unknown`: the key may or may not exist |
//! | `set` | `stored` | `stored` |
//! | `set` with `if` | `stored` or `not_stored` | refused: it depends on what Redis holds |
//! | `delete` | `deleted` or `absent` | `applied`; from then on the key is known to be gone |
//! | `incr lpush rpush sadd hset zadd` | the result | `applied`: taken, but the result can't be known |
//! | `srem hdel` | the result | `applied` |
//! | `lpop rpop`, `expire` | the result | refused |
//!
//! A key that only got additions (`applied`) stays partly known: further additions are `applied`, a field that was
//! written can be read with `hget`, and every other read is `unknown`.
//!
//! Writes during an outage are volatile: they end with the process. Each key written is remembered, and deleted in
//! Redis before any command on it reaches Redis again, so that no value from before the outage is read as if nothing
//! had happened. A key that was both written to memory and in Redis is thus empty afterwards: a cache refills. At most
//! [`Settings::touched_keys`] keys are remembered; a write to a further key is refused rather than forgotten.
//!
//! A write that isn't idempotent (`incr`, pushes, pops, conditional `set`) and was sent but not answered ends as
//! `outcome-unknown` and is not applied to memory.
//!
//! # Classes
//!
//! All of this holds for keys of class `cache`, the default. Keys that a rule gives another class (`counter`, `session`,
//! `lock`, `queue`) are refused while Redis is down, until a later release can bring what was done to them back to Redis.
//! In the embedded store, class `cache` is what may be dropped to make room.

mod classify;
mod client;
mod command;
#[cfg(feature = "contract")]
pub mod contract;
mod memory;
mod parse;
mod pool;
mod probe;
mod reply;
mod server;
mod settings;
mod standin;
mod value;
mod wire;

pub use classify::{DEPENDENCY, DriverError, Meaning, meaning, verdict};
pub use client::Redis;
pub use command::{Action, Command, End, OPERATIONS, Range, SetCondition, SetExpiry};
pub use parse::MAX_TTL;
pub use reply::{Field, Member, Reply};
pub use settings::{Class, ClassRule, Settings, Target};
pub use value::{Blob, Key, MAX_KEY_BYTES, RESERVED_PREFIX};
