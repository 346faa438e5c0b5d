//! `mainstay serve`.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use mainstay_journal::Journal;
use mainstay_runtime::{Clock, Secret};
use mainstay_server::{Core, KeyRing, Scope};
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::logging::{self, Logging};
use super::reload::Reloader;
use super::{Failure, Surroundings};
use crate::config::{Config, Loaded};
use crate::output::print;
use crate::wiring::{self, data_dir};

/// How long background work may take to end once no request runs any more.
const PATIENCE: Duration = Duration::from_secs(2);

pub(super) async fn run(around: &Surroundings) -> Result<ExitCode, Failure> {
    let loaded = around.load()?;
    let log = logging::start(&loaded.config.log);
    let ended = serve(around, loaded, &log).await;
    log.end();
    ended
}

async fn serve(around: &Surroundings, loaded: Loaded, log: &Logging) -> Result<ExitCode, Failure> {
    let config = loaded.config.clone();
    let mut signals = Signals::listen()?;
    let hangup = signal(SignalKind::hangup())?;
    data_dir::prepare(&config.data_dir)?;
    let mut listener = bind(config.server.listen).await?;
    let opening = wiring::journal(&config);
    let opened = mainstay_server::while_starting(&mut listener, Clock::start(), opening);
    let journal = tokio::select! {
        opened = opened => opened?,
        // What is half open is found as it was by the next start.
        signal = signals.next() => {
            tracing::info!(signal, "stopped while starting");
            return Ok(ExitCode::SUCCESS);
        }
    };
    let (keys, new_key) = keys(&config)?;
    let core = wiring::start(&config, journal.clone(), keys, |handle| {
        let reloader = Reloader::new(around, loaded, handle.clone(), log.clone());
        let reloader = Arc::new(reloader);
        handle.spawn(Arc::clone(&reloader).at_each(hangup));
        reloader.on_request()
    })?;
    let lost = log.lost();
    core.metrics.count_lost_log_lines(move || lost.lines());
    if let Some(key) = new_key {
        show_once(&key);
    }
    let address = listener.local_addr()?;
    print(&format!("mainstay listening on http://{address}"))?;
    tracing::info!(%address, version = env!("CARGO_PKG_VERSION"), "started");
    let router = mainstay_server::app(&core, mainstay_retail::routes(&core));
    let last_words = log.clone();
    let at_once = move || {
        last_words.end();
        std::process::exit(1)
    };
    let stop = told_to_stop(signals.names(), core.handle.failed(), at_once);
    let served = mainstay_server::serve(
        listener,
        core.clone(),
        router,
        stop,
        config.server.shutdown_grace,
    )
    .await;
    end(&core, &journal).await;
    served.map_err(|error| Failure::Run(format!("the server ended: {error}")))?;
    if core.handle.has_failed() {
        let why = "the monitor has ended, and with it health, levels and probes; the log says why";
        return Err(Failure::Run(why.to_owned()));
    }
    Ok(ExitCode::SUCCESS)
}

async fn bind(address: SocketAddr) -> Result<TcpListener, Failure> {
    TcpListener::bind(address).await.map_err(|error| {
        let remedy = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program has the port; set server.listen to another one"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need the capability CAP_NET_BIND_SERVICE"
            }
            std::io::ErrorKind::AddrNotAvailable => "this machine has no such address",
            _ => "see server.listen",
        };
        Failure::Run(format!("can't listen on {address}: {error} ({remedy})"))
    })
}

/// The keys of the data directory, and the admin key if one had to be made.
fn keys(config: &Config) -> Result<(KeyRing, Option<Secret>), Failure> {
    let now = Clock::start().wall();
    let failed = |error: mainstay_server::KeyError| Failure::Run(error.to_string());
    let ring = KeyRing::open(&config.data_dir).map_err(failed)?;
    if let Some(key) = &config.admin_key {
        ring.preset_admin(key, now)
            .map_err(|error| Failure::Usage(format!("admin_key: {error}")))?;
    }
    if !ring.is_empty() {
        return Ok((ring, None));
    }
    let (key, _) = ring
        .create("first admin", vec![Scope::Admin], now)
        .map_err(failed)?;
    Ok((ring, Some(key)))
}

/// On standard error and beside the log: a key must not end up where logs go.
fn show_once(key: &Secret) {
    let line = "─".repeat(78);
    eprintln!(
        "{line}\n  Admin key. It is shown this once; only its hash is kept.\n\n  {}\n\n  curl -H 'X-API-Key: …' …, or MAINSTAY_KEY for `mainstay status`.\n{line}",
        key.expose()
    );
}

/// Ready at the first signal, or when the monitor has failed. From then on a second signal ends the program `at_once`.
async fn told_to_stop(
    signals: impl Stream<Item = &'static str> + Send + 'static,
    failed: impl Future<Output = ()>,
    at_once: impl FnOnce() + Send + 'static,
) {
    let mut signals = Box::pin(signals);
    let first = tokio::select! {
        name = signals.next() => name,
        () = failed => None,
    };
    match first {
        Some(signal) => tracing::info!(signal, "stopping: no new connections"),
        None => tracing::error!("the monitor has ended: stopping, to be started again"),
    }
    tokio::spawn(async move {
        if first.is_none() {
            let signal = signals.next().await;
            tracing::info!(signal, "stopping already: a second signal ends it at once");
        }
        let signal = signals.next().await;
        tracing::warn!(signal, "a second signal: exiting at once");
        at_once();
    });
}

/// Ends the background work and puts the journal on disk.
async fn end(core: &Core, journal: &Journal) {
    core.handle.shutdown(PATIENCE).await;
    match journal.close().await {
        Ok(()) => tracing::info!("stopped; the journal is flushed"),
        Err(error) => tracing::error!(%error, "the journal could not be flushed"),
    }
}

/// The two signals that ask us to stop.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> Result<Self, Failure> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }

    fn names(self) -> impl Stream<Item = &'static str> {
        stream::unfold(self, async |mut signals| {
            Some((signals.next().await, signals))
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;

    /// Whether it has ended at once after these signals.
    async fn ends_at_once(signals: &[&'static str], failed: bool) -> bool {
        let ended = Arc::new(AtomicBool::new(false));
        let end = Arc::clone(&ended);
        let signals = stream::iter(signals.to_vec()).chain(stream::pending());
        let failed = async move {
            if !failed {
                std::future::pending().await
            }
        };
        // One that has failed is seen to before any signal.
        let signals = signals.then(async |name| {
            tokio::task::yield_now().await;
            name
        });
        told_to_stop(signals, failed, move || end.store(true, Ordering::Relaxed)).await;
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        ended.load(Ordering::Relaxed)
    }

    #[tokio::test]
    async fn a_second_signal_ends_it_at_once_also_where_the_monitor_has_failed() {
        for failed in [false, true] {
            assert!(!ends_at_once(&["SIGTERM"], failed).await, "{failed}");
            assert!(
                ends_at_once(&["SIGTERM", "SIGINT"], failed).await,
                "{failed}"
            );
        }
        assert!(!ends_at_once(&[], true).await);
    }
}
