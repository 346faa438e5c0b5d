//! Opening: lock, schema, recovery, and the writer thread.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;

use rusqlite::Connection;
use tokio::sync::{mpsc, watch};

use crate::folder::{FileGuard, Folder, FolderLock};
use crate::index::Index;
use crate::record::Place;
use crate::settle::settle;
use crate::shared::{Shared, lock};
use crate::turns::Turns;
use crate::writer::{Command, Writer};
use crate::{Journal, OpenError, Settings, fault, store};

/// Closes the journal when the last handle goes.
#[derive(Debug)]
pub(crate) struct WriterThread {
    commands: mpsc::UnboundedSender<Command>,
    handle: Mutex<Option<JoinHandle<()>>>,
}

impl Drop for WriterThread {
    fn drop(&mut self) {
        // Fails when it is closed already.
        let _ = self.commands.send(Command::Close(None));
        if let Some(handle) = lock(&self.handle).take() {
            let _ = handle.join();
        }
    }
}

pub(crate) fn open(dir: &Path, settings: Settings) -> Result<Journal, OpenError> {
    settings.validate()?;
    let io = |source| OpenError::Io {
        path: dir.to_owned(),
        source,
    };
    let folder = Folder::create(dir).map_err(io)?;
    let folder_lock = FolderLock::acquire(folder.root())?;
    fault::point("open.locked");
    folder.clear_spool().map_err(io)?;
    // Opening writes, too (SQLite's shared memory file), and must work on a full disk.
    let mut reserve = folder.reserve();
    reserve.give_up();
    let path = folder.database();
    let connection = store::open(&path)?;
    let log_is_empty = settle(&connection, &path)?;
    let reader = store::open_reader(&path)?;
    fault::point("open.migrated");
    let (index, next_body) = recover(&folder, &connection)?;
    let identity = store::identity(&connection).map_err(|source| OpenError::Database {
        path: path.clone(),
        source,
    })?;
    fault::point("open.recovered");
    if let Err(error) = reserve.take() {
        tracing::warn!(%error, "journal: no room to accept work");
    }
    folder.sync_root().map_err(io)?;
    let (commands, receiver) = mpsc::unbounded_channel();
    let shared = Arc::new(Shared {
        folder,
        settings,
        index: Mutex::new(index),
        running: Mutex::default(),
        identity,
        reader: Mutex::new(Some(reader)),
        fault: OnceLock::new(),
        closed: AtomicBool::new(false),
        commands: commands.clone(),
        claimable: watch::Sender::new(()),
        next_body: AtomicU64::new(next_body),
        commits: AtomicU64::new(0),
        turns: Turns::default(),
    });
    let writer = Writer {
        shared: shared.clone(),
        connection,
        commands: receiver,
        log_bytes: if log_is_empty { 0 } else { u64::MAX },
        reserve,
        _lock: folder_lock,
    };
    let handle = std::thread::Builder::new()
        .name("journal".into())
        .spawn(|| writer.run());
    let handle = Mutex::new(Some(handle.map_err(io)?));
    Ok(Journal {
        shared,
        _thread: Arc::new(WriterThread { commands, handle }),
    })
}

/// Loads the entries and makes rows and body files agree; returns the next free body number, too.
fn recover(folder: &Folder, connection: &Connection) -> Result<(Index, u64), OpenError> {
    let path = folder.database();
    let database = |source| OpenError::Database {
        path: path.clone(),
        source,
    };
    let numbers = folder.body_numbers();
    let numbers = numbers.map_err(|source| OpenError::Io {
        path: folder.root().to_owned(),
        source,
    })?;
    let mut next = numbers.iter().max().map_or(0, |number| number + 1);
    let mut unused: HashSet<u64> = numbers.into_iter().collect();
    let (mut index, mut lost) = (Index::default(), Vec::new());
    let loaded = store::load(connection, |id, record| {
        if let Some(Place::File(number)) = record.body.map(|body| body.place) {
            next = next.max(number + 1);
            if !unused.remove(&number) && !record.set_aside {
                lost.push(id);
            }
        }
        index.insert(id, record);
    });
    loaded.map_err(database)?;
    for number in unused {
        drop(FileGuard::new(folder.body(number)));
    }
    for id in lost {
        let reason = "its body file is missing";
        store::fail(connection, id, reason, true).map_err(database)?;
        index.change(id, None, |record| {
            record.failed_with(reason.into());
            (record.attempts, record.set_aside) = (record.attempts.saturating_add(1), true);
        });
    }
    Ok((index, next))
}
