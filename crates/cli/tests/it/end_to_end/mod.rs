//! The running server over real dependencies that are killed, frozen and brought back.

mod bad_input;
mod clock;
mod database;
mod deferred;
mod everything_down;
mod exercising;
mod first_run;
mod folder;
mod full_disk;
mod journal;
mod log;
mod objects;
mod openai;
mod operators;
mod outage;
mod protection;
mod purge;
mod redis;
mod reload;
mod reload_on_request;
mod replaying;
pub(crate) mod server;
