//! The only place that names every crate: a configuration becomes adapters around one engine.

pub(crate) mod data_dir;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mainstay_database::{Database, DeferredSettings};
use mainstay_journal::Journal;
use mainstay_openai::Models;
use mainstay_redis::Redis;
use mainstay_runtime::{EngineBuilder, EngineSettings, Error, Handle, Observer};
use mainstay_s3::Objects;
use mainstay_server::limits::Limits;
use mainstay_server::{Core, KeyRing, Metrics, Parts, Reload, Webhooks};

use crate::commands::Failure;
use crate::config::Config;

pub(crate) use settings::openai as openai_settings;

/// Bound on all recordings together, in bytes.
const RECORDINGS: u64 = 64 << 20;

/// The four dependencies, connected to an engine that has not started.
pub(crate) struct Adapters {
    pub(crate) database: Database,
    pub(crate) redis: Redis,
    pub(crate) objects: Objects,
    pub(crate) models: Models,
}

/// Builds the adapters. Nothing is sent to any of them yet: one that is down is no error.
///
/// # Errors
/// Settings that make no sense, an operators' file that can't be read.
pub(crate) fn connect(
    config: &Config,
    journal: Journal,
    observer: Arc<dyn Observer>,
) -> Result<(EngineBuilder, Adapters), Failure> {
    let rules = engine_settings(config)?.rules;
    let mut engine = EngineBuilder::new(rules, &config.data_dir, observer).map_err(refused)?;
    engine.exercise_share(config.exercise_share);
    if config.record {
        engine.record(RECORDINGS);
    }
    engine.journal(settings::journal_facts(journal.clone(), engine.clock()));
    let openai = settings::openai(&config.openai, config.breakers.openai);
    let mut database = settings::database(config);
    database.deferred = Some(DeferredSettings {
        journal: journal.clone(),
        statements: config.database.deferred.clone(),
    });
    let adapters = Adapters {
        database: Database::connect(database, &mut engine).map_err(refused)?,
        redis: Redis::connect(settings::redis(config), &mut engine).map_err(refused)?,
        objects: mainstay_s3::connect(settings::s3(config), journal, &mut engine)
            .map_err(refused)?,
        models: Models::connect(openai, &mut engine).map_err(refused)?,
    };
    Ok((engine, adapters))
}

/// What the engine is told of a configuration, at the start and whenever it is read anew.
///
/// # Errors
/// What a checked configuration no longer has.
pub(crate) fn engine_settings(config: &Config) -> Result<EngineSettings, Failure> {
    settings::engine(config).map_err(|errors| {
        let errors: Vec<_> = errors.iter().map(ToString::to_string).collect();
        Failure::Usage(errors.join("\n"))
    })
}

/// Where earlier results of the database and local copies of objects are kept.
pub(crate) fn caches(config: &Config) -> (PathBuf, PathBuf) {
    let copies = settings::s3(config).copies_dir;
    (settings::database_results(config), copies)
}

fn refused(error: Error) -> Failure {
    match error.field {
        Some(field) => Failure::Run(format!("{field}: {}", error.detail)),
        None => Failure::Run(error.detail),
    }
}

/// Opens the journal of the data directory, which only one process can have.
///
/// # Errors
/// Names the process that has it, or what is wrong with the folder.
pub(crate) async fn journal(config: &Config) -> Result<Journal, Failure> {
    journal_in(&config.data_dir.join("journal"), config).await
}

/// Opens a journal in another folder.
///
/// # Errors
/// As [`journal`].
pub(crate) async fn journal_in(folder: &Path, config: &Config) -> Result<Journal, Failure> {
    let opened = Journal::open(folder, config.journal.clone()).await;
    opened.map_err(|error| {
        let remedy = error.kind().map_or("", data_dir::remedy);
        Failure::Run(format!("{error}{remedy}"))
    })
}

/// Starts the engine and the work in the background, and joins everything that routes share.
///
/// # Errors
/// An engine that can't start.
pub(crate) fn start(
    config: &Config,
    journal: Journal,
    keys: KeyRing,
    reload: impl FnOnce(&Handle) -> Reload,
) -> Result<Core, Failure> {
    let metrics = Arc::new(Metrics::default());
    let observer: Arc<dyn Observer> = metrics.clone();
    let (engine, adapters) = connect(config, journal, observer)?;
    let handle: Handle = engine.start().map_err(refused)?;
    adapters.database.start(&handle);
    adapters.objects.start(&handle);
    let webhooks = Webhooks::start(&handle, &config.webhooks).map_err(refused)?;
    Ok(Core::new(Parts {
        reload: Some(reload(&handle)),
        webhooks,
        handle,
        database: adapters.database,
        redis: adapters.redis,
        objects: adapters.objects,
        models: adapters.models,
        keys,
        limits: Limits::new(config.rates),
        metrics,
        settings: mainstay_server::Settings {
            rates: config.rates,
            db_read_get: config.server.db_read_get,
        },
    }))
}
