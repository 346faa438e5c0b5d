//! `mainstay purge`: through the server that has the data directory, or in the directory itself when none has it.

use std::fs;
use std::io;
use std::path::Path;
use std::process::ExitCode;

use mainstay_journal::{Journal, OpenError};
use mainstay_runtime::recordings;
use serde::Deserialize;

use super::client::Client;
use super::{Failure, Surroundings};
use crate::cli::{PurgeArguments, Purged};
use crate::config::Config;
use crate::output::print;
use crate::wiring;

#[derive(Deserialize)]
struct Reply {
    purged: Vec<String>,
}

pub(super) async fn run(
    around: &Surroundings,
    arguments: &PurgeArguments,
) -> Result<ExitCode, Failure> {
    let purged = match &arguments.server.url {
        Some(_) => through_server(around, arguments).await?,
        None => wherever(around, arguments).await?,
    };
    print(&format!("purged: {}", purged.join(", ")))?;
    Ok(ExitCode::SUCCESS)
}

async fn through_server(
    around: &Surroundings,
    arguments: &PurgeArguments,
) -> Result<Vec<String>, Failure> {
    let client = Client::new(around, &arguments.server, "admin")?;
    let path = format!("admin/purge/{}", arguments.what.word());
    let reply: Reply = client.post(&path).await?;
    Ok(reply.purged)
}

/// While we have the journal, no server starts on the directory.
async fn wherever(
    around: &Surroundings,
    arguments: &PurgeArguments,
) -> Result<Vec<String>, Failure> {
    let config = around.load()?.config;
    let folder = config.data_dir.join("journal");
    if !folder.exists() {
        return directly(&config, arguments.what);
    }
    match Journal::open(&folder, config.journal.clone()).await {
        Ok(journal) => {
            let purged = directly(&config, arguments.what);
            let closed = journal.close().await;
            closed.map_err(|error| Failure::Run(error.to_string()))?;
            purged
        }
        Err(OpenError::Locked { .. }) => through_server(around, arguments).await,
        Err(error) => Err(Failure::Run(error.to_string())),
    }
}

/// Answers of models live in a server's memory only: without one there are none.
fn directly(config: &Config, what: Purged) -> Result<Vec<String>, Failure> {
    let (results, copies) = wiring::caches(config);
    let recordings = recordings::folder(&config.data_dir);
    let names: &[&str] = match what {
        Purged::Caches => {
            remove_with_companions(&results).map_err(|error| Failure::file(&results, error))?;
            mainstay_s3::purge_copies(&copies).map_err(|error| Failure::file(&copies, error))?;
            &["database_results", "object_copies"]
        }
        Purged::Recordings => {
            recordings::purge(&recordings).map_err(|error| Failure::file(&recordings, error))?;
            &["recordings"]
        }
    };
    Ok(names.iter().map(|&name| name.to_owned()).collect())
}

/// Removes a file with what SQLite and we keep beside it under its name and an ending.
fn remove_with_companions(file: &Path) -> io::Result<()> {
    for ending in ["", "-wal", "-shm", "-journal", ".ruined"] {
        let mut path = file.as_os_str().to_owned();
        path.push(ending);
        match fs::remove_file(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            removed => removed?,
        }
    }
    Ok(())
}
