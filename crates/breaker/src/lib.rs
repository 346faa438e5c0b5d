//! A circuit breaker with sliding windows, leased half-open probes and permits.
//!
//! The breaker never reads a clock: time is a [`Moment`] that the caller passes in. Asking to call is
//! [`Breaker::try_admit`] (closed: one atomic load, no lock) or [`Breaker::admit`]; both hand out a
//! [`Permit`], and the verdict on the call goes back through [`Permit::settle`]. What changes the
//! state is returned as a [`Transition`] value, never told through a callback.
//!
//! A success on the closed path needs no clock either: [`Permit::try_success`] counts it in the caller's [`Lane`]. A
//! caller with threads keeps one lane in each, and brings the time now and then:
//!
//! ```
//! use mainstay_breaker::{Breaker, Lane, Moment, Outcome, Settings};
//!
//! std::thread_local!(static LANE: Lane = Lane::claim());
//!
//! # fn main() -> Result<(), mainstay_breaker::SettingsError> {
//! let breaker = Breaker::new(Settings { slow: None, ..Settings::default() }, 42)?;
//! let clock = || Moment::from_nanos(7); // read only when it is needed
//! if let Some(permit) = breaker.try_admit().or_else(|| breaker.admit(clock()).result.ok()) {
//!     // ... the call went well ...
//!     if let Err(permit) = LANE.with(|lane| permit.try_success(lane)) {
//!         permit.settle(Outcome::Success, false, clock());
//!     }
//! }
//! breaker.tick(clock()); // once a second
//! # Ok(())
//! # }
//! ```
//!
//! What decides is atomic or behind a lock of some hundred instructions. Loom checks admission, probes, leases,
//! generations, modes and counts over every interleaving of two or three threads, in minutes:
//!
//! ```text
//! RUSTFLAGS="--cfg loom" cargo test -p mainstay-breaker --release --test loom --target-dir target/loom
//! ```
//!
//! ```text
//! cargo mutants -p mainstay-breaker --test-tool nextest
//! PROPTEST_CASES=4 cargo +nightly miri test -p mainstay-breaker
//! ```
//!
//! From the first call to the last:
//!
//! ```
//! use core::time::Duration;
//! use mainstay_breaker::{Breaker, FailureKind, Moment, Outcome, Settings, State};
//!
//! # fn main() -> Result<(), mainstay_breaker::SettingsError> {
//! let breaker = Breaker::new(Settings { jitter: 0.0, ..Settings::default() }, 42)?;
//! let start = Moment::default();
//! for _ in 0..5 {
//!     let admission = breaker.admit(start);
//!     if let Ok(permit) = admission.result {
//!         permit.settle(Outcome::Failure(FailureKind::Connect), false, start);
//!     }
//! }
//! assert_eq!(breaker.state(), State::Open);
//! assert!(breaker.admit(start).result.is_err());
//!
//! // The open time is over: the next two calls are probes, and their success closes the breaker.
//! let later = start + Duration::from_secs(30);
//! for _ in 0..2 {
//!     if let Ok(probe) = breaker.admit(later).result {
//!         probe.settle(Outcome::Success, false, later);
//!     }
//! }
//! assert_eq!(breaker.state(), State::Closed);
//! # Ok(())
//! # }
//! ```
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

mod breaker;
mod cells;
mod half_open;
mod lane;
mod ledger;
mod lock;
mod moment;
mod open_time;
mod outcome;
mod permit;
mod random;
mod settings;
mod settle;
mod snapshot;
mod state;
mod stored;
mod sync;
mod tally;
mod ticket;
mod transition;
mod window;
mod word;

pub use breaker::Breaker;
pub use lane::Lane;
pub use moment::Moment;
pub use outcome::{FailureKind, Outcome};
pub use permit::{Admission, Permit, Rejected, RejectedWhy};
pub use settings::{HalfOpen, RateRule, Settings, SettingsError, SlowRule, Window};
pub use snapshot::{LastFailure, Snapshot, Totals, WindowView};
pub use state::{Mode, ModeParseError, Rule, State};
pub use ticket::Ticket;
pub use transition::Transition;
