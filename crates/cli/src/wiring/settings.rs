//! What each crate is told, from the configuration.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_breaker as breaker;
use mainstay_degradation::{EndpointSettings, Journal as Facts, Presence, Rules, SettingsError};
use mainstay_journal::Journal;
use mainstay_openai::ProviderSettings;
use mainstay_runtime::{Clock, EngineSettings};

use crate::config::{Config, DatabaseUrl, ObjectStore, OpenAi, Provider, RedisUrl};

/// The controller's rules, with the endpoints that will be connected.
///
/// # Errors
/// What a checked configuration no longer has.
pub(super) fn rules(config: &Config) -> Result<Rules, Vec<SettingsError>> {
    let mut settings = config.degradation.clone();
    let embedded = |is_embedded: bool| {
        if is_embedded {
            Presence::Embedded
        } else {
            Presence::Configured
        }
    };
    let mut database = vec![EndpointSettings::main("database")];
    database.extend(
        config
            .database
            .replica
            .iter()
            .map(|_| EndpointSettings::helper("database/replica")),
    );
    let names = config
        .openai
        .providers
        .iter()
        .map(|one| format!("openai/{}", one.name));
    let openai: Vec<_> = names.map(EndpointSettings::main).collect();
    let openai_presence = if openai.is_empty() {
        Presence::Absent
    } else {
        Presence::Configured
    };
    for (name, presence, endpoints) in [
        (
            "database",
            embedded(matches!(config.database.url, DatabaseUrl::Sqlite)),
            database,
        ),
        ("openai", openai_presence, openai),
        (
            "redis",
            embedded(matches!(config.redis.url, RedisUrl::Memory)),
            vec![EndpointSettings::main("redis")],
        ),
        (
            "s3",
            embedded(matches!(config.s3.store, ObjectStore::Local)),
            vec![EndpointSettings::main("s3")],
        ),
    ] {
        if let Some(dependency) = settings.dependency_mut(name) {
            dependency.presence = presence;
            dependency.endpoints = endpoints;
        }
    }
    settings.validate()
}

/// What a running engine can be told anew.
///
/// # Errors
/// What a checked configuration no longer has.
pub(crate) fn engine(config: &Config) -> Result<EngineSettings, Vec<SettingsError>> {
    let mut endpoints = database(config).endpoints();
    endpoints.extend(openai(&config.openai, config.breakers.openai).endpoints());
    endpoints.extend([redis(config).endpoint(), s3(config).endpoint()]);
    Ok(EngineSettings {
        rules: rules(config)?,
        endpoints,
        exercise_share: config.exercise_share,
    })
}

/// What the controller is to know of the journal.
pub(super) fn journal_facts(journal: Journal, clock: Clock) -> impl Fn() -> Facts + Send + Sync {
    move || {
        let stats = journal.stats();
        let now = clock.steady().as_millisecond();
        // An entry that an earlier process accepted in the future is young.
        let age = |at: i64| Duration::from_millis(u64::try_from(now - at).unwrap_or(0));
        Facts {
            oldest: stats.oldest_accepted_at_ms.map(age),
            faulted: stats.faulted,
        }
    }
}

/// Where earlier results of the database are kept.
pub(super) fn database_results(config: &Config) -> PathBuf {
    config.data_dir.join("database-results.sqlite")
}

pub(super) fn database(config: &Config) -> mainstay_database::Settings {
    use mainstay_database::{Settings, Target};
    let section = &config.database;
    let target = match &section.url {
        DatabaseUrl::Sqlite => Target::Sqlite(config.data_dir.join("database.sqlite")),
        DatabaseUrl::Postgres(url) => Target::Postgres(url.clone()),
    };
    Settings {
        target,
        replica: section.replica.clone(),
        breaker: config.breakers.database,
        limit: section.limit,
        call_deadline: section.call_deadline,
        limits: section.limits,
        cache: section.cache,
        cache_file: Some(database_results(config)),
        allow_superuser: section.allow_superuser,
        idempotency_keep: section.idempotency_keep,
        // They wait in the journal, which the settings of an engine know nothing of.
        deferred: None,
    }
}

pub(super) fn redis(config: &Config) -> mainstay_redis::Settings {
    use mainstay_redis::{Settings, Target};
    let section = &config.redis;
    Settings {
        target: match &section.url {
            RedisUrl::Memory => Target::Memory,
            RedisUrl::Server(url) => Target::Server(url.clone()),
        },
        pool_size: section.limit,
        limit: section.limit,
        call_deadline: section.call_deadline,
        breaker: config.breakers.redis,
        memory_bytes: section.memory_bytes,
        touched_keys: section.touched_keys,
        classes: section.classes.clone(),
    }
}

pub(super) fn s3(config: &Config) -> mainstay_s3::Settings {
    use mainstay_s3::{S3Target, Settings, Target};
    let section = &config.s3;
    let target = match &section.store {
        ObjectStore::Local => Target::Local(config.data_dir.clone()),
        ObjectStore::Bucket(bucket) => Target::S3(S3Target {
            endpoint: bucket.endpoint.clone(),
            bucket: bucket.bucket.clone(),
            region: bucket.region.clone(),
            access_key_id: bucket.access_key_id.clone(),
            secret_access_key: bucket.secret_access_key.clone(),
            virtual_hosted: bucket.virtual_hosted,
        }),
    };
    Settings {
        limit: section.limit,
        first_byte: section.first_byte,
        idle: section.idle,
        max_object: section.max_object,
        upload_memory: section.upload_memory,
        copies_bytes: section.copies_bytes,
        copy_limit: section.copy_limit,
        drain_parallel: section.drain_parallel,
        conflicts: section.conflicts.clone(),
        ..Settings::new(target, Path::new(&config.data_dir), config.breakers.s3)
    }
}

/// What the model providers' adapter is told; the configuration has it checked, too.
pub(crate) fn openai(section: &OpenAi, breaker: breaker::Settings) -> mainstay_openai::Settings {
    mainstay_openai::Settings {
        providers: section.providers.iter().map(provider).collect(),
        total_deadline: section.total_deadline,
        first_content: section.first_content,
        idle: section.idle,
        stream_deadline: section.stream_deadline,
        cache_bytes: section.cache_bytes,
        exercise_providers: section.exercise_providers,
        breaker,
        limit: section.limit,
    }
}

fn provider(provider: &Provider) -> ProviderSettings {
    ProviderSettings {
        name: provider.name.clone(),
        base_url: provider.base_url.clone(),
        model: provider.model.clone(),
        embedding_model: provider.embedding_model.clone(),
        moderation_model: provider.moderation_model.clone(),
        api_key: provider.api_key.clone(),
        deadline: provider.deadline,
    }
}
