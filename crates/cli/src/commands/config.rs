//! `mainstay config`.

use std::process::ExitCode;

use super::{Failure, Surroundings};
use crate::cli::ConfigCommand;
use crate::config::{DEFAULT_FILE, show};
use crate::output::{Text, Tone, print};

pub(super) fn run(around: &Surroundings, command: ConfigCommand) -> Result<ExitCode, Failure> {
    match command {
        ConfigCommand::Default => print(DEFAULT_FILE.trim_end())?,
        ConfigCommand::Show => print(&shown(around)?)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn shown(around: &Surroundings) -> Result<String, Failure> {
    let loaded = around.load()?;
    let rows = show(&loaded.entries, loaded.file.as_deref());
    let rows = rows.into_iter().map(|[key, value, origin]| {
        let tone = if origin == "default" {
            Tone::Dim
        } else {
            Tone::Good
        };
        [key.into(), value.into(), Text(origin, tone)]
    });
    Ok(around
        .screen
        .table(["setting", "value", "from"], rows.collect()))
}
