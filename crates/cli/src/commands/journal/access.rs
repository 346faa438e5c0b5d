//! The way to a journal: its folder, or the server that has it.

use mainstay_journal::{Entry, Journal, OpenError};
use serde::Deserialize;

use super::folder::Folder;
use super::remote;
use crate::cli::{EntryState, JournalArguments, JournalCommand};
use crate::commands::client::Client;
use crate::commands::{Failure, Surroundings};

/// Where the journal is.
pub(super) enum Access {
    /// Nobody has it: we do, until we end.
    Folder(Folder),
    /// A server has it.
    Server(Client),
}

/// What a person does to an entry.
#[derive(Clone, Copy)]
pub(super) enum Change {
    Retry,
    Discard,
}

/// One entry, as the server describes it.
#[derive(Debug, Deserialize)]
pub(super) struct Item {
    pub(super) id: String,
    pub(super) queue: String,
    pub(super) key: String,
    pub(super) kind: String,
    pub(super) state: String,
    pub(super) bytes: u64,
    pub(super) accepted_at: String,
    pub(super) attempts: u32,
    pub(super) last_error: Option<String>,
    /// BLAKE3 of its body, if it has one.
    pub(super) checksum: Option<String>,
}

/// The whole journal in numbers.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
pub(super) struct Figures {
    pub(super) entries: u64,
    pub(super) bytes: u64,
    pub(super) set_aside: u64,
    pub(super) faulted: bool,
}

/// What `verify` found.
#[derive(Debug, Default, Deserialize)]
pub(super) struct Verified {
    pub(super) checked: u64,
    pub(super) bytes: u64,
    pub(super) damaged: Vec<Damaged>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Damaged {
    pub(super) id: String,
    pub(super) reason: String,
}

impl Access {
    /// The server that was named; else the folder, if nobody has it; else the server that does.
    pub(super) async fn open(
        around: &Surroundings,
        arguments: &JournalArguments,
    ) -> Result<Self, Failure> {
        let look = matches!(
            arguments.command,
            JournalCommand::Ls { .. } | JournalCommand::Show { .. }
        );
        let scope = if look { "objects" } else { "admin" };
        let server = || Client::new(around, &arguments.server, scope).map(Self::Server);
        if arguments.server.url.is_some() {
            return server();
        }
        let config = around.load()?.config;
        let folder = config.data_dir.join("journal");
        if !folder.exists() {
            return Ok(Self::Folder(Folder::none()));
        }
        match Journal::open(&folder, config.journal).await {
            Ok(journal) => Ok(Self::Folder(Folder::of(journal))),
            Err(OpenError::Locked { .. }) => server(),
            Err(error) => Err(Failure::Run(error.to_string())),
        }
    }

    pub(super) async fn close(&self) -> Result<(), Failure> {
        match self {
            Self::Folder(folder) => folder.close().await,
            Self::Server(_) => Ok(()),
        }
    }

    /// Entries after this number, and the figures of the whole journal.
    pub(super) async fn list(
        &self,
        state: Option<EntryState>,
        after: Option<u64>,
        limit: u64,
    ) -> Result<(Vec<Item>, Figures), Failure> {
        match self {
            Self::Folder(folder) => folder.list(state, after, limit),
            Self::Server(client) => remote::list(client, state, after, limit).await,
        }
    }

    pub(super) async fn change(&self, change: Change, id: u64) -> Result<(), Failure> {
        match self {
            Self::Folder(folder) => folder.change(change, id).await,
            Self::Server(client) => remote::change(client, change, id).await,
        }
    }

    /// Empties the queue as far as it can be; gives the figures before and after.
    pub(super) async fn flush(
        &self,
        progress: impl Fn(u64, u64),
    ) -> Result<(Figures, Figures), Failure> {
        match self {
            Self::Folder(folder) if folder.is_empty() => Ok(Default::default()),
            Self::Folder(_) => Err(Failure::Run(
                "no server runs on this data directory: `mainstay serve` carries out what waits by itself".to_owned(),
            )),
            Self::Server(client) => remote::flush(client, progress).await,
        }
    }

    /// Reads every body. `progress` gets the entries looked at, and all there were.
    pub(super) async fn verify(
        &self,
        progress: impl Fn(u64, u64) + Send + Sync,
    ) -> Result<Verified, Failure> {
        match self {
            Self::Folder(folder) => folder.verify(progress).await,
            Self::Server(client) => remote::verify(client, progress).await,
        }
    }
}

impl From<Entry> for Item {
    fn from(entry: Entry) -> Self {
        let accepted = jiff::Timestamp::from_millisecond(entry.accepted_at_ms);
        Self {
            id: entry.id.to_string(),
            queue: entry.queue,
            key: entry.key,
            kind: entry.kind,
            state: entry.state.to_string(),
            bytes: entry.body.map_or(0, |body| body.len),
            accepted_at: accepted.unwrap_or(jiff::Timestamp::UNIX_EPOCH).to_string(),
            attempts: entry.attempts,
            last_error: entry.last_error,
            checksum: entry.body.map(|body| body.blake3.to_string()),
        }
    }
}
