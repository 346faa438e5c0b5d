//! Objects behind a circuit breaker, with a durable journal for writes.
//!
//! [`connect`] gives [`Objects`] over any S3-compatible endpoint, or over a folder as embedded default. Bodies are
//! streamed both ways; more than 8 MiB go up in parts.
//!
//! # What happens while the store is down
//!
//! | operation | answer |
//! |---|---|
//! | upload, delete, copy | accepted: on our disk, fsynced, in the journal; [`Receipt::Accepted`]. Also when the store fails midway: the body is teed to a spool file while it streams |
//! | conditional upload | `unavailable`: only the store can check the condition |
//! | download, head | what was accepted; else a local copy with its age, never older than what was acknowledged; else `unavailable`. Never *not found* for want of an answer |
//! | list | the store's last answer to the same request with its age, and accepted work laid over it; else `unavailable` |
//!
//! While anything accepted for a key hasn't reached the store, every write to the key goes through the journal, and
//! every read sees it. A copy accepted for later is of its source as it was then: later writes to the source wait.
//!
//! When the breaker has closed, accepted work is brought to the store, oldest first and in order per key, behind live
//! traffic. What the store refuses three times for its own sake is set aside for an operator, never dropped.
//!
//! About once an hour, while all is well, an object of our own takes the same path and is compared and removed again
//! (`canary`).
//!
//! # Conflicts
//!
//! An entry keeps the ETag that was known of its key when it was accepted. If somebody else has changed the object
//! since, the entry is set aside, or a rule by prefix decides ([`Policy`]); each conflict is an event. Where the store
//! honours conditions on writes, every upload from the journal of up to [`PART`] bytes is conditional, so a late
//! duplicate of it can't overwrite what came after. One thing it can do: an upload that was made for a key without an
//! object, went unanswered and was deleted meanwhile may still arrive then, as a new object. Larger uploads, deletes and copies look first and then write:
//! between the two somebody else may. The same holds for all of them where the store ignores conditions. An upload
//! that goes to the store at once is unconditional: if the store is so late with one it never answered that a later
//! one overtakes it, the late one wins.

mod accept;
mod arriving;
mod canary;
mod carry;
mod check;
mod classify;
mod client;
mod conditions;
mod conflict;
#[cfg(feature = "contract")]
pub mod contract;
mod copies;
mod copying;
mod download;
mod drain;
mod etags;
mod flow;
mod in_parts;
mod intake;
mod key;
mod listing;
mod lists;
mod local;
mod looks;
mod multipart;
mod objects;
mod once;
mod operators;
mod parts;
mod pending;
mod probe;
mod recent;
mod refusals;
mod replaced;
mod resolve;
mod room;
mod settings;
mod slice;
mod standing;
mod staying;
mod store;
mod trace;
mod turns;
mod unanswered;
mod upload;
mod verdict;
mod writes;

pub use carry::FAULT_POINTS;
pub use client::connect;
pub use conflict::{Conflicts, Policy};
pub use copies::purge as purge_copies;
pub use key::Key;
pub use listing::MAX_LIMIT;
pub use objects::{
    ByteRange, Download, ListRequest, ObjectInfo, Objects, Page, QUEUE, Receipt, Upload,
};
pub use once::OnceKey;
pub use operators::{discard, retry};
pub use parts::PART;
pub use settings::{S3Target, Settings, Target};
pub use store::{Condition, Listed};
