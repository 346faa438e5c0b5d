//! `[database]`, `[redis]`, `[s3]` and `[openai]`: where each dependency is and how much of it is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_database::PostgresUrl;
use mainstay_redis::{Class, ClassRule};
use mainstay_runtime::Secret;
use mainstay_s3::{Conflicts, Policy};

use super::env::variable;
use super::errors::Origin;
use super::load::{HOUR, MOST_CALLS, SHORTEST, bytes, size};
use super::model::{
    Bucket, Database, DatabaseUrl, ObjectStore, OpenAi, Provider, Redis, RedisUrl, S3,
};
use super::raw::Value;
use super::read::Reader;
use super::setting::{Setting, quoted};

pub(super) fn database(r: &mut Reader) -> Database {
    use mainstay_database::{Settings, Target};
    let base = Settings::new(Target::Sqlite(PathBuf::new()));
    Database {
        url: database_url(r),
        replica: postgres(r, "database.replica_url"),
        limit: r.within("database.limit", base.limit, 1..=MOST_CALLS),
        call_deadline: r.within(
            "database.call_deadline",
            base.call_deadline,
            SHORTEST..=HOUR,
        ),
        deferred: deferred(r),
        idempotency_keep: r.within(
            "database.idempotency_keep",
            base.idempotency_keep,
            Duration::from_secs(1)..=31 * 24 * HOUR,
        ),
        allow_superuser: r.get("database.allow_superuser", base.allow_superuser),
        limits: mainstay_database::Limits {
            rows: r.within("database.max_rows", base.limits.rows, 1..=10_000_000),
            bytes: bytes(r, "database.max_result", base.limits.bytes, 1 << 10),
        },
        cache: mainstay_database::CacheSettings {
            bytes: bytes(r, "database.cache_bytes", base.cache.bytes, 0),
            max_stale: r.within(
                "database.max_stale",
                base.cache.max_stale,
                SHORTEST..=24 * HOUR,
            ),
        },
    }
}

/// The statements that may be deferred, by name.
fn deferred(r: &mut Reader) -> BTreeMap<String, String> {
    const TABLE: &str = "database.deferred.statements";
    let mut statements = BTreeMap::new();
    for name in r.names(TABLE) {
        let key = format!("{TABLE}.{name}");
        let Some(query) = r.maybe(&key) else {
            continue;
        };
        let plain = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
        if name.chars().all(plain) && name.len() <= 64 {
            statements.insert(name, query);
        } else {
            let allowed = "names of statements have up to 64 letters, digits, _ and -";
            r.reject(&key, allowed);
        }
    }
    statements
}

fn database_url(r: &mut Reader) -> DatabaseUrl {
    match r.secret_text("database.url", "\"sqlite\"", mask_url) {
        Some((text, origin)) if text != "sqlite" => parse_postgres(
            r,
            "database.url",
            &text,
            origin,
            " (or \"sqlite\" for the embedded database)",
        )
        .map_or(DatabaseUrl::Sqlite, |url| {
            DatabaseUrl::Postgres(Box::new(url))
        }),
        _ => DatabaseUrl::Sqlite,
    }
}

fn postgres(r: &mut Reader, key: &str) -> Option<PostgresUrl> {
    let (text, origin) = r.secret_text(key, "", mask_url)?;
    parse_postgres(r, key, &text, origin, "")
}

fn parse_postgres(
    r: &mut Reader,
    key: &str,
    text: &str,
    origin: Origin,
    more: &str,
) -> Option<PostgresUrl> {
    match text.parse::<PostgresUrl>() {
        Ok(url) => Some(url),
        Err(error) => {
            r.mistake(key, origin, None, format!("{}{more}", error.detail));
            None
        }
    }
}

pub(super) fn redis(r: &mut Reader) -> Redis {
    use mainstay_redis::{Settings, Target};
    let base = Settings::new(Target::Memory);
    Redis {
        url: redis_url(r),
        limit: r.within("redis.limit", base.limit, 1..=MOST_CALLS),
        call_deadline: r.within("redis.call_deadline", base.call_deadline, SHORTEST..=HOUR),
        memory_bytes: bytes(r, "redis.memory_bytes", base.memory_bytes, 64 << 10),
        touched_keys: r.within("redis.touched_keys", base.touched_keys, 1..=100_000_000),
        classes: classes(r),
    }
}

fn redis_url(r: &mut Reader) -> RedisUrl {
    match r.secret_text("redis.url", "\"memory\"", mask_url) {
        Some((text, _)) if text.starts_with("redis://") || text.starts_with("rediss://") => {
            RedisUrl::Server(Secret::new(text))
        }
        Some((text, origin)) if text != "memory" => {
            let allowed = "must be redis://[user:password@]host[:port][/db], rediss://… for TLS, or \"memory\" for the embedded store";
            r.mistake("redis.url", origin, None, allowed.to_owned());
            RedisUrl::Memory
        }
        _ => RedisUrl::Memory,
    }
}

