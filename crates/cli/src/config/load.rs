//! File, environment and defaults become a [`Config`], or the list of everything that is wrong with them.

use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_server::{Rate, RateSettings};

use super::FILE_NAME;
use super::alerts::webhooks;
use super::breakers::{self, breaker};
use super::degradation::degradation;
use super::dependencies::{database, openai, redis, s3};
use super::env::Environment;
use super::errors::{ConfigErrors, Mistake, Origin};
use super::model::{Breakers, Config, Log, LogFormat, Server};
use super::raw::{self, Leaves};
use super::read::{Entry, Reader};
use super::setting::Size;

pub(super) const SHORTEST: Duration = Duration::from_millis(1);
pub(super) const HOUR: Duration = Duration::from_secs(3_600);
pub(super) const MOST_CALLS: usize = 10_000;
const MEMORY: u64 = 1 << 40;

/// A configuration and where each of its values came from.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) entries: Vec<Entry>,
    /// The file that was read, if any.
    pub(crate) file: Option<PathBuf>,
}

/// Loads the named file, else `mainstay.toml` if there is one, and what the environment says.
///
/// # Errors
/// Every mistake that can be found at once.
pub(crate) fn load(
    named: Option<&Path>,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<Loaded, ConfigErrors> {
    let default = Some(PathBuf::from(FILE_NAME)).filter(|path| path.exists());
    let file = named.map(Path::to_owned).or(default);
    let text = match &file {
        Some(path) => std::fs::read_to_string(path).map_err(|error| unreadable(path, &error))?,
        None => String::new(),
    };
    let result = from_text(&text, environment);
    match result {
        Ok((config, entries)) => Ok(Loaded {
            config,
            entries,
            file,
        }),
        Err(mistakes) => Err(ConfigErrors { file, mistakes }),
    }
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigErrors {
    let mistake = Mistake {
        origin: Origin::Default,
        key: String::new(),
        value: None,
        message: format!("{} can't be read: {error}", path.display()),
    };
    ConfigErrors {
        file: Some(path.to_owned()),
        mistakes: vec![mistake],
    }
}

/// As [`load`], from the file's text.
pub(super) fn from_text(
    text: &str,
    environment: impl IntoIterator<Item = (String, String)>,
) -> Result<(Config, Vec<Entry>), Vec<Mistake>> {
    let leaves: Leaves = raw::parse(text)?;
    let mut reader = Reader::new(leaves, Environment::new(environment));
    let config = config(&mut reader);
    reader.finish();
    if reader.mistakes.is_empty() {
        Ok((config, reader.entries))
    } else {
        Err(reader.mistakes)
    }
}

fn config(r: &mut Reader) -> Config {
    let data_dir = r.get("data_dir", PathBuf::from("./mainstay-data"));
    let admin_key = r.secret("admin_key");
    let record = r.get("record", true);
    let exercise_share = r.or_off("fallbacks.exercise_share", Some(0.005), 0.000_001..=1.0);
    let (server, rates) = (server(r), rates(r));
    let (database, redis, s3, openai) = (database(r), redis(r), s3(r), openai(r));
    let slowest = openai.providers.iter().map(|one| one.deadline).max();
    let attempt = slowest.unwrap_or(mainstay_openai::ProviderSettings::DEADLINE);
    let breakers = Breakers {
        database: breaker(r, "database", &breakers::DATABASE, database.call_deadline),
        openai: breaker(r, "openai", &breakers::OPENAI, attempt),
        redis: breaker(r, "redis", &breakers::REDIS, redis.call_deadline),
        s3: breaker(r, "s3", &breakers::S3, s3.first_byte),
    };
    Config {
        data_dir,
        record,
        exercise_share,
        admin_key,
        server,
        rates,
        database,
        redis,
        s3,
        openai,
        journal: journal(r),
        breakers,
        degradation: degradation(r),
        webhooks: webhooks(r),
        log: log(r),
    }
}

fn server(r: &mut Reader) -> Server {
    Server {
        listen: r.get(
            "server.listen",
            SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
        ),
        db_read_get: r.get("server.db_read_get", false),
        shutdown_grace: r.within(
            "server.shutdown_grace",
            Duration::from_secs(30),
            Duration::ZERO..=HOUR,
        ),
    }
}

fn rates(r: &mut Reader) -> RateSettings {
    let enabled = r.get("ratelimit.enabled", true);
    let base = RateSettings::default();
    let settings = RateSettings {
        control: rate(r, "control", base.control),
        data: rate(r, "data", base.data),
    };
    if enabled {
        settings
    } else {
        RateSettings {
            control: None,
            data: None,
        }
    }
}

fn rate(r: &mut Reader, class: &str, base: Option<Rate>) -> Option<Rate> {
    let per_minute = base.map(|rate| rate.per_minute.get());
    let per_minute = r.or_off(
        &format!("ratelimit.{class}_per_minute"),
        per_minute,
        1..=1_000_000,
    );
    let burst = base.map_or(60, |rate| rate.burst.get());
    let burst = r.within(&format!("ratelimit.{class}_burst"), burst, 1..=1_000_000);
    Some(Rate {
        per_minute: NonZeroU32::new(per_minute?)?,
        burst: NonZeroU32::new(burst)?,
    })
}

fn journal(r: &mut Reader) -> mainstay_journal::Settings {
    let base = mainstay_journal::Settings::default();
    mainstay_journal::Settings {
        max_entries: r.within("journal.max_entries", base.max_entries, 1..=100_000_000),
        max_bytes: size(r, "journal.max_bytes", base.max_bytes, 1),
        min_free_disk: size(r, "journal.min_free_disk", base.min_free_disk, 0),
        inline_limit: usize::try_from(
            r.within(
                "journal.inline_limit",
                Size(base.inline_limit as u64),
                Size(0)..=Size(16 << 20),
            )
            .0,
        )
        .unwrap_or(base.inline_limit),
    }
}

fn log(r: &mut Reader) -> Log {
    use tracing::Level;
    let levels = [
        ("error", Level::ERROR),
        ("warn", Level::WARN),
        ("info", Level::INFO),
        ("debug", Level::DEBUG),
        ("trace", Level::TRACE),
    ];
    let formats = [
        ("auto", LogFormat::Auto),
        ("json", LogFormat::Json),
        ("text", LogFormat::Text),
    ];
    Log {
        level: r.choice("log.level", Level::INFO, &levels),
        format: r.choice("log.format", LogFormat::Auto, &formats),
    }
}

pub(super) fn size(r: &mut Reader, key: &str, default: u64, least: u64) -> u64 {
    r.within(key, Size(default), Size(least)..=Size(MEMORY)).0
}

pub(super) fn bytes(r: &mut Reader, key: &str, default: usize, least: u64) -> usize {
    usize::try_from(size(r, key, default as u64, least)).unwrap_or(default)
}
