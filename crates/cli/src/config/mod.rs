//! The configuration: one TOML file, overridden by `MAINSTAY_*` variables, over embedded defaults.
//!
//! [`raw`] is what was typed, with where; [`read`] asks it for one setting at a time and notes every mistake;
//! [`load()`] asks for everything there is and gives a [`Config`] that nobody has to check again. A key that `load`
//! never asks for is unknown, so there is no second list of keys to keep in step.

mod alerts;
mod breakers;
mod degradation;
mod dependencies;
mod env;
mod errors;
mod faults;
mod load;
mod model;
mod raw;
mod read;
mod reload;
mod secrets;
mod setting;
mod show;
#[cfg(test)]
mod tests;

pub(crate) use errors::{ConfigErrors, Origin};
pub use faults::{Fault, faults};
pub(crate) use load::{Loaded, load};
pub(crate) use model::{
    Config, DatabaseUrl, Log, LogFormat, ObjectStore, OpenAi, Provider, RedisUrl,
};
pub(crate) use reload::{Changed, InForce};
pub(crate) use show::show;

/// Every setting with its default and what it means.
pub(crate) const DEFAULT_FILE: &str = include_str!("default.toml");

/// The file that is read from the working directory when none is named.
pub(crate) const FILE_NAME: &str = "mainstay.toml";