/// Any text: whether it can be a prefix is the adapter's to say.
struct Prefix(String);

impl Setting for Prefix {
    const WHAT: &'static str = "text";

    fn parse(value: &Value) -> Option<Self> {
        match value {
            Value::Text(text) | Value::Bare(text) => Some(Self(text.clone())),
            _ => None,
        }
    }

    fn show(&self) -> String {
        quoted(&self.0)
    }
}

fn classes(r: &mut Reader) -> Vec<ClassRule> {
    let mut rules = Vec::new();
    for class in Class::ALL {
        let listed: Option<Vec<Prefix>> = r.maybe(&format!("redis.classes.{}", class.as_str()));
        let prefixes = listed.unwrap_or_default().into_iter();
        rules.extend(prefixes.map(|Prefix(prefix)| ClassRule { prefix, class }));
    }
    for mistake in ClassRule::mistakes(&rules) {
        r.reject(&mistake.field.unwrap_or_default(), mistake.detail);
    }
    rules
}

pub(super) fn s3(r: &mut Reader) -> S3 {
    use mainstay_s3::{Settings, Target};
    let base = Settings::new(
        Target::Local(PathBuf::new()),
        Path::new(""),
        mainstay_breaker::Settings::default(),
    );
    S3 {
        store: object_store(r),
        limit: r.within("s3.limit", base.limit, 1..=MOST_CALLS),
        first_byte: r.within("s3.first_byte", base.first_byte, SHORTEST..=HOUR),
        idle: r.within("s3.idle", base.idle, SHORTEST..=HOUR),
        max_object: size(r, "s3.max_object", base.max_object, 1),
        upload_memory: size(
            r,
            "s3.upload_memory",
            base.upload_memory,
            mainstay_s3::PART as u64,
        ),
        copies_bytes: size(r, "s3.copies_bytes", base.copies_bytes, 0),
        copy_limit: size(r, "s3.copy_limit", base.copy_limit, 0),
        drain_parallel: r.within("s3.drain_parallel", base.drain_parallel, 1..=1_000),
        conflicts: conflicts(r),
    }
}

fn conflicts(r: &mut Reader) -> Conflicts {
    let mut rules = Vec::new();
    for (key, policy) in [
        ("s3.conflicts.ours", Policy::Ours),
        ("s3.conflicts.theirs", Policy::Theirs),
        ("s3.conflicts.set_aside", Policy::SetAside),
    ] {
        let prefixes: Option<Vec<String>> = r.maybe(key);
        rules.extend(
            prefixes
                .unwrap_or_default()
                .into_iter()
                .map(|p| (p, policy)),
        );
    }
    Conflicts::new(rules)
}

fn object_store(r: &mut Reader) -> ObjectStore {
    let endpoint: Option<String> = r.maybe("s3.endpoint");
    let bucket: Option<String> = r.maybe("s3.bucket");
    let region = r.get("s3.region", "us-east-1".to_owned());
    let access_key_id: Option<String> = r.maybe("s3.access_key_id");
    let secret_access_key = r.secret("s3.secret_access_key");
    let virtual_hosted = r.get("s3.virtual_hosted", false);
    let nothing = endpoint.is_none()
        && bucket.is_none()
        && access_key_id.is_none()
        && secret_access_key.is_none();
    if nothing || endpoint.as_deref() == Some("local") {
        return ObjectStore::Local;
    }
    if endpoint
        .as_ref()
        .is_some_and(|url| !url.starts_with("http://") && !url.starts_with("https://"))
    {
        r.reject(
            "s3.endpoint",
            "must begin with https:// or http://, or be \"local\" for the embedded store",
        );
    }
    let missing = [
        ("s3.bucket", bucket.is_none()),
        ("s3.access_key_id", access_key_id.is_none()),
        ("s3.secret_access_key", secret_access_key.is_none()),
    ];
    for (key, _) in missing.iter().filter(|(_, missing)| *missing) {
        r.reject(
            key,
            "is missing: an S3 store needs it (endpoint = \"local\" is the embedded one)",
        );
    }
    match (bucket, access_key_id, secret_access_key) {
        (Some(bucket), Some(access_key_id), Some(secret_access_key)) => {
            ObjectStore::Bucket(Bucket {
                endpoint,
                bucket,
                region,
                access_key_id,
                secret_access_key,
                virtual_hosted,
            })
        }
        _ => ObjectStore::Local,
    }
}

