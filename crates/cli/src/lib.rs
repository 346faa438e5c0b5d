//! The `mainstay` program: serves, checks, shows, makes keys.
//!
//! A library only so that what reads the configuration can be tried from outside, as the fuzz targets do.

mod cli;
mod commands;
mod config;
mod output;
mod story;
mod wiring;

pub use config::{Fault, faults};

use std::io::Write;
use std::process::ExitCode;

use clap::Parser;

use commands::Failure;

/// Does what the command line says.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = cli::Arguments::parse();
    match run(arguments) {
        Ok(code) => code,
        Err(failure) => {
            // Nobody may be there to read it.
            let _ = writeln!(std::io::stderr(), "mainstay: {failure}");
            ExitCode::from(failure.exit_code())
        }
    }
}

fn run(arguments: cli::Arguments) -> Result<ExitCode, Failure> {
    // Refused only if one is installed already, which nothing before this does.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let environment = std::env::vars_os()
        .map(|(name, value)| {
            (
                name.to_string_lossy().into_owned(),
                value.to_string_lossy().into_owned(),
            )
        })
        .collect();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Run(format!("no threads can be started: {error}")))?;
    let code = runtime.block_on(commands::run(arguments, environment));
    // What blocks for ever (a dead disk) must not hold up the end.
    runtime.shutdown_background();
    code
}
