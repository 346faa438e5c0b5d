//! Setting up: the store's client, the guard around it, and what is kept beside it.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use mainstay_journal::Journal;
use mainstay_runtime::{EngineBuilder, Error, ErrorKind, Handle, Source};
use object_store::RetryConfig;
use object_store::aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut};

use crate::arriving::Arriving;
use crate::canary;
use crate::conditions::Conditions;
use crate::copies::{Copies, this_boot};
use crate::etags::Etags;
use crate::local::Local;
use crate::objects::{DEPENDENCY, Inner, Objects};
use crate::parts::PART;
use crate::pending::Pending;
use crate::probe::StoreProbe;
use crate::room::Room;
use crate::settings::{S3Target, Settings, Target};
use crate::store::Store;
use crate::trace::Connector;
use crate::turns::Turns;

/// Longest time to make a connection.
const CONNECT: Duration = Duration::from_secs(3);
/// Parts of one upload at most, as S3 has it.
const MAX_PARTS: u64 = 10_000;

/// Sets the adapter up and registers its endpoint and probe. Connects to nothing, so it doesn't fail because the store
/// is down.
///
/// # Errors
/// When a setting makes no sense, or the folders beside the store can't be made.
pub fn connect(
    settings: Settings,
    journal: Journal,
    engine: &mut EngineBuilder,
) -> Result<Objects, Error> {
    check(&settings)?;
    let store = match &settings.target {
        Target::Local(dir) => {
            Store::Local(Arc::new(Local::open(dir).map_err(|e| no_folder("s3", &e))?))
        }
        Target::S3(target) => Store::S3(Arc::new(s3(target, &settings)?)),
    };
    let turns = Turns::default();
    let copies = Copies::open(
        &settings.copies_dir,
        settings.copies_bytes,
        settings.copy_limit,
        this_boot(),
        turns.clone(),
    );
    let copies = copies.map_err(|e| no_folder("s3.copies_dir", &e))?;
    let guard = engine.endpoint(settings.endpoint())?;
    if settings.copies_bytes > 0 {
        engine.fallback(&guard, &Source::Cache);
    }
    let etags = Etags::new(turns);
    copies.etags(|key, etag| etags.saw(key, Some(etag)));
    let inner = Arc::new(Inner {
        arriving: Arriving::default(),
        staying: Arriving::default(),
        room: Room::new(settings.upload_memory, guard.clock()),
        pending: Pending::rebuild(&journal),
        lists: Default::default(),
        etags,
        engine: OnceLock::new(),
        newest_at_start: journal.newest(),
        hurry: Default::default(),
        looks: Default::default(),
        followed: Default::default(),
        sent_copies: Default::default(),
        conditions: Conditions::of(&store),
        guard: guard.clone(),
        store,
        journal,
        copies,
        settings,
    });
    engine.probe(&guard, Arc::new(StoreProbe(Arc::downgrade(&inner))));
    let canaries = Arc::downgrade(&inner);
    engine.canary(&guard, Source::Journal.label(), move || {
        let inner = canaries.upgrade();
        async { canary::fly(inner?).await }
    });
    Ok(Objects(inner))
}

impl Objects {
    /// Begins to bring accepted work to the store, until the engine stops.
    pub fn start(&self, handle: &Handle) {
        // A second start changes nothing: there is one engine.
        let _ = self.0.engine.set(handle.clone());
        handle.spawn(crate::drain::run(
            Arc::clone(&self.0),
            handle.stopping(),
            handle.drain_share(),
        ));
    }

    /// Whether the store honours `If-None-Match` and `If-Match` on writes; `None` until that was found out.
    pub fn conditional_writes(&self) -> Option<bool> {
        self.0.conditions.known()
    }
}

