//! A durable queue of accepted work: fsync before acknowledging, ordered drain, quarantine.
//!
//! A caller that can't reach a dependency appends the operation to a [`Journal`] and may then answer
//! *accepted*: the entry and its body are on disk. When the dependency is back, a drain claims entries oldest
//! first, carries them out and gives each a verdict. What an entry means, what a conflict is and when to try
//! again are the caller's decisions.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use mainstay_journal::{Journal, NewEntry, Settings};
//!
//! let journal = Journal::open("./data/journal", Settings::default()).await?;
//! let mut spool = journal.spool();
//! spool.write(b"hello").await?;
//! let id = journal
//!     .append(NewEntry {
//!         queue: "s3",
//!         key: "greeting.txt".into(),
//!         kind: "put".into(),
//!         meta: serde_json::json!({ "content_type": "text/plain" }),
//!         body: Some(spool.finish().await?),
//!         outcome: None,
//!         accepted_at_ms: 1_700_000_000_000,
//!     })
//!     .await?; // on disk from here on
//! for claimed in journal.claim("s3", 8, 0) {
//!     let body = journal.body(claimed.id()).await?.into_bytes().await?;
//!     // … upload `body`, then:
//!     claimed.complete().await?;
//! }
//! # let _ = id; Ok(()) }
//! ```
//!
//! # What holds
//!
//! - **Durable.** [`Journal::append`] returns after the fsync of its group commit. A failed fsync is never
//!   retried: the journal is then faulted, and accepts nothing until it is opened again. Opening writes what it finds
//!   anew, with an fsync, before it tells anybody of it.
//! - **Ordered per key.** Only the oldest entry of a key can be claimed; while it is queued, in flight or set
//!   aside, the later ones wait. Different keys are independent.
//! - **Never dropped.** An entry leaves only through [`Claimed::complete`] or [`Journal::discard`]. At a bound
//!   new work is refused.
//! - **Superseded work.** A later entry for the key may make an earlier one pointless (a put followed by a
//!   delete). Only the caller knows, so the drain asks [`Claimed::next_but`] and completes the claimed entry
//!   without carrying it out.
//! - **Once.** [`Journal::reserve`] holds an idempotency key while its request runs, and the outcome is committed with
//!   the entry: the same request sent again gets the first answer, also after a crash.
//!
//! # On disk
//!
//! `lock` names the process that has the folder; `journal.db` (SQLite, WAL, `synchronous=FULL`) holds entries and
//! bodies up to [`Settings::inline_limit`]; `bodies/` holds larger ones, each fsynced, renamed into place and its
//! folder fsynced before its row is written; `spool/` holds bodies still arriving and is emptied at start-up;
//! `reserve` keeps 4 MiB of disk, so that a full one can still drain.
//!
//! The crate reads no clock: times are milliseconds that the caller gives.

mod body;
mod claim;
mod entry;
mod error;
pub mod fault;
mod folder;
mod ids;
mod index;
mod journal;
mod open;
mod outcomes;
mod record;
mod settings;
mod settle;
mod shared;
mod spool;
mod store;
mod turns;
mod verify;
mod writer;

pub use body::Body;
pub use claim::Claimed;
pub use entry::{BodyInfo, Entry, EntryId, Filter, Health, NewEntry, State, Stats};
pub use error::{AppendError, Bound, ChangeError, OpenError, ReadError};
pub use folder::make_folder;
pub use journal::Journal;
pub use outcomes::{KeyError, KeyHold, NewOutcome, Outcome, Reserved};
pub use settings::Settings;
pub use settle::rewrite;
pub use spool::{SpoolWriter, Spooled};
pub use verify::{Damage, VerifyProgress, VerifyReport};