pub(super) fn openai(r: &mut Reader) -> OpenAi {
    let base = mainstay_openai::Settings::default();
    let openai = OpenAi {
        providers: providers(r),
        limit: r.within("openai.limit", base.limit, 1..=MOST_CALLS),
        total_deadline: r.within(
            "openai.total_deadline",
            base.total_deadline,
            SHORTEST..=HOUR,
        ),
        first_content: r.within("openai.first_content", base.first_content, SHORTEST..=HOUR),
        idle: r.within("openai.idle", base.idle, SHORTEST..=HOUR),
        stream_deadline: r.within(
            "openai.stream_deadline",
            base.stream_deadline,
            SHORTEST..=HOUR,
        ),
        cache_bytes: bytes(r, "openai.cache_bytes", base.cache_bytes, 0),
        exercise_providers: r.get("openai.exercise_providers", base.exercise_providers),
    };
    if let Err(error) = crate::wiring::openai_settings(&openai, base.breaker).validate() {
        r.reject(&error.field.unwrap_or_default(), error.detail);
    }
    openai
}

/// Those of the file, each changed by the environment, and after them those of the environment alone.
fn providers(r: &mut Reader) -> Vec<Provider> {
    const LIST: &str = "openai.providers";
    let in_file = r.tables(LIST);
    let mut in_environment = r.tables_of_environment(LIST);
    // Unknown: the first one's variables have no index.
    in_environment.remove(&0);
    let (mut providers, mut index) = (Vec::new(), 0);
    // The first is asked for even if there is none: its variables have no index.
    while index == 0 || index < in_file || in_environment.contains_key(&index) {
        let named = in_environment.remove(&index).is_some();
        let before = r.mistakes.len();
        let made = provider(r, index, index < in_file || named);
        if made.is_none() && r.mistakes.len() == before {
            break;
        }
        providers.extend(made);
        index += 1;
    }
    let needed = |name: &str| variable(&format!("{LIST}[{index}].{name}"));
    for (after, name) in in_environment {
        let message = format!(
            "there is no provider {index} before it: set {} and {}, or number the providers without a gap",
            needed("base_url"),
            needed("model")
        );
        r.gap(LIST, after, name, message);
    }
    providers
}

fn provider(r: &mut Reader, index: usize, declared: bool) -> Option<Provider> {
    let key = |name: &str| format!("openai.providers[{index}].{name}");
    let before = r.mistakes.len();
    let name: Option<String> = r.maybe(&key("name"));
    let base_url: Option<String> = r.maybe(&key("base_url"));
    let model: Option<String> = r.maybe(&key("model"));
    let embedding_model = r.maybe(&key("embedding_model"));
    let moderation_model = r.maybe(&key("moderation_model"));
    let api_key = r.secret(&key("api_key"));
    let standard = mainstay_openai::ProviderSettings::DEADLINE;
    if !declared && base_url.is_none() && model.is_none() && api_key.is_none() {
        // Known as a setting, in force for nobody.
        let _: Option<Duration> = r.maybe(&key("deadline"));
        return None;
    }
    let deadline = r.within(&key("deadline"), standard, SHORTEST..=HOUR);
    let wrong = r.mistakes.len() > before;
    for (name, missing) in [("base_url", base_url.is_none()), ("model", model.is_none())] {
        if missing && !wrong {
            r.reject(
                &key(name),
                format!(
                    "is missing: a provider needs base_url and model ({} in the environment)",
                    variable(&key(name))
                ),
            );
        }
    }
    let default_name = || {
        if index == 0 {
            "primary".to_owned()
        } else {
            format!("provider-{}", index + 1)
        }
    };
    Some(Provider {
        name: name.unwrap_or_else(default_name),
        base_url: base_url?,
        model: model?,
        embedding_model,
        moderation_model,
        api_key,
        deadline,
    })
}

/// The URL without its password. Masks too much rather than too little.
fn mask_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (user, rest) = rest
        .rsplit_once('@')
        .map_or(("", rest), |(user, rest)| (user, rest));
    let user = match user.split_once(':') {
        Some((user, _)) => format!("{user}:***@"),
        None if user.is_empty() => String::new(),
        None => format!("{user}@"),
    };
    let (rest, query) = rest
        .split_once('?')
        .map_or((rest, ""), |(rest, _)| (rest, "?***"));
    format!("{scheme}://{user}{rest}{query}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_are_masked_wherever_they_stand() {
        for (url, shown) in [
            (
                "postgres://ana:s3cret@db.example:5432/shop",
                "postgres://ana:***@db.example:5432/shop",
            ),
            (
                "postgres://ana:s3/c@r:et@db/shop",
                "postgres://ana:***@db/shop",
            ),
            (
                "postgres://db/shop?password=s3cret",
                "postgres://db/shop?***",
            ),
            ("redis://:s3cret@cache:6379/0", "redis://:***@cache:6379/0"),
            ("redis://cache", "redis://cache"),
            ("memory", "memory"),
        ] {
            assert_eq!(mask_url(url), shown);
        }
    }
}