fn check(settings: &Settings) -> Result<(), Error> {
    let zero = [
        ("s3.first_byte", settings.first_byte.is_zero()),
        ("s3.idle", settings.idle < settings.first_byte),
        ("s3.drain_parallel", settings.drain_parallel == 0),
        ("s3.limit", settings.limit == 0),
    ];
    if let Some((field, _)) = zero.iter().find(|(_, wrong)| *wrong) {
        return Err(Error::invalid(
            *field,
            "must be more than 0, and s3.idle at least s3.first_byte",
        ));
    }
    if settings.upload_memory < PART as u64 {
        return Err(Error::invalid(
            "s3.upload_memory",
            format!("at least {PART} bytes, one part of an upload"),
        ));
    }
    let most = MAX_PARTS * PART as u64;
    if settings.max_object > most {
        return Err(Error::invalid(
            "s3.max_object",
            format!("at most {most} bytes, the store's limit of {MAX_PARTS} parts"),
        ));
    }
    let Target::S3(target) = &settings.target else {
        return Ok(());
    };
    let texts = [
        ("s3.bucket", &target.bucket),
        ("s3.region", &target.region),
        ("s3.access_key_id", &target.access_key_id),
    ];
    match texts.iter().find(|(_, text)| text.is_empty()) {
        Some((field, _)) => Err(Error::invalid(*field, "must be set")),
        None if target.secret_access_key.expose().is_empty() => {
            Err(Error::invalid("s3.secret_access_key", "must be set"))
        }
        None => check_endpoint(target),
    }
}

fn check_endpoint(target: &S3Target) -> Result<(), Error> {
    let Some(endpoint) = &target.endpoint else {
        return Ok(());
    };
    let url = endpoint.parse::<reqwest::Url>().ok();
    match url.filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host()) {
        Some(_) => Ok(()),
        None => Err(Error::invalid(
            "s3.endpoint",
            "must be a URL like https://s3.example.com, or absent for AWS",
        )),
    }
}

fn s3(target: &S3Target, settings: &Settings) -> Result<AmazonS3, Error> {
    let endpoint = target.endpoint.as_deref();
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(&target.bucket)
        .with_region(&target.region)
        .with_access_key_id(&target.access_key_id)
        .with_secret_access_key(target.secret_access_key.expose())
        .with_virtual_hosted_style_request(target.virtual_hosted)
        .with_allow_http(endpoint.is_some_and(|e| e.starts_with("http://")))
        .with_retry(RetryConfig {
            max_retries: 0,
            ..RetryConfig::default()
        })
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        // What some stores don't know: bulk deletes, tags.
        .with_disable_bulk_delete(true)
        .with_disable_tagging(true)
        .with_http_connector(Connector::new(http_client(endpoint, settings)?));
    if let Some(endpoint) = endpoint {
        builder = builder.with_endpoint(endpoint.trim_end_matches('/'));
    }
    let wrong = |e: object_store::Error| Error::invalid("s3", e.to_string()).dependency(DEPENDENCY);
    builder.build().map_err(wrong)
}

/// No retries, no redirects, no proxies from the environment.
fn http_client(endpoint: Option<&str>, settings: &Settings) -> Result<reqwest::Client, Error> {
    let secure = !endpoint.is_some_and(|e| e.starts_with("http://"));
    let client = reqwest::Client::builder()
        .tls_backend_preconfigured(tls(secure)?)
        .retry(reqwest::retry::never())
        .redirect(reqwest::redirect::Policy::none())
        .no_proxy()
        .referer(false)
        .pool_max_idle_per_host(settings.limit)
        .connect_timeout(CONNECT.min(settings.first_byte))
        .build();
    client.map_err(|_| no_client())
}

/// rustls with ring and the system's roots, which are read only when they are needed.
fn tls(secure: bool) -> Result<rustls::ClientConfig, Error> {
    let mut roots = rustls::RootCertStore::empty();
    if secure {
        let (added, _) =
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        if added == 0 {
            tracing::warn!(
                dependency = DEPENDENCY,
                "the system has no root certificates: https can't be used"
            );
        }
    }
    let ring = Arc::new(rustls::crypto::ring::default_provider());
    let versions = rustls::ClientConfig::builder_with_provider(ring)
        .with_safe_default_protocol_versions()
        .map_err(|_| no_client())?;
    Ok(versions.with_root_certificates(roots).with_no_client_auth())
}

fn no_client() -> Error {
    Error::new(ErrorKind::Internal, "the HTTP client can't be set up").dependency(DEPENDENCY)
}

fn no_folder(field: &str, error: &dyn std::error::Error) -> Error {
    Error::new(
        ErrorKind::Internal,
        format!("a folder for objects can't be used: {error}"),
    )
    .field(field)
    .dependency(DEPENDENCY)
}
