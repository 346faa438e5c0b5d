//! `mainstay key`.

use std::process::ExitCode;

use mainstay_runtime::Clock;
use mainstay_server::{KeyRing, Scope};

use super::{Failure, Surroundings};
use crate::cli::KeyCommand;
use crate::output::print;
use crate::wiring::data_dir;

pub(super) fn run(around: &Surroundings, command: KeyCommand) -> Result<ExitCode, Failure> {
    let dir = around.load()?.config.data_dir;
    data_dir::prepare(&dir)?;
    let ring = KeyRing::open(&dir).map_err(|error| Failure::Run(error.to_string()))?;
    match command {
        KeyCommand::New { scopes, name } => make(&ring, &name, scopes)?,
        KeyCommand::List => print(&list(around, &ring))?,
        KeyCommand::Revoke { id } => revoke(&ring, &id)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn make(ring: &KeyRing, name: &str, mut scopes: Vec<Scope>) -> Result<(), Failure> {
    scopes.sort_unstable();
    scopes.dedup();
    let made = ring.create(name, scopes, Clock::start().wall());
    let (key, record) = made.map_err(|error| Failure::Run(error.to_string()))?;
    eprintln!(
        "Made key {} ({name}: {}). It is shown this once:",
        record.id,
        words(&record.scopes)
    );
    print(key.expose())?;
    Ok(())
}

fn list(around: &Surroundings, ring: &KeyRing) -> String {
    let rows = ring.list().into_iter().map(|record| {
        let created = record.created.strftime("%Y-%m-%d %H:%M").to_string();
        [
            record.id.into(),
            record.name.into(),
            words(&record.scopes).into(),
            created.into(),
        ]
    });
    around
        .screen
        .table(["id", "name", "scopes", "created (UTC)"], rows.collect())
}

fn revoke(ring: &KeyRing, id: &str) -> Result<(), Failure> {
    match ring.revoke(id) {
        Ok(true) => {
            eprintln!("Revoked key {id}.");
            Ok(())
        }
        Ok(false) => Err(Failure::Run(format!(
            "there is no key {id}; `mainstay key list` shows all"
        ))),
        Err(error) => Err(Failure::Run(error.to_string())),
    }
}

fn words(scopes: &[Scope]) -> String {
    let words: Vec<_> = scopes.iter().map(|scope| scope.as_str()).collect();
    words.join(",")
}
